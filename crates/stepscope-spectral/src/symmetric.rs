//! All eigenpairs of a small symmetric matrix that is stored.
//!
//! Projected problems of restarted and block methods, and Gram matrices, are dense. Householder reflections bring them
//! to tridiagonal form, which [`Tridiagonal`] solves.

use crate::kernels;
use crate::tridiagonal::{Rows, Tridiagonal, TridiagonalError, TridiagonalPair};

/// All eigenpairs of the symmetric part of a matrix given row by row, eigenvalues descending, vectors orthonormal.
///
/// Cost: about 10 dim³ operations. Entries are scaled by the largest, so no square overflows.
pub(crate) fn symmetric_eigenpairs(
    dim: usize,
    entry: impl Fn(usize, usize) -> f64,
) -> Result<Vec<TridiagonalPair>, TridiagonalError> {
    let mut rows: Vec<Vec<f64>> =
        (0..dim).map(|i| (0..dim).map(|j| 0.5 * entry(i, j) + 0.5 * entry(j, i)).collect()).collect();
    let largest = rows.iter().flatten().fold(0.0, |largest: f64, x| if x.is_nan() { *x } else { largest.max(x.abs()) });
    // A power of two changes no bit of the mantissas.
    let scale = if largest > 0.0 && largest.is_finite() { largest.log2().floor().exp2() } else { 1.0 };
    rows.iter_mut().flatten().for_each(|x| *x /= scale);
    let reflections = tridiagonalise(&mut rows);
    let diagonal = (0..dim).map(|i| rows[i][i]).collect();
    let off_diagonal = (1..dim).map(|i| rows[i][i - 1]).collect();
    let mut pairs = Tridiagonal::new(diagonal, off_diagonal)?.eigenpairs(Rows::All)?;
    for pair in &mut pairs {
        pair.eigenvalue *= scale;
        for (column, reflection) in reflections.iter().enumerate().rev() {
            reflect(&mut pair.components[column + 1..], reflection);
        }
    }
    Ok(pairs)
}

/// x ← x − u (uᵀx) for a vector u with ‖u‖² = 2, or none where nothing is to be done.
fn reflect(x: &mut [f64], u: &[f64]) {
    if !u.is_empty() {
        let along = kernels::dot(u, x);
        kernels::add_scaled(x, -along, u);
    }
}

/// A ← HᵀAH tridiagonal; returns the reflection of each column, of length dim − column − 1 and squared length 2.
fn tridiagonalise(rows: &mut [Vec<f64>]) -> Vec<Vec<f64>> {
    let dim = rows.len();
    let mut reflections = Vec::new();
    for column in 0..dim.saturating_sub(2) {
        let mut u: Vec<f64> = (column + 1..dim).map(|row| rows[row][column]).collect();
        let length = kernels::norm(&u);
        if kernels::norm(&u[1..]) == 0.0 {
            reflections.push(Vec::new());
            continue;
        }
        let target = -length.copysign(u[0]);
        u[0] -= target;
        let to_unit = kernels::norm(&u) * std::f64::consts::FRAC_1_SQRT_2;
        kernels::divide(&mut u, to_unit);
        // With w = Au and κ = uᵀw/2 the block becomes A − uzᵀ − zuᵀ, z = w − κu.
        let mut z: Vec<f64> = rows[column + 1..].iter().map(|row| kernels::dot(&row[column + 1..], &u)).collect();
        let along = kernels::dot(&u, &z) / 2.0;
        kernels::add_scaled(&mut z, -along, &u);
        for (index, row) in rows[column + 1..].iter_mut().enumerate() {
            kernels::add_scaled(&mut row[column + 1..], -u[index], &z);
            kernels::add_scaled(&mut row[column + 1..], -z[index], &u);
            row[column] = if index == 0 { target } else { 0.0 };
        }
        reflections.push(u);
    }
    reflections
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::RandomStream;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn eigenpairs_satisfy_their_equation_and_are_orthonormal(
            seed: u64, dim in 1_usize..20, rank in 1_usize..20, exponent in -150_i32..150,
        ) {
            // A sum of `rank` outer products: singular where the rank is below the dimension.
            let mut random = RandomStream::new(seed, 0);
            let factor = 10_f64.powi(exponent);
            let vectors: Vec<Vec<f64>> = (0..rank)
                .map(|_| {
                    let mut vector = vec![0.0; dim];
                    random.fill_normal(&mut vector);
                    vector
                })
                .collect();
            let entry = |i: usize, j: usize| {
                let sign = |k: usize| if k.is_multiple_of(3) { -1.0 } else { 1.0 };
                let sum: f64 = vectors.iter().enumerate().map(|(k, v)| sign(k) * v[i] * v[j]).sum();
                factor * sum
            };
            let pairs = symmetric_eigenpairs(dim, entry).unwrap();
            let scale = pairs.iter().fold(0.0, |s: f64, pair| s.max(pair.eigenvalue.abs()));
            for (index, pair) in pairs.iter().enumerate() {
                for row in 0..dim {
                    let image: f64 = (0..dim).map(|j| entry(row, j) * pair.components[j]).sum();
                    prop_assert!((image - pair.eigenvalue * pair.components[row]).abs() <= 1e-12 * scale);
                }
                for (other_index, other) in pairs.iter().enumerate() {
                    let expected = if index == other_index { 1.0 } else { 0.0 };
                    prop_assert!((kernels::dot(&pair.components, &other.components) - expected).abs() < 1e-12);
                }
            }
            prop_assert!(pairs.is_sorted_by(|a, b| a.eigenvalue >= b.eigenvalue));
        }
    }

    #[test]
    fn entries_that_are_not_finite_are_refused_and_nothing_gives_nothing() {
        assert!(symmetric_eigenpairs(3, |_, _| f64::NAN).is_err());
        assert!(symmetric_eigenpairs(0, |_, _| 0.0).unwrap().is_empty());
        assert_eq!(symmetric_eigenpairs(3, |_, _| 0.0).unwrap()[0].eigenvalue, 0.0);
    }
}
