//! Which way an update goes.

use stepscope_types::Momentum;

use crate::checkpoint::{State, StateError, WeightState};
use crate::measure::Motion;
use crate::models::{ParamLayout, ParamTensors};

/// Turns gradients into directions: θ ← θ − η v, with v the direction and η from a [`StepLength`](super::StepLength).
///
/// The direction is formed before its length is chosen, so that a line search sees the way that will be taken.
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

/// v ← momentum · v + g, with v = 0 at the start.
///
/// Exactly this: no dampening (Burn's own SGD scales the gradient by 1 − 0.1 by default once momentum is on), no
/// Nesterov step, no weight decay. Momentum may be negative.
#[derive(Debug, Clone)]
pub struct HeavyBall {
    momentum: f64,
    /// Whether a later step may depend on the velocity.
    keeps_velocity: bool,
    velocity: ParamTensors,
}

impl HeavyBall {
    /// At rest.
    pub fn new(momentum: Momentum) -> Self {
        let momentum = momentum.get();
        Self { momentum, keeps_velocity: momentum != 0.0, velocity: ParamTensors::default() }
    }

    /// The same rule, whose momentum may change: its velocity is kept also where the momentum is 0.
    #[must_use]
    pub fn with_changing_momentum(mut self) -> Self {
        self.keeps_velocity = true;
        self
    }
}

impl Direction for HeavyBall {
    fn direction(&mut self, gradient: ParamTensors, _weights: &dyn Fn() -> ParamTensors) -> ParamTensors {
        if self.momentum == 0.0 {
            if self.keeps_velocity {
                self.velocity = gradient.clone();
            }
            return gradient;
        }
        self.velocity.scale_and_add(self.momentum, 1.0, &gradient);
        self.velocity.clone()
    }

    fn set_momentum(&mut self, momentum: f64) {
        self.momentum = momentum;
    }

    fn reset(&mut self) {
        self.velocity = ParamTensors::default();
    }

    fn motion(&self) -> Motion<'_> {
        let moves = self.momentum != 0.0;
        Motion { momentum: self.momentum, nesterov: false, velocity: moves.then_some(&self.velocity) }
    }
}

impl WeightState for HeavyBall {
    fn save_weights(&self, state: &mut State, layout: &ParamLayout) {
        if self.keeps_velocity {
            state.put_params("velocity", &self.velocity, layout);
        }
    }

    fn load_weights(&mut self, state: &State, layout: &ParamLayout) -> Result<(), StateError> {
        if self.keeps_velocity {
            self.velocity = state.params("velocity", layout)?;
        }
        Ok(())
    }
}
