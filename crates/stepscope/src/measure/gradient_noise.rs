//! The gradient noise scale with an interval.

use burn::tensor::{DType, Device};
use std::num::NonZeroU64;
use stepscope_spectral::random::RandomStream;
use stepscope_types::quantity;
use stepscope_types::spec::MeasureSpec;
use stepscope_types::{Estimate, Mode, Reading, Uncertainty};

use super::objective::Objective;
use super::operators::ProductError;
use super::probe::{Measured, Probe, ProbeError, ProbePoint};
use super::student::student_quantile_95;
use crate::checkpoint::{State, StateError, Stateful};
use crate::data::Dataset;
use crate::models::Network;

/// B = tr Σ / |G|² from mini-batch gradients at one point: the batch size at which noise and signal are equal.
///
/// M batches of b examples are drawn with replacement from the training set, so that G is the gradient over the whole set and no
/// finite-population factor enters. With gᵢ their gradients and ḡ the mean,
///
/// * tr Σ = b · Σ‖gᵢ − ḡ‖² / (M − 1), the trace of one example's gradient covariance,
/// * |G|² = ‖ḡ‖² − tr Σ / (b M),
///
/// both unbiased. The interval of their ratio is Fieller's, with covariances from the jackknife over batches: where |G|² is
/// not resolved from zero the ratio has no finite interval, and the reading says so instead of giving a negative
/// number.
///
/// Cost: M gradients of b examples; memory: M parameter-sized vectors. Source: McCandlish et al. 2018; `curvature`, section 4.6.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GradientNoise {
    /// tr Σ.
    pub covariance_trace: f64,
    /// Jackknife standard error of tr Σ.
    pub covariance_trace_error: f64,
    /// |G|².
    pub gradient_norm_squared: f64,
    /// Jackknife standard error of |G|².
    pub gradient_norm_squared_error: f64,
    /// B with its 95 % interval, where it is resolved.
    pub noise_scale: Option<NoiseScale>,
}

/// A resolved gradient noise scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NoiseScale {
    /// B = tr Σ / |G|², in examples.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// Coverage of the interval of the noise scale.
pub const NOISE_SCALE_LEVEL: f64 = 0.95;

impl GradientNoise {
    /// The estimate from `gradients` of independent batches of `batch_size` examples. At least 3 gradients of equal
    /// length; with fewer, every field is NaN.
    pub fn from_gradients(gradients: &[Vec<f64>], batch_size: u64) -> Self {
        let count = gradients.len();
        let squares: Vec<f64> = gradients.iter().map(|g| dot(g, g)).collect();
        let mut sum = vec![0.0; gradients.first().map_or(0, Vec::len)];
        for gradient in gradients {
            super::objective::accumulate(&mut sum, gradient, 1.0);
        }
        let (total, sum_squared) = (squares.iter().sum::<f64>(), dot(&sum, &sum));
        let (trace, signal) = moments(count, total, sum_squared, batch_size);
        // Leaving out batch i changes the two sums by terms that need no second pass over the others.
        let left_out: Vec<(f64, f64)> = gradients
            .iter()
            .zip(&squares)
            .map(|(gradient, square)| {
                moments(count - 1, total - square, sum_squared - 2.0 * dot(&sum, gradient) + square, batch_size)
            })
            .collect();
        let covariance = jackknife(&left_out);
        Self {
            covariance_trace: trace,
            covariance_trace_error: covariance.xx.sqrt(),
            gradient_norm_squared: signal,
            gradient_norm_squared_error: covariance.yy.sqrt(),
            noise_scale: fieller(trace, signal, &covariance, student_quantile_95(count as f64 - 1.0)),
        }
    }
}

/// tr Σ and |G|² of `count` batches from Σ‖gᵢ‖² and ‖Σgᵢ‖².
fn moments(count: usize, total: f64, sum_squared: f64, batch_size: u64) -> (f64, f64) {
    let count = count as f64;
    let spread = (total - sum_squared / count) / (count - 1.0);
    (spread * batch_size as f64, sum_squared / (count * count) - spread / count)
}

