//! A symmetric matrix that is stored: for small problems, and as the twin of matrix-free operators in tests.

use std::convert::Infallible;

use thiserror::Error;

use crate::kernels;
use crate::operator::LinearOperator;
use crate::random::RandomStream;

/// A symmetric matrix with all its entries. Memory: dim² numbers; a product costs 2 dim² operations.
///
/// ```
/// use stepscope_spectral::{DenseOperator, LinearOperator};
/// let mut matrix = DenseOperator::new(2, vec![2.0, 1.0, 1.0, 0.0])?;
/// let mut output = [0.0; 2];
/// matrix.apply(&[1.0, 3.0], &mut output)?;
/// assert_eq!(output, [5.0, 1.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct DenseOperator {
    dim: usize,
    entries: Vec<f64>,
}

/// Entries that are no symmetric matrix.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum DenseOperatorError {
    /// The number of entries is not dim².
    #[error("a matrix of {dim} rows needs {dim}² entries, got {got}")]
    Length {
        /// Number of rows asked for.
        dim: usize,
        /// Number of entries given.
        got: usize,
    },
    /// An entry is NaN or infinite.
    #[error("entry ({row}, {column}) is {value}: entries must be finite")]
    NotFinite {
        /// Row, from 0.
        row: usize,
        /// Column, from 0.
        column: usize,
        /// The entry.
        value: f64,
    },
    /// The matrix differs from its transpose.
    #[error("entry ({row}, {column}) is {value} but entry ({column}, {row}) is {mirrored}: they must be equal")]
    NotSymmetric {
        /// Row, from 0.
        row: usize,
        /// Column, from 0.
        column: usize,
        /// The entry.
        value: f64,
        /// The entry on the other side of the diagonal.
        mirrored: f64,
    },
}

impl DenseOperator {
    /// A matrix from its entries, row by row.
    ///
    /// # Errors
    /// [`DenseOperatorError`] for a wrong number of entries, entries that are not finite, and asymmetry in any bit.
    pub fn new(dim: usize, entries: Vec<f64>) -> Result<Self, DenseOperatorError> {
        if dim.checked_mul(dim) != Some(entries.len()) {
            return Err(DenseOperatorError::Length { dim, got: entries.len() });
        }
        for row in 0..dim {
            for column in 0..=row {
                let (value, mirrored) = (entries[row * dim + column], entries[column * dim + row]);
                if !value.is_finite() {
                    return Err(DenseOperatorError::NotFinite { row, column, value });
                }
                if value != mirrored {
                    return Err(DenseOperatorError::NotSymmetric { row, column, value, mirrored });
                }
            }
        }
        Ok(Self { dim, entries })
    }

    /// A random matrix with the given eigenvalues: P diag(λ) Pᵀ, P a product of dim − 1 random Householder
    /// reflections, which makes its columns uniformly distributed directions.
    ///
    /// Cost: 4 dim³ operations.
    ///
    /// # Errors
    /// [`DenseOperatorError::NotFinite`] where an eigenvalue is not finite.
    pub fn with_eigenvalues(eigenvalues: &[f64], random: &mut RandomStream) -> Result<Self, DenseOperatorError> {
        let dim = eigenvalues.len();
        let mut matrix = Self { dim, entries: vec![0.0; dim * dim] };
        for (index, &value) in eigenvalues.iter().enumerate() {
            matrix.entries[index * dim + index] = value;
        }
        let mut direction = vec![0.0; dim];
        for _ in 1..dim {
            random.fill_normal(&mut direction);
            matrix.reflect(&direction);
        }
        for row in 0..dim {
            for column in 0..row {
                matrix.entries[column * dim + row] = matrix.entries[row * dim + column];
            }
        }
        Self::new(dim, matrix.entries)
    }

    /// A ← R A R with R = I − 2uuᵀ/‖u‖².
    ///
    /// With w = Au·2/‖u‖² and κ = uᵀw/‖u‖² this is A − uzᵀ − zuᵀ, z = w − κu.
    fn reflect(&mut self, direction: &[f64]) {
        let squared = kernels::dot(direction, direction);
        let mut correction: Vec<f64> =
            self.entries.chunks_exact(self.dim).map(|row| 2.0 * kernels::dot(row, direction) / squared).collect();
        let along = kernels::dot(direction, &correction) / squared;
        kernels::add_scaled(&mut correction, -along, direction);
        for (index, row) in self.entries.chunks_exact_mut(self.dim).enumerate() {
            kernels::add_scaled(row, -direction[index], &correction);
            kernels::add_scaled(row, -correction[index], direction);
        }
    }

    /// The entries, row by row.
    pub fn entries(&self) -> &[f64] {
        &self.entries
    }
}

impl LinearOperator for DenseOperator {
    type Error = Infallible;

    fn dim(&self) -> usize {
        self.dim
    }

    fn apply(&mut self, input: &[f64], output: &mut [f64]) -> Result<(), Infallible> {
        // `chunks_exact` refuses a width of 0, which an empty matrix has.
        for (out, row) in output.iter_mut().zip(self.entries.chunks_exact(self.dim.max(1))) {
            *out = kernels::dot(row, input);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_symmetric_matrix_is_refused_with_its_place() {
        assert_eq!(DenseOperator::new(2, vec![1.0; 3]), Err(DenseOperatorError::Length { dim: 2, got: 3 }));
        assert_eq!(
            DenseOperator::new(2, vec![1.0, 2.0, 3.0, 1.0]),
            Err(DenseOperatorError::NotSymmetric { row: 1, column: 0, value: 3.0, mirrored: 2.0 })
        );
        assert!(matches!(
            DenseOperator::new(1, vec![f64::NAN]),
            Err(DenseOperatorError::NotFinite { row: 0, column: 0, .. })
        ));
        assert!(DenseOperator::new(0, vec![]).is_ok());
    }

    #[test]
    fn a_matrix_made_from_eigenvalues_has_their_power_sums_as_traces() {
        let eigenvalues: Vec<f64> = (0..20).map(|k| f64::from(k) - 7.5).collect();
        let matrix = DenseOperator::with_eigenvalues(&eigenvalues, &mut RandomStream::new(4, 0)).unwrap();
        let dim = eigenvalues.len();
        let mut power = matrix.entries.clone();
        for exponent in 1..6 {
            let trace: f64 = (0..dim).map(|k| power[k * dim + k]).sum();
            let expected: f64 = eigenvalues.iter().map(|v| v.powi(exponent)).sum();
            let scale: f64 = eigenvalues.iter().map(|v| v.abs().powi(exponent)).sum();
            assert!((trace - expected).abs() < 1e-12 * scale, "power {exponent}: {trace} {expected}");
            // The matrix is symmetric, so its rows are its columns.
            power = power
                .chunks(dim)
                .flat_map(|row| matrix.entries.chunks(dim).map(|column| kernels::dot(row, column)).collect::<Vec<_>>())
                .collect();
        }
        let off_diagonal = (0..dim * dim).filter(|k| k / dim != k % dim && matrix.entries[*k].abs() > 1e-3).count();
        assert!(off_diagonal > dim * dim / 2, "the eigenvectors are not the axes");
    }
}
