//! The Lanczos process: an orthonormal Krylov basis, grown by one product at a time.

use stepscope_types::SpectrumError;
use thiserror::Error;

use crate::kernels;
use crate::operator::{LinearOperator, ProductError, checked_apply};
use crate::random::RandomStream;
use crate::tridiagonal::{Tridiagonal, TridiagonalError};

/// Why a Krylov method gave no result. Running out of products is not among the reasons: it is a result.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum LanczosError<E: std::error::Error + 'static> {
    /// A product failed or was not finite.
    #[error(transparent)]
    Product(#[from] ProductError<E>),
    /// The operator has no rows.
    #[error("the operator has dimension 0: there is nothing to measure")]
    EmptyOperator,
    /// A setting outside its range.
    #[error("{setting} is {got}, expected {expected}")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// The value given.
        got: f64,
        /// The range.
        expected: &'static str,
    },
    /// The start vector has the wrong length.
    #[error("the start vector has {got} entries, the operator {expected} rows")]
    StartLength {
        /// Entries given.
        got: usize,
        /// Rows of the operator.
        expected: usize,
    },
    /// The start vector has no direction.
    #[error("the start vector has norm {norm}: it must be finite and not zero")]
    StartNorm {
        /// ‖v‖ of the vector given.
        norm: f64,
    },
    /// The projected problem was not solved.
    #[error(transparent)]
    Projected(#[from] TridiagonalError),
    /// Nodes and weights are no spectrum: the square of the start vector's norm overflowed.
    #[error(transparent)]
    Spectrum(#[from] SpectrumError),
}

/// Q = (q_1 ... q_m) orthonormal, A Q = Q H + β q_{m+1} e_mᵀ, H upper Hessenberg.
///
/// For a symmetric operator H is tridiagonal to rounding. The entries that should vanish are kept: they show an
/// operator that is not symmetric, and with them the residuals are exact for any operator.
pub(crate) struct KrylovProcess {
    basis: Vec<Vec<f64>>,
    /// Column j: q_iᵀ A q_j for i ≤ j.
    columns: Vec<Vec<f64>>,
    /// Entry below the diagonal of column j; zero where the subspace turned out to be invariant.
    betas: Vec<f64>,
    /// The direction for the next product; none where the subspace is invariant.
    next: Option<Vec<f64>>,
    /// The largest ‖A q_j‖, a lower bound of ‖A‖.
    operator_norm: f64,
    /// First column of the subspace that is growing now.
    block_start: usize,
    /// Invariant subspaces completed.
    num_invariant: usize,
}

impl KrylovProcess {
    /// A process whose first basis vector is `start`, a vector of finite non-zero norm, made a unit vector.
    pub(crate) fn new(mut start: Vec<f64>) -> Self {
        let norm = kernels::norm(&start);
        kernels::divide(&mut start, norm);
        Self {
            basis: Vec::new(),
            columns: Vec::new(),
            betas: Vec::new(),
            next: Some(start),
            operator_norm: 0.0,
            block_start: 0,
            num_invariant: 0,
        }
    }

    /// Number of basis vectors, which is the number of products spent.
    pub(crate) fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether the subspace is invariant, so that the next step needs a new direction.
    pub(crate) fn is_invariant(&self) -> bool {
        self.next.is_none()
    }

    pub(crate) fn num_invariant(&self) -> usize {
        self.num_invariant
    }

    pub(crate) fn block_start(&self) -> usize {
        self.block_start
    }

    /// β_m: how far A Q leaves the subspace.
    pub(crate) fn last_beta(&self) -> f64 {
        self.betas.last().copied().unwrap_or_default()
    }

    /// Norms below this are rounding errors of products and inner products.
    pub(crate) fn rounding_level(&self) -> f64 {
        rounding_level(self.basis.first().map_or(0, Vec::len), self.operator_norm)
    }

    /// Adds the next direction to the basis: one product. Nothing happens where the subspace is invariant.
    pub(crate) fn step<O: LinearOperator + ?Sized>(&mut self, operator: &mut O) -> Result<(), ProductError<O::Error>> {
        let Some(direction) = self.next.take() else { return Ok(()) };
        let mut image = vec![0.0; direction.len()];
        let product = self.len() as u64 + 1;
        let norm = checked_apply(operator, &direction, &mut image, product)?;
        self.operator_norm = self.operator_norm.max(norm);
        self.basis.push(direction);
        let rest = kernels::orthogonalise(&self.basis, 2, &mut image, norm);
        self.columns.push(rest.coefficients);
        if self.basis.len() == image.len() || rest.norm <= self.rounding_level() {
            self.betas.push(0.0);
            self.num_invariant += 1;
        } else {
            self.betas.push(rest.norm);
            kernels::divide(&mut image, rest.norm);
            self.next = Some(image);
        }
        Ok(())
    }

    /// Goes on from an invariant subspace with a random direction orthogonal to it; false where there is none
    /// because the basis spans the whole space.
    pub(crate) fn restart(&mut self, random: &mut RandomStream) -> bool {
        let dim = self.basis.first().map_or(0, Vec::len);
        if self.basis.len() >= dim {
            return false;
        }
        let mut direction = vec![0.0; dim];
        // One draw is enough but for a probability below 10⁻⁷.
        for _draw in 0..4 {
            random.fill_normal(&mut direction);
            let norm = kernels::norm(&direction);
            let rest = kernels::orthogonalise(&self.basis, 0, &mut direction, norm).norm;
            // A draw that lies almost inside the subspace would not be orthogonal to it after two passes.
            if rest > 1e-8 * norm {
                kernels::divide(&mut direction, rest);
                self.block_start = self.basis.len();
                self.next = Some(direction);
                return true;
            }
        }
        false
    }

    /// α and β: the projected operator.
    pub(crate) fn tridiagonal(&self) -> Result<Tridiagonal, TridiagonalError> {
        let diagonal = self.columns.iter().filter_map(|column| column.last().copied()).collect();
        Tridiagonal::new(diagonal, self.betas.split_last().map_or(Vec::new(), |(_, betas)| betas.to_vec()))
    }

    /// Q s, a vector of the full space.
    pub(crate) fn combine(&self, coefficients: &[f64]) -> Vec<f64> {
        let mut vector = vec![0.0; self.basis.first().map_or(0, Vec::len)];
        kernels::add_combination(&self.basis, coefficients, &mut vector);
        vector
    }

    /// ‖A Q s − λ Q s‖ = √(‖(H − λ) s‖² + (β s_m)²) for a unit vector s.
    pub(crate) fn residual(&self, eigenvalue: f64, coefficients: &[f64]) -> f64 {
        let mut rest: Vec<f64> = coefficients.iter().map(|s| -eigenvalue * s).collect();
        for (index, (column, &s)) in self.columns.iter().zip(coefficients).enumerate() {
            kernels::add_scaled(&mut rest[..=index], s, column);
            if let Some(below) = rest.get_mut(index + 1) {
                *below += self.betas[index] * s;
            }
        }
        rest.push(self.last_beta() * coefficients.last().copied().unwrap_or_default());
        kernels::norm(&rest)
    }

    /// ‖H − Hᵀ‖_F / ‖H‖_F: 0 to rounding where the operator is symmetric.
    pub(crate) fn symmetry_defect(&self) -> f64 {
        let (mut entries, mut differences) = (Vec::new(), Vec::new());
        for (j, column) in self.columns.iter().enumerate() {
            entries.extend_from_slice(column);
            for (i, entry) in column.iter().enumerate().take(j) {
                let mirrored = if i + 1 == j { self.betas[i] } else { 0.0 };
                entries.push(mirrored);
                differences.push(entry - mirrored);
            }
        }
        let scale = kernels::norm(&entries);
        if scale == 0.0 { 0.0 } else { std::f64::consts::SQRT_2 * kernels::norm(&differences) / scale }
    }
}

/// Norms below this are rounding errors of products with an operator of this norm.
///
/// A product of dimension n carries an error of about √n ε‖A‖ if its terms round independently.
pub(crate) fn rounding_level(dim: usize, operator_norm: f64) -> f64 {
    (10.0 + (dim as f64).sqrt()) * f64::EPSILON * operator_norm
}
