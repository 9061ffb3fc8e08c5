//! Explicit data: a kernel (or features) with targets, its spectrum, and the closure that fits it.

use faer::{Mat, Side};
use stepscope_types::Spectrum;

use crate::error::TheoryError;
use crate::model::{Closure, QuadraticModel};

/// Eigenvalues below this share of the largest are rounding errors of the decomposition.
const RANK_TOLERANCE: f64 = 1e-13;

/// N examples of a linear model f(x) = ⟨w, ψ(x)⟩ through their kernel K = ΨΨᵀ and initial residual f(x_i) − y_i.
///
/// L = ‖residual‖²/(2N); A = K/N has the eigenvalues λ_k of the Hessian, and λ_k C_k = ⟨residual, u_k⟩²/N
/// (`loss-prediction`, section 1). The decomposition costs O(N³) once.
#[derive(Debug, Clone)]
pub struct KernelData {
    eigenvalues: Vec<f64>,
    /// u_k in the columns, by descending eigenvalue.
    pub(crate) eigenvectors: Mat<f64>,
    pub(crate) kernel: Mat<f64>,
    pub(crate) residual: Vec<f64>,
}

impl KernelData {
    /// From ψ(x_i) in rows (`features`, row-major, `residual.len()` rows) and the initial residuals f(x_i) − y_i.
    ///
    /// # Errors
    /// [`TheoryError::Length`] unless the entries divide into rows; [`TheoryError::Number`] for entries that are not finite;
    /// [`TheoryError::NoPositiveEigenvalue`] for features that are all zero.
    pub fn from_features(features: &[f64], residual: &[f64]) -> Result<Self, TheoryError> {
        let rows = residual.len();
        let columns = features.len() / rows.max(1);
        if rows * columns != features.len() || columns == 0 {
            return Err(TheoryError::Length { what: "features", expected: rows * columns.max(1), got: features.len() });
        }
        finite("feature", features)?;
        let matrix = Mat::from_fn(rows, columns, |i, j| features[i * columns + j]);
        Self::new(&matrix * matrix.transpose(), residual)
    }

    /// From the kernel itself (row-major, symmetric) and the initial residuals f(x_i) − y_i.
    ///
    /// # Errors
    /// [`TheoryError::Length`] unless the kernel is square with one row a residual; [`TheoryError::Number`] for entries that
    /// are not finite; [`TheoryError::NoPositiveEigenvalue`].
    pub fn from_kernel(kernel: &[f64], residual: &[f64]) -> Result<Self, TheoryError> {
        let size = residual.len();
        if kernel.len() != size * size {
            return Err(TheoryError::Length { what: "kernel", expected: size * size, got: kernel.len() });
        }
        finite("kernel entry", kernel)?;
        let symmetric = Mat::from_fn(size, size, |i, j| 0.5 * (kernel[i * size + j] + kernel[j * size + i]));
        Self::new(symmetric, residual)
    }

    fn new(kernel: Mat<f64>, residual: &[f64]) -> Result<Self, TheoryError> {
        finite("residual", residual)?;
        let size = residual.len();
        let decomposition =
            kernel.self_adjoint_eigen(Side::Lower).map_err(|_| TheoryError::NoDecomposition { size })?;
        // faer orders ascending.
        let ascending = decomposition.S().column_vector();
        let largest = if size == 0 { f64::NAN } else { ascending[size - 1] / size as f64 };
        if largest.is_nan() || largest <= 0.0 {
            return Err(TheoryError::NoPositiveEigenvalue { largest });
        }
        let clean = |value: f64| if value > RANK_TOLERANCE * largest { value } else { 0.0 };
        let eigenvalues = (0..size).map(|k| clean(ascending[size - 1 - k] / size as f64)).collect();
        let vectors = decomposition.U();
        let eigenvectors = Mat::from_fn(size, size, |i, k| vectors[(i, size - 1 - k)]);
        Ok(Self { eigenvalues, eigenvectors, kernel, residual: residual.to_vec() })
    }

    /// N.
    pub fn num_examples(&self) -> usize {
        self.residual.len()
    }

