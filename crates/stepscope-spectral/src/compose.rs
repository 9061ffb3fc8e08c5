//! Operators made from operators: sums, scalings, shifts, blocks, preconditioned and low-rank ones.

use std::marker::PhantomData;
use std::ops::Range;

use thiserror::Error;

use crate::kernels;
use crate::operator::LinearOperator;

/// Operators that do not fit together.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ComposeError {
    /// Two dimensions that must be equal are not.
    #[error("{what} has dimension {got}, the operator {expected}: they must be equal")]
    Dimension {
        /// What does not fit.
        what: &'static str,
        /// Its dimension.
        got: usize,
        /// The dimension needed.
        expected: usize,
    },
    /// An index range that leaves the operator, is empty, or overlaps or precedes the one before it.
    #[error(
        "range {start}..{end} is not allowed in an operator of dimension {dim}: ranges must be ascending, not empty and apart"
    )]
    Range {
        /// First index.
        start: usize,
        /// Index after the last.
        end: usize,
        /// Dimension of the whole operator.
        dim: usize,
    },
    /// A factor that is NaN, infinite, or not positive where it must be.
    #[error("{what} {index} is {value}, expected {expected}")]
    Factor {
        /// What the number is.
        what: &'static str,
        /// Its index.
        index: usize,
        /// The number.
        value: f64,
        /// The range.
        expected: &'static str,
    },
}

fn check_dim(what: &'static str, got: usize, expected: usize) -> Result<(), ComposeError> {
    if got == expected { Ok(()) } else { Err(ComposeError::Dimension { what, got, expected }) }
}

/// a·A + σ·I: scaling (weight of a term) and shift (weight decay adds σ to every eigenvalue).
///
/// ```
/// use stepscope_spectral::{Affine, DenseOperator, LinearOperator};
/// // Curvature of the loss plus weight decay 0.1.
/// let mut decayed = Affine::new(DenseOperator::new(1, vec![3.0])?, 1.0, 0.1)?;
/// let mut output = [0.0];
/// decayed.apply(&[2.0], &mut output)?;
/// assert_eq!(output, [6.2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Affine<A> {
    operator: A,
    factor: f64,
    shift: f64,
}

impl<A: LinearOperator> Affine<A> {
    /// `factor`·A + `shift`·I.
    ///
    /// # Errors
    /// [`ComposeError::Factor`] for numbers that are not finite.
    pub fn new(operator: A, factor: f64, shift: f64) -> Result<Self, ComposeError> {
        for (index, value) in [factor, shift].into_iter().enumerate() {
            if !value.is_finite() {
                let what = "coefficient";
                return Err(ComposeError::Factor { what, index, value, expected: "a finite number" });
            }
        }
        Ok(Self { operator, factor, shift })
    }
}

impl<A: LinearOperator> LinearOperator for Affine<A> {
    type Error = A::Error;
    fn dim(&self) -> usize {
        self.operator.dim()
    }
    fn apply(&mut self, input: &[f64], output: &mut [f64]) -> Result<(), A::Error> {
        self.operator.apply(input, output)?;
        for (out, x) in output.iter_mut().zip(input) {
            *out = self.factor * *out + self.shift * x;
        }
        Ok(())
    }
}

/// A + B. A product costs one of each.
#[derive(Debug, Clone)]
pub struct Sum<A, B> {
    left: A,
    right: B,
    image: Vec<f64>,
}

impl<A: LinearOperator, B: LinearOperator<Error = A::Error>> Sum<A, B> {
    /// The sum of two operators of one dimension and one error type.
    ///
    /// # Errors
    /// [`ComposeError::Dimension`] for different dimensions.
    pub fn new(left: A, right: B) -> Result<Self, ComposeError> {
        check_dim("the second operator", right.dim(), left.dim())?;
        let image = vec![0.0; left.dim()];
        Ok(Self { left, right, image })
    }
}

impl<A: LinearOperator, B: LinearOperator<Error = A::Error>> LinearOperator for Sum<A, B> {
    type Error = A::Error;
    fn dim(&self) -> usize {
        self.left.dim()
    }
    fn apply(&mut self, input: &[f64], output: &mut [f64]) -> Result<(), A::Error> {
        self.left.apply(input, output)?;
        self.right.apply(input, &mut self.image)?;
        kernels::add_scaled(output, 1.0, &self.image);
        Ok(())
    }
}

/// The diagonal block of A on some of its indices: the curvature of a layer, or of the layers of one kind.
///
/// A product costs one of A: the input is zero elsewhere, and what comes out elsewhere is dropped.
///
/// ```
/// use stepscope_spectral::{DenseOperator, LinearOperator, Restricted};
/// let matrix = DenseOperator::new(3, vec![1.0, 2.0, 3.0, 2.0, 5.0, 6.0, 3.0, 6.0, 9.0])?;
/// let mut block = Restricted::new(matrix, vec![0..1, 2..3])?;
/// let mut output = [0.0; 2];
/// block.apply(&[1.0, 1.0], &mut output)?;
/// assert_eq!(output, [4.0, 12.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Restricted<A> {
    operator: A,
    ranges: Vec<Range<usize>>,
    input: Vec<f64>,
    output: Vec<f64>,
}

impl<A: LinearOperator> Restricted<A> {
    /// The block on the indices in `ranges`, which are ascending, not empty and do not overlap.
    ///
    /// # Errors
    /// [`ComposeError::Range`].
    pub fn new(operator: A, ranges: Vec<Range<usize>>) -> Result<Self, ComposeError> {
        let dim = operator.dim();
        let mut allowed_from = 0;
        for range in &ranges {
            if range.start < allowed_from || range.start >= range.end || range.end > dim {
                return Err(ComposeError::Range { start: range.start, end: range.end, dim });
            }
            allowed_from = range.end;
        }
        Ok(Self { operator, ranges, input: vec![0.0; dim], output: vec![0.0; dim] })
    }