struct Covariance {
    xx: f64,
    xy: f64,
    yy: f64,
}

/// The jackknife covariance of two estimates from their leave-one-out values.
fn jackknife(left_out: &[(f64, f64)]) -> Covariance {
    let count = left_out.len() as f64;
    let mean_x = left_out.iter().map(|v| v.0).sum::<f64>() / count;
    let mean_y = left_out.iter().map(|v| v.1).sum::<f64>() / count;
    let factor = (count - 1.0) / count;
    let sum = |term: &dyn Fn(f64, f64) -> f64| {
        factor * left_out.iter().map(|&(x, y)| term(x - mean_x, y - mean_y)).sum::<f64>()
    };
    Covariance { xx: sum(&|x, _| x * x), xy: sum(&|x, y| x * y), yy: sum(&|_, y| y * y) }
}

/// Fieller's interval of x / y: all R with (x − R y)² ≤ q² Var(x − R y). `None` where y is not resolved from 0.
fn fieller(x: f64, y: f64, covariance: &Covariance, quantile: f64) -> Option<NoiseScale> {
    let q2 = quantile * quantile;
    let a = y * y - q2 * covariance.yy;
    let b = x * y - q2 * covariance.xy;
    let c = x * x - q2 * covariance.xx;
    let discriminant = b * b - a * c;
    let resolved = y > 0.0 && a > 0.0 && discriminant >= 0.0;
    resolved.then(|| {
        let root = discriminant.sqrt();
        NoiseScale { value: x / y, low: ((b - root) / a).max(0.0), high: (b + root) / a }
    })
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The noise scale along a run. Cost: `noise_batches` gradients of `noise_batch_size` examples.
#[derive(Debug)]
pub struct NoiseProbe<'a> {
    dataset: &'a Dataset,
    num_batches: usize,
    batch_size: u64,
    device: Device,
    dtype: DType,
    random: RandomStream,
}

impl<'a> NoiseProbe<'a> {
    /// A probe of the training set's gradients. `device` is the tracked device.
    pub fn new(dataset: &'a Dataset, spec: &MeasureSpec, device: Device, dtype: DType, random: RandomStream) -> Self {
        let num_batches = spec.noise_batches as usize;
        Self { dataset, num_batches, batch_size: spec.noise_batch_size.get(), device, dtype, random }
    }

    /// Examples a batch.
    pub fn batch_size(&self) -> u64 {
        self.batch_size
    }

    /// Gradients of fresh independent batches at this point.
    ///
    /// # Errors
    /// [`ProductError::Loss`] where the loss does not fit a batch.
    pub fn draw_gradients<N: Network>(&mut self, at: &ProbePoint<'_, N>) -> Result<Vec<Vec<f64>>, ProductError> {
        let split = &self.dataset.train;
        // A loaded data set has at least one example.
        let num_examples = NonZeroU64::new(split.num_examples() as u64).unwrap_or(NonZeroU64::MIN);
        (0..self.num_batches)
            .map(|_| {
                let indices: Vec<u32> =
                    (0..self.batch_size).map(|_| self.random.u64_below(num_examples) as u32).collect();
                let batch = Objective::new(split, self.dataset.shape, &indices, &self.device, self.dtype);
                Ok(batch.loss_and_gradient(at.network, at.layout)?.1)
            })
            .collect()
    }
}

