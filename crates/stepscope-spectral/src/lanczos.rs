//! Eigenpairs at one end of the spectrum, by Lanczos with full reorthogonalisation.

use stepscope_types::{Estimate, Uncertainty};

use crate::kernels;
use crate::operator::LinearOperator;
use crate::process::{KrylovProcess, LanczosError};
use crate::random::RandomStream;
use crate::tridiagonal::{Rows, Tridiagonal, TridiagonalError};

/// Which end of the spectrum. There is no "largest magnitude": sharpness is the algebraic top, and a large negative
/// eigenvalue is not sharp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The largest eigenvalues, descending.
    LargestAlgebraic,
    /// The smallest eigenvalues, ascending; those of a Hessian may be negative.
    SmallestAlgebraic,
}

/// Where the Krylov space starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StartVector<'a> {
    /// A random direction: a cold start.
    Random,
    /// A vector close to the wanted eigenvector, usually that of an earlier measurement (for several eigenpairs
    /// their sum). A random component of 10⁻³ of its norm is added, so that an eigenvalue that has overtaken the
    /// old one is found.
    Warm(&'a [f64]),
}

/// Settings of [`Lanczos`].
///
/// The default is one eigenpair at the top to a relative residual of 10⁻⁴ within 30 products.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LanczosConfig {
    /// Eigenpairs wanted, at least 1 and at most the dimension.
    pub num_eigenpairs: usize,
    /// At which end of the spectrum.
    pub which: Which,
    /// Products allowed, at least `num_eigenpairs`. From a cold start 10 to 15 give the top eigenvalue of a
    /// network's Hessian to 10⁻⁴ or better, from a warm start 3 to 5 (`curvature`, section 4.4).
    pub max_products: usize,
    /// An eigenpair has converged when its residual is at most `tolerance`·|λ|: 0 or more. 10⁻² serves for tracking,
    /// 10⁻⁴ for tables; the error of λ itself is usually far smaller, of the order of residual² / gap.
    pub tolerance: f64,
}

impl Default for LanczosConfig {
    fn default() -> Self {
        Self { num_eigenpairs: 1, which: Which::LargestAlgebraic, max_products: 30, tolerance: 1e-4 }
    }
}

/// An eigenvalue with its unit eigenvector and the doubt about both.
#[derive(Debug, Clone, PartialEq)]
pub struct TopEigenpair {
    /// λ, a Ritz value.
    pub eigenvalue: f64,
    /// v with ‖v‖ = 1; of its two signs the one that points along the start vector.
    pub eigenvector: Vec<f64>,
    /// ‖Av − λv‖: a true eigenvalue lies within this distance of λ.
    pub residual: f64,
}

/// What a Lanczos run found.
#[derive(Debug, Clone, PartialEq)]
pub struct LanczosOutcome {
    /// The eigenpairs wanted, from the wanted end of the spectrum inwards.
    pub eigenpairs: Vec<TopEigenpair>,
    /// Whether every eigenpair met the tolerance. If not, each still holds with its residual; allow more products
    /// or a larger tolerance.
    pub converged: bool,
    /// Matrix-vector products spent.
    pub num_products: u64,
    /// The operator in the Krylov basis.
    pub tridiagonal: Tridiagonal,
    /// All Ritz values, descending: inside the range of the spectrum, the outermost the most accurate.
    pub ritz_values: Vec<f64>,
    /// ‖H − Hᵀ‖_F / ‖H‖_F of the operator in the Krylov basis: 0 to rounding for a symmetric operator, 10⁻⁶ for
    /// products in `f32`. A value near the tolerance or above it means that products are noisy or that the operator
    /// is not symmetric; the residuals include that error.
    pub symmetry_defect: f64,
}

impl LanczosOutcome {
    /// The eigenvalue number `index` (0 is the outermost) as an estimate with its residual and the products of the
    /// whole run; `None` beyond the last.
    pub fn eigenvalue_estimate(&self, index: usize, unit: &str) -> Option<Estimate> {
        let pair = self.eigenpairs.get(index)?;
        let error = Uncertainty::Residual(pair.residual);
        Some(Estimate::new(pair.eigenvalue, unit, error).with_products(self.num_products))
    }
}

