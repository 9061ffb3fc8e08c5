//! What batch gradients say about the batch size: Cockpit's tests, from unbiased moments.

use stepscope_types::quantity::{self, Quantity};
use stepscope_types::{Estimate, Reading, Uncertainty};

use super::gram::Gram;
use super::probe::{Measured, no_learning_rate};
use super::ratio::jackknife_error;
use super::statistics::difference;

/// Moments of the gradient noise from the inner products of M independent batch gradients, each without bias.
///
/// With ε the noise of one of these batches and Σ_b its covariance, over all sets of different batches: mean of ⟨gᵢ, gⱼ⟩ is ‖g‖²,
/// of ‖gᵢ‖² is ‖g‖² + tr Σ_b, of ⟨gᵢ, gⱼ⟩⟨gᵢ, gₖ⟩ is gᵀΣ_b g + ‖g‖⁴, of ⟨gᵢ, gⱼ⟩⟨gₖ, gₗ⟩ is ‖g‖⁴. No batch is ever multiplied with
/// itself where its noise would not average out, which is what makes the usual plug-in forms too large.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Moments {
    /// ‖g‖².
    signal: f64,
    /// tr Σ_b.
    trace: f64,
    /// gᵀΣ_b g.
    along: f64,
}

impl Moments {
    /// At least 4 batches.
    fn of(gram: &Gram) -> Self {
        let m = gram.len as f64;
        let (mut diagonal, mut pairs, mut squares, mut triples) = (0.0, 0.0, 0.0, 0.0);
        for row in 0..gram.len {
            let (mut sum, mut sum_of_squares) = (0.0, 0.0);
            for column in (0..gram.len).filter(|&column| column != row) {
                sum += gram.at(row, column);
                sum_of_squares += gram.at(row, column).powi(2);
            }
            diagonal += gram.at(row, row);
            pairs += sum;
            squares += sum_of_squares;
            triples += sum * sum - sum_of_squares;
        }
        let quadruples = pairs * pairs - 2.0 * squares - 4.0 * triples;
        let signal = pairs / (m * (m - 1.0));
        let of_three = triples / (m * (m - 1.0) * (m - 2.0));
        let of_four = quadruples / (m * (m - 1.0) * (m - 2.0) * (m - 3.0));
        Self { signal, trace: diagonal / m - signal, along: of_three - of_four }
    }
}

/// The training that the tests are about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TrainingStep {
    /// Covariance of a training batch's gradient over that of one example's: (N − B)/((N − 1)B), or 1/B with replacement.
    pub(super) noise_factor: f64,
    /// η/(1 − β), what momentum makes of the learning rate, where there is one.
    pub(super) effective_learning_rate: Option<f64>,
    /// The mean loss over the measured batches.
    pub(super) loss: f64,
}

/// The tests for a training batch, from `gradients` of independent batches of `batch_size` examples, drawn with replacement.
///
/// The table of them stands at [`NoiseProbe::with_tests`](super::NoiseProbe::with_tests). A test with bound θ passes where its
/// value is at most θ. Errors are jackknife standard errors over batches. Where ‖g‖² is not above 0 within the batches, what
/// divides by it is unresolved.
///
/// Source: `curvature`, section 4.6 (Cockpit; Byrd et al. 2012, Bollapragada et al. 2017, Balles et al. 2017). Cost:
/// no further gradient; M² inner products.
pub(super) fn gradient_tests(
    gradients: &[Vec<f64>],
    gram: &Gram,
    batch_size: u64,
    training: &TrainingStep,
) -> Vec<Measured> {
    let examples_per_batch = batch_size as f64;
    let c = training.noise_factor * examples_per_batch;
    let num_examples = gram.len as u64 * batch_size;
    let moments = Moments::of(gram);
    let left_out: Vec<Moments> = (0..gram.len).map(|index| Moments::of(&gram.without(index))).collect();
    let about = |quantity: &'static Quantity, form: &dyn Fn(&Moments) -> f64| {
        let value = form(&moments);
        let error = jackknife_error(left_out.iter().map(form));
        // A form that is undefined without one of the batches is not resolved by all of them.
        let reading = if value.is_finite() && error.is_finite() {
            let estimate = Estimate::new(value, quantity.unit, Uncertainty::StandardError(error));
            Reading::Value(estimate.over_examples(num_examples))
        } else {
            Reading::Unresolved {
                reason: format!(
                    "the squared gradient norm, {:.3e}, or the noise along it, {:.3e}, is not clearly above zero within {} \
                     batches of {batch_size}: raise measure.noise_batches",
                    moments.signal, moments.along, gram.len
                ),
                num_examples,
            }
        };
        Measured::new(quantity, reading)
    };
    let mut measured = vec![
        about(&quantity::NORM_TEST, &|m| (c * m.trace / m.signal).sqrt()),
        about(&quantity::INNER_PRODUCT_TEST, &|m| (c * m.along).sqrt() / m.signal),
        about(&quantity::ORTHOGONALITY_TEST, &|m| (c * (m.trace - m.along / m.signal) / m.signal).sqrt()),
        about(&quantity::BATCH_FULL_ALIGNMENT, &|m| (m.signal / (m.signal + c * m.trace)).sqrt()),
    ];
    measured.push(match training.effective_learning_rate {
        Some(rate) => about(&quantity::CABS_BATCH_SIZE, &|m| rate * m.trace * examples_per_batch / training.loss),
        None => Measured::new(&quantity::CABS_BATCH_SIZE, no_learning_rate()),
    });
    let ratio = signal_to_noise(gradients, batch_size).over_examples(num_examples);
    measured.push(Measured::new(&quantity::GRADIENT_SNR, ratio));
    measured
}

