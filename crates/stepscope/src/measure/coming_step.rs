//! What the coming step computes anyway, lent to the probes before it is taken.

use std::fmt;

use crate::models::ParamTensors;

/// The batch of the step that comes next, and the gradient that the step will use: a probe that looks along the step then pays neither for
/// a batch nor for a gradient.
///
/// Only lent where the step evaluates the network in the mode that is measured in, and in the same numbers: then the losses are those
/// of the mode that a reading records.
pub trait ComingStep<N>: fmt::Debug {
    /// Examples of the batch.
    fn num_examples(&self) -> usize;

    /// L_B(θ) and its gradient. Computed when it is first asked for; the step then takes it from here, and nothing is computed twice.
    fn loss_and_gradient(&self) -> (f64, ParamTensors);

    /// L_B of that batch at a displaced network. One forward pass.
    fn loss(&self, network: &N) -> f64;
}
