//! Softmax and its logarithm.

use burn::tensor::activation;

use crate::models::Dual;

/// pᵢ = exp zᵢ / Σⱼ exp zⱼ along the last axis. Tangent: ṗ = p (ż − ⟨p, ż⟩).
pub fn softmax<const D: usize>(z: Dual<D>) -> Dual<D> {
    let value = activation::softmax(z.value, D - 1);
    let tangent = z.tangent.map(|tangent| {
        let mean = (value.clone() * tangent.clone()).sum_dim(D - 1);
        value.clone() * (tangent - mean)
    });
    Dual { value, tangent }
}

/// log p along the last axis. Tangent: ż − ⟨p, ż⟩.
pub fn log_softmax<const D: usize>(z: Dual<D>) -> Dual<D> {
    let value = activation::log_softmax(z.value, D - 1);
    let tangent = z.tangent.map(|tangent| {
        let mean = (value.clone().exp() * tangent.clone()).sum_dim(D - 1);
        tangent - mean
    });
    Dual { value, tangent }
}
