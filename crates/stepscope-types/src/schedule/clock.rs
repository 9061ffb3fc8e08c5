//! What a position along a run is counted in.

use super::ScheduleError;
use crate::TrainingDuration;

/// The positions of a run, to which the lengths of a schedule are converted.
///
/// Where every step takes equally many examples, positions are steps and every length has one. Where the batch size is
/// scheduled, steps and epochs are not proportional: positions are then what the run's own length is given in, and lengths of the
/// other kind are refused.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RunClock {
    /// Positions are steps.
    Steps {
        /// Steps of the run.
        num_steps: u64,
        /// Steps that an epoch takes; `None` where that varies.
        steps_per_epoch: Option<f64>,
    },
    /// Positions are epochs, and an epoch has no fixed number of steps.
    Epochs {
        /// Epochs of the run.
        num_epochs: f64,
    },
}

impl RunClock {
    /// A run of `num_steps` steps, `steps_per_epoch` of them an epoch.
    pub fn steps(num_steps: u64, steps_per_epoch: f64) -> Self {
        Self::Steps { num_steps, steps_per_epoch: Some(steps_per_epoch) }
    }

    /// The position at which the run ends.
    pub fn end(&self) -> f64 {
        match self {
            Self::Steps { num_steps, .. } => *num_steps as f64,
            Self::Epochs { num_epochs } => *num_epochs,
        }
    }

    /// What one position is: `steps` or `epochs`.
    pub fn unit(&self) -> &'static str {
        match self {
            Self::Steps { .. } => "steps",
            Self::Epochs { .. } => "epochs",
        }
    }

    /// A length in positions; whole steps, rounded up, where positions are steps.
    ///
    /// # Errors
    /// [`ScheduleError::Length`] for steps where positions are epochs, and the reverse.
    pub fn length(&self, duration: TrainingDuration) -> Result<f64, ScheduleError> {
        match (*self, duration) {
            (Self::Steps { num_steps, steps_per_epoch: Some(steps_per_epoch) }, _) => {
                Ok(duration.steps(steps_per_epoch, Some(num_steps)).unwrap_or(1).max(1) as f64)
            }
            (Self::Steps { .. }, TrainingDuration::Steps(steps)) => Ok(steps as f64),
            (Self::Epochs { .. }, TrainingDuration::Epochs(epochs)) => Ok(epochs),
            (Self::Steps { num_steps, .. }, TrainingDuration::Fraction(fraction)) => {
                Ok((fraction * num_steps as f64).ceil().max(1.0))
            }
            (Self::Epochs { num_epochs }, TrainingDuration::Fraction(fraction)) => Ok(fraction * num_epochs),
            _ => Err(ScheduleError::Length { got: duration, unit: self.unit() }),
        }
    }
}
