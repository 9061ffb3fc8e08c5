//! Eigenvalues of a symmetric tridiagonal matrix, with the rows of the eigenvector matrix that are asked for.
//!
//! Lanczos needs three different things of the same small problem: last components at every step (the residuals),
//! first components (quadrature weights), whole eigenvectors once at the end. Implicit QR works on the rows of the
//! eigenvector matrix one by one, so the first two cost O(m²) instead of O(m³), which general eigensolvers do not
//! offer.

/// A symmetric tridiagonal matrix T: what a symmetric operator is in a Krylov basis.
///
/// ```
/// use stepscope_spectral::Tridiagonal;
/// // The second difference of length 2 has the eigenvalues 2 ± 1.
/// let matrix = Tridiagonal::new(vec![2.0, 2.0], vec![-1.0])?;
/// let eigenvalues = matrix.eigenvalues()?;
/// assert!((eigenvalues[0] - 3.0).abs() < 1e-15 && (eigenvalues[1] - 1.0).abs() < 1e-15);
/// # Ok::<(), stepscope_spectral::TridiagonalError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Tridiagonal {
    diagonal: Vec<f64>,
    off_diagonal: Vec<f64>,
}

/// Why a tridiagonal problem was refused or not solved.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TridiagonalError {
    /// The two bands do not fit each other.
    #[error("a diagonal of {diagonal} entries needs one off-diagonal entry less, got {off_diagonal}")]
    Lengths {
        /// Entries of the diagonal given.
        diagonal: usize,
        /// Entries beside the diagonal given.
        off_diagonal: usize,
    },
    /// An entry is NaN or infinite.
    #[error("row {row} of the tridiagonal matrix holds {value}: entries must be finite")]
    NotFinite {
        /// Row, from 0.
        row: usize,
        /// The entry.
        value: f64,
    },
    /// The iteration did not separate an eigenvalue. Not known to happen for entries within 1e±150 of each other.
    #[error(
        "the eigenvalue in row {row} of the tridiagonal matrix did not separate within {iterations} iterations: \
         rescale the operator towards 1"
    )]
    NoConvergence {
        /// Row at which the iteration stood.
        row: usize,
        /// Iterations spent on it.
        iterations: usize,
    },
}

/// Which rows of the matrix of eigenvectors to compute.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rows {
    /// None: eigenvalues alone.
    None,
    /// First components.
    First,
    /// Last components.
    Last,
    /// Whole eigenvectors.
    All,
}

/// An eigenvalue with the asked components of its unit eigenvector.
#[derive(Debug, Clone)]
pub(crate) struct TridiagonalPair {
    pub(crate) eigenvalue: f64,
    pub(crate) components: Vec<f64>,
}

/// Iterations allowed for one eigenvalue; two or three are usual.
const MAX_ITERATIONS: usize = 60;

impl Tridiagonal {
    /// A matrix from its diagonal and the band beside it (one entry less; none for an empty diagonal).
    ///
    /// # Errors
    /// [`TridiagonalError`] for lengths that do not fit and entries that are not finite.
    pub fn new(diagonal: Vec<f64>, off_diagonal: Vec<f64>) -> Result<Self, TridiagonalError> {
        if off_diagonal.len() != diagonal.len().saturating_sub(1) {
            return Err(TridiagonalError::Lengths { diagonal: diagonal.len(), off_diagonal: off_diagonal.len() });
        }
        for band in [&diagonal, &off_diagonal] {
            if let Some((row, &value)) = band.iter().enumerate().find(|(_, value)| !value.is_finite()) {
                return Err(TridiagonalError::NotFinite { row, value });
            }
        }
        Ok(Self { diagonal, off_diagonal })
    }

    /// The diagonal: α of Lanczos.
    pub fn diagonal(&self) -> &[f64] {
        &self.diagonal
    }

    /// The band beside the diagonal: β of Lanczos. A zero separates two invariant subspaces.
    pub fn off_diagonal(&self) -> &[f64] {
        &self.off_diagonal
    }

    /// Number of rows.
    pub fn dim(&self) -> usize {
        self.diagonal.len()
    }

    /// All eigenvalues, descending, each to a few rounding errors of ‖T‖. O(dim²).
    ///
    /// # Errors
    /// [`TridiagonalError::NoConvergence`].
    pub fn eigenvalues(&self) -> Result<Vec<f64>, TridiagonalError> {
        Ok(self.eigenpairs(Rows::None)?.into_iter().map(|pair| pair.eigenvalue).collect())
    }

    /// The part of the matrix from `row` on.
    pub(crate) fn starting_at(&self, row: usize) -> Self {
        Self {
            diagonal: self.diagonal.get(row..).unwrap_or_default().to_vec(),
            off_diagonal: self.off_diagonal.get(row..).unwrap_or_default().to_vec(),
        }
    }

