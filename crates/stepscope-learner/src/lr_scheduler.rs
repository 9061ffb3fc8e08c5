//! Schedules of stepscope as learning-rate schedulers of burn-optim.

use burn_optim::lr_scheduler::{LrScheduler, LrSchedulerRecord};
use stepscope::control::schedule::Schedule;

/// Follows a [`Schedule`]: the value at position 0 for the first step, at 1 for the second, and on. Rates above 1 are rates, which
/// Burn's own linear, cosine and exponential schedulers refuse.
///
/// ```
/// use burn_optim::lr_scheduler::LrScheduler;
/// use stepscope::control::schedule::{RunClock, ScheduleSpec, Scheduled};
/// use stepscope_learner::ScheduledLearningRate;
/// let spec: ScheduleSpec = "wsd(warmup = 2st, cooldown = 0.2dur, shape = linear)".parse()?;
/// let schedule = spec.resolve(3.0, Scheduled::LearningRate, &RunClock::steps(10, 5.0))?;
/// let mut scheduler = ScheduledLearningRate::new(schedule);
/// let rates: Vec<f64> = (0..10).map(|_| scheduler.step()).collect();
/// assert_eq!(rates, [1.0, 2.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 1.5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ScheduledLearningRate {
    schedule: Schedule,
    num_steps: u64,
}

impl ScheduledLearningRate {
    /// A scheduler before its first step.
    pub fn new(schedule: Schedule) -> Self {
        Self { schedule, num_steps: 0 }
    }
}

const KEY: &str = "num_steps";

impl LrScheduler for ScheduledLearningRate {
    fn step(&mut self) -> f64 {
        let rate = self.schedule.at(self.num_steps as f64);
        self.num_steps += 1;
        rate
    }

    fn to_record(&self) -> LrSchedulerRecord {
        LrSchedulerRecord::new().with_scalar(KEY, self.num_steps)
    }

    /// A record of another scheduler leaves this one where it is.
    fn load_record(&mut self, record: LrSchedulerRecord) {
        if let Some(num_steps) = record.scalar(KEY) {
            self.num_steps = num_steps;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loaded_record_goes_on_where_it_was_taken() {
        let mut scheduler = ScheduledLearningRate::new(Schedule::from_fn(|step| 5.0 - step));
        assert_eq!([scheduler.step(), scheduler.step()], [5.0, 4.0]);
        let mut other = ScheduledLearningRate::new(Schedule::from_fn(|step| 5.0 - step));
        other.load_record(scheduler.to_record());
        assert_eq!(other.step(), 3.0);
        other.load_record(LrSchedulerRecord::new());
        assert_eq!(other.step(), 2.0);
    }
}
