//! The fully connected layer.

use burn::Tensor;
use burn::module::{Module, Param};

use crate::backend::{Kept, dense};
use crate::models::dual::add;
use crate::models::init::WeightInit;
use crate::models::{Dual, Pass, Tap};

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
    /// A layer with weights drawn from `init`.
    pub fn new(inputs: usize, outputs: usize, init: &mut WeightInit) -> Self {
        Self { weight: init.weight([inputs, outputs], inputs, outputs), bias: init.bias([outputs], inputs) }
    }

    /// The layer applied to `x` of shape `[batch, inputs]`.
    pub fn forward(&self, x: Dual<2>, pass: &Pass) -> Dual<2> {
        self.apply(x, pass, 1)
    }

    fn apply(&self, x: Dual<2>, pass: &Pass, rows_per_example: usize) -> Dual<2> {
        let input = x.value.clone();
        let multiplications = self.weight.dims();
        pass.count(&x, input.dims()[0] * self.weight.shape().num_elements(), multiplications);
        let y = self.product(x, pass, multiplications) + pass.param(&self.bias).linear(Tensor::unsqueeze);
        let params = [self.weight.id, self.bias.id];
        pass.tap(&input, y, |input, zeros| Tap::Dense { params, input, zeros, rows_per_example })
    }

    /// x W. `multiplications`: as [`Pass::kept`] takes them.
    fn product(&self, x: Dual<2>, pass: &Pass, multiplications: [usize; 2]) -> Dual<2> {
        let kept = pass.kept(self.weight.id, &x.value, multiplications);
        let weight = pass.param(&self.weight);
        let multiply = |x, w, kept: &Kept| pass.multiply(x, w, |x, w| dense(x, w, kept));
        let from_input = x.tangent.map(|tangent| multiply(tangent, weight.value.clone(), &kept.tangent));
        let from_weight = weight.tangent.map(|tangent| multiply(x.value.clone(), tangent, &Kept::default()));
        Dual { value: multiply(x.value, weight.value, &kept.value), tangent: add(from_input, from_weight) }
    }

    /// The layer applied to every token of `x`, `[batch, tokens, inputs]`.
    pub fn forward_tokens(&self, x: Dual<3>, pass: &Pass) -> Dual<3> {
        let [batch, tokens, inputs] = x.value.dims();
        let rows = self.apply(x.linear(|x| x.reshape([batch * tokens, inputs])), pass, tokens);
        let outputs = rows.value.dims()[1];
        rows.linear(|y| y.reshape([batch, tokens, outputs]))
    }

    /// The layer with weights that are not trained: buffers, and not parameters, of the network.
    pub fn frozen(self) -> Self {
        Self { weight: self.weight.set_require_grad(false), bias: self.bias.set_require_grad(false) }
    }
}
