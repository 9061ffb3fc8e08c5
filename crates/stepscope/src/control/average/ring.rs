//! The mean of the latest snapshots: windows and LAWA.

use std::collections::VecDeque;

use burn::module::Module;

use super::{AverageError, combine};
use crate::checkpoint::{State, StateError, WeightState};
use crate::models::{ParamLayout, ParamTensors};

/// The mean of the last `count` snapshots, one every `every` steps.
///
/// | | `count` | `every` |
/// |---|---|---|
/// | window of N iterates | N | 1 |
/// | window of N steps with stride s | N/s | s |
/// | LAWA of k epochs (Kaddour 2022) | k | an epoch |
///
/// Unlike a running mean it forgets exactly, at the price of `count` copies of the weights, in the network's precision.
/// Costs nothing a step: a snapshot shares the network's memory until the next step writes. While there are fewer snapshots,
/// it is the mean of those. Source: `averaging`, sections 2.4 and 5.
#[derive(Debug, Clone)]
pub struct Ring {
    count: usize,
    every: u64,
    start: u64,
    snapshots: VecDeque<(u64, ParamTensors)>,
}

impl Ring {
    /// A ring without snapshots.
    ///
    /// # Errors
    /// [`AverageError::Zero`].
    pub fn new(count: u64, every: u64) -> Result<Self, AverageError> {
        for (what, number) in [("snapshots of a window", count), ("steps between snapshots of a window", every)] {
            if number == 0 {
                return Err(AverageError::Zero { what });
            }
        }
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        Ok(Self { count, every, start: 0, snapshots: VecDeque::new() })
    }

    /// The same, with snapshots at `step`, `step` + `every`, ...
    pub fn from_step(mut self, step: u64) -> Self {
        self.start = step;
        self
    }

    /// Snapshots from here on so that one falls on step `end`: for a run whose end is decided along the way. Those that are there stay, so
    /// that one interval may be shorter than the others.
    pub fn align_with(&mut self, end: u64) {
        self.start = end % self.every;
    }

    /// Keeps the parameters of `network` after `step` updates, where a snapshot is due.
    pub fn update<M: Module>(&mut self, step: u64, network: &M) {
        let is_new = self.snapshots.back().is_none_or(|(last, _)| step > *last);
        if step < self.start || !(step - self.start).is_multiple_of(self.every) || !is_new {
            return;
        }
        if self.snapshots.len() >= self.count {
            self.snapshots.pop_front();
        }
        self.snapshots.push_back((step, ParamTensors::values(network)));
    }

    /// The network at the mean; `None` before the first snapshot. `network` is untouched.
    pub fn network<M: Module>(&self, network: &M) -> Option<M> {
        let share = 1.0 / self.snapshots.len() as f64;
        let parts: Vec<(f64, &ParamTensors)> = self.snapshots.iter().map(|(_, params)| (share, params)).collect();
        (!parts.is_empty()).then(|| combine(&parts, network))
    }

    /// The steps of the snapshots, ascending.
    pub fn steps(&self) -> impl Iterator<Item = u64> {
        self.snapshots.iter().map(|(step, _)| *step)
    }
}

impl WeightState for Ring {
    fn save_weights(&self, state: &mut State, layout: &ParamLayout) {
        state.put("steps", &self.steps().collect::<Vec<u64>>());
        for (step, params) in &self.snapshots {
            state.put_params(&format!("at-{step}"), params, layout);
        }
    }

    fn load_weights(&mut self, state: &State, layout: &ParamLayout) -> Result<(), StateError> {
        let steps: Vec<u64> = state.get("steps")?;
        let snapshot = |step: u64| Ok((step, state.params(&format!("at-{step}"), layout)?));
        self.snapshots = steps.into_iter().map(snapshot).collect::<Result<_, StateError>>()?;
        Ok(())
    }
}
