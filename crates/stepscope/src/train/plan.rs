//! A specification against its data: every duration in steps.

use stepscope_types::schedule::{Gauged, RunClock, ScheduleError, ScheduleSpec, Scheduled};
use stepscope_types::spec::{AverageSpec, Instrument, LearningRateSpec};
use stepscope_types::{RunSpec, TrainingDuration};
use thiserror::Error;

use super::schedule::Due;
use crate::control::average::AverageError;
use crate::control::schedule::StepSchedule;
use crate::data::BatchPlan;

/// The lengths of a run in steps.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Steps that one pass over the training set takes; a fraction when drawing with replacement. The mean over the run where the
    /// batch size changes.
    pub steps_per_epoch: f64,
    /// Examples of every step.
    pub batches: BatchPlan,
    /// The learning rate of every step, where it follows a schedule.
    pub learning_rate: Option<StepSchedule>,
    /// A schedule of the learning rate that is decided on along the run.
    pub gauged: Option<Gauged>,
    /// The momentum of every step, where it follows a schedule.
    pub momentum: Option<StepSchedule>,
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
    /// Distance of the two points, in steps; at most the length of the averaged part.
    pub two_point_gap: u64,
}

/// A specification that its data cannot serve.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum PlanError {
    /// A batch would not fit.
    #[error(
        "{key}: a batch of {batch_size} is larger than the {num_examples} training examples: \
         use at most {num_examples}"
    )]
    BatchLargerThanData {
        /// The key that asks for it.
        key: &'static str,
        /// The batch size asked for.
        batch_size: u64,
        /// Training examples there are.
        num_examples: u64,
    },
    /// A probe wants more examples than there are.
    #[error(
        "{key}: {asked} examples were asked for and the training set has {num_examples}: use at most {num_examples}"
    )]
    ProbeLargerThanData {
        /// The key that asks for them.
        key: &'static str,
        /// Examples asked for.
        asked: u64,
        /// Training examples there are.
        num_examples: u64,
    },
    /// A schedule that does not fit the run.
    #[error("{key}: \"{text}\": {source}")]
    Schedule {
        /// The key.
        key: &'static str,
        /// The schedule.
        text: String,
        /// What does not fit.
        source: ScheduleError,
    },
    /// An average that would need more of a run than there is.
    #[error("{key}: {asked} steps are more than the {num_steps} of the run: {advice}")]
    LongerThanRun {
        /// The key of the specification.
        key: &'static str,
        /// Steps asked for.
        asked: u64,
        /// Steps of the run.
        num_steps: u64,
        /// What to do.
        advice: &'static str,
    },
    /// An average that cannot be kept as asked.
    #[error("average.shadow: {0}")]
    Average(#[from] AverageError),
}

impl Plan {
    /// The plan of `spec` for that many training examples.
    ///
    /// An epoch is examples over batch size; without replacement the incomplete last batch is left out, so it is the
    /// whole number below.
    ///
    /// # Errors
    /// [`PlanError`] where a batch or a probe's subset is larger than the training set, or a schedule does not fit.
    pub fn new(spec: &RunSpec, num_examples: u64) -> Result<Self, PlanError> {
        let batch_size = spec.train.batch_size.get();
        if batch_size > num_examples {
            return Err(PlanError::BatchLargerThanData { key: "train.batch_size", batch_size, num_examples });
        }
        let measure = &spec.measure;
        let noise = measure.chosen_instruments().contains(&Instrument::GradientNoise);
        for (key, asked, is_wanted) in [
            ("measure.examples", measure.examples, measure.enabled),
            ("measure.noise_batch_size", measure.noise_batch_size.get(), noise),
        ] {
            if is_wanted && asked > num_examples {
                return Err(PlanError::ProbeLargerThanData { key, asked, num_examples });
            }
        }
        let batches = batches(spec, num_examples)?;
        let steps_per_epoch = batches.batches_per_epoch();
        let steps =
            |duration: TrainingDuration, run: Option<u64>| duration.steps(steps_per_epoch, run).unwrap_or(1).max(1);
        let num_steps = batches.num_batches().unwrap_or_else(|| steps(spec.train.duration, None));
        let clock = if batches.is_constant() { RunClock::steps(num_steps, steps_per_epoch) } else { own_clock(spec) };
        let scheduled = |text: &Option<ScheduleSpec>, base: f64, of: Scheduled, key: &'static str| {
            let schedule = text.as_ref().map(|text| resolve(text, base, of, &clock, key)).transpose()?;
            let own = |schedule| StepSchedule::new(schedule, clock, batches.clone());
            Ok::<_, PlanError>(schedule.map(own))
        };
        let base = match spec.optimizer.learning_rate {
            Some(LearningRateSpec::Fixed(learning_rate)) => learning_rate.get(),
            // A specification with a schedule of another learning rate is refused.
            _ => 1.0,
        };
        let (rate, momentum) = (&spec.schedule.learning_rate, &spec.schedule.momentum);
        let learning_rate = scheduled(rate, base, Scheduled::LearningRate, "schedule.learning_rate")?;
        let momentum = scheduled(momentum, spec.optimizer.momentum.get(), Scheduled::Momentum, "schedule.momentum")?;
        let within = |duration| steps(duration, Some(num_steps));
        let average_start = within(spec.average.start).min(num_steps);
        if spec.average.enabled {
            check_lengths(&spec.average, num_steps, batches.epoch(num_steps), within)?;
        }
        Ok(Self {
            steps_per_epoch,
            batches,
            learning_rate,
            gauged: rate.as_ref().and_then(|schedule| schedule.gauged().copied()),
            momentum,
            num_steps,
            measure_every: within(spec.measure.every),
            line_search_every: within(spec.line_search.every),
            checkpoint_every: spec.checkpoint.enabled.then(|| within(spec.checkpoint.every)),
            checkpoint_keep_every: spec.checkpoint.keep_every.map(within),
            average_start,
            two_point_gap: within(spec.average.two_point_gap).min(num_steps - average_start),
        })
    }

    /// A length in steps of this run, at least 1.
    pub fn steps(&self, duration: TrainingDuration) -> u64 {
        duration.steps(self.steps_per_epoch, Some(self.num_steps)).unwrap_or(1).max(1)
    }

    /// Whether the probes of the specification measure at `step`.
    pub fn measures_at(&self, step: u64) -> bool {
        Due::Every(self.measure_every).at(step, self.num_steps)
    }

    /// Whether the state is saved after `step` updates: at the ends of checkpoint.every and checkpoint.keep_every, and at the end of the run.
    pub fn saves_at(&self, step: u64) -> bool {
        let ends = |every: u64| step.is_multiple_of(every.max(1));
        let is_time = |every| ends(every) || self.checkpoint_keep_every.is_some_and(ends) || step == self.num_steps;
        step > 0 && self.checkpoint_every.is_some_and(is_time)
    }

    /// Examples a step, over the whole run.
    pub fn mean_batch_size(&self) -> f64 {
        self.batches.mean_size(self.num_steps)
    }

    /// Batch size and momentum of update `step`, where they follow schedules.
    pub fn scheduled_at(&self, step: u64) -> (Option<f64>, Option<f64>) {
        let batch_size = (!self.batches.is_constant()).then(|| self.batches.size(step) as f64);
        (batch_size, self.momentum.as_ref().map(|momentum| momentum.at(step)))
    }

    /// Passes over the training set after `step` steps.
    pub fn epoch(&self, step: u64) -> f64 {
        self.batches.epoch(step)
    }
}