/// Lanczos with full reorthogonalisation: the outermost eigenpairs of a symmetric operator.
///
/// In the Krylov space of the start vector q_1 the operator is the tridiagonal matrix T (diagonal α, off-diagonal
/// β). The outermost eigenpairs (λ, s) of T give Ritz pairs (λ, v = Qs), whose residual follows without a further
/// product: ‖Av − λv‖ = |β_m s_m|. The run stops when every wanted residual is at most `tolerance`·|λ| (or is
/// rounding error of the products), though not before 3 products more than eigenpairs wanted; when `max_products`
/// are spent; or when the space is exhausted.
///
/// An invariant subspace (β = 0) holds its eigenpairs exactly. It is the answer for one eigenpair; for several the
/// run goes on with a random direction orthogonal to it, because one start vector shows one copy of a repeated
/// eigenvalue.
///
/// Cost: m products, about 2 m² n operations for the basis, m·n numbers of memory
/// ([`Lanczos::memory_bytes`]). Vectors and sums are `f64`.
///
/// Invalid when the operator changes between products (dropout, fresh batches): the outcome's
/// [`LanczosOutcome::symmetry_defect`] shows it. As with every Krylov method, an eigenvector to which the start is
/// nearly orthogonal stays hidden until enough products are spent, and so do copies of a repeated eigenvalue
/// unless the subspace is invariant. Where eigenvalues cross often, track two eigenpairs from the sum of both
/// vectors, or start cold now and then.
///
/// Source: `curvature`, section 4.4.
///
/// ```
/// use stepscope_spectral::random::RandomStream;
/// use stepscope_spectral::{DenseOperator, Lanczos, LanczosConfig, StartVector};
/// let mut random = RandomStream::named(1, "example");
/// // The eigenvalue of largest magnitude is negative: it is not the top.
/// let mut matrix = DenseOperator::with_eigenvalues(&[-9.0, 4.0, 1.0, 0.5, 0.0], &mut random)?;
/// let outcome = Lanczos::new(LanczosConfig::default()).run(&mut matrix, StartVector::Random, &mut random)?;
/// let top = &outcome.eigenpairs[0];
/// assert!(outcome.converged);
/// assert!((top.eigenvalue - 4.0).abs() <= top.residual + 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lanczos {
    config: LanczosConfig,
}

impl Lanczos {
    /// A solver with these settings; they are checked when it runs.
    pub fn new(config: LanczosConfig) -> Self {
        Self { config }
    }

    /// Memory that a run on an operator of dimension `dim` can take at most, in bytes: the basis, a candidate and
    /// the eigenvectors.
    pub fn memory_bytes(&self, dim: usize) -> u64 {
        let num_vectors = self.config.max_products.min(dim) as u64 + 1 + self.config.num_eigenpairs as u64;
        num_vectors.saturating_mul(dim as u64).saturating_mul(size_of::<f64>() as u64)
    }

    /// Runs on `operator`. `random` gives the cold start, the random part of a warm start, and new directions
    /// after an invariant subspace.
    ///
    /// # Errors
    /// [`LanczosError`] for settings out of range, a start vector of the wrong length or without direction, and
    /// products that fail or are not finite. Not converging is no error.
    pub fn run<O: LinearOperator + ?Sized>(
        &self,
        operator: &mut O,
        start: StartVector<'_>,
        random: &mut RandomStream,
    ) -> Result<LanczosOutcome, LanczosError<O::Error>> {
        let dim = operator.dim();
        self.check(dim)?;
        let mut process = KrylovProcess::new(start_direction(start, dim, random)?);
        loop {
            process.step(operator)?;
            if process.len() >= self.config.max_products.min(dim) || self.is_settled(&process)? {
                break;
            }
            if process.is_invariant() && !process.restart(random) {
                break;
            }
        }
        Ok(self.outcome(&process)?)
    }