    /// All eigenvalues, descending, with the asked rows of the eigenvector matrix.
    ///
    /// Implicit QR with Wilkinson's shift (Golub and Van Loan 2013, section 8.3).
    pub(crate) fn eigenpairs(&self, rows: Rows) -> Result<Vec<TridiagonalPair>, TridiagonalError> {
        let dim = self.dim();
        let mut work = Iteration {
            diagonal: self.diagonal.clone(),
            off_diagonal: self.off_diagonal.clone(),
            columns: (0..dim).map(|column| unit_column(column, dim, rows)).collect(),
        };
        let mut end = dim.saturating_sub(1);
        let mut iterations = 0;
        while end > 0 {
            let start = work.start_of_block(end);
            if start == end {
                end -= 1;
                iterations = 0;
            } else if iterations == MAX_ITERATIONS {
                return Err(TridiagonalError::NoConvergence { row: end, iterations });
            } else {
                work.sweep(start, end);
                iterations += 1;
            }
        }
        let mut pairs: Vec<TridiagonalPair> = work
            .diagonal
            .into_iter()
            .zip(work.columns)
            .map(|(eigenvalue, components)| TridiagonalPair { eigenvalue, components })
            .collect();
        pairs.sort_by(|a, b| b.eigenvalue.total_cmp(&a.eigenvalue));
        Ok(pairs)
    }
}

/// Column number `column` of the identity, restricted to the asked rows.
fn unit_column(column: usize, dim: usize, rows: Rows) -> Vec<f64> {
    let entry = |row: usize| if row == column { 1.0 } else { 0.0 };
    match rows {
        Rows::None => Vec::new(),
        Rows::First => vec![entry(0)],
        Rows::Last => vec![entry(dim - 1)],
        Rows::All => (0..dim).map(entry).collect(),
    }
}

/// The matrix on its way to diagonal form, and the product of the rotations so far.
struct Iteration {
    diagonal: Vec<f64>,
    off_diagonal: Vec<f64>,
    columns: Vec<Vec<f64>>,
}

impl Iteration {
    /// First row of the unreduced block that ends at row `end`; the entry above it is set to zero.
    fn start_of_block(&mut self, end: usize) -> usize {
        for row in (0..end).rev() {
            let neighbours = self.diagonal[row].abs() + self.diagonal[row + 1].abs();
            if self.off_diagonal[row].abs() <= f64::EPSILON * neighbours {
                self.off_diagonal[row] = 0.0;
                return row + 1;
            }
        }
        0
    }

    /// One QR step on rows `start`..=`end`: rotations chase a bulge down the band.
    fn sweep(&mut self, start: usize, end: usize) {
        // The shift is the eigenvalue of the trailing 2 x 2 block that is closer to its last entry.
        let half_difference = (self.diagonal[end - 1] - self.diagonal[end]) / 2.0;
        let corner = self.off_diagonal[end - 1];
        let far = half_difference + half_difference.hypot(corner).copysign(half_difference);
        let shift = self.diagonal[end] - corner * (corner / far);
        let (mut along, mut bulge) = (self.diagonal[start] - shift, self.off_diagonal[start]);
        for row in start..end {
            let length = along.hypot(bulge);
            if length == 0.0 {
                // The block has come apart at this row; the next search finds the zero.
                return;
            }
            let (cosine, sine) = (along / length, bulge / length);
            if row > start {
                self.off_diagonal[row - 1] = length;
            }
            let (upper, lower, side) = (self.diagonal[row], self.diagonal[row + 1], self.off_diagonal[row]);
            let difference = upper - lower;
            let transfer = sine * (2.0 * cosine * side - sine * difference);
            self.diagonal[row] = upper + transfer;
            self.diagonal[row + 1] = lower - transfer;
            self.off_diagonal[row] = (cosine - sine) * (cosine + sine) * side - cosine * sine * difference;
            along = self.off_diagonal[row];
            if row + 1 < end {
                bulge = sine * self.off_diagonal[row + 1];
                self.off_diagonal[row + 1] *= cosine;
            }
            self.rotate_columns(row, cosine, sine);
        }
    }

