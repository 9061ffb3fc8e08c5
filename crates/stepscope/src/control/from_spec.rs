//! The method that a specification names.

use burn::module::Module;
use stepscope_types::RunSpec;
use stepscope_types::spec::{LearningRateSpec, OptimizerMethod};

use super::direction::HeavyBall;
use super::labpal::{LabPal, LabPalError, LabPalMode, LabPalTask};
use super::line_search::MeasuredLearningRate;
use super::method::Method;
use super::schedule::{GaugedLearningRate, GaugedSteps};
use super::scheduled::{GaugedLength, Scheduled};
use super::step_length::{Fixed, StepLength};
use super::stepwise::Stepwise;
use crate::train::Plan;

/// The method of `spec`, at its start, for that many training examples. `plan` has the spec's lengths in steps.
///
/// # Errors
/// [`LabPalError`] where LABPAL would measure over more examples than there are.
pub fn method<M: Module, B: 'static>(
    spec: &RunSpec,
    plan: &Plan,
    num_examples: u64,
) -> Result<Box<dyn Method<M, B>>, LabPalError> {
    let direction = HeavyBall::new(spec.optimizer.momentum);
    let changes = spec.schedule.momentum.is_some();
    let direction = Box::new(if changes { direction.with_changing_momentum() } else { direction });
    let mode = match spec.optimizer.method {
        OptimizerMethod::Sgd => return Ok(Box::new(Stepwise::new(direction, step_length(spec, plan)))),
        OptimizerMethod::LabPalSgd => LabPalMode::Sgd,
        OptimizerMethod::LabPalNsgd => LabPalMode::Nsgd,
    };
    let task = LabPalTask { batch_size: spec.train.batch_size.get(), num_examples, num_batches: plan.num_steps };
    Ok(Box::new(LabPal::new(mode, &spec.labpal, direction, task)?))
}

fn step_length(spec: &RunSpec, plan: &Plan) -> Box<dyn StepLength> {
    match (&plan.gauged, &plan.learning_rate, spec.optimizer.learning_rate) {
        (Some(gauged), Some(kept), _) => {
            let steps = GaugedSteps::new(gauged, plan.num_steps, |length| plan.steps(length));
            Box::new(GaugedLength::new(GaugedLearningRate::new(kept.clone(), steps)))
        }
        (_, Some(schedule), _) => Box::new(Scheduled::new(schedule.clone())),
        (_, None, Some(LearningRateSpec::Fixed(learning_rate))) => Box::new(Fixed(learning_rate)),
        // A method with a learning rate has one: the specification was checked.
        _ => Box::new(MeasuredLearningRate::new(&spec.line_search, plan.line_search_every)),
    }
}
