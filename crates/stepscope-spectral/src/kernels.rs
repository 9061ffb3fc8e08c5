//! The inner loops: dot products, norms, sums of vectors, and orthogonalisation against a basis.
//!
//! Every sum runs in an order that depends on the lengths alone, over fixed accumulators, so results are the same
//! bits on every call and the compiler can use the vector unit. A basis may be far larger than the caches
//! (100 vectors of a million numbers are 800 MB), so the loops over it go block by block: one sweep reads each
//! basis vector once while the block of the target stays in cache.

/// Accumulators of a sum: enough independent chains to hide the latency of an addition in wide registers.
const LANES: usize = 16;

/// Numbers of the target that one block holds: 16 KiB, half of a first-level cache.
const BLOCK: usize = 2048;

/// Σ_i a_i b_i. Slices of equal length.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    debug_assert_eq!(a.len(), b.len());
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (x, y) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    for ((sum, x), y) in sums.iter_mut().zip(a_rest).zip(b_rest) {
        *sum += x * y;
    }
    sums.iter().sum()
}

/// ‖v‖, also where the squares would overflow or underflow. NaN or infinite exactly if an entry is.
pub(crate) fn norm(v: &[f64]) -> f64 {
    norm_from_squared(dot(v, v), v)
}

/// ‖v‖ given Σ v_i², which is only trusted within the range in which no square was lost.
fn norm_from_squared(squared: f64, v: &[f64]) -> f64 {
    if (1e-280..1e300).contains(&squared) {
        return squared.sqrt();
    }
    if v.iter().any(|x| x.is_nan()) {
        return f64::NAN;
    }
    let largest = v.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    if largest == 0.0 || largest.is_infinite() {
        return largest;
    }
    largest * v.iter().map(|x| (x / largest).powi(2)).sum::<f64>().sqrt()
}

/// target ← target + factor·v. Slices of equal length.
pub(crate) fn add_scaled(target: &mut [f64], factor: f64, v: &[f64]) {
    debug_assert_eq!(target.len(), v.len());
    for (t, x) in target.iter_mut().zip(v) {
        *t += factor * x;
    }
}

/// v ← v / divisor.
pub(crate) fn divide(v: &mut [f64], divisor: f64) {
    for x in v {
        *x /= divisor;
    }
}

/// q_jᵀ target for every basis vector q_j, in one sweep over the basis.
pub(crate) fn project(basis: &[Vec<f64>], target: &[f64]) -> Vec<f64> {
    let mut coefficients = vec![0.0; basis.len()];
    for (index, block) in target.chunks(BLOCK).enumerate() {
        let start = index * BLOCK;
        for (coefficient, vector) in coefficients.iter_mut().zip(basis) {
            *coefficient += dot(&vector[start..start + block.len()], block);
        }
    }
    coefficients
}

/// target ← target + Σ_j coefficients_j q_j in one sweep over the basis; returns ‖target‖.
pub(crate) fn add_combination(basis: &[Vec<f64>], coefficients: &[f64], target: &mut [f64]) -> f64 {
    let mut squared = 0.0;
    for (index, block) in target.chunks_mut(BLOCK).enumerate() {
        let start = index * BLOCK;
        for (&coefficient, vector) in coefficients.iter().zip(basis) {
            add_scaled(block, coefficient, &vector[start..start + block.len()]);
        }
        squared += dot(block, block);
    }
    norm_from_squared(squared, target)
}

/// The first vectors of `basis` become Σ_j c_j q_j, one for each row of coefficients c (no more rows than vectors);
/// block by block, so that a few blocks are all the memory this takes.
pub(crate) fn replace_by_combinations(basis: &mut [Vec<f64>], coefficients: &[&[f64]]) {
    let len = basis.first().map_or(0, Vec::len);
    let mut blocks = vec![[0.0; BLOCK]; coefficients.len()];
    for start in (0..len).step_by(BLOCK) {
        let end = len.min(start + BLOCK);
        for (block, row) in blocks.iter_mut().zip(coefficients) {
            block.fill(0.0);
            for (&coefficient, vector) in row.iter().zip(&*basis) {
                add_scaled(&mut block[..end - start], coefficient, &vector[start..end]);
            }
        }
        for (vector, block) in basis.iter_mut().zip(&blocks) {
            vector[start..end].copy_from_slice(&block[..end - start]);
        }
    }
}

/// What is left of a vector, and what was taken from it.
pub(crate) struct Orthogonalised {
    /// q_jᵀ target for every basis vector, summed over the passes.
    pub(crate) coefficients: Vec<f64>,
    /// ‖target‖ afterwards.
    pub(crate) norm: f64,
}