    /// A vector of the block as one of the whole space, zero outside.
    pub fn embed(&self, vector: &[f64]) -> Vec<f64> {
        let mut whole = vec![0.0; self.input.len()];
        embed(&self.ranges, vector, &mut whole);
        whole
    }
}

fn embed(ranges: &[Range<usize>], mut block: &[f64], whole: &mut [f64]) {
    for range in ranges {
        let (now, later) = block.split_at(range.len().min(block.len()));
        whole[range.clone()][..now.len()].copy_from_slice(now);
        block = later;
    }
}

impl<A: LinearOperator> LinearOperator for Restricted<A> {
    type Error = A::Error;
    fn dim(&self) -> usize {
        self.ranges.iter().map(Range::len).sum()
    }
    fn apply(&mut self, input: &[f64], output: &mut [f64]) -> Result<(), A::Error> {
        // What is outside the ranges was zero at the start and is never written.
        embed(&self.ranges, input, &mut self.input);
        self.operator.apply(&self.input, &mut self.output)?;
        let kept = self.ranges.iter().flat_map(|range| &self.output[range.clone()]);
        output.iter_mut().zip(kept).for_each(|(out, x)| *out = *x);
        Ok(())
    }
}

/// D^{1/2} A D^{1/2} for a positive diagonal D: what a step of x ← x − η D g feels.
///
/// D A has the same eigenvalues and is not symmetric; this is. For Adam d_i = 1/(√v_i + ε), for a learning rate of its
/// own in each layer d_i is that rate, for plain SGD 1. An eigenvector w here is the direction D^{1/2} w of the
/// parameters ([`Preconditioned::direction`]). Heavy-ball momentum β moves the threshold of η λ_max from 2 to 2(1 + β)
/// and leaves the operator as it is. Source: `curvature`, section 4.7.
#[derive(Debug, Clone)]
pub struct Preconditioned<A> {
    operator: A,
    roots: Vec<f64>,
    input: Vec<f64>,
}

impl<A: LinearOperator> Preconditioned<A> {
    /// The operator with the diagonal `diagonal` of D: positive finite numbers, one a row.
    ///
    /// # Errors
    /// [`ComposeError`] for a wrong number of entries and entries out of range.
    pub fn new(operator: A, diagonal: &[f64]) -> Result<Self, ComposeError> {
        check_dim("the diagonal", diagonal.len(), operator.dim())?;
        if let Some((index, &value)) = diagonal.iter().enumerate().find(|(_, d)| !(**d > 0.0 && d.is_finite())) {
            let expected = "a positive finite number";
            return Err(ComposeError::Factor { what: "diagonal entry", index, value, expected });
        }
        let roots: Vec<f64> = diagonal.iter().map(|d| d.sqrt()).collect();
        Ok(Self { operator, input: vec![0.0; roots.len()], roots })
    }

    /// D^{1/2} w: the direction in parameter space of a vector of this operator.
    pub fn direction(&self, vector: &[f64]) -> Vec<f64> {
        vector.iter().zip(&self.roots).map(|(x, root)| x * root).collect()
    }
}

impl<A: LinearOperator> LinearOperator for Preconditioned<A> {
    type Error = A::Error;
    fn dim(&self) -> usize {
        self.roots.len()
    }
    fn apply(&mut self, input: &[f64], output: &mut [f64]) -> Result<(), A::Error> {
        for ((x, given), root) in self.input.iter_mut().zip(input).zip(&self.roots) {
            *x = given * root;
        }
        self.operator.apply(&self.input, output)?;
        for (out, root) in output.iter_mut().zip(&self.roots) {
            *out *= root;
        }
        Ok(())
    }
}

/// Σ_k c_k u_k u_kᵀ: subtracts a mean gradient from an uncentred covariance (c = −1, u = g), or a known eigenpair.
///
/// A product costs 4·dim·k operations. `E` is the error type of the operator it is to be summed with; none occurs.
#[derive(Debug, Clone)]
pub struct LowRank<E> {
    coefficients: Vec<f64>,
    vectors: Vec<Vec<f64>>,
    dim: usize,
    error: PhantomData<E>,
}

impl<E> LowRank<E> {
    /// The operator of dimension `dim` from (c_k, u_k).
    ///
    /// # Errors
    /// [`ComposeError`] for a vector of another length and coefficients that are not finite.
    pub fn new(dim: usize, terms: Vec<(f64, Vec<f64>)>) -> Result<Self, ComposeError> {
        for (index, (value, vector)) in terms.iter().enumerate() {
            check_dim("a vector", vector.len(), dim)?;
            if !value.is_finite() {
                let expected = "a finite number";
                return Err(ComposeError::Factor { what: "coefficient", index, value: *value, expected });
            }
        }
        let (coefficients, vectors) = terms.into_iter().unzip();
        Ok(Self { coefficients, vectors, dim, error: PhantomData })
    }
}

impl<E: std::error::Error + 'static> LinearOperator for LowRank<E> {
    type Error = E;
    fn dim(&self) -> usize {
        self.dim
    }
    fn apply(&mut self, input: &[f64], output: &mut [f64]) -> Result<(), E> {
        output.fill(0.0);
        for (coefficient, vector) in self.coefficients.iter().zip(&self.vectors) {
            kernels::add_scaled(output, coefficient * kernels::dot(vector, input), vector);
        }
        Ok(())
    }
}
