//! The whole state of LABPAL, at any phase.

use super::LabPal;
use super::measurement::{Held, Measurement};
use crate::checkpoint::{State, StateError, WeightState};
use crate::models::{ParamLayout, ParamTensors};

/// The gradients of an update whose batches have not all been seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Gathered {
    pub(super) gradient: ParamTensors,
    pub(super) count: u64,
}

/// What has been counted, and what the next call depends on beside.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Counts {
    /// Calls: t.
    pub(super) batches: u64,
    pub(super) updates: u64,
    /// Batches before the one with which the last measurement ended.
    pub(super) last_measured: u64,
    pub(super) measurements: u64,
    /// Measurements from the first that gave a step on.
    pub(super) paced: u64,
    pub(super) refusals: u64,
    pub(super) since_update: u64,
    pub(super) is_due: bool,
    pub(super) is_checked: bool,
    pub(super) last_refusal: String,
}

/// Batches that a measurement holds are saved by their numbers: give them back with
/// [`Method::restore_held`](crate::control::Method::restore_held).
impl<B> WeightState for LabPal<B> {
    fn save_weights(&self, state: &mut State, layout: &ParamLayout) {
        let Self {
            mode: _,
            spec: _,
            num_batches: _,
            direction,
            schedule,
            rates,
            gathered,
            measurement,
            fallback,
            counts,
        } = self;
        state.nest_weights("direction", direction.as_ref(), layout);
        state.nest("schedule", schedule);
        state.nest("rates", rates);
        state.put("counts", counts);
        state.put("num_gathered", &gathered.count);
        if gathered.count > 0 {
            state.put_params("gathered", &gathered.gradient, layout);
        }
        state.put("is_measuring", &measurement.is_some());
        if let Some(Measurement { direction, held }) = measurement {
            state.put("held", &held.iter().map(|held| held.number).collect::<Vec<u64>>());
            state.put_vector("held_losses", held.iter().map(|held| held.loss).collect());
            state.put_vector("norm", direction.iter().map(|(_, norm)| *norm).collect());
            if let Some((direction, _)) = direction {
                state.put_params("measured_direction", direction, layout);
            }
        }
        state.put_vector("fallback_loss", fallback.iter().map(|(_, loss)| *loss).collect());
        if let Some((weights, _)) = fallback {
            state.put_params("fallback", weights, layout);
        }
    }

    fn load_weights(&mut self, state: &State, layout: &ParamLayout) -> Result<(), StateError> {
        state.restore_weights("direction", self.direction.as_mut(), layout)?;
        state.restore("schedule", &mut self.schedule)?;
        state.restore("rates", &mut self.rates)?;
        self.counts = state.get::<Counts>("counts")?;
        let count = state.get("num_gathered")?;
        let gradient = if count > 0 { state.params("gathered", layout)? } else { ParamTensors::default() };
        self.gathered = Gathered { gradient, count };
        self.measurement = if state.get("is_measuring")? { Some(load_measurement(state, layout)?) } else { None };
        self.fallback = match state.vector_of_any_length("fallback_loss")?.first() {
            Some(&loss) => Some((state.params("fallback", layout)?, loss)),
            None => None,
        };
        Ok(())
    }
}

fn load_measurement<B>(state: &State, layout: &ParamLayout) -> Result<Measurement<B>, StateError> {
    let numbers: Vec<u64> = state.get("held")?;
    let losses = state.vector("held_losses", numbers.len())?;
    let held = numbers.into_iter().zip(losses).map(|(number, &loss)| Held { number, loss, batch: None }).collect();
    let direction = match state.vector_of_any_length("norm")?.first() {
        Some(&norm) => Some((state.params("measured_direction", layout)?, norm)),
        None => None,
    };
    Ok(Measurement { direction, held })
}
