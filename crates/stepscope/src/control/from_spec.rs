//! The method that a specification names.

use burn::module::Module;
use stepscope_types::RunSpec;
use stepscope_types::spec::{LearningRateSpec, OptimizerMethod, OptimizerSpec, SearchStart};
use thiserror::Error;

use super::labpal::{LabPal, LabPalError, LabPalMode, LabPalTask};
use super::line_search::{
    ArmijoSearch, ArmijoSettings, FullBatchParabolicSearch, MeasuredLearningRate, NonMonotoneSearch,
    NonMonotoneSettings, ParabolicSearch, ParabolicSettings, PolyakSettings, PolyakStep, Reset,
};
use super::method::Method;
use super::momo::{Momo, MomoSettings};
use super::prodigy::{Prodigy, ProdigySettings};
use super::schedule::{GaugedLearningRate, GaugedSteps};
use super::schedule_free::{ScheduleFree, ScheduleFreeSettings};
use super::scheduled::{GaugedLength, Scheduled};
use super::step_length::{Fixed, StepLength};
use super::stepwise::Stepwise;
use super::svag::{Svag, SvagError, SvagMethod};
use super::transform::{Clip, GradientTransform};
use crate::models::{ParamLayout, PatternError};
use crate::train::Plan;

/// A method that does not fit the data or the network.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum MethodError {
    /// LABPAL would measure over more examples than there are.
    #[error(transparent)]
    LabPal(#[from] LabPalError),
    /// An l of SVAG that is none.
    #[error("svag.l: {0}")]
    Svag(#[from] SvagError),
    /// A group of parameters has none.
    #[error("optimizer.groups: {0}")]
    Groups(#[from] PatternError),
}

/// The method of `spec`, at its start, for that many training examples and a network of that layout. `plan` has the spec's
/// lengths in steps.
///
/// # Errors
/// [`MethodError`] where LABPAL would measure over more examples than there are, and for a group of parameters that has none.
pub fn method<M: Module, B: 'static>(
    spec: &RunSpec,
    plan: &Plan,
    num_examples: u64,
    layout: &ParamLayout,
) -> Result<Box<dyn Method<M, B>>, MethodError> {
    let optimizer = &spec.optimizer;
    let transform = GradientTransform::of_spec(optimizer, layout)?;
    let changes = spec.schedule.momentum.is_some();
    let transform = Box::new(if changes { transform.with_changing_momentum() } else { transform });
    let labpal = |mode, direction| -> Result<Box<dyn Method<M, B>>, MethodError> {
        let task = LabPalTask { batch_size: spec.train.batch_size.get(), num_examples, num_batches: plan.num_steps };
        Ok(Box::new(LabPal::new(mode, &spec.labpal, direction, task)?))
    };
    let length: Box<dyn StepLength> = match optimizer.method {
        OptimizerMethod::LabPalSgd => return labpal(LabPalMode::Sgd, transform),
        OptimizerMethod::LabPalNsgd => return labpal(LabPalMode::Nsgd, transform),
        OptimizerMethod::ScheduleFree => return Ok(Box::new(ScheduleFree::new(schedule_free(spec, plan)))),
        OptimizerMethod::Svag => {
            return Ok(Box::new(SvagMethod::new(Svag::new(spec.svag.l)?, fixed_learning_rate(spec))));
        }
        OptimizerMethod::Prodigy => return Ok(Box::new(Prodigy::new(prodigy(spec)))),
        OptimizerMethod::Momo => return Ok(Box::new(Momo::new(momo(spec)))),
        OptimizerMethod::Sgd => step_length(spec, plan),
        OptimizerMethod::Sps => Box::new(PolyakStep::new(polyak(spec, plan))),
        OptimizerMethod::Pal => Box::new(ParabolicSearch::new(parabolic(spec, 1.0))),
        OptimizerMethod::Fbpal => {
            // As many batches as pass over the training set once.
            let batches = (num_examples / spec.train.batch_size.get()).max(2) as usize;
            let pal = &spec.pal;
            let search = FullBatchParabolicSearch::new(parabolic(spec, 0.1), pal.updates_per_measurement, batches)
                .with_early_measurements(pal.early_measurements)
                .with_history(pal.history, pal.history_average);
            Box::new(search)
        }
        OptimizerMethod::Sls => Box::new(ArmijoSearch::new(armijo(spec, plan))),
        OptimizerMethod::Ponos => Box::new(NonMonotoneSearch::new(non_monotone(spec))),
    };
    Ok(Box::new(Stepwise::new(transform, length)))
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

fn clip(optimizer: &OptimizerSpec) -> Clip {
    Clip { value: optimizer.clip_value, norm: optimizer.clip_norm }
}

/// That of a method with a learning rate which must be a number: the specification was checked.
fn fixed_learning_rate(spec: &RunSpec) -> f64 {
    match spec.optimizer.learning_rate {
        Some(LearningRateSpec::Fixed(learning_rate)) => learning_rate.get(),
        _ => 0.0,
    }
}

fn schedule_free(spec: &RunSpec, plan: &Plan) -> ScheduleFreeSettings {
    ScheduleFreeSettings {
        learning_rate: fixed_learning_rate(spec),
        interpolation: spec.schedule_free.interpolation,
        warmup: plan.steps(spec.schedule_free.warmup),
        weight_decay: spec.optimizer.weight_decay,
        clip: clip(&spec.optimizer),
    }
}

fn prodigy(spec: &RunSpec) -> ProdigySettings {
    ProdigySettings {
        learning_rate: spec.prodigy.learning_rate_factor,
        adam: spec.optimizer.adam,
        initial_distance: spec.prodigy.initial_distance,
        coefficient: spec.prodigy.coefficient,
        max_growth: spec.prodigy.max_growth.unwrap_or(f64::INFINITY),
        weight_decay: spec.optimizer.weight_decay,
        clip: clip(&spec.optimizer),
    }
}

fn momo(spec: &RunSpec) -> MomoSettings {
    MomoSettings {
        max_learning_rate: spec.polyak.max_learning_rate,
        beta: spec.polyak.beta,
        lower_bound: spec.polyak.lower_bound,
        clip: clip(&spec.optimizer),
    }
}

fn polyak(spec: &RunSpec, plan: &Plan) -> PolyakSettings {
    PolyakSettings {
        c: spec.polyak.c,
        lower_bound: spec.polyak.lower_bound,
        initial_learning_rate: spec.polyak.initial_learning_rate,
        max_learning_rate: spec.polyak.max_learning_rate,
        growth: spec.polyak.growth,
        steps_per_epoch: plan.steps_per_epoch,
    }
}

fn parabolic(spec: &RunSpec, usual_length: f64) -> ParabolicSettings {
    ParabolicSettings {
        probe_length: spec.pal.probe_length.unwrap_or(usual_length),
        update_step_adaptation: spec.pal.update_step_adaptation,
        max_step_length: spec.pal.max_step_length,
        initial_learning_rate: spec.line_search.initial_learning_rate.get(),
    }
}

fn armijo(spec: &RunSpec, plan: &Plan) -> ArmijoSettings {
    ArmijoSettings {
        initial_learning_rate: spec.sls.initial_learning_rate,
        max_learning_rate: spec.sls.max_learning_rate,
        c: spec.sls.c,
        shrink: spec.sls.shrink,
        growth: spec.sls.growth,
        reset: match spec.sls.start {
            SearchStart::Last => Reset::Keep,
            SearchStart::Grown => Reset::Grow,
            SearchStart::Initial => Reset::Restart,
        },
        steps_per_epoch: plan.steps_per_epoch,
    }
}

fn non_monotone(spec: &RunSpec) -> NonMonotoneSettings {
    NonMonotoneSettings {
        c: spec.ponos.c,
        polyak_c: spec.ponos.polyak_c,
        shrink: spec.ponos.shrink,
        memory: spec.ponos.memory,
        lower_bound: spec.ponos.lower_bound,
        min_learning_rate: spec.ponos.min_learning_rate,
        max_learning_rate: spec.ponos.max_learning_rate,
    }
}
