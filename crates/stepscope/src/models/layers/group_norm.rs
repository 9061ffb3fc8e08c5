//! Group normalisation.

use burn::Tensor;
use burn::module::{Module, Param};

use super::normalise::{by_channel, scale_and_shift, standardise};
use crate::models::init::WeightInit;
use crate::models::{Dual, Pass};

/// y = γ (x − m) / √(s² + ε) + β, with m and s² over one example's group of neighbouring channels, and γ, β a channel's;
/// ε = 10⁻⁵. One group is layer normalisation of an image.
///
/// Examples stay independent: the same in training and evaluation. Differentiated through, in the tangent as in the
/// gradient. Source: Wu and He 2018.
#[derive(Module, Debug)]
pub struct GroupNorm {
    /// γ, `[channels]`, at first 1.
    pub gamma: Param<Tensor<1>>,
    /// β, `[channels]`, at first 0.
    pub beta: Param<Tensor<1>>,
    groups: usize,
}

impl GroupNorm {
    /// A layer over `channels` in at most `groups` groups of equal size: the largest number up to `groups` that divides
    /// the channels.
    pub fn new(groups: usize, channels: usize, init: &WeightInit) -> Self {
        let groups = (1..=groups.max(1)).rev().find(|&groups| channels.is_multiple_of(groups)).unwrap_or(1);
        Self { gamma: init.constant([channels], 1.0), beta: init.zeros([channels]), groups }
    }

    /// Number of groups.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// The layer applied to `x`, `[batch, channels]` or `[batch, channels, rows, columns]`.
    pub fn forward<const D: usize>(&self, x: Dual<D>, pass: &Pass) -> Dual<D> {
        let shape = x.value.dims();
        let x = by_channel(x);
        let [batch, channels, rest] = x.value.dims();
        let rows = batch * self.groups;
        let values = standardise(x.linear(|x| x.reshape([1, rows, channels / self.groups * rest]))).values;
        let values = values.linear(|x| x.reshape([batch, channels, rest]));
        scale_and_shift(values, &self.gamma, &self.beta, [1, channels, 1], pass).linear(|y| y.reshape(shape))
    }
}
