//! The best constant settings for a horizon.

use stepscope_types::BatchSize;

use crate::error::TheoryError;
use crate::model::QuadraticModel;
use crate::roots::valley;
use crate::sgd::{Sampling, Sgd};
use crate::stability::{Stability, critical_learning_rate};

/// Constant settings with the lowest loss after a number of steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConstantOptimum {
    /// a.
    pub learning_rate: f64,
    /// b.
    pub momentum: f64,
    /// E L at the horizon.
    pub loss: f64,
}

impl QuadraticModel {
    /// E L after `steps` at constant settings, by contour or recursion, infinite where unstable settings overflow.
    fn horizon_loss(&self, sgd: &Sgd, steps: u64) -> f64 {
        if sgd.checked().is_err() {
            return f64::INFINITY;
        }
        let answer = if Stability::of(self, sgd).is_stable() {
            self.loss_at_talbot(sgd, &[steps])
        } else {
            self.loss_at(sgd, &[steps])
        };
        answer.ok().and_then(|answer| answer.loss.first().copied()).unwrap_or(f64::INFINITY)
    }

    /// The learning rate with the lowest loss after `steps`, for given b and γ.
    ///
    /// Golden sections on ln a up to twice the critical rate, assuming one valley: about 50 single-time answers.
    ///
    /// # Errors
    /// [`TheoryError::Number`] for settings out of range.
    pub fn best_learning_rate(
        &self,
        momentum: f64,
        noise_factor: f64,
        steps: u64,
    ) -> Result<ConstantOptimum, TheoryError> {
        let critical = critical_learning_rate(self, momentum, noise_factor)?;
        let loss =
            |log_rate: f64| self.horizon_loss(&Sgd { learning_rate: log_rate.exp(), momentum, noise_factor }, steps);
        let (log_rate, loss) = valley((1e-5 * critical).ln(), (2.0 * critical).ln(), 1e-7, loss);
        Ok(ConstantOptimum { learning_rate: log_rate.exp(), momentum, loss })
    }

    /// The learning rate and momentum with the lowest loss after `steps`, for given γ; b within `momentum_range`.
    ///
    /// One valley in b is assumed; about 30 times the cost of [`QuadraticModel::best_learning_rate`].
    ///
    /// # Errors
    /// [`TheoryError::Number`] for settings out of range.
    pub fn best_constant_settings(
        &self,
        noise_factor: f64,
        steps: u64,
        momentum_range: (f64, f64),
    ) -> Result<ConstantOptimum, TheoryError> {
        for momentum in [momentum_range.0, momentum_range.1] {
            Sgd { learning_rate: 0.0, momentum, noise_factor }.checked()?;
        }
        let loss = |momentum: f64| {
            self.best_learning_rate(momentum, noise_factor, steps).map_or(f64::INFINITY, |optimum| optimum.loss)
        };
        let (momentum, _) = valley(momentum_range.0, momentum_range.1, 1e-5, loss);
        self.best_learning_rate(momentum, noise_factor, steps)
    }

    /// What one more doubling of the batch buys: best loss after `steps` at batch 2B over that at B, each with its own best
    /// learning rate. 1 means nothing; ½ means as much as half the loss.
    ///
    /// # Errors
    /// [`TheoryError::BatchTooLarge`] where 2B exceeds the data; [`TheoryError::Number`] for momentum out of range.
    pub fn batch_doubling_gain(
        &self,
        momentum: f64,
        batch_size: BatchSize,
        sampling: Sampling,
        steps: u64,
    ) -> Result<f64, TheoryError> {
        let double = BatchSize::new(batch_size.get().saturating_mul(2)).unwrap_or(batch_size);
        let single = self.best_learning_rate(momentum, sampling.noise_factor(batch_size)?, steps)?;
        let doubled = self.best_learning_rate(momentum, sampling.noise_factor(double)?, steps)?;
        Ok(doubled.loss / single.loss)
    }
}