/// Makes `target` orthogonal to an orthonormal basis to rounding, by classical Gram-Schmidt.
///
/// `norm_before` is ‖target‖ on entry. A pass that takes away more than it leaves (the norm drops by more than
/// 1/√2) amplifies rounding errors, so another pass follows; two are enough (Kahan; Parlett 1998, section 6.9).
/// What is known to be large is therefore taken out beforehand: the components along the last `num_expected`
/// vectors, two for the three-term recurrence of Lanczos. After that one full pass usually does.
///
/// Cost: two sweeps over the basis a full pass.
pub(crate) fn orthogonalise(
    basis: &[Vec<f64>],
    num_expected: usize,
    target: &mut [f64],
    norm_before: f64,
) -> Orthogonalised {
    let mut coefficients = vec![0.0; basis.len()];
    let mut norm = norm_before;
    for start in [basis.len().saturating_sub(num_expected), 0, 0] {
        let part = &basis[start..];
        let correction = project(part, target);
        let negated: Vec<f64> = correction.iter().map(|c| -c).collect();
        let norm_after = add_combination(part, &negated, target);
        add_scaled(&mut coefficients[start..], 1.0, &correction);
        let dropped = norm_after < norm * std::f64::consts::FRAC_1_SQRT_2;
        norm = norm_after;
        if start == 0 && !dropped {
            break;
        }
    }
    Orthogonalised { coefficients, norm }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::RandomStream;
    use proptest::prelude::*;

    fn normals(stream: &mut RandomStream, len: usize) -> Vec<f64> {
        let mut values = vec![0.0; len];
        stream.fill_normal(&mut values);
        values
    }

    proptest! {
        #[test]
        fn a_dot_product_of_small_integers_is_exact_at_every_length(len in 0_usize..200, seed: u64) {
            let mut stream = RandomStream::new(seed, 0);
            let (a, b): (Vec<f64>, Vec<f64>) =
                (0..len).map(|_| ((stream.next_word() % 100) as f64, (stream.next_word() % 100) as f64)).unzip();
            let expected: f64 = a.iter().zip(&b).map(|(x, y)| x * y).sum();
            prop_assert_eq!(dot(&a, &b), expected);
        }
    }

    #[test]
    fn norms_survive_huge_and_tiny_entries() {
        for scale in [1e-300, 1e-200, 1e-150, 1.0, 1e150, 1e200, 1e300] {
            let ratio = norm(&[3.0 * scale, -4.0 * scale, 0.0]) / scale;
            assert!((ratio - 5.0).abs() < 1e-14, "{scale}: {ratio}");
        }
        assert_eq!(norm(&[]), 0.0);
        assert_eq!(norm(&[0.0; 5]), 0.0);
    }

    #[test]
    fn a_norm_is_finite_exactly_if_every_entry_is() {
        assert!(norm(&[1.0, f64::NAN]).is_nan());
        assert!(norm(&[f64::NAN, 1.0]).is_nan());
        assert!(norm(&[f64::INFINITY, f64::NAN, 1.0]).is_nan());
        assert_eq!(norm(&[1.0, f64::NEG_INFINITY]), f64::INFINITY);
        assert!(norm(&[1e308, 1e307]).is_finite());
    }

    #[test]
    fn a_basis_longer_than_a_block_stays_orthonormal_although_its_vectors_nearly_coincide() {
        let len = 2 * BLOCK + 37;
        let mut stream = RandomStream::new(1, 0);
        let common = normals(&mut stream, len);
        let mut basis: Vec<Vec<f64>> = Vec::new();
        for num_expected in 0..8 {
            let mut vector = normals(&mut stream, len);
            divide(&mut vector, 1e9);
            add_scaled(&mut vector, 1.0, &common);
            let before = norm(&vector);
            let original = vector.clone();
            let result = orthogonalise(&basis, num_expected % 3, &mut vector, before);
            let mut rebuilt = vector.clone();
            add_combination(&basis, &result.coefficients, &mut rebuilt);
            add_scaled(&mut rebuilt, -1.0, &original);
            assert!(norm(&rebuilt) < 1e-14 * before, "the coefficients rebuild the vector");
            assert!((norm(&vector) - result.norm).abs() <= 1e-12 * result.norm);
            divide(&mut vector, result.norm);
            basis.push(vector);
        }
        for (i, a) in basis.iter().enumerate() {
            for (j, b) in basis.iter().enumerate() {
                let expected = if i == j { 1.0 } else { 0.0 };
                assert!((dot(a, b) - expected).abs() < 1e-14, "{i} {j}: {}", dot(a, b));
            }
        }
    }
}
