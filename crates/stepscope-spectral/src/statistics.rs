//! Means over samples, with their standard errors.

use stepscope_types::{Estimate, Uncertainty};

use crate::kernels;

/// Mean of at least two samples and its standard error.
pub(crate) fn mean_with_error(samples: &[f64]) -> (f64, f64) {
    let count = samples.len() as f64;
    let mean = samples.iter().sum::<f64>() / count;
    let deviations: Vec<f64> = samples.iter().map(|sample| sample - mean).collect();
    (mean, kernels::norm(&deviations) / ((count - 1.0) * count).sqrt())
}

/// √(mean of squares) and its standard error to first order, scaled so that no square overflows.
pub(crate) fn root_mean_square_with_error(samples: &[f64]) -> (f64, f64) {
    let largest = samples.iter().fold(0.0, |largest: f64, sample| largest.max(sample.abs()));
    if largest == 0.0 {
        return (0.0, 0.0);
    }
    let squares: Vec<f64> = samples.iter().map(|sample| (sample / largest).powi(2)).collect();
    let (mean, error) = mean_with_error(&squares);
    let root = mean.sqrt();
    (largest * root, largest * error / (2.0 * root))
}

/// A mean with its standard error and what was spent on it.
pub(crate) fn sampled((value, error): (f64, f64), unit: &str, num_products: u64) -> Estimate {
    Estimate::new(value, unit, Uncertainty::StandardError(error)).with_products(num_products)
}