/// Mean over parameters of gⱼ²/Σⱼⱼ, with a jackknife over groups of batches.
fn signal_to_noise(gradients: &[Vec<f64>], batch_size: u64) -> Estimate {
    const GROUPS: usize = 8;
    let all = Sums::of(gradients);
    let size = gradients.len().div_ceil(GROUPS);
    let left_out = gradients.chunks(size).map(|group| all.minus(&Sums::of(group)).mean_ratio());
    // Of one example: its variance is that of a measured batch times the batch's size.
    let unit = quantity::GRADIENT_SNR.unit;
    let error = Uncertainty::StandardError(jackknife_error(left_out));
    Estimate::new(all.mean_ratio(), unit, error).scaled(1.0 / batch_size as f64, unit)
}

/// Sums and sums of squares of every parameter's gradient over batches.
struct Sums {
    count: f64,
    sums: Vec<f64>,
    squares: Vec<f64>,
}

impl Sums {
    fn of(gradients: &[Vec<f64>]) -> Self {
        let dim = gradients.first().map_or(0, Vec::len);
        let (mut sums, mut squares) = (vec![0.0; dim], vec![0.0; dim]);
        for gradient in gradients {
            for ((sum, square), g) in sums.iter_mut().zip(&mut squares).zip(gradient) {
                *sum += g;
                *square += g * g;
            }
        }
        Self { count: gradients.len() as f64, sums, squares }
    }

    fn minus(&self, other: &Self) -> Self {
        Self {
            count: self.count - other.count,
            sums: difference(&self.sums, &other.sums),
            squares: difference(&self.squares, &other.squares),
        }
    }

    /// Squared mean over variance, each corrected for the finite number of batches, in the mean over parameters with a gradient.
    fn mean_ratio(&self) -> f64 {
        let (m, mut ratios, mut parameters) = (self.count, 0.0, 0.0);
        for (sum, square) in self.sums.iter().zip(&self.squares) {
            let (mean, variance) = (sum / m, (square - sum * sum / m) / (m - 1.0));
            // Parameters behind units that never fire have no gradient and no say.
            if variance > 0.0 {
                ratios += (m - 3.0) / (m - 1.0) * mean * mean / variance - 1.0 / m;
                parameters += 1.0;
            }
        }
        ratios / parameters
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;
    use stepscope_spectral::random::RandomStream;
    use stepscope_types::spec::Precision;

    const DIM: usize = 30;
    const BATCHES: usize = 16;
    const BATCH_SIZE: u64 = 4;

    /// Mean 0.3 in the first coordinate, 0.1 in the second; variance of one example 1 + index/10.
    fn draw(seed: u64) -> Vec<Vec<f64>> {
        let mut random = RandomStream::new(seed, 0);
        let scale = |index: usize| ((1.0 + index as f64 / 10.0) / BATCH_SIZE as f64).sqrt();
        let mean = |index: usize| [0.3, 0.1].get(index).copied().unwrap_or(0.0);
        (0..BATCHES).map(|_| (0..DIM).map(|j| mean(j) + scale(j) * random.normal()).collect()).collect()
    }

    #[test]
    fn the_moments_and_the_signal_to_noise_ratio_are_unbiased() {
        let variance = |index: f64| 1.0 + index / 10.0;
        let trace: f64 = (0..DIM).map(|j| variance(j as f64)).sum::<f64>() / BATCH_SIZE as f64;
        let signal = 0.09 + 0.01;
        let along = (0.09 * variance(0.0) + 0.01 * variance(1.0)) / BATCH_SIZE as f64;
        let ratio = (0.09 / variance(0.0) + 0.01 / variance(1.0)) / DIM as f64;
        let device = Backend::cpu(Precision::F64).plain();
        let samples: Vec<[f64; 4]> = (0..1500)
            .map(|seed| {
                let gradients = draw(seed);
                let moments = Moments::of(&Gram::of(&gradients, &device));
                [moments.signal, moments.trace, moments.along, signal_to_noise(&gradients, BATCH_SIZE).value]
            })
            .collect();
        for (part, truth) in [signal, trace, along, ratio].into_iter().enumerate() {
            let values: Vec<f64> = samples.iter().map(|sample| sample[part]).collect();
            let (mean, error) = super::super::statistics::mean_and_error(&values);
            assert!(((mean - truth) / error).abs() < 4.0, "{part}: {mean} +- {error}, truth {truth}");
        }
    }

    #[test]
    fn the_moments_are_those_of_the_sums_over_different_batches_written_out() {
        let gradients = &draw(1)[..6];
        let gram = Gram::of(gradients, &Backend::cpu(Precision::F64).plain());
        let product = |i: usize, j: usize| gradients[i].iter().zip(&gradients[j]).map(|(a, b)| a * b).sum::<f64>();
        let (mut three, mut threes, mut four, mut fours) = (0.0, 0.0, 0.0, 0.0);
        for [i, j, k, l] in (0..6_usize.pow(4)).map(|n| [n % 6, n / 6 % 6, n / 36 % 6, n / 216]) {
            if i != j && i != k && j != k && l == 0 {
                three += product(i, j) * product(i, k);
                threes += 1.0;
            }
            if [(i, j), (i, k), (i, l), (j, k), (j, l), (k, l)].iter().all(|(a, b)| a != b) {
                four += product(i, j) * product(k, l);
                fours += 1.0;
            }
        }
        let expected = three / threes - four / fours;
        assert!((Moments::of(&gram).along - expected).abs() < 1e-12 * expected.abs().max(1.0));
    }
}