    fn check<E: std::error::Error + 'static>(&self, dim: usize) -> Result<(), LanczosError<E>> {
        let LanczosConfig { num_eigenpairs, max_products, tolerance, .. } = self.config;
        let refuse = |setting, got, expected| Err(LanczosError::Setting { setting, got, expected });
        if dim == 0 {
            Err(LanczosError::EmptyOperator)
        } else if num_eigenpairs == 0 || num_eigenpairs > dim {
            refuse("num_eigenpairs", num_eigenpairs as f64, "from 1 to the dimension of the operator")
        } else if max_products < num_eigenpairs {
            refuse("max_products", max_products as f64, "at least num_eigenpairs")
        } else if !(tolerance >= 0.0 && tolerance.is_finite()) {
            refuse("tolerance", tolerance, "a finite number of at least 0")
        } else {
            Ok(())
        }
    }

    /// Whether more products could not change the answer beyond the tolerance.
    fn is_settled(&self, process: &KrylovProcess) -> Result<bool, TridiagonalError> {
        let wanted = self.config.num_eigenpairs;
        if process.is_invariant() {
            // Each invariant subspace holds one copy of a repeated eigenvalue.
            return Ok(process.num_invariant() >= wanted);
        }
        if process.len() < wanted + NUM_EXTRA_PRODUCTS {
            return Ok(false);
        }
        let tridiagonal = process.tridiagonal()?;
        // After a restart the best that the growing subspace has to offer must be known as well.
        if !self.looks_converged(process, &tridiagonal, wanted)?
            || !self.looks_converged(process, &tridiagonal.starting_at(process.block_start()), 1)?
        {
            return Ok(false);
        }
        let pairs = self.wanted_pairs(&tridiagonal, Rows::All, wanted)?;
        Ok(pairs.iter().all(|(value, s)| self.accepts(process, *value, process.residual(*value, s))))
    }

    /// The test on |β_m s_m| alone, which needs no eigenvectors.
    fn looks_converged(
        &self,
        process: &KrylovProcess,
        tridiagonal: &Tridiagonal,
        wanted: usize,
    ) -> Result<bool, TridiagonalError> {
        let pairs = self.wanted_pairs(tridiagonal, Rows::Last, wanted)?;
        let beta = process.last_beta();
        Ok(pairs.iter().all(|(value, last)| self.accepts(process, *value, (beta * last[0]).abs())))
    }

    fn accepts(&self, process: &KrylovProcess, eigenvalue: f64, residual: f64) -> bool {
        residual <= (self.config.tolerance * eigenvalue.abs()).max(process.rounding_level())
    }

    /// The `wanted` outermost eigenvalues of T with the asked components of their eigenvectors.
    fn wanted_pairs(
        &self,
        tridiagonal: &Tridiagonal,
        rows: Rows,
        wanted: usize,
    ) -> Result<Vec<(f64, Vec<f64>)>, TridiagonalError> {
        let mut pairs: Vec<_> =
            tridiagonal.eigenpairs(rows)?.into_iter().map(|pair| (pair.eigenvalue, pair.components)).collect();
        if self.config.which == Which::SmallestAlgebraic {
            pairs.reverse();
        }
        pairs.truncate(wanted);
        Ok(pairs)
    }

    fn outcome(&self, process: &KrylovProcess) -> Result<LanczosOutcome, TridiagonalError> {
        let tridiagonal = process.tridiagonal()?;
        let eigenpairs: Vec<TopEigenpair> = self
            .wanted_pairs(&tridiagonal, Rows::All, self.config.num_eigenpairs)?
            .into_iter()
            .map(|(eigenvalue, mut components)| {
                if components[0] < 0.0 {
                    components.iter_mut().for_each(|s| *s = -*s);
                }
                let residual = process.residual(eigenvalue, &components);
                TopEigenpair { eigenvalue, eigenvector: process.combine(&components), residual }
            })
            .collect();
        Ok(LanczosOutcome {
            converged: eigenpairs.len() == self.config.num_eigenpairs
                && eigenpairs.iter().all(|pair| self.accepts(process, pair.eigenvalue, pair.residual)),
            eigenpairs,
            num_products: process.len() as u64,
            ritz_values: tridiagonal.eigenvalues()?,
            tridiagonal,
            symmetry_defect: process.symmetry_defect(),
        })
    }
}

/// Products spent at least, beyond one for each wanted eigenpair.
///
/// The residual alone would stop a warm start at once, also when another eigenvalue has overtaken the old one: the
/// start vector is still nearly an eigenvector. Three more products amplify the random part of the start enough
/// (with eigenvalues 1.2 and 1 above a bulk within 0 to 0.6, dimension 400, tolerance 10⁻²: the new top is found
/// after 28 measurements with one more product, 7 with two, 2.4 with three).
const NUM_EXTRA_PRODUCTS: usize = 3;

/// Norm of the random part of a warm start, relative to the vector given.
const WARM_RANDOM_FRACTION: f64 = 1e-3;

fn start_direction<E: std::error::Error + 'static>(
    start: StartVector<'_>,
    dim: usize,
    random: &mut RandomStream,
) -> Result<Vec<f64>, LanczosError<E>> {
    match start {
        StartVector::Random => {
            let mut direction = vec![0.0; dim];
            random.fill_normal(&mut direction);
            Ok(direction)
        }
        StartVector::Warm(vector) => Ok(perturbed(vector, checked_start_norm(vector, dim)?, random)),
    }
}

/// vector/`norm` with a random part of 10⁻³: signs, which cost a fraction of what normal numbers do.
pub(crate) fn perturbed(vector: &[f64], norm: f64, random: &mut RandomStream) -> Vec<f64> {
    let mut direction = vec![0.0; vector.len()];
    random.fill_rademacher(&mut direction);
    let size = WARM_RANDOM_FRACTION / (vector.len() as f64).sqrt();
    for (entry, x) in direction.iter_mut().zip(vector) {
        *entry = size * *entry + x / norm;
    }
    direction
}

/// ‖v‖ of a start vector that has the right length and a direction.
pub(crate) fn checked_start_norm<E: std::error::Error + 'static>(
    vector: &[f64],
    dim: usize,
) -> Result<f64, LanczosError<E>> {
    if vector.len() != dim {
        return Err(LanczosError::StartLength { got: vector.len(), expected: dim });
    }
    let norm = kernels::norm(vector);
    if norm > 0.0 && norm.is_finite() { Ok(norm) } else { Err(LanczosError::StartNorm { norm }) }
}
