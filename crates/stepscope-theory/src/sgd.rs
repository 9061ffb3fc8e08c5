//! The update rule: learning rate, momentum, batch size, and how the batch is drawn.

use stepscope_types::{BatchSize, LearningRate, Momentum};

use crate::error::{TheoryError, check};

/// How the examples of a batch are drawn, fresh and independently at each step.
///
/// Epochs in shuffled order are not independent draws: `loss-prediction`, section 4 measures loss/theory 0.86-0.95 far from
/// the threshold and 1.05-1.16 near it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampling {
    /// From an endless stream, or with replacement: γ = 1/B.
    Stream,
    /// From N examples, without replacement inside the batch: γ = (N − B)/((N − 1)B).
    Finite {
        /// N.
        num_examples: u64,
    },
}

impl Sampling {
    /// γ: the covariance of the batch gradient over that of one example's gradient (`loss-prediction`, section 1).
    ///
    /// ```
    /// use stepscope_theory::Sampling;
    /// use stepscope_types::BatchSize;
    /// let batch = BatchSize::new(10).unwrap();
    /// assert_eq!(Sampling::Stream.noise_factor(batch)?, 0.1);
    /// assert_eq!(Sampling::Finite { num_examples: 10 }.noise_factor(batch)?, 0.0);
    /// # Ok::<(), stepscope_theory::TheoryError>(())
    /// ```
    ///
    /// # Errors
    /// [`TheoryError::BatchTooLarge`] when B > N.
    pub fn noise_factor(self, batch_size: BatchSize) -> Result<f64, TheoryError> {
        let batch = batch_size.get();
        match self {
            Self::Stream => Ok(1.0 / batch as f64),
            Self::Finite { num_examples } if batch > num_examples => {
                Err(TheoryError::BatchTooLarge { batch_size: batch, num_examples })
            }
            Self::Finite { num_examples } if batch == num_examples => Ok(0.0),
            Self::Finite { num_examples } => {
                Ok((num_examples - batch) as f64 / ((num_examples - 1) as f64 * batch as f64))
            }
        }
    }

    /// B from γ, the inverse of [`Sampling::noise_factor`]; a whole number only where γ is that of a batch.
    pub(crate) fn batch_size(self, noise_factor: f64) -> f64 {
        match self {
            Self::Stream => 1.0 / noise_factor,
            Self::Finite { num_examples } => {
                let n = num_examples as f64;
                n / (noise_factor * (n - 1.0) + 1.0)
            }
        }
    }

    /// B from γ as a count.
    pub(crate) fn whole_batch(self, noise_factor: f64, step: u64) -> Result<usize, TheoryError> {
        let batch_size = self.batch_size(noise_factor);
        let rounded = batch_size.round();
        if rounded >= 1.0 && (batch_size - rounded).abs() < 1e-6 * rounded {
            Ok(rounded as usize)
        } else {
            Err(TheoryError::NoWholeBatch { noise_factor, step, batch_size })
        }
    }
}

/// What one update does: v′ = βv − a·g, w′ = w + v′, with γ = `noise_factor` times the per-example gradient covariance in g.
///
/// | symbol | field | range |
/// |---|---|---|
/// | a | `learning_rate` | finite, ≥ 0 (0 is a step of an annealed schedule) |
/// | β (b) | `momentum` | (−1, 1); negative allowed |
/// | γ | `noise_factor` | ≥ 0; 1/B for a stream |
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd {
    /// a.
    pub learning_rate: f64,
    /// β.
    pub momentum: f64,
    /// γ.
    pub noise_factor: f64,
}

impl Sgd {
    /// From checked units and a way of sampling.
    ///
    /// # Errors
    /// [`TheoryError::BatchTooLarge`] when the batch is larger than the data.
    pub fn new(
        learning_rate: LearningRate,
        momentum: Momentum,
        batch_size: BatchSize,
        sampling: Sampling,
    ) -> Result<Self, TheoryError> {
        let noise_factor = sampling.noise_factor(batch_size)?;
        Ok(Self { learning_rate: learning_rate.get(), momentum: momentum.get(), noise_factor })
    }

    /// From plain numbers.
    ///
    /// # Errors
    /// [`TheoryError::Number`] for a negative or infinite learning rate or noise factor, or momentum outside (−1, 1).
    pub fn from_numbers(learning_rate: f64, momentum: f64, noise_factor: f64) -> Result<Self, TheoryError> {
        Self { learning_rate, momentum, noise_factor }.checked()
    }

