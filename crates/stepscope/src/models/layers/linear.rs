//! The fully connected layer.

use burn::Tensor;
use burn::module::{Module, Param};

use crate::models::init::WeightInit;
use crate::models::{Dual, Pass};

/// y = x W + b, with x `[batch, inputs]`, W `[inputs, outputs]`, b `[outputs]`.
///
/// Tangent: ẏ = ẋ W + x Ẇ + ḃ.
#[derive(Module, Debug)]
pub struct Linear {
    /// W, `[inputs, outputs]`.
    pub weight: Param<Tensor<2>>,
    /// b, `[outputs]`.
    pub bias: Param<Tensor<1>>,
}

impl Linear {
    /// A layer with weights drawn from `init` and zero bias.
    pub fn new(inputs: usize, outputs: usize, init: &mut WeightInit) -> Self {
        Self { weight: init.weight([inputs, outputs], inputs, outputs), bias: init.zeros([outputs]) }
    }

    /// The layer applied to `x` of shape `[batch, inputs]`.
    pub fn forward(&self, x: Dual<2>, pass: &Pass) -> Dual<2> {
        let product = Dual::bilinear(x, pass.param(&self.weight), Tensor::matmul);
        product.plus_broadcast(pass.param(&self.bias).linear(Tensor::unsqueeze))
    }
}

impl Dual<2> {
    /// Adds a row to every row; a tangent of the row alone is spread over the batch.
    fn plus_broadcast(self, row: Dual<2>) -> Self {
        let tangent = match (self.tangent, row.tangent) {
            (Some(a), Some(b)) => Some(a + b),
            (None, Some(b)) => Some(b.expand(self.value.shape())),
            (a, None) => a,
        };
        Self { value: self.value + row.value, tangent }
    }
}
