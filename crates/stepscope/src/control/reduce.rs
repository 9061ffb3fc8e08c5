//! Several ranks that take one step.

use crate::models::{ParamLayout, ParamTensors};

/// The mean over the ranks of a data-parallel training, taken before anything is decided.
///
/// Every rank holds the same weights and its own batches. Losses and gradients go through here before a direction, a fit
/// or a refusal is made of them, so that all ranks decide alike; a rank that decided on its own numbers would leave the
/// others behind. Every rank calls the method equally often, with equally many numbers.
///
/// [`OneRank`] is the identity. Source: `line-search`, section 6.6.
pub trait Reduce {
    /// Replaces every number by its mean over the ranks, the same on all of them to the last bit.
    fn mean_over_ranks(&mut self, numbers: &mut [f64]);

    /// Number of ranks.
    fn num_ranks(&self) -> usize;
}

/// A training on one device: the mean over ranks is the number itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct OneRank;

impl Reduce for OneRank {
    fn mean_over_ranks(&mut self, _numbers: &mut [f64]) {}

    fn num_ranks(&self) -> usize {
        1
    }
}

/// The mean gradient over the ranks, in the order and on the device of `layout`.
pub(super) fn reduce_gradient(reduce: &mut dyn Reduce, gradient: ParamTensors, layout: &ParamLayout) -> ParamTensors {
    let mut numbers = layout.vector(&gradient);
    reduce.mean_over_ranks(&mut numbers);
    layout.tensors(&numbers)
}
