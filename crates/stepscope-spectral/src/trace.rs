//! Trace and Frobenius norm from random probes.

use stepscope_types::Estimate;
use thiserror::Error;

use crate::kernels;
use crate::operator::{LinearOperator, ProductError, checked_apply};
use crate::random::RandomStream;
use crate::statistics::{mean_with_error, root_mean_square_with_error, sampled};

/// What [`hutchinson`] found.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceOutcome {
    /// tr A with its standard error.
    pub trace: Estimate,
    /// ‖A‖_F with its standard error, from the same products.
    pub frobenius_norm: Estimate,
}

/// Why there is no trace.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum TraceError<E: std::error::Error + 'static> {
    /// A product failed or was not finite.
    #[error(transparent)]
    Product(#[from] ProductError<E>),
    /// A standard error needs two samples.
    #[error("a trace with a standard error needs at least 2 probes, got {num_probes}")]
    TooFewProbes {
        /// Probes asked for.
        num_probes: usize,
    },
}

/// Hutchinson's estimates of tr A and ‖A‖_F from `num_probes` products, each with its standard error.
///
/// For probes v of random signs: tr A = E vᵀAv with variance 2(‖A‖_F² − Σ a_ii²) a probe, and ‖A‖_F² = E‖Av‖². Both
/// are means over the probes (`num_probes` = m), their standard errors the sample's deviation over √m; the error
/// of the norm is that of its square over 2‖A‖_F, and the norm is biased by less than error² / (2‖A‖_F).
///
/// The number of probes is fixed in advance: a run that stops when two running means agree stops by luck. For
/// fewer than about 30 probes no sketching method does better on a network's Hessian.
///
/// `unit` is that of A. Cost: `num_probes` products, two vectors of memory. Source: `curvature`, section 4.5. The
/// standard error is itself a sample's: below ten probes it is off by 25 % or more.
///
/// ```
/// use stepscope_spectral::random::RandomStream;
/// use stepscope_spectral::{DenseOperator, hutchinson};
/// let mut random = RandomStream::named(1, "example");
/// let mut matrix = DenseOperator::with_eigenvalues(&[3.0, 1.0, 0.5, 0.5], &mut random)?;
/// let outcome = hutchinson(&mut matrix, 200, "1/learning-rate", &mut random)?;
/// assert!((outcome.trace.value - 5.0).abs() < 1.0);
/// assert_eq!(outcome.trace.num_products, 200);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`TraceError`] for fewer than two probes, and products that fail or are not finite.
pub fn hutchinson<O: LinearOperator + ?Sized>(
    operator: &mut O,
    num_probes: usize,
    unit: &str,
    random: &mut RandomStream,
) -> Result<TraceOutcome, TraceError<O::Error>> {
    if num_probes < 2 {
        return Err(TraceError::TooFewProbes { num_probes });
    }
    let dim = operator.dim();
    let (mut probe, mut image) = (vec![0.0; dim], vec![0.0; dim]);
    let (mut traces, mut norms) = (Vec::with_capacity(num_probes), Vec::with_capacity(num_probes));
    for product in 1..=num_probes as u64 {
        random.fill_rademacher(&mut probe);
        norms.push(checked_apply(operator, &probe, &mut image, product)?);
        traces.push(kernels::dot(&probe, &image));
    }
    let num_products = num_probes as u64;
    Ok(TraceOutcome {
        trace: sampled(mean_with_error(&traces), unit, num_products),
        frobenius_norm: sampled(root_mean_square_with_error(&norms), unit, num_products),
    })
}
