//! What a matrix is to this crate: something that can be multiplied with a vector.

use thiserror::Error;

use crate::kernels;
use crate::random::RandomStream;

/// A symmetric real matrix A, known by its products with vectors.
///
/// Vectors are host slices of `f64` on purpose: a network may live in `f32` or on a device, but inner products and
/// projected problems are computed here, so that results do not depend on the device.
///
/// Symmetry is the implementor's promise; [`symmetry_defect`] checks it.
///
/// ```
/// use stepscope_spectral::LinearOperator;
/// /// A diagonal matrix.
/// struct Diagonal(Vec<f64>);
/// impl LinearOperator for Diagonal {
///     type Error = std::convert::Infallible;
///     fn dim(&self) -> usize {
///         self.0.len()
///     }
///     fn apply(&mut self, input: &[f64], output: &mut [f64]) -> Result<(), Self::Error> {
///         for ((out, x), d) in output.iter_mut().zip(input).zip(&self.0) {
///             *out = d * x;
///         }
///         Ok(())
///     }
/// }
/// let mut output = [0.0; 2];
/// Diagonal(vec![1.0, 2.0]).apply(&[3.0, 4.0], &mut output)?;
/// assert_eq!(output, [3.0, 8.0]);
/// # Ok::<(), std::convert::Infallible>(())
/// ```
pub trait LinearOperator {
    /// Why a product may fail.
    type Error: std::error::Error + 'static;

    /// Number of rows, which is the number of columns.
    fn dim(&self) -> usize;

    /// output ← A·input.
    ///
    /// Both slices have [`LinearOperator::dim`] entries when this crate calls. `output` must be overwritten: what
    /// it holds on entry is not specified.
    ///
    /// # Errors
    /// Whatever the operator's computation can run into.
    fn apply(&mut self, input: &[f64], output: &mut [f64]) -> Result<(), Self::Error>;
}

impl<O: LinearOperator + ?Sized> LinearOperator for &mut O {
    type Error = O::Error;
    fn dim(&self) -> usize {
        (**self).dim()
    }
    fn apply(&mut self, input: &[f64], output: &mut [f64]) -> Result<(), Self::Error> {
        (**self).apply(input, output)
    }
}

/// A product that could not be used. `product` counts from 1 within the call that reports it.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ProductError<E: std::error::Error + 'static> {
    /// The operator failed.
    #[error("matrix-vector product {product} failed")]
    Operator {
        /// Number of the product, from 1.
        product: u64,
        /// The operator's own error.
        source: E,
    },
    /// The operator returned a number that is not finite.
    #[error(
        "matrix-vector product {product} returned {value} at index {index}: the operator must return finite \
         numbers (a diverged network, or overflow in a narrow float type, gives such products)"
    )]
    NotFinite {
        /// Number of the product, from 1.
        product: u64,
        /// Index of the first such number.
        index: usize,
        /// That number.
        value: f64,
    },
}

/// A product with its result checked; returns ‖A·input‖.
pub(crate) fn checked_apply<O: LinearOperator + ?Sized>(
    operator: &mut O,
    input: &[f64],
    output: &mut [f64],
    product: u64,
) -> Result<f64, ProductError<O::Error>> {
    operator.apply(input, output).map_err(|source| ProductError::Operator { product, source })?;
    let norm = kernels::norm(output);
    match output.iter().enumerate().find(|(_, value)| !norm.is_finite() && !value.is_finite()) {
        Some((index, &value)) => Err(ProductError::NotFinite { product, index, value }),
        None => Ok(norm),
    }
}

/// An operator that counts its products.
///
/// ```
/// use stepscope_spectral::{Counted, DenseOperator, LinearOperator};
/// let mut counted = Counted::new(DenseOperator::new(1, vec![3.0])?);
/// counted.apply(&[1.0], &mut [0.0])?;
/// assert_eq!(counted.num_products(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Counted<O> {
    operator: O,
    num_products: u64,
}

impl<O: LinearOperator> Counted<O> {
    /// Wraps `operator` with the count at zero.
    pub fn new(operator: O) -> Self {
        Self { operator, num_products: 0 }
    }

    /// Products asked for so far, failed ones included.
    pub fn num_products(&self) -> u64 {
        self.num_products
    }

    /// The operator without its counter.
    pub fn into_inner(self) -> O {
        self.operator
    }
}

impl<O: LinearOperator> LinearOperator for Counted<O> {
    type Error = O::Error;
    fn dim(&self) -> usize {
        self.operator.dim()
    }
    fn apply(&mut self, input: &[f64], output: &mut [f64]) -> Result<(), Self::Error> {
        self.num_products += 1;
        self.operator.apply(input, output)
    }
}

/// A closure `(input, output) -> Result` as an operator.
///
/// ```
/// use stepscope_spectral::{ClosureOperator, LinearOperator};
/// let mut twice = ClosureOperator::new(2, |input: &[f64], output: &mut [f64]| {
///     for (out, x) in output.iter_mut().zip(input) {
///         *out = 2.0 * x;
///     }
///     Ok::<(), std::convert::Infallible>(())
/// });
/// let mut output = [0.0; 2];
/// twice.apply(&[1.0, 5.0], &mut output)?;
/// assert_eq!(output, [2.0, 10.0]);
/// # Ok::<(), std::convert::Infallible>(())
/// ```
#[derive(Debug, Clone)]
pub struct ClosureOperator<F> {
    dim: usize,
    product: F,
}

