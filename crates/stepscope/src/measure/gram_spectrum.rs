//! The covariance of the measured batch gradients, through their inner products.

use stepscope_spectral::random::RandomStream;
use stepscope_spectral::{DenseOperator, Lanczos, LanczosConfig, StartVector};
use stepscope_types::quantity::{self, Quantity};
use stepscope_types::{Estimate, Mode, Uncertainty};

use super::gram::Gram;
use super::probe::Measured;
use super::ratio::jackknife_error;

/// What the spectrum of one Gram matrix says.
#[derive(Debug, Clone, Copy)]
struct Spectrum {
    top: f64,
    conditioning: f64,
    trace_ratio: f64,
    top_five_share: f64,
}

/// Top eigenvalue, λ*/λ¹, trace over top, and ‖g‖/‖g_5‖ of the covariance of L batch gradients of `batch_size` examples drawn with
/// replacement.
///
/// With M the centred gradients as rows, M Mᵀ/(L − 1) has the non-zero eigenvalues of their covariance; times the batch size they are those
/// of one example's gradient. The top one is too large, by about a factor of 1 + (tr/λ¹ − 1)/(L − 1) and more with heavy tails
/// (1.4 to 2 for 25 batches of 128), and trace over top is at most L − 1: compare runs at equal number and size of batches only.
/// ‖g‖/‖g_5‖ is the norm of the batch gradients over that of their projections on the five leading eigenvectors, each a root mean square; 1
/// means that they lie inside. Errors are jackknife standard errors over batches, without the bias.
///
/// Source: `curvature`, sections 2.4 and 4.6 (*The Break-Even Point*, Appendix C). Cost: no gradient; O(L⁴) operations.
pub(super) fn gram_spectrum(gram: &Gram, batch_size: u64) -> Vec<Measured> {
    let Some(all) = Spectrum::of(gram) else { return Vec::new() };
    let left_out: Vec<Spectrum> = (0..gram.len).filter_map(|index| Spectrum::of(&gram.without(index))).collect();
    let num_examples = gram.len as u64 * batch_size;
    let about = |quantity: &'static Quantity, of: &dyn Fn(&Spectrum) -> f64| {
        let error = Uncertainty::StandardError(jackknife_error(left_out.iter().map(of)));
        let estimate = Estimate::new(of(&all), quantity.unit, error);
        Measured::new(quantity, estimate.over_examples(num_examples).in_mode(Mode::Eval))
    };
    vec![
        about(&quantity::GRAM_TOP_EIGENVALUE, &|spectrum| batch_size as f64 * spectrum.top),
        about(&quantity::GRAM_CONDITIONING, &|spectrum| spectrum.conditioning),
        about(&quantity::GRAM_TRACE_RATIO, &|spectrum| spectrum.trace_ratio),
        about(&quantity::TOP_FIVE_SHARE, &|spectrum| spectrum.top_five_share),
    ]
}

impl Spectrum {
    const LEADING: usize = 5;

    /// `None` where the matrix cannot be taken apart: fewer than three batches, or gradients that do not differ.
    fn of(gram: &Gram) -> Option<Self> {
        let len = gram.len;
        let rows: Vec<f64> = (0..len).map(|row| (0..len).map(|column| gram.at(row, column)).sum::<f64>()).collect();
        let (scale, total) = (1.0 / len as f64, rows.iter().sum::<f64>());
        let centred: Vec<f64> = (0..len * len)
            .map(|index| {
                let (row, column) = (index / len, index % len);
                gram.at(row, column) - scale * (rows[row] + rows[column]) + scale * scale * total
            })
            .collect();
        let trace: f64 = (0..len).map(|index| centred[index * len + index]).sum();
        let mut operator = DenseOperator::new(len, centred).ok()?;
        let config =
            LanczosConfig { num_eigenpairs: len, max_products: len, tolerance: 0.0, ..LanczosConfig::default() };
        // All products there are: the start matters for nothing but rounding.
        let mut random = RandomStream::named(0, "gram spectrum");
        let pairs = Lanczos::new(config).run(&mut operator, StartVector::Random, &mut random).ok()?.eigenpairs;
        // Centring takes one dimension, so the last eigenvalue is zero.
        let (top, smallest) = (pairs.first()?.eigenvalue, pairs.get(len.checked_sub(2)?)?.eigenvalue);
        let inside: f64 = pairs
            .iter()
            .take(Self::LEADING.min(len - 1))
            // Directions of rounding error alone would be divided by it.
            .filter(|pair| pair.eigenvalue > 1e-12 * top)
            .map(|pair| {
                // ⟨gᵢ, e⟩ for the eigenvector e = Mᵀu/√μ of weight space.
                let along = |row: usize| (0..len).map(|j| gram.at(row, j) * pair.eigenvector[j]).sum::<f64>();
                (0..len).map(|row| along(row).powi(2)).sum::<f64>() / pair.eigenvalue
            })
            .sum();
        let norms: f64 = (0..len).map(|index| gram.at(index, index)).sum();
        let spectrum = Self {
            top: top / (len as f64 - 1.0),
            conditioning: smallest.max(0.0) / top,
            trace_ratio: trace / top,
            top_five_share: (norms / inside).sqrt(),
        };
        (top > 0.0).then_some(spectrum)
    }
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
        let spectrum = Spectrum::of(&gram).unwrap();
        // Covariance diag(18, 8, 2)/5.
        assert!((spectrum.top - 3.6).abs() < 1e-10, "{spectrum:?}");
        assert!((spectrum.trace_ratio - 28.0 / 18.0).abs() < 1e-10);
        assert!(spectrum.conditioning.abs() < 1e-10, "six gradients in three dimensions");
        // Squares 600 + 28 in all, 28 of them inside the three axes.
        assert!((spectrum.top_five_share - (628.0_f64 / 28.0).sqrt()).abs() < 1e-9, "{spectrum:?}");
    }
}
