//! PREDICT, on a live run: from the quadratic measured at one of its steps to the records of a predicted run.
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

/// The training loss of the run of `manifest` from `start` to its end, at the steps where its probes measure.
///
/// `quadratic` was measured at `start`. Velocities at `start` are taken as zero, which is exact for plain SGD and
/// wrong for the first 1 / (1 − momentum) steps otherwise. Batches drawn without replacement have their noise factor lowered by
/// (N − B) / (N − 1); that their noise is also anti-correlated within an epoch is left out.
///
/// # Errors
/// [`PredictError`] for a learning rate that is not fixed.
pub fn predict_run(
    name: &str,
    manifest: &Manifest,
    plan: &Plan,
    quadratic: &MeasuredQuadratic,
    start: Step,
) -> Result<PredictedRun, PredictError> {
    let spec = &manifest.spec;
    let LearningRateSpec::Fixed(learning_rate) = spec.optimizer.learning_rate else {
        return Err(PredictError::LearningRate { name: manifest.name.clone() });
    };
    let sgd = Sgd::from_numbers(
        learning_rate.get(),
        spec.optimizer.momentum.get(),
        noise_factor(spec, manifest.data.num_train_examples),
    )?;
    let last = plan.num_steps;
    let curve = quadratic.loss_curve(&sgd, last.saturating_sub(start.0));
    let mut records = vec![event(plan, start, EventKind::RunStarted)];
    for (loss, step) in curve.loss.iter().zip(start.0..) {
        if plan.measures_at(step) || step == start.0 {
            let estimate = Estimate::new(*loss, quantity::TRAIN_LOSS.unit, Uncertainty::Exact)
                .over_examples(manifest.data.num_train_examples);
            let at = Step(step);
            records.push(Record::Measurement(Measurement::new(
                at,
                plan.epoch(step),
                quantity::TRAIN_LOSS.name,
                estimate.into(),
            )));
        }
    }
    records.push(event(plan, Step(last), EventKind::RunEnded { reason: StopReason::Finished }));
    let mut manifest = Manifest { name: name.to_owned(), process: "theory".to_owned(), ..manifest.clone() };
    name.clone_into(&mut manifest.spec.name);
    Ok(PredictedRun { manifest, records })
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