impl<F> ClosureOperator<F> {
    /// An operator of `dim` rows whose products are computed by `product`.
    pub fn new<E>(dim: usize, product: F) -> Self
    where
        F: FnMut(&[f64], &mut [f64]) -> Result<(), E>,
    {
        Self { dim, product }
    }
}

impl<F, E> LinearOperator for ClosureOperator<F>
where
    F: FnMut(&[f64], &mut [f64]) -> Result<(), E>,
    E: std::error::Error + 'static,
{
    type Error = E;
    fn dim(&self) -> usize {
        self.dim
    }
    fn apply(&mut self, input: &[f64], output: &mut [f64]) -> Result<(), E> {
        (self.product)(input, output)
    }
}

/// A sample of the relative asymmetry ‖A − Aᵀ‖_F / ‖A‖_F: 0 for a symmetric operator, rounding aside.
///
/// Formula: |uᵀAv − vᵀAu| / √(½(‖Au‖² + ‖Av‖²)) with u, v normal. The square of the numerator has the mean
/// ‖A − Aᵀ‖_F², that of the denominator ‖A‖_F², so the root mean square over draws is about the ratio; a single
/// draw is below a tenth of it once in twelve times, so draw again before trusting a small value.
///
/// Expect about 1e-15 for products in `f64` and 1e-6 in `f32`. A value of 1e-2 or more means that the products
/// are not those of one fixed symmetric matrix: dropout, batch statistics, a wrong derivative.
///
/// Cost: two products. Returns 0 for the zero operator and for dimension 0. Source: `curvature`, section 5.3, goal G9.
///
/// # Errors
/// [`ProductError`] where a product fails or is not finite.
pub fn symmetry_defect<O: LinearOperator + ?Sized>(
    operator: &mut O,
    random: &mut RandomStream,
) -> Result<f64, ProductError<O::Error>> {
    let dim = operator.dim();
    let (mut u, mut v) = (vec![0.0; dim], vec![0.0; dim]);
    random.fill_normal(&mut u);
    random.fill_normal(&mut v);
    let (mut image_of_u, mut image_of_v) = (vec![0.0; dim], vec![0.0; dim]);
    let norm_u = checked_apply(operator, &u, &mut image_of_u, 1)?;
    let norm_v = checked_apply(operator, &v, &mut image_of_v, 2)?;
    let scale = norm_u.hypot(norm_v) * std::f64::consts::FRAC_1_SQRT_2;
    if scale == 0.0 {
        return Ok(0.0);
    }
    Ok((kernels::dot(&u, &image_of_v) - kernels::dot(&v, &image_of_u)).abs() / scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// A general square matrix, row by row.
    fn general(dim: usize, entries: Vec<f64>) -> impl LinearOperator<Error = Infallible> {
        ClosureOperator::new(dim, move |input: &[f64], output: &mut [f64]| {
            for (out, row) in output.iter_mut().zip(entries.chunks(input.len().max(1))) {
                *out = kernels::dot(row, input);
            }
            Ok(())
        })
    }

    #[test]
    fn the_symmetry_defect_is_the_relative_asymmetry_in_the_root_mean_square() {
        let dim = 60;
        let mut random = RandomStream::new(2, 0);
        let mut entries = vec![0.0; dim * dim];
        random.fill_normal(&mut entries);
        let asymmetry: f64 = (0..dim * dim).map(|k| (entries[k] - entries[k % dim * dim + k / dim]).powi(2)).sum();
        let expected = (asymmetry / kernels::dot(&entries, &entries)).sqrt();
        let mut operator = general(dim, entries);
        let draws = 400;
        let mean_square = (0..draws).map(|_| symmetry_defect(&mut operator, &mut random).unwrap().powi(2)).sum::<f64>()
            / f64::from(draws);
        // χ² of 400 draws: 7 % standard error on the square.
        assert!((mean_square.sqrt() / expected - 1.0).abs() < 0.15, "{} {expected}", mean_square.sqrt());
    }

    #[test]
    fn a_symmetric_operator_has_no_defect_and_a_skew_one_has_a_large_one() {
        let mut random = RandomStream::new(3, 0);
        let symmetric = symmetry_defect(&mut general(2, vec![1.0, 2.0, 2.0, -1.0]), &mut random).unwrap();
        assert!(symmetric < 1e-14);
        let skew = symmetry_defect(&mut general(2, vec![0.0, 1.0, -1.0, 0.0]), &mut random).unwrap();
        assert!(skew > 0.1);
        assert_eq!(symmetry_defect(&mut general(2, vec![0.0; 4]), &mut random).unwrap(), 0.0);
        assert_eq!(symmetry_defect(&mut general(0, vec![]), &mut random).unwrap(), 0.0);
    }

    #[test]
    fn a_product_that_is_not_finite_is_named_by_its_number_and_index() {
        let mut calls = 0;
        let mut operator = ClosureOperator::new(3, |_: &[f64], output: &mut [f64]| {
            calls += 1;
            output.fill(1.0);
            output[1] = if calls == 2 { f64::NEG_INFINITY } else { 0.0 };
            Ok::<(), Infallible>(())
        });
        let error = symmetry_defect(&mut operator, &mut RandomStream::new(1, 0)).unwrap_err();
        assert_eq!(error, ProductError::NotFinite { product: 2, index: 1, value: f64::NEG_INFINITY });
        assert!(error.to_string().contains("product 2 returned -inf at index 1"), "{error}");
    }
}
