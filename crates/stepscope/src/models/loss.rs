//! Cross-entropy, value and tangent.

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
