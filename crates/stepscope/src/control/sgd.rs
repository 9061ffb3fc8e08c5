//! SGD with heavy-ball momentum.

use burn::module::Module;
use stepscope_types::Momentum;

use crate::checkpoint::{State, StateError, WeightState};
use crate::measure::Motion;
use crate::models::{ParamLayout, ParamTensors};

/// v ← momentum · v + g, θ ← θ − learning_rate · v, with v = 0 at the start.
///
/// Exactly this: no dampening (Burn's own SGD scales the gradient by 1 − 0.1 by default once momentum is on), no
/// Nesterov step, no weight decay. Momentum may be negative. The velocity is formed before the learning rate is
/// chosen, so that a line search sees the direction that will be taken.
#[derive(Debug, Clone)]
pub struct Sgd {
    momentum: f64,
    /// Whether a later step may depend on the velocity.
    keeps_velocity: bool,
    velocity: ParamTensors,
}

impl Sgd {
    /// An optimizer at rest.
    pub fn new(momentum: Momentum) -> Self {
        let momentum = momentum.get();
        Self { momentum, keeps_velocity: momentum != 0.0, velocity: ParamTensors::default() }
    }

    /// The same optimizer, whose momentum may change: its velocity is kept also where the momentum is 0.
    pub fn with_changing_momentum(mut self) -> Self {
        self.keeps_velocity = true;
        self
    }

    /// The momentum of the coming steps, between −1 and 1.
    pub fn set_momentum(&mut self, momentum: f64) {
        self.momentum = momentum;
    }

    /// v ← momentum · v + `gradient`; returns v, the direction of descent's opposite.
    pub fn accelerate(&mut self, gradient: ParamTensors) -> &ParamTensors {
        if self.momentum == 0.0 {
            self.velocity = gradient;
        } else {
            self.velocity.scale_and_add(self.momentum, 1.0, &gradient);
        }
        &self.velocity
    }

    /// The rule with the velocity it starts from: what measurements of the coming step need.
    pub fn motion(&self) -> Motion<'_> {
        let moves = self.momentum != 0.0;
        Motion { momentum: self.momentum, nesterov: false, velocity: moves.then_some(&self.velocity) }
    }

    /// The network at θ − `learning_rate` · v.
    pub fn step<M: Module>(&self, network: M, learning_rate: f64) -> M {
        self.velocity.displace(network, -learning_rate)
    }
}

impl WeightState for Sgd {
    fn save_weights(&self, state: &mut State, layout: &ParamLayout) {
        // Without momentum the velocity is the last gradient, which no later step depends on.
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
