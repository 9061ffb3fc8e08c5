//! The midpoint of two iterates.

use std::collections::VecDeque;
use std::path::Path;

use burn::module::Module;

use crate::checkpoint::{State, StateError, WeightState, WeightsError, load_weights};
use crate::models::{ParamLayout, ParamTensors};

/// ½ (θ_k + θ_{k−gap}): the mean of the last iterate and one some steps before.
///
/// For two iterates far apart on a stationary quadratic the excess loss is half that of one, as if the learning rate had
/// been halved (`averaging`, sections 2.4 and 2.5). Costs one stored copy and nothing a step.
#[derive(Debug, Clone, Default)]
pub struct TwoPoint {
    earlier: ParamTensors,
}

impl TwoPoint {
    /// Remembers the weights of `network` as the earlier point.
    pub fn from_earlier<M: Module>(network: &M) -> Self {
        Self { earlier: ParamTensors::values(network) }
    }

    /// The earlier point from a file that [`export_weights`](crate::checkpoint::export_weights) wrote: then it costs no
    /// memory until it is used.
    ///
    /// # Errors
    /// [`WeightsError`] where the file cannot be read, or holds the weights of another network.
    pub fn from_file<M: Module>(network: &M, file: &Path) -> Result<Self, WeightsError> {
        Ok(Self::from_earlier(&load_weights(network.clone(), file)?))
    }

    /// The network half-way between the earlier point and `network`, which is untouched.
    pub fn network<M: Module>(&self, network: &M) -> M {
        let mut mean = ParamTensors::values(network);
        mean.scale_and_add(0.5, 0.5, &self.earlier);
        mean.assign_to(network.clone())
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

/// The earlier points of two-point averages that are wanted at steps known ahead, each kept from `gap` steps before.
///
/// Holds as many copies as are wanted within one gap: one, where they are farther apart than it.
#[derive(Debug, Clone)]
pub struct TwoPoints {
    gap: u64,
    pending: VecDeque<(u64, TwoPoint)>,
}

impl TwoPoints {
    /// Of points `gap` steps apart.
    pub fn new(gap: u64) -> Self {
        Self { gap, pending: VecDeque::new() }
    }

    /// Keeps the weights of `network` after `step` updates, where `wanted` says of the step a gap later that a two-point
    /// average is wanted there; forgets what is past.
    pub fn update<M: Module>(&mut self, step: u64, network: &M, wanted: impl Fn(u64) -> bool) {
        self.pending.retain(|(due, _)| *due >= step);
        let due = step + self.gap;
        if wanted(due) && self.pending.iter().all(|(known, _)| *known != due) {
            self.pending.push_back((due, TwoPoint::from_earlier(network)));
        }
    }

    /// The run, now after `step` updates, will end at `end`, where a two-point average is wanted. If that is nearer than the gap, the
    /// earlier point is the network of now.
    pub fn end_at<M: Module>(&mut self, end: u64, step: u64, network: &M) {
        self.pending.retain(|(due, _)| *due <= end);
        if step < end && end - step < self.gap && self.pending.iter().all(|(due, _)| *due != end) {
            self.pending.push_back((end, TwoPoint::from_earlier(network)));
        }
    }

    /// The two-point average after `step` updates; `None` where it was not wanted, or the run was younger than the gap.
    pub fn network<M: Module>(&self, step: u64, network: &M) -> Option<M> {
        let (_, point) = self.pending.iter().find(|(due, _)| *due == step)?;
        Some(point.network(network))
    }
}

impl WeightState for TwoPoints {
    fn save_weights(&self, state: &mut State, layout: &ParamLayout) {
        state.put("due", &self.pending.iter().map(|(due, _)| *due).collect::<Vec<u64>>());
        for (due, point) in &self.pending {
            state.nest_weights(&format!("for-{due}"), point, layout);
        }
    }

    fn load_weights(&mut self, state: &State, layout: &ParamLayout) -> Result<(), StateError> {
        let due: Vec<u64> = state.get("due")?;
        let point = |due: u64| {
            let mut point = TwoPoint::default();
            state.restore_weights(&format!("for-{due}"), &mut point, layout)?;
            Ok((due, point))
        };
        self.pending = due.into_iter().map(point).collect::<Result<_, StateError>>()?;
        Ok(())
    }
}