    fn rotate_columns(&mut self, column: usize, cosine: f64, sine: f64) {
        let (left, right) = self.columns.split_at_mut(column + 1);
        for (x, y) in left[column].iter_mut().zip(right[0].iter_mut()) {
            (*x, *y) = (cosine * *x + sine * *y, cosine * *y - sine * *x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{dot, norm};
    use crate::random::RandomStream;
    use proptest::prelude::*;
    use std::f64::consts::PI;

    fn second_difference(dim: usize) -> Tridiagonal {
        Tridiagonal::new(vec![2.0; dim], vec![-1.0; dim - 1]).unwrap()
    }

    /// T s.
    fn apply(matrix: &Tridiagonal, s: &[f64]) -> Vec<f64> {
        (0..s.len())
            .map(|row| {
                let above = if row > 0 { matrix.off_diagonal[row - 1] * s[row - 1] } else { 0.0 };
                let below = s.get(row + 1).map_or(0.0, |next| matrix.off_diagonal[row] * next);
                above + matrix.diagonal[row] * s[row] + below
            })
            .collect()
    }

    /// Checks T s = λ s for all pairs, orthonormality, order, and that single rows agree with whole vectors.
    fn check(matrix: &Tridiagonal) -> Result<(), TestCaseError> {
        let scale = norm(&[matrix.diagonal.clone(), matrix.off_diagonal.clone()].concat());
        let pairs = matrix.eigenpairs(Rows::All).unwrap();
        let (first, last) = (matrix.eigenpairs(Rows::First).unwrap(), matrix.eigenpairs(Rows::Last).unwrap());
        for (index, pair) in pairs.iter().enumerate() {
            let s = &pair.components;
            let rest: Vec<f64> =
                apply(matrix, s).iter().zip(s).map(|(image, component)| image - pair.eigenvalue * component).collect();
            prop_assert!(norm(&rest) <= 1e-13 * scale, "residual {} of {}", norm(&rest), pair.eigenvalue);
            for (other_index, other) in pairs.iter().enumerate() {
                let expected = if index == other_index { 1.0 } else { 0.0 };
                prop_assert!((dot(s, &other.components) - expected).abs() < 1e-13);
            }
            prop_assert_eq!(first[index].components[0], s[0]);
            prop_assert_eq!(last[index].components[0], s[s.len() - 1]);
        }
        prop_assert!(pairs.is_sorted_by(|a, b| a.eigenvalue >= b.eigenvalue));
        Ok(())
    }

    #[test]
    fn the_second_difference_has_its_closed_form_eigenpairs() {
        for dim in [1, 2, 3, 10, 100] {
            let pairs = second_difference(dim).eigenpairs(Rows::All).unwrap();
            let step = PI / (dim + 1) as f64;
            for (index, pair) in pairs.iter().enumerate() {
                let k = (dim - index) as f64;
                assert!((pair.eigenvalue - (2.0 - 2.0 * (k * step).cos())).abs() < 1e-13, "{dim} {index}");
                let expected: Vec<f64> = (1..=dim).map(|row| (k * step * row as f64).sin()).collect();
                let cosine = dot(&pair.components, &expected) / norm(&expected);
                assert!((cosine.abs() - 1.0).abs() < 1e-12, "{dim} {index}: {cosine}");
            }
        }
    }

    #[test]
    fn a_matrix_that_falls_apart_or_vanishes_is_solved() {
        let parts = Tridiagonal::new(vec![1.0, 1.0, 5.0, 1.0, 1.0], vec![1.0, 0.0, 0.0, 1.0]).unwrap();
        let eigenvalues = parts.eigenvalues().unwrap();
        for (value, expected) in eigenvalues.iter().zip([5.0, 2.0, 2.0, 0.0, 0.0]) {
            assert!((value - expected).abs() < 1e-15, "{eigenvalues:?}");
        }
        assert_eq!(Tridiagonal::new(vec![0.0; 4], vec![0.0; 3]).unwrap().eigenvalues().unwrap(), [0.0; 4]);
        assert_eq!(Tridiagonal::new(vec![], vec![]).unwrap().eigenvalues().unwrap(), [0.0; 0]);
    }

    #[test]
    fn bands_that_do_not_fit_or_are_not_finite_are_refused() {
        assert_eq!(
            Tridiagonal::new(vec![1.0, 2.0], vec![]),
            Err(TridiagonalError::Lengths { diagonal: 2, off_diagonal: 0 })
        );
        assert!(matches!(
            Tridiagonal::new(vec![1.0, 2.0], vec![f64::NAN]),
            Err(TridiagonalError::NotFinite { row: 0, .. })
        ));
    }

    proptest! {
        #[test]
        fn random_matrices_of_every_grading_are_solved(seed: u64, dim in 1_usize..30, grading in -4.0_f64..4.0) {
            let mut random = RandomStream::new(seed, 0);
            let mut entries = |len: usize| -> Vec<f64> {
                (0..len).map(|row| random.normal() * (grading * row as f64).exp2()).collect()
            };
            let (diagonal, off_diagonal) = (entries(dim), entries(dim - 1));
            check(&Tridiagonal::new(diagonal, off_diagonal).unwrap())?;
        }

        #[test]
        fn matrices_of_tiny_and_huge_entries_are_solved(seed: u64, exponent in -140_i32..140) {
            let mut random = RandomStream::new(seed, 0);
            let mut entries =
                |len: usize| -> Vec<f64> { (0..len).map(|_| random.normal() * 10_f64.powi(exponent)).collect() };
            let (diagonal, off_diagonal) = (entries(12), entries(11));
            check(&Tridiagonal::new(diagonal, off_diagonal).unwrap())?;
        }
    }
}
