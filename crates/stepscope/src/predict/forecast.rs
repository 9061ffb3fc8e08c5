//! PREDICT, on a live run: from the quadratics measured along it to the records of a predicted run.
//!
//! The predictions themselves are `stepscope-theory`'s; here they meet a specification, its data and its records.

use stepscope_theory::{MeasuredQuadratic, Sgd, TheoryError};
use stepscope_types::spec::{LearningRateSpec, Sampling};
use stepscope_types::{
    Estimate, EventKind, EventRecord, Manifest, Measurement, Record, RunSpec, Step, StopReason, Uncertainty, quantity,
};
use thiserror::Error;

use crate::train::Plan;

/// A run that cannot be predicted.
#[derive(Debug, Error)]
pub enum PredictError {
    /// The learning rate is not known beforehand.
    #[error("{name}: its learning rate is measured while it runs, and only fixed ones are predicted")]
    LearningRate {
        /// The run.
        name: String,
    },
    /// The theory refused the settings.
    #[error(transparent)]
    Theory(#[from] TheoryError),
}

/// A predicted run: what goes into its folder.
#[derive(Debug, Clone)]
pub struct PredictedRun {
    /// As the manifest of the run that is predicted, with another name and `process: "theory"`.
    pub manifest: Manifest,
    /// Training losses at the same steps and under the same name as the measured ones.
    pub records: Vec<Record>,
}

/// Forecasts of the training loss of the run of `manifest`, at the steps where its probes measure.
///
/// Every one of `quadratics` was measured at its step of the run, in order, and forecasts the stretch up to the step of the next
/// one, or to the end. A value at a step is thus always a forecast made at an earlier step; only the first quadratic's
/// own step holds a measured value, the start. A quadratic of the cross-entropy is good for a stretch over which the loss does not
/// fall to half: towards a perfect fit the loss decays like e^−m with the margins m, and the quadratic of e^−m has its
/// minimum at half the present value.
///
/// Velocities at the start of a stretch are taken as zero, which is exact for plain SGD and wrong for the first
/// 1 / (1 − momentum) steps otherwise. Batches drawn without replacement have their noise factor lowered by
/// (N − B) / (N − 1); that their noise is also anti-correlated within an epoch is left out.
///
/// # Errors
/// [`PredictError`] for a learning rate that is not fixed.
pub fn predict_run(
    name: &str,
    manifest: &Manifest,
    plan: &Plan,
    quadratics: &[(Step, MeasuredQuadratic)],
) -> Result<PredictedRun, PredictError> {
    let spec = &manifest.spec;
    let Some(LearningRateSpec::Fixed(learning_rate)) = spec.optimizer.learning_rate else {
        return Err(PredictError::LearningRate { name: manifest.name.clone() });
    };
    let num_examples = manifest.data.num_train_examples;
    let sgd = Sgd::from_numbers(learning_rate.get(), spec.optimizer.momentum.get(), noise_factor(spec, num_examples))?;
    let start = quadratics.first().map_or(Step(0), |(step, _)| *step);
    let mut records = vec![event(plan, start, EventKind::RunStarted)];
    for (index, (from, quadratic)) in quadratics.iter().enumerate() {
        let until = quadratics.get(index + 1).map_or(plan.num_steps, |(next, _)| next.0);
        let curve = quadratic.loss_curve(&sgd, until.saturating_sub(from.0));
        for (loss, step) in curve.loss.into_iter().zip(from.0..) {
            let is_start = index == 0 && step == from.0;
            if is_start || (step > from.0 && plan.measures_at(step)) {
                records.push(forecast(plan, step, loss, num_examples));
            }
        }
    }
    records.push(event(plan, Step(plan.num_steps), EventKind::RunEnded { reason: StopReason::Finished }));
    let mut manifest = Manifest { name: name.to_owned(), process: "theory".to_owned(), ..manifest.clone() };
    name.clone_into(&mut manifest.spec.name);
    Ok(PredictedRun { manifest, records })
}

fn forecast(plan: &Plan, step: u64, loss: f64, num_examples: u64) -> Record {
    let estimate = Estimate::new(loss, quantity::TRAIN_LOSS.unit, Uncertainty::Exact).over_examples(num_examples);
    Record::Measurement(Measurement::new(Step(step), plan.epoch(step), quantity::TRAIN_LOSS.name, estimate.into()))
}

/// The factor on one example's gradient covariance that a batch has.
fn noise_factor(spec: &RunSpec, num_examples: u64) -> f64 {
    let (examples, batch) = (num_examples as f64, spec.train.batch_size.get() as f64);
    match spec.train.sampling {
        Sampling::WithReplacement => 1.0 / batch,
        Sampling::WithoutReplacement => (examples - batch) / ((examples - 1.0).max(1.0) * batch),
    }
}

fn event(plan: &Plan, step: Step, kind: EventKind) -> Record {
    Record::Event(EventRecord { step, epoch: plan.epoch(step.0), kind, timing: None })
}
