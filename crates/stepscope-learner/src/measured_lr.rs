//! A measured learning rate for Burn's optimizers.

use std::sync::{Arc, Mutex, PoisonError};

use burn_optim::LearningRate;
use burn_optim::lr_scheduler::{LrScheduler, LrSchedulerRecord};
use stepscope::control::Refusal;
use stepscope::control::line_search::LineFit;

/// One of Burn's schedulers whose rate is the last one measured: α s*/‖v‖, with s* from
/// [`measure`](stepscope::control::line_search::measure) along the direction v that the optimizer itself gave.
///
/// Clones are handles to one rate: give one to the training, keep one to feed. Weight decay, momentum and whatever else the
/// optimizer does are in v, from [`ParamTensors::direction_of`](stepscope::models::ParamTensors::direction_of) two models.
/// α is 1.8 (LABPAL's), and a minimum whose standard error is more than half of it is refused, since every step until the next
/// measurement would follow it.
///
/// Until the first measurement, and after one that was refused, the rate is the last one. Burn's own schedulers refuse rates above 1;
/// this one does not. Source: `line-search`, sections 2.1 and 6.1; the limit on the error, ours.
///
/// ```
/// use burn_optim::lr_scheduler::LrScheduler;
/// use stepscope_learner::MeasuredLr;
/// let rate = MeasuredLr::new(0.05);
/// let mut scheduler = rate.clone();
/// assert_eq!(scheduler.step(), 0.05, "until rate.take_in(&fit) changes it");
/// ```
#[derive(Debug, Clone)]
pub struct MeasuredLr {
    rate: Arc<Mutex<f64>>,
    adaptation: f64,
    max_relative_error: f64,
}

const KEY: &str = "rate";

impl MeasuredLr {
    /// A rate that begins at `first`.
    pub fn new(first: f64) -> Self {
        Self { rate: Arc::new(Mutex::new(first)), adaptation: 1.8, max_relative_error: 0.5 }
    }

    /// With another factor α on the minimum.
    #[must_use]
    pub fn with_adaptation(self, adaptation: f64) -> Self {
        Self { adaptation, ..self }
    }

    /// With another largest standard error of the minimum, relative to itself; infinity accepts any.
    #[must_use]
    pub fn with_max_relative_error(self, max_relative_error: f64) -> Self {
        Self { max_relative_error, ..self }
    }

    /// Takes a line in; the rate from now on.
    ///
    /// # Errors
    /// [`Refusal`] where the line has no minimum ahead, or none that is known well enough: the last rate stays.
    pub fn take_in(&self, fit: &LineFit) -> Result<f64, Refusal> {
        let minimum = fit.minimum()?;
        let (position, standard_error, limit) = (minimum.position, minimum.standard_error, self.max_relative_error);
        if standard_error > limit * position {
            return Err(Refusal::Imprecise { position, standard_error, limit });
        }
        let rate = self.adaptation * position / fit.norm;
        self.set(rate);
        Ok(rate)
    }

    /// The rate now.
    pub fn current(&self) -> f64 {
        *self.rate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, rate: f64) {
        *self.rate.lock().unwrap_or_else(PoisonError::into_inner) = rate;
    }
}

impl LrScheduler for MeasuredLr {
    fn step(&mut self) -> LearningRate {
        self.current()
    }

    fn to_record(&self) -> LrSchedulerRecord {
        LrSchedulerRecord::new().with_scalar(KEY, self.current())
    }

    /// A record of another scheduler leaves the rate as it is.
    fn load_record(&mut self, record: LrSchedulerRecord) {
        if let Some(rate) = record.scalar(KEY) {
            self.set(rate);
        }
    }
}
