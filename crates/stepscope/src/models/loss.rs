//! The losses of examples, values and tangents.

use burn::Tensor;
use burn::tensor::{Int, activation::log_softmax};

use super::Dual;

/// −log p_y of every example, with p = softmax(z).
///
/// z: `logits` `[batch, classes]`; y: `labels` `[batch]`. Result `[batch]`, in nats. Tangent:
/// Σ_c p_c ż_c − ż_y.
pub fn cross_entropy(logits: Dual<2>, labels: Tensor<1, Int>) -> Dual<1> {
    let batch = logits.value.dims()[0];
    let labels = labels.reshape([batch, 1]);
    let log_probabilities = log_softmax(logits.value, 1);
    let value = log_probabilities.clone().gather(1, labels.clone()).neg().reshape([batch]);
    let tangent = logits.tangent.map(|tangent| {
        let mean = (log_probabilities.exp() * tangent.clone()).sum_dim(1);
        (mean - tangent.gather(1, labels)).reshape([batch])
    });
    Dual { value, tangent }
}

/// ½ ‖z − t‖² of every example.
///
/// z: `outputs` `[batch, outputs]`; t: `targets` of the same shape. Result `[batch]`. Tangent: ⟨z − t, ż⟩. The half makes the
/// Hessian of the mean over N examples JᵀJ/N, as in `loss-prediction`, section 1.
pub fn half_squared_distance(outputs: Dual<2>, targets: Tensor<2>) -> Dual<1> {
    let batch = outputs.value.dims()[0];
    let off = outputs.value - targets;
    let sum = |products: Tensor<2>| products.sum_dim(1).reshape([batch]);
    let tangent = outputs.tangent.map(|tangent| sum(off.clone() * tangent));
    Dual { value: sum(off.clone() * off) * 0.5, tangent }
}
