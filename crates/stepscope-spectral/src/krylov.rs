//! The spectral measure of a vector: how much of it lies along every eigenvalue.

use stepscope_types::Spectrum;

use crate::lanczos::checked_start_norm;
use crate::operator::LinearOperator;
use crate::process::{KrylovProcess, LanczosError};
use crate::tridiagonal::Rows;

/// Gauss quadrature of the spectral measure of a vector b under an operator A.
#[derive(Debug, Clone, PartialEq)]
pub struct SpectralMeasure {
    /// Nodes (Ritz values) with weights; the weights sum to ‖b‖². In units of b squared.
    pub spectrum: Spectrum,
    /// Whether the nodes are eigenvalues and the weights exact, to rounding: the Krylov space of b was exhausted.
    pub exact: bool,
    /// Matrix-vector products spent, which is the number of nodes.
    pub num_products: u64,
}

/// The spectral measure of `vector`: nodes θ_k and weights ω_k with bᵀ f(A) b ≈ Σ_k ω_k f(θ_k).
///
/// The exact measure has the weight (v_iᵀb)² at each eigenvalue λ_i. With m products, m Lanczos steps from b give
/// the nodes (eigenvalues of T) and the weights ω_k = ‖b‖² s_{1k}² (squared *first components* of the eigenvectors
/// of T), for which the formula is an equality for every polynomial f of degree up to 2m − 1. From a gradient this
/// is the gradient's weight along every curvature, which is what predicting a loss curve needs; from random vectors
/// it samples the spectral density.
///
/// Cost: at most `max_products` products (fewer where the Krylov space of b is smaller) and as many vectors of
/// memory. Source: `curvature`, section 4.5.
///
/// ```
/// use stepscope_spectral::{DenseOperator, spectral_measure};
/// let mut matrix = DenseOperator::new(2, vec![1.0, 0.0, 0.0, 5.0])?;
/// let measure = spectral_measure(&mut matrix, &[2.0, 3.0], 10)?;
/// assert!(measure.exact);
/// let expected = [(5.0, 9.0), (1.0, 4.0)];
/// for ((node, weight), (eigenvalue, square)) in measure.spectrum.pairs().zip(expected) {
///     assert!((node - eigenvalue).abs() < 1e-13 && (weight - square).abs() < 1e-13);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`LanczosError`] for no products, a vector of the wrong length or without direction, and products that fail or
/// are not finite.
pub fn spectral_measure<O: LinearOperator + ?Sized>(
    operator: &mut O,
    vector: &[f64],
    max_products: usize,
) -> Result<SpectralMeasure, LanczosError<O::Error>> {
    let dim = operator.dim();
    if dim == 0 {
        return Err(LanczosError::EmptyOperator);
    }
    if max_products == 0 {
        return Err(LanczosError::Setting { setting: "max_products", got: 0.0, expected: "at least 1" });
    }
    let norm = checked_start_norm(vector, dim)?;
    let mut process = KrylovProcess::new(vector.to_vec());
    while process.len() < max_products && !process.is_invariant() {
        process.step(operator)?;
    }
    let (nodes, weights) = process
        .tridiagonal()?
        .eigenpairs(Rows::First)?
        .into_iter()
        .map(|pair| (pair.eigenvalue, (norm * pair.components[0]).powi(2)))
        .unzip();
    Ok(SpectralMeasure {
        spectrum: Spectrum::new(nodes, weights)?,
        exact: process.is_invariant(),
        num_products: process.len() as u64,
    })
}