/// What the run is counted in where its batch size changes.
fn own_clock(spec: &RunSpec) -> RunClock {
    match spec.train.duration {
        TrainingDuration::Steps(num_steps) => RunClock::Steps { num_steps, steps_per_epoch: None },
        // A run that is a fraction of itself is refused.
        TrainingDuration::Epochs(num_epochs) | TrainingDuration::Fraction(num_epochs) => {
            RunClock::Epochs { num_epochs }
        }
    }
}

fn batches(spec: &RunSpec, num_examples: u64) -> Result<BatchPlan, PlanError> {
    let (size, sampling) = (spec.train.batch_size, spec.train.sampling);
    let Some(text) = &spec.schedule.batch_size else {
        return Ok(BatchPlan::constant(sampling, num_examples, size));
    };
    let (key, clock) = ("schedule.batch_size", own_clock(spec));
    let schedule = resolve(text, size.get() as f64, Scheduled::BatchSize, &clock, key)?;
    let batch_size = schedule.bounds(clock.end()).1.round() as u64;
    if batch_size > num_examples {
        return Err(PlanError::BatchLargerThanData { key, batch_size, num_examples });
    }
    Ok(BatchPlan::scheduled(sampling, num_examples, &clock, &schedule))
}

fn resolve(
    text: &ScheduleSpec,
    base: f64,
    of: Scheduled,
    clock: &RunClock,
    key: &'static str,
) -> Result<crate::control::schedule::Schedule, PlanError> {
    text.resolve(base, of, clock).map_err(|source| PlanError::Schedule { key, text: text.to_string(), source })
}

/// Refuses an average that would never have been what it is called.
fn check_lengths(
    average: &AverageSpec,
    num_steps: u64,
    num_epochs: f64,
    within: impl Fn(TrainingDuration) -> u64,
) -> Result<(), PlanError> {
    let fits = |key, asked: u64, advice| {
        if asked <= num_steps { Ok(()) } else { Err(PlanError::LongerThanRun { key, asked, num_steps, advice }) }
    };
    let half_life = "an average would still be mostly its first iterate; a tenth of the run (\"0.1dur\") is long";
    fits("average.ema_half_life", within(average.ema_half_life), half_life)?;
    for more in &average.more_ema_half_lives {
        fits("average.more_ema_half_lives", within(*more), half_life)?;
    }
    if let Some(window) = average.window {
        fits("average.window", within(window), "it can hold no more than was trained; a tenth of the run is usual")?;
    }
    if let Some(epochs) = average.lawa_epochs {
        // An epoch is not the same number of steps throughout where the batch size changes.
        let share = epochs as f64 / num_epochs;
        let asked = if share > 1.0 + 1e-9 { (share * num_steps as f64).ceil() as u64 } else { num_steps };
        fits("average.lawa_epochs", asked, "so many epochs are not trained: average fewer, or train longer")?;
    }
    Ok(())
}
