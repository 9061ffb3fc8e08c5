//! Sampling without replacement: the stationary variance when every epoch sees every batch once.

use crate::error::{TheoryError, check};
use crate::recursion::LONGEST_CURVE;

/// One direction trained in epochs of M batches, each batch once an epoch, read at a phase of the epoch.
///
/// Batch optima sum to zero in each epoch, so their noise is anti-correlated: Var = M/(M − 1) Σ_epochs [Σ b_i² − (Σ b_i)²/M]
/// with b_i the coefficient of slot i (`averaging`, section 2.9), in units of the variance of the batch optima.
/// Much less than independent batches give: M = 50, a = 0.005: 2.8e-4 instead of 2.5e-3.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpochSampling {
    rate: f64,
    batches: u64,
    phase: u64,
}

impl EpochSampling {
    /// `rate` a = λh in (0, 2); `batches` M ≥ 2 an epoch; `phase` steps of the running epoch already taken, at most M.
    ///
    /// # Errors
    /// [`TheoryError::Number`] outside.
    pub fn new(rate: f64, batches: u64, phase: u64) -> Result<Self, TheoryError> {
        check("rate a", "above 0 and below 2", rate, rate > 0.0 && rate < 2.0)?;
        check("batches an epoch", "at least 2", batches as f64, batches >= 2)?;
        check("phase", "at most the batches of an epoch", phase as f64, phase <= batches)?;
        Ok(Self { rate, batches, phase })
    }

    /// Var x of the last iterate.
    pub fn variance(&self) -> f64 {
        self.variance_of_weights(&[1.0])
    }

    /// Var of the midpoint of the last iterate and that `gap` steps before. O(gap).
    ///
    /// # Errors
    /// [`TheoryError::Number`] for a gap above 1e9.
    pub fn two_point_variance(&self, gap: u64) -> Result<f64, TheoryError> {
        check("gap", "at most 1e9", gap as f64, gap <= LONGEST_CURVE)?;
        let mut weights = vec![0.0; gap as usize + 1];
        weights[0] += 0.5;
        weights[gap as usize] += 0.5;
        Ok(self.variance_of_weights(&weights))
    }

    /// Var of the mean of the last `length` iterates.
    ///
    /// # Errors
    /// [`TheoryError::Number`] for an empty window or one above 1e9.
    pub fn window_variance(&self, length: u64) -> Result<f64, TheoryError> {
        check("window length", "between 1 and 1e9", length as f64, (1..=LONGEST_CURVE).contains(&length))?;
        Ok(self.variance_of_weights(&vec![1.0 / length as f64; length as usize]))
    }

    /// Var of Σ w_j x_{T−j}, T at the phase. The coefficient of the batch m steps back is A_m = a Σ_{j≤m} w_j ρ^{m−j}.
    pub fn variance_of_weights(&self, weights: &[f64]) -> f64 {
        let m = self.batches as f64;
        let rho = 1.0 - self.rate;
        // Until what is left of a batch is below rounding.
        let memory = (-40.0 / rho.abs().max(1e-300).ln()).ceil() as usize;
        let (mut response, mut sum, mut square, mut total) = (0.0, 0.0, 0.0, 0.0);
        let mut left = if self.phase == 0 { self.batches } else { self.phase };
        for step in 0..weights.len() + memory.max(1) {
            response = rho * response + self.rate * weights.get(step).copied().unwrap_or(0.0);
            sum += response;
            square += response * response;
            left -= 1;
            if left == 0 {
                total += square - sum * sum / m;
                (sum, square, left) = (0.0, 0.0, self.batches);
            }
        }
        m / (m - 1.0) * (total + square - sum * sum / m)
    }
}
