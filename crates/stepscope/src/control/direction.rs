//! Which way an update goes.

use crate::checkpoint::WeightState;
use crate::measure::Motion;
use crate::models::ParamTensors;

/// Turns gradients into directions: θ ← θ − η v, with v the direction and η from a [`StepLength`](super::StepLength).
///
/// [`GradientTransform`](super::transform::GradientTransform) is the usual one. The direction is formed before its length is chosen, so that a line search sees the way that will be taken.
pub trait Direction: WeightState + std::fmt::Debug {
    /// Takes a gradient in; the direction v of this update. `weights` gives θ, for rules that need it.
    fn direction(&mut self, gradient: ParamTensors, weights: &dyn Fn() -> ParamTensors) -> ParamTensors;

    /// The momentum of the coming updates, between −1 and 1, where the rule has one.
    fn set_momentum(&mut self, momentum: f64);

    /// Forgets what it remembers: the weights were put back to where they had been.
    fn reset(&mut self);

    /// The rule with what it remembers: what measurements of the coming step need.
    fn motion(&self) -> Motion<'_>;
}
