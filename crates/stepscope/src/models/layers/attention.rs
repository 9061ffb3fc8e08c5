//! Multi-head softmax attention.

use burn::Tensor;
use burn::module::Module;

use super::{Linear, softmax};
use crate::models::init::WeightInit;
use crate::models::{Dual, Pass};

/// Every token attends to every token: for each head, softmax(Q Kᵀ / √d) V with Q, K, V linear in the tokens and d the
/// width of a head; the heads side by side go through a last linear layer.
///
/// Tangents follow from those of the products and of the softmax. Source: Vaswani et al. 2017.
#[derive(Module, Debug)]
pub struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    heads: usize,
}

impl Attention {
    /// A layer over tokens of `width` features with that many heads, which must divide the width.
    pub fn new(width: usize, heads: usize, init: &mut WeightInit) -> Self {
        let mut linear = || Linear::new(width, width, init);
        Self { query: linear(), key: linear(), value: linear(), output: linear(), heads }
    }

    /// The layer applied to `x`, `[batch, tokens, width]`.
    pub fn forward(&self, x: Dual<3>, pass: &Pass) -> Dual<3> {
        let [batch, tokens, width] = x.value.dims();
        let per_head = width / self.heads;
        // [batch, heads, tokens, per_head]
        let split = |layer: &Linear| {
            let rows = layer.forward_tokens(x.clone(), pass);
            rows.linear(|x| x.reshape([batch, tokens, self.heads, per_head]).swap_dims(1, 2))
        };
        let (query, key, value) = (split(&self.query), split(&self.key), split(&self.value));
        let query = query.linear(|query| query.mul_scalar(1.0 / (per_head as f64).sqrt()));
        let scores = Dual::bilinear(query, key.linear(|key| key.swap_dims(2, 3)), Tensor::matmul);
        let mixed: Dual<4> = Dual::bilinear(softmax::softmax(scores), value, Tensor::matmul);
        let joined = mixed.linear(|x| x.swap_dims(1, 2).reshape([batch, tokens, width]));
        self.output.forward_tokens(joined, pass)
    }
}