impl<N: Network> Probe<N> for NoiseProbe<'_> {
    fn name(&self) -> &'static str {
        "gradient-noise"
    }

    fn measure(&mut self, at: &ProbePoint<'_, N>) -> Result<Vec<Measured>, ProbeError> {
        let noise = GradientNoise::from_gradients(&self.draw_gradients(at)?, self.batch_size);
        let num_examples = self.num_batches as u64 * self.batch_size;
        let estimate =
            |value, unit, error| Estimate::new(value, unit, error).over_examples(num_examples).in_mode(Mode::Eval);
        let scale = match noise.noise_scale {
            Some(NoiseScale { value, low, high }) => {
                let interval = Uncertainty::Interval { low, high, level: NOISE_SCALE_LEVEL };
                Reading::Value(estimate(value, quantity::NOISE_SCALE.unit, interval))
            }
            None => Reading::Unresolved {
                reason: format!(
                    "the squared gradient norm, {:.3e} +- {:.3e}, is not resolved from zero by {} batches of {}: \
                     raise measure.noise_batches",
                    noise.gradient_norm_squared, noise.gradient_norm_squared_error, self.num_batches, self.batch_size
                ),
                num_examples,
            },
        };
        let trace_error = Uncertainty::StandardError(noise.covariance_trace_error);
        Ok(vec![
            Measured::new(&quantity::NOISE_SCALE, scale),
            Measured::new(
                &quantity::NOISE_TRACE,
                estimate(noise.covariance_trace, quantity::NOISE_TRACE.unit, trace_error),
            ),
        ])
    }
}

impl Stateful for NoiseProbe<'_> {
    fn save_state(&self, state: &mut State) {
        state.nest("random", &self.random);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        state.restore("random", &mut self.random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Batch gradients with mean `signal` in the first of `dim` coordinates and covariance I / batch_size.
    fn draw(dim: usize, count: usize, batch_size: u64, signal: f64, seed: u64) -> Vec<Vec<f64>> {
        let mut random = RandomStream::new(seed, 0);
        let scale = 1.0 / (batch_size as f64).sqrt();
        (0..count)
            .map(|_| {
                let mut gradient: Vec<f64> = (0..dim).map(|_| scale * random.normal()).collect();
                gradient[0] += signal;
                gradient
            })
            .collect()
    }

    #[test]
    fn both_moments_are_unbiased() {
        let (dim, count, batch_size, signal, repeats) = (40, 16, 8, 0.5, 400);
        let (mut traces, mut signals) = (Vec::new(), Vec::new());
        for seed in 0..repeats {
            let noise = GradientNoise::from_gradients(&draw(dim, count, batch_size, signal, seed), batch_size);
            traces.push(noise.covariance_trace);
            signals.push(noise.gradient_norm_squared);
        }
        for (values, truth) in [(traces, dim as f64), (signals, signal * signal)] {
            let mean = values.iter().sum::<f64>() / repeats as f64;
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (repeats - 1) as f64;
            let z = (mean - truth) / (variance / repeats as f64).sqrt();
            assert!(z.abs() < 4.5, "mean {mean}, truth {truth}, z {z}");
        }
    }

    #[test]
    fn the_interval_covers_the_truth_as_often_as_it_says() {
        let (dim, count, batch_size, signal) = (200, 32, 32, 1.0);
        let truth = dim as f64 / (signal * signal);
        let repeats = 400;
        let mut covered = 0;
        for seed in 0..repeats {
            let noise = GradientNoise::from_gradients(&draw(dim, count, batch_size, signal, 1000 + seed), batch_size);
            let scale = noise.noise_scale.expect("a strong signal is resolved");
            assert!(scale.low <= scale.value && scale.value <= scale.high);
            covered += u64::from(scale.low <= truth && truth <= scale.high);
        }
        let share = covered as f64 / repeats as f64;
        // Binomial standard error 0.011; the jackknife is asymptotic, so a little under-coverage is allowed.
        assert!((0.91..=0.985).contains(&share), "covered {share}, nominal {NOISE_SCALE_LEVEL}");
    }

    #[test]
    fn without_signal_the_scale_is_unresolved_and_never_negative() {
        let resolved = (0..200)
            .filter(|&seed| {
                let scale = GradientNoise::from_gradients(&draw(100, 16, 8, 0.0, seed), 8).noise_scale;
                assert!(scale.is_none_or(|s| s.value > 0.0 && s.low >= 0.0));
                scale.is_some()
            })
            .count();
        assert!(resolved <= 16, "{resolved} of 200 pure-noise draws were called resolved; 2.5 % are expected");
    }
}