    /// λ_k, descending; zeros past the rank.
    pub fn eigenvalues(&self) -> &[f64] {
        &self.eigenvalues
    }

    /// ⟨residual, u_k⟩ for every k.
    pub(crate) fn projections(&self) -> Vec<f64> {
        let size = self.num_examples();
        (0..size).map(|k| (0..size).map(|i| self.eigenvectors[(i, k)] * self.residual[i]).sum()).collect()
    }

    /// λ_k with C_k = ⟨residual, u_k⟩²/(Nλ_k); modes past the rank have λ = C = 0.
    ///
    /// # Errors
    /// None in practice: the numbers were checked when the data was read.
    pub fn spectrum(&self) -> Result<Spectrum, TheoryError> {
        let count = self.num_examples() as f64;
        let projections = self.projections();
        let coefficient = |(l, p): (&f64, &f64)| if *l > 0.0 { p * p / (count * l) } else { 0.0 };
        let coefficients = self.eigenvalues.iter().zip(&projections).map(coefficient).collect();
        Spectrum::new(self.eigenvalues.clone(), coefficients).map_err(|_| TheoryError::Number {
            name: "residual",
            expected: "small enough for its square to be a number",
            got: projections.iter().copied().fold(0.0, f64::max),
        })
    }

    /// The quadratic model of the data under a closure.
    ///
    /// The part of the residual that no weights reach is the loss floor; its mean square σ² = 2·floor is left as additive
    /// noise σ²H (exact where the leftover residual is unrelated to the features).
    ///
    /// # Errors
    /// As [`QuadraticModel::interpolating`].
    pub fn model(&self, closure: Closure) -> Result<QuadraticModel, TheoryError> {
        let count = self.num_examples() as f64;
        let beyond: f64 =
            self.eigenvalues.iter().zip(self.projections()).filter(|(l, _)| **l == 0.0).map(|(_, p)| p * p).sum();
        let floor = 0.5 * beyond / count;
        QuadraticModel::interpolating(&self.spectrum()?, closure)?.with_loss_floor(floor)?.with_label_noise(2.0 * floor)
    }

    /// Fits (τ1, τ2) to the fourth moments W_kl = N Σ_i u_ik² u_il², of which the closure says τ1 off the diagonal and
    /// 1 + τ1 − τ2 on it, with weights λ_k λ_l: the top modes decide (`loss-prediction`, section 1). O(N³).
    pub fn fit_closure(&self) -> ClosureFit {
        let size = self.num_examples();
        let squares = Mat::from_fn(size, size, |i, k| self.eigenvectors[(i, k)] * self.eigenvectors[(i, k)]);
        let moments = squares.transpose() * &squares;
        let (mut off, mut off_weight, mut diagonal, mut diagonal_weight) = (0.0, 0.0, 0.0, 0.0);
        for (l, &mu) in self.eigenvalues.iter().enumerate() {
            for (k, &lambda) in self.eigenvalues.iter().enumerate() {
                let (weight, value) = (lambda * mu, moments[(k, l)] * size as f64);
                if k == l {
                    diagonal += weight * value;
                    diagonal_weight += weight;
                } else {
                    off += weight * value;
                    off_weight += weight;
                }
            }
        }
        let diagonal = diagonal / diagonal_weight;
        let tau1 = if off_weight > 0.0 { off / off_weight } else { diagonal };
        ClosureFit { tau1, tau2: 1.0 + tau1 - diagonal }
    }
}

/// (τ1, τ2) fitted to data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClosureFit {
    /// τ1, at least 0.
    pub tau1: f64,
    /// τ2; may exceed τ1 by the error of the fit.
    pub tau2: f64,
}

impl ClosureFit {
    /// The nearest closure with a noise variance that is never negative: τ2 is lowered to τ1 where it exceeds it.
    pub fn closure(self) -> Result<Closure, TheoryError> {
        Closure::new(self.tau1, self.tau2.min(self.tau1))
    }
}

fn finite(name: &'static str, values: &[f64]) -> Result<(), TheoryError> {
    match values.iter().find(|value| !value.is_finite()) {
        Some(&got) => Err(TheoryError::Number { name, expected: "finite", got }),
        None => Ok(()),
    }
}
