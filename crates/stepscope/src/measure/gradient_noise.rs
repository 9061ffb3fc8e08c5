//! The gradient noise scale with an interval.

use stepscope_theory::Sampling;
use stepscope_types::quantity;
use stepscope_types::{BatchSize, Estimate, Reading, Uncertainty};

use super::batches::BatchSource;
use super::cost::Cost;
use super::gradient_tests::{TrainingStep, gradient_tests};
use super::gram::Gram;
use super::gram_spectrum::gram_spectrum;
use super::objective::Objective;
use super::operators::{BatchLoss, ProductError};
use super::probe::{Measured, Probe, ProbeError, ProbePoint};
use super::ratio::{Covariance, Ratio};
use super::statistics::dot;
use crate::checkpoint::{State, StateError, Stateful};
use crate::data::Batch;

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
        let covariance = Covariance::jackknife(&left_out);
        Self {
            covariance_trace: trace,
            covariance_trace_error: covariance.xx.sqrt(),
            gradient_norm_squared: signal,
            gradient_norm_squared_error: covariance.yy.sqrt(),
            noise_scale: Ratio::fieller(trace, signal, &covariance, count as f64 - 1.0).map(|ratio| NoiseScale {
                value: ratio.value,
                low: ratio.low.max(0.0),
                high: ratio.high,
            }),
        }
    }
}

/// tr Σ and |G|² of `count` batches from Σ‖gᵢ‖² and ‖Σgᵢ‖².
fn moments(count: usize, total: f64, sum_squared: f64, batch_size: u64) -> (f64, f64) {
    let count = count as f64;
    let spread = (total - sum_squared / count) / (count - 1.0);
    (spread * batch_size as f64, sum_squared / (count * count) - spread / count)
}

/// The noise scale along a run and, from the same gradients, the tests of the training's batch size
/// ([`NoiseProbe::with_tests`]).
///
/// Cost: `noise_batches` gradients of `noise_batch_size` examples.
#[derive(Debug)]
pub struct NoiseProbe<'a, B = Batch> {
    batches: BatchSource<'a, B>,
    num_batches: usize,
    /// How training draws its batches, and how many examples they have where a point does not say.
    tested: Option<(Sampling, BatchSize)>,
}

impl<'a, B> NoiseProbe<'a, B> {
    /// Passes over a gradient's entries: it is copied, squared and summed; the tests sum twice more and take inner products.
    pub(crate) const PASSES: usize = 7;
    /// Those of the jackknife over groups of batches, however many batches there are.
    const PASSES_OF_GROUPS: usize = 60;

    /// A probe of the gradients of `num_batches` (at least 3, with tests 4) of `batches`.
    pub fn new(batches: BatchSource<'a, B>, num_batches: usize) -> Self {
        Self { batches, num_batches, tested: None }
    }

    /// The same with the tests of Cockpit for training batches drawn as `sampling` says, of `batch_size` examples unless a point has another
    /// size. Their gradient has c times the covariance of one example's: (N − B)/((N − 1)B), or 1/B with replacement.
    ///
    /// | quantity | value |
    /// |---|---|
    /// | norm test | √(c tr Σ)/‖g‖ |
    /// | inner product test | √(c gᵀΣg)/‖g‖² |
    /// | orthogonality test | √(c (tr Σ − gᵀΣg/‖g‖²))/‖g‖ |
    /// | alignment of a batch's gradient with the full one | ‖g‖/√(‖g‖² + c tr Σ) |
    /// | coupled batch size (CABS) | η/(1 − β) · tr Σ/L |
    /// | signal-to-noise ratio | mean over parameters of gⱼ²/Σⱼⱼ |
    ///
    /// and the Gram route to the spectrum of Σ: its top eigenvalue, λ*/λ¹, trace over top, and the batch gradients' norm over that of
    /// their part in the five leading directions. λ¹ is then too large by a factor of about 1 + (tr Σ/λ¹ − 1)/(M − 1), and more with
    /// heavy tails; [`GradientCovarianceProbe`](super::GradientCovarianceProbe) has no such bias.
    ///
    /// The first three are the smallest bounds that the batch size passes. All come from moments without bias, with jackknife
    /// errors. Source: `curvature`, section 4.6 (Byrd et al. 2012; Bollapragada et al. 2017; Balles et al. 2017).
    pub fn with_tests(mut self, sampling: Sampling, batch_size: BatchSize) -> Self {
        self.tested = Some((sampling, batch_size));
        self
    }

