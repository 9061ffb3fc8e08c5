//! Averages of the weights.

use burn::module::Module;

use crate::checkpoint::{State, StateError, WeightState};
use crate::models::{ParamLayout, ParamTensors};

/// x ← β x + (1 − β) θ after every step, started at the weights of the first one.
///
/// β = 2^(−1 / half-life), with the half-life in steps: the weight of an iterate halves every so many steps. In the small-step picture
/// an EMA acts as a smaller learning rate along sharp directions only, 1/η_eff = 1/η + λ/(1 − β) (`averaging`, section 2.5).
/// The shadow is kept in the precision of the network: with bf16 weights increments would vanish.
#[derive(Debug, Clone)]
pub struct Ema {
    decay: f64,
    shadow: Option<ParamTensors>,
}

/// ½ (θ_k + θ_{k−gap}): the mean of the last iterate and one some steps before.
///
/// For two iterates far apart on a stationary quadratic the excess loss is half that of one, as if the learning rate had
/// been halved (`averaging`, sections 2.4 and 2.5). Costs one stored copy and nothing a step.
#[derive(Debug, Clone, Default)]
pub struct TwoPoint {
    earlier: ParamTensors,
}

impl Ema {
    /// An average whose iterates lose half their weight in `half_life` steps (above 0).
    pub fn with_half_life(half_life: f64) -> Self {
        Self { decay: (-std::f64::consts::LN_2 / half_life).exp(), shadow: None }
    }

    /// β.
    pub fn decay(&self) -> f64 {
        self.decay
    }

    /// Takes in the weights after a step.
    pub fn update<M: Module>(&mut self, network: &M) {
        let values = ParamTensors::values(network);
        match &mut self.shadow {
            None => self.shadow = Some(values),
            Some(shadow) => shadow.scale_and_add(self.decay, 1.0 - self.decay, &values),
        }
    }

    /// The network at the average; `None` before the first update. `network` is untouched.
    pub fn network<M: Module>(&self, network: &M) -> Option<M> {
        self.shadow.as_ref().map(|shadow| shadow.assign_to(network.clone()))
    }
}

impl TwoPoint {
    /// Remembers the weights of `network` as the earlier point.
    pub fn from_earlier<M: Module>(network: &M) -> Self {
        Self { earlier: ParamTensors::values(network) }
    }

    /// The network half-way between the earlier point and `network`, which is untouched.
    pub fn network<M: Module>(&self, network: &M) -> M {
        let mut mean = ParamTensors::values(network);
        mean.scale_and_add(0.5, 0.5, &self.earlier);
        mean.assign_to(network.clone())
    }
}

impl WeightState for Ema {
    fn save_weights(&self, state: &mut State, layout: &ParamLayout) {
        state.put("started", &self.shadow.is_some());
        if let Some(shadow) = &self.shadow {
            state.put_params("shadow", shadow, layout);
        }
    }

    fn load_weights(&mut self, state: &State, layout: &ParamLayout) -> Result<(), StateError> {
        let started: bool = state.get("started")?;
        self.shadow = started.then(|| state.params("shadow", layout)).transpose()?;
        Ok(())
    }
}

impl WeightState for TwoPoint {
    fn save_weights(&self, state: &mut State, layout: &ParamLayout) {
        state.put_params("earlier", &self.earlier, layout);
    }

    fn load_weights(&mut self, state: &State, layout: &ParamLayout) -> Result<(), StateError> {
        self.earlier = state.params("earlier", layout)?;
        Ok(())
    }
}