    /// Itself, if every field is in range.
    pub(crate) fn checked(self) -> Result<Self, TheoryError> {
        let Self { learning_rate, momentum, noise_factor } = self;
        let positive = |v: f64| v.is_finite() && v >= 0.0;
        check("learning rate", "finite and not negative", learning_rate, positive(learning_rate))?;
        check("momentum", "between -1 and 1, both excluded", momentum, momentum.abs() < 1.0)?;
        check("noise factor", "finite and not negative", noise_factor, positive(noise_factor))?;
        Ok(self)
    }

    /// α_eff = a/(1 − β): the learning rate that momentum amounts to for slow modes.
    pub fn effective_learning_rate(&self) -> f64 {
        self.learning_rate / (1.0 - self.momentum)
    }

    /// ρ = (1 − β)/(1 + β).
    pub fn damping(&self) -> f64 {
        (1.0 - self.momentum) / (1.0 + self.momentum)
    }

    /// The same update with another learning rate.
    pub fn with_learning_rate(self, learning_rate: f64) -> Self {
        Self { learning_rate, ..self }
    }
}

/// The settings of each update: constant, listed, or computed from the step.
///
/// Implemented by [`Sgd`] (constant), by slices and vectors (the last entry is held) and by closures.
///
/// ```
/// use stepscope_theory::{Schedule, Sgd};
/// let peak = Sgd::from_numbers(0.1, 0.9, 0.01)?;
/// let anneal = move |step: u64| peak.with_learning_rate(0.1 * (1.0 - step as f64 / 100.0).max(0.0));
/// assert_eq!(anneal.settings(50).learning_rate, 0.05);
/// # Ok::<(), stepscope_theory::TheoryError>(())
/// ```
pub trait Schedule {
    /// The settings of the update that leads from `step` to `step + 1`.
    fn settings(&self, step: u64) -> Sgd;

    /// The settings, when they are the same at every step.
    fn constant(&self) -> Option<Sgd> {
        None
    }
}

impl Schedule for Sgd {
    fn settings(&self, _step: u64) -> Sgd {
        *self
    }
    fn constant(&self) -> Option<Sgd> {
        Some(*self)
    }
}

impl Schedule for [Sgd] {
    /// An empty list stands still: learning rate 0.
    fn settings(&self, step: u64) -> Sgd {
        let index = usize::try_from(step).unwrap_or(usize::MAX).min(self.len().saturating_sub(1));
        self.get(index).copied().unwrap_or(Sgd { learning_rate: 0.0, momentum: 0.0, noise_factor: 0.0 })
    }
}

impl Schedule for Vec<Sgd> {
    fn settings(&self, step: u64) -> Sgd {
        self.as_slice().settings(step)
    }
}

impl<F: Fn(u64) -> Sgd> Schedule for F {
    fn settings(&self, step: u64) -> Sgd {
        self(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noise_factor_is_the_variance_of_a_batch_mean_by_brute_force() {
        // All batches of 2 out of 4 values: variance of the mean over the population variance.
        let values = [1.0, 2.0, 4.0, 9.0];
        let mean = values.iter().sum::<f64>() / 4.0;
        let population = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / 4.0;
        let mut batches = Vec::new();
        for i in 0..4 {
            for j in i + 1..4 {
                batches.push(0.5 * (values[i] + values[j]) - mean);
            }
        }
        let variance = batches.iter().map(|v| v * v).sum::<f64>() / batches.len() as f64;
        let gamma = Sampling::Finite { num_examples: 4 }.noise_factor(BatchSize::new(2).unwrap()).unwrap();
        assert!((variance / population - gamma).abs() < 1e-15, "{} {gamma}", variance / population);
    }

    #[test]
    fn settings_without_a_meaning_are_refused() {
        assert!(Sgd::from_numbers(-0.1, 0.0, 1.0).is_err());
        assert!(Sgd::from_numbers(f64::NAN, 0.0, 1.0).is_err());
        assert!(Sgd::from_numbers(0.1, 1.0, 1.0).is_err());
        assert!(Sgd::from_numbers(0.1, -0.5, f64::INFINITY).is_err());
        let batch = BatchSize::new(5).unwrap();
        assert_eq!(
            Sampling::Finite { num_examples: 4 }.noise_factor(batch),
            Err(TheoryError::BatchTooLarge { batch_size: 5, num_examples: 4 })
        );
    }
}