    /// Examples a batch.
    pub fn batch_size(&self) -> u64 {
        self.batches.batch_size() as u64
    }

    /// Gradients of fresh independent batches at this point.
    ///
    /// # Errors
    /// [`ProductError::Loss`] where the loss does not fit a batch.
    pub fn draw_gradients<N: BatchLoss<B>>(&mut self, at: &ProbePoint<'_, N>) -> Result<Vec<Vec<f64>>, ProductError> {
        Ok(self.draw(at)?.1)
    }

    /// The mean loss of fresh independent batches, and their gradients.
    fn draw<N: BatchLoss<B>>(&mut self, at: &ProbePoint<'_, N>) -> Result<(f64, Vec<Vec<f64>>), ProductError> {
        let drawn: Vec<(f64, Vec<f64>)> = (0..self.num_batches)
            .map(|_| {
                let indices = self.batches.draw_with_replacement();
                let batch = self.batches.objective_in_parts(&indices, Objective::MICRO_BATCH_SIZE);
                batch.loss_and_gradient(at.network, at.layout)
            })
            .collect::<Result<_, ProductError>>()?;
        let (losses, gradients): (Vec<f64>, Vec<Vec<f64>>) = drawn.into_iter().unzip();
        Ok((losses.iter().sum::<f64>() / losses.len().max(1) as f64, gradients))
    }
}

impl<N: BatchLoss<B>, B> Probe<N> for NoiseProbe<'_, B> {
    fn name(&self) -> &'static str {
        "gradient-noise"
    }

    fn cost(&self) -> Cost {
        let passes = match self.tested {
            Some(_) => self.num_batches * Self::PASSES + Self::PASSES_OF_GROUPS,
            None => self.num_batches * 3,
        };
        Cost::gradients(self.num_batches * self.batches.batch_size()) + Cost::passes(passes)
    }

    fn measure(&mut self, at: &ProbePoint<'_, N>) -> Result<Vec<Measured>, ProbeError> {
        at.check_examples_are_independent("gradient-noise")?;
        let (loss, gradients) = self.draw(at)?;
        let batch_size = self.batch_size();
        let noise = GradientNoise::from_gradients(&gradients, batch_size);
        let num_examples = self.num_batches as u64 * batch_size;
        let estimate =
            |value, unit, error| Estimate::new(value, unit, error).over_examples(num_examples).in_mode(at.mode);
        let scale = match noise.noise_scale {
            Some(NoiseScale { value, low, high }) => {
                let interval = Uncertainty::Interval { low, high, level: NOISE_SCALE_LEVEL };
                Reading::Value(estimate(value, quantity::NOISE_SCALE.unit, interval))
            }
            None => Reading::Unresolved {
                reason: format!(
                    "the squared gradient norm, {:.3e} +- {:.3e}, is not resolved from zero by {} batches of {}: \
                     raise measure.noise_batches",
                    noise.gradient_norm_squared, noise.gradient_norm_squared_error, self.num_batches, batch_size
                ),
                num_examples,
            },
        };
        let trace_error = Uncertainty::StandardError(noise.covariance_trace_error);
        let trace = estimate(noise.covariance_trace, quantity::NOISE_TRACE.unit, trace_error);
        if let Some(shared) = at.shared {
            shared.set_noise_trace(&trace);
        }
        let mut measured =
            vec![Measured::new(&quantity::NOISE_SCALE, scale), Measured::new(&quantity::NOISE_TRACE, trace)];
        if let (Some((sampling, usual)), Some(device)) = (self.tested, at.layout.plain_device()) {
            let noise_factor = sampling.noise_factor(at.batch_size_or(usual))?;
            let effective_learning_rate = at.learning_rate.map(|rate| rate * at.motion.effective_rate());
            let training = TrainingStep { noise_factor, effective_learning_rate, loss };
            let gram = Gram::of(&gradients, &device);
            let tests = gradient_tests(&gradients, &gram, batch_size, &training);
            let spectrum = gram_spectrum(&gram, batch_size);
            measured.extend(tests.into_iter().chain(spectrum).map(|measured| measured.in_mode(at.mode)));
        }
        Ok(measured)
    }
}

impl<B> Stateful for NoiseProbe<'_, B> {
    fn save_state(&self, state: &mut State) {
        self.batches.save_state(state);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        self.batches.load_state(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stepscope_spectral::random::RandomStream;

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
