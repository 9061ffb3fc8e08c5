//! Sums over vectors in weight space, on the host.

/// Σ_j a_j b_j.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// ‖v‖.
pub(super) fn norm(v: &[f64]) -> f64 {
    dot(v, v).sqrt()
}
