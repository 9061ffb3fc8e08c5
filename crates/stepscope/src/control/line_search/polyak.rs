//! SPS: Polyak's step for mini-batches, with a bound.

use crate::checkpoint::{State, StateError, Stateful};
use crate::control::{Chosen, Line, StepLength};

/// The stochastic Polyak step with its smoothed bound: η = min((ℓ_B − f*)/(c |slope|), bound), where the slope is that of the
/// batch's loss along the step: −‖g‖² for plain SGD.
///
/// The bound grows by τ^{B/N} an update from the last rate taken, so that rates double in an epoch at most with τ = 2. Where
/// the step does not descend on its own batch (momentum), the bound is taken.
///
/// Cost: one inner product and no pass. Source: Loizou et al. 2021, SPS_max with their smoothing. Invalid where a batch's
/// least loss is not near f*: with weight decay in the loss, label smoothing, or labels that contradict each other.
#[derive(Debug, Clone)]
pub struct PolyakStep {
    settings: PolyakSettings,
    latest: f64,
}

/// What SPS is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PolyakSettings {
    /// c, above 0; 0.5 is the paper's for networks.
    pub c: f64,
    /// f*, finite.
    pub lower_bound: f64,
    /// Rate from which the bound starts to grow, above 0.
    pub initial_learning_rate: f64,
    /// No rate exceeds this, above 0.
    pub max_learning_rate: f64,
    /// τ, at least 1.
    pub growth: f64,
    /// N/B, above 0.
    pub steps_per_epoch: f64,
}

impl PolyakStep {
    /// At its start.
    pub fn new(settings: PolyakSettings) -> Self {
        Self { settings, latest: settings.initial_learning_rate }
    }
}

impl StepLength for PolyakStep {
    fn choose(&mut self, line: &mut dyn Line) -> Chosen {
        let PolyakSettings { c, lower_bound, max_learning_rate, growth, steps_per_epoch, .. } = self.settings;
        let bound = (self.latest * growth.powf(1.0 / steps_per_epoch)).min(max_learning_rate);
        let descent = -line.slope();
        let polyak = (line.loss() - lower_bound).max(0.0) / (c * descent);
        // Where nothing descends, and where the quotient is 0/0, the bound stays.
        let rate = if descent > 0.0 && polyak.is_finite() { polyak.min(bound) } else { bound };
        if rate > 0.0 {
            // A bound of 0 would never grow again.
            self.latest = rate;
        }
        rate.into()
    }

    fn current(&self) -> f64 {
        self.latest
    }
}

impl Stateful for PolyakStep {
    fn save_state(&self, state: &mut State) {
        state.put_vector("latest", vec![self.latest]);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        self.latest = state.vector("latest", 1)?[0];
        Ok(())
    }
}
