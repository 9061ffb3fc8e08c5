//! Settings that change along a run: learning rate, batch size, momentum.
//!
//! The words and the numbers of a schedule are those of [`stepscope_types::schedule`], which predictions use as well; here they
//! meet the steps of a run.

mod gauged;
mod recorder;

pub use gauged::{Decision, GaugedLearningRate, GaugedSteps};
pub use recorder::ScheduleRecorder;
pub use stepscope_types::schedule::{
    Curve, ParseScheduleError, Ramp, RunClock, Schedule, ScheduleError, ScheduleSpec, Scheduled, Shape,
};

use crate::data::BatchPlan;

/// The multipliers of the learning rate over a cooldown to 0 of that many steps, first step first.
pub fn cooldown(num_steps: u64, shape: Shape) -> Vec<f64> {
    let ramp = Ramp::from(shape);
    (0..num_steps).map(|step| ramp.between(1.0, 0.0, step as f64 / num_steps as f64)).collect()
}

/// A schedule at the steps of a run.
#[derive(Debug, Clone)]
pub struct StepSchedule {
    schedule: Schedule,
    clock: RunClock,
    batches: BatchPlan,
}

impl StepSchedule {
    /// `schedule`, whose positions are those of `clock`, in a run of `batches`.
    pub fn new(schedule: Schedule, clock: RunClock, batches: BatchPlan) -> Self {
        Self { schedule, clock, batches }
    }

    /// The value that update `step` uses.
    pub fn at(&self, step: u64) -> f64 {
        self.schedule.at(match self.clock {
            RunClock::Steps { .. } => step as f64,
            RunClock::Epochs { .. } => self.batches.epoch(step),
        })
    }
}
