//! A specification against its data: every duration in steps.

use stepscope_types::{RunSpec, TrainingDuration};
use thiserror::Error;

use super::schedule::Due;

/// The lengths of a run in steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Steps that one pass over the training set takes; a fraction when drawing with replacement.
    pub steps_per_epoch: f64,
    /// Examples a step.
    pub batch_size: u64,
    /// Steps of the run.
    pub num_steps: u64,
    /// Steps between two readings of the probes.
    pub measure_every: u64,
    /// Steps between two measurements of the learning rate.
    pub line_search_every: u64,
    /// Steps between two checkpoints; `None` for no checkpoints.
    pub checkpoint_every: Option<u64>,
    /// Checkpoints at multiples of so many steps are kept for good.
    pub checkpoint_keep_every: Option<u64>,
    /// Step at which averaging starts.
    pub average_start: u64,
    /// Half-life of the EMA, in steps.
    pub ema_half_life: f64,
    /// Distance of the two points, in steps; at most the length of the averaged part.
    pub two_point_gap: u64,
}

/// A specification that its data cannot serve.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// A batch would not fit.
    #[error(
        "train.batch_size: a batch of {batch_size} is larger than the {num_examples} training examples: \
         use at most {num_examples}"
    )]
    BatchLargerThanData {
        /// The batch size asked for.
        batch_size: u64,
        /// Training examples there are.
        num_examples: u64,
    },
    /// A probe wants more examples than there are.
    #[error(
        "measure.examples: {asked} examples were asked for and the training set has {num_examples}: use at most {num_examples}"
    )]
    ProbeLargerThanData {
        /// Examples asked for.
        asked: u64,
        /// Training examples there are.
        num_examples: u64,
    },
}

impl Plan {
    /// The plan of `spec` for that many training examples.
    ///
    /// An epoch is examples over batch size; without replacement the incomplete last batch is left out, so it is the
    /// whole number below.
    ///
    /// # Errors
    /// [`PlanError`] where a batch or a probe's subset is larger than the training set.
    pub fn new(spec: &RunSpec, num_examples: u64) -> Result<Self, PlanError> {
        let batch_size = spec.train.batch_size.get();
        if batch_size > num_examples {
            return Err(PlanError::BatchLargerThanData { batch_size, num_examples });
        }
        if spec.measure.enabled && spec.measure.examples > num_examples {
            return Err(PlanError::ProbeLargerThanData { asked: spec.measure.examples, num_examples });
        }
        let steps_per_epoch = match spec.train.sampling {
            stepscope_types::spec::Sampling::WithoutReplacement => (num_examples / batch_size) as f64,
            stepscope_types::spec::Sampling::WithReplacement => num_examples as f64 / batch_size as f64,
        };
        let steps =
            |duration: TrainingDuration, run: Option<u64>| duration.steps(steps_per_epoch, run).unwrap_or(1).max(1);
        let num_steps = steps(spec.train.duration, None);
        let within = |duration| steps(duration, Some(num_steps));
        let average_start = within(spec.average.start).min(num_steps);
        Ok(Self {
            steps_per_epoch,
            batch_size,
            num_steps,
            measure_every: within(spec.measure.every),
            line_search_every: within(spec.line_search.every),
            checkpoint_every: spec.checkpoint.enabled.then(|| within(spec.checkpoint.every)),
            checkpoint_keep_every: spec.checkpoint.keep_every.map(within),
            average_start,
            ema_half_life: within(spec.average.ema_half_life) as f64,
            two_point_gap: within(spec.average.two_point_gap).min(num_steps - average_start),
        })
    }

    /// Whether the probes of the specification measure at `step`.
    pub fn measures_at(&self, step: u64) -> bool {
        Due::Every(self.measure_every).at(step, self.num_steps)
    }

    /// Passes over the training set after `step` steps.
    pub fn epoch(&self, step: u64) -> f64 {
        step as f64 / self.steps_per_epoch
    }
}
