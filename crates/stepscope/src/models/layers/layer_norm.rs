//! Layer normalisation.

use burn::Tensor;
use burn::module::{Module, Param};

use super::normalise::{scale_and_shift, standardise};
use crate::models::init::WeightInit;
use crate::models::{Dual, Pass};

/// y = γ (x − m) / √(s² + ε) + β, with m and s² over the last axis of x; ε = 10⁻⁵.
///
/// Every example, and every token, by itself: the same in training and evaluation. Differentiated through, in the tangent
/// as in the gradient. Source: Ba et al. 2016.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// γ, `[features]`, at first 1.
    pub gamma: Param<Tensor<1>>,
    /// β, `[features]`, at first 0.
    pub beta: Param<Tensor<1>>,
}

impl LayerNorm {
    /// A layer over that many features.
    pub fn new(features: usize, init: &WeightInit) -> Self {
        Self { gamma: init.constant([features], 1.0), beta: init.zeros([features]) }
    }

    /// The layer applied to `x`, `[..., features]`.
    pub fn forward<const D: usize>(&self, x: Dual<D>, pass: &Pass) -> Dual<D> {
        let shape = x.value.dims();
        let features = shape[D - 1];
        let rows = shape.iter().take(D - 1).product::<usize>();
        let values = standardise(x.linear(|x| x.reshape([1, rows, features]))).values;
        scale_and_shift(values, &self.gamma, &self.beta, [1, 1, features], pass).linear(|y| y.reshape(shape))
    }
}
