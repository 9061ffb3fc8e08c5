//! What the tests share: an independent eigensolver and random matrices.

use std::convert::Infallible;

use stepscope_spectral::random::RandomStream;
use stepscope_spectral::{ClosureOperator, DenseOperator, LinearOperator};
use stepscope_types::{Estimate, Uncertainty};

/// Σ a_i b_i, term by term.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// ‖Av − λv‖ from the entries of A.
pub(crate) fn residual(matrix: &DenseOperator, eigenvalue: f64, vector: &[f64]) -> f64 {
    matrix
        .entries()
        .chunks(vector.len())
        .zip(vector)
        .map(|(row, x)| (dot(row, vector) - eigenvalue * x).powi(2))
        .sum::<f64>()
        .sqrt()
}

/// A symmetric matrix of normal entries; its eigenvalues fill about ±2√dim.
pub(crate) fn normal_matrix(dim: usize, random: &mut RandomStream) -> DenseOperator {
    let mut entries = vec![0.0; dim * dim];
    for row in 0..dim {
        for column in 0..=row {
            let value = random.normal() * if row == column { std::f64::consts::SQRT_2 } else { 1.0 };
            entries[row * dim + column] = value;
            entries[column * dim + row] = value;
        }
    }
    DenseOperator::new(dim, entries).unwrap()
}

/// All eigenpairs (λ, v), λ descending, by Jacobi's rotations: shares no step with Lanczos or implicit QR.
pub(crate) fn jacobi_eigenpairs(matrix: &DenseOperator, dim: usize) -> Vec<(f64, Vec<f64>)> {
    let mut a: Vec<Vec<f64>> = matrix.entries().chunks(dim).map(<[f64]>::to_vec).collect();
    let mut vectors: Vec<Vec<f64>> = (0..dim).map(|i| (0..dim).map(|j| f64::from(i == j)).collect()).collect();
    for _sweep in 0..30 {
        for p in 0..dim {
            for q in p + 1..dim {
                let angle = 0.5 * (2.0 * a[p][q]).atan2(a[q][q] - a[p][p]);
                let (s, c) = angle.sin_cos();
                for row in a.iter_mut() {
                    (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                }
                for k in 0..dim {
                    (a[p][k], a[q][k]) = (c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]);
                    let (x, y) = (vectors[p][k], vectors[q][k]);
                    (vectors[p][k], vectors[q][k]) = (c * x - s * y, s * x + c * y);
                }
            }
        }
    }
    let mut pairs: Vec<(f64, Vec<f64>)> = vectors.into_iter().enumerate().map(|(k, v)| (a[k][k], v)).collect();
    pairs.sort_by(|x, y| y.0.total_cmp(&x.0));
    pairs
}

/// A few outliers above a bulk near zero with a negative tail, as a network's Hessian has.
pub(crate) fn outliers_and_bulk(outliers: &[f64], dim: usize) -> Vec<f64> {
    let bulk = (0..dim - outliers.len()).map(|k| 0.3 * (k as f64 / dim as f64).powi(3) - 0.05);
    outliers.iter().copied().chain(bulk).collect()
}

/// A diagonal matrix without the cost of a dense one.
pub(crate) fn diagonal(values: Vec<f64>) -> impl LinearOperator<Error = Infallible> {
    ClosureOperator::new(values.len(), move |input: &[f64], output: &mut [f64]| {
        for ((out, x), d) in output.iter_mut().zip(input).zip(&values) {
            *out = d * x;
        }
        Ok(())
    })
}

/// A matrix given row by row that need not be symmetric.
pub(crate) fn general(dim: usize, entries: Vec<f64>) -> impl LinearOperator<Error = Infallible> {
    ClosureOperator::new(dim, move |input: &[f64], output: &mut [f64]| {
        output.iter_mut().zip(entries.chunks(dim)).for_each(|(out, row)| *out = dot(row, input));
        Ok(())
    })
}

pub(crate) fn standard_error(estimate: &Estimate) -> f64 {
    match estimate.error {
        Uncertainty::StandardError(error) => error,
        other => panic!("{other:?}"),
    }
}
