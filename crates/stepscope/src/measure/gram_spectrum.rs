//! The covariance of the measured batch gradients, through their inner products.

use stepscope_spectral::random::RandomStream;
use stepscope_spectral::{DenseOperator, GradientSample, GramSpectrum, Lanczos, LanczosConfig, StartVector};
use stepscope_types::quantity::{self, Quantity};
use stepscope_types::{Estimate, Uncertainty};

use super::gram::Gram;
use super::probe::Measured;
use super::statistics::mean_and_error;

/// Eigenvectors whose span a batch gradient is held against.
const LEADING: usize = 5;

/// Top eigenvalue, λ*/λ¹, trace over top, and ‖g‖/‖g_5‖ of the covariance of L batch gradients of `batch_size` examples drawn with
/// replacement, scaled to one example; empty where they have no spectrum.
///
/// The top eigenvalue and what is divided by it carry the bias of [`GramSpectrum`]: compare runs at equal number and size of batches only.
/// Their errors are the top eigenvalue's standard error over batches. ‖g‖/‖g_5‖ is the norm of the batch gradients over that of their
/// projections on the five leading eigenvectors, each a root mean square; 1 means that they lie inside.
///
/// Source: `curvature`, sections 2.4 and 4.6 (*The Break-Even Point*, Appendix C). Cost: no gradient; O(L³) operations.
pub(super) fn gram_spectrum(gram: &Gram, batch_size: u64) -> Vec<Measured> {
    let sample = GradientSample::Batches { batch_size: batch_size as usize };
    let Ok(spectrum) = GramSpectrum::of_inner_products(gram.len, gram.entries(), sample) else { return Vec::new() };
    let num_examples = gram.len as u64 * batch_size;
    let about =
        |quantity: &'static Quantity, estimate: Estimate| Measured::new(quantity, estimate.over_examples(num_examples));
    let top = spectrum.top_eigenvalue(quantity::GRAM_TOP_EIGENVALUE.unit);
    let relative = (top.interval().1 - top.value) / top.value;
    let over_top = |quantity: &'static Quantity, value: f64| {
        about(quantity, Estimate::new(value, quantity.unit, Uncertainty::StandardError(value * relative)))
    };
    let conditioning = over_top(&quantity::GRAM_CONDITIONING, spectrum.smallest_nonzero() / top.value);
    let trace_ratio = over_top(&quantity::GRAM_TRACE_RATIO, spectrum.trace_over_top());
    let mut measured = vec![about(&quantity::GRAM_TOP_EIGENVALUE, top), conditioning, trace_ratio];
    measured.extend(over_leading(gram).map(|estimate| about(&quantity::TOP_FIVE_SHARE, estimate)));
    measured
}

/// √(mean ‖gᵢ‖²/mean ‖P gᵢ‖²), P the projection on the leading eigenvectors.
fn over_leading(gram: &Gram) -> Option<Estimate> {
    let len = gram.len;
    let rows: Vec<f64> = (0..len).map(|row| (0..len).map(|column| gram.at(row, column)).sum::<f64>()).collect();
    let (scale, total) = (1.0 / len as f64, rows.iter().sum::<f64>());
    let centred = (0..len * len).map(|index| {
        let (row, column) = (index / len, index % len);
        gram.at(row, column) - scale * (rows[row] + rows[column]) + scale * scale * total
    });
    let mut operator = DenseOperator::new(len, centred.collect()).ok()?;
    let num_eigenpairs = LEADING.min(len.checked_sub(1)?);
    let config = LanczosConfig { num_eigenpairs, max_products: len, tolerance: 1e-10, ..LanczosConfig::default() };
    let mut random = RandomStream::named(0, "leading eigenvectors");
    let pairs = Lanczos::new(config).run(&mut operator, StartVector::Random, &mut random).ok()?.eigenpairs;
    let top = pairs.first()?.eigenvalue;
    // Directions of rounding error alone would be divided by it. ⟨gᵢ, e⟩ for the eigenvector e = Mᵀu/√μ of weight space.
    let inside = |row: usize| -> f64 {
        let leading = pairs.iter().filter(|pair| pair.eigenvalue > 1e-12 * top);
        let squares = leading.map(|pair| {
            let along: f64 = (0..len).map(|j| gram.at(row, j) * pair.eigenvector[j]).sum();
            along * along / pair.eigenvalue
        });
        squares.sum()
    };
    let (norms, insides): (Vec<f64>, Vec<f64>) = (0..len).map(|row| (gram.at(row, row), inside(row))).unzip();
    let mean_inside = mean_and_error(&insides).0;
    let ratio = mean_and_error(&norms).0 / mean_inside;
    let residuals: Vec<f64> = norms.iter().zip(&insides).map(|(norm, inside)| norm - ratio * inside).collect();
    let error = mean_and_error(&residuals).1 / mean_inside;
    let value = ratio.sqrt();
    Some(Estimate::new(value, quantity::TOP_FIVE_SHARE.unit, Uncertainty::StandardError(error / (2.0 * value))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;
    use stepscope_types::spec::Precision;

    #[test]
    fn it_is_the_spectrum_of_the_covariance_written_out_in_weight_space() {
        // Orthogonal deviations of lengths 3, 2, 1 about a mean of 10 along a fourth axis, in plus and minus pairs.
        let mut gradients = Vec::new();
        for (axis, length) in [(0, 3.0), (1, 2.0), (2, 1.0)] {
            for sign in [1.0, -1.0] {
                let mut gradient = vec![0.0, 0.0, 0.0, 10.0];
                gradient[axis] = sign * length;
                gradients.push(gradient);
            }
        }
        let gram = Gram::of(&gradients, &Backend::cpu(Precision::F64).plain());
        let measured = gram_spectrum(&gram, 1);
        let value = |quantity: &Quantity| {
            measured
                .iter()
                .find(|m| m.quantity == quantity)
                .and_then(|m| m.reading.estimate())
                .map(|e| e.value)
                .unwrap()
        };
        // Covariance diag(18, 8, 2)/5.
        assert!((value(&quantity::GRAM_TOP_EIGENVALUE) - 3.6).abs() < 1e-10, "{measured:?}");
        assert!((value(&quantity::GRAM_TRACE_RATIO) - 28.0 / 18.0).abs() < 1e-10);
        assert!(value(&quantity::GRAM_CONDITIONING).abs() < 1e-10, "six gradients in three dimensions");
        // Squares 600 + 28 in all, 28 of them inside the three axes.
        let share = value(&quantity::TOP_FIVE_SHARE);
        assert!((share - (628.0_f64 / 28.0).sqrt()).abs() < 1e-6, "{share}");
    }
}
