//! Records of settings that change.

use stepscope_types::quantity::{self, Quantity};
use stepscope_types::{Estimate, Uncertainty};

use crate::checkpoint::{State, StateError, Stateful};
use crate::measure::Measured;

/// Remembers what was recorded last of batch size and momentum, so that only changes are.
#[derive(Debug, Clone, Default)]
pub struct ScheduleRecorder {
    batch_size: Option<f64>,
    momentum: Option<f64>,
}

impl ScheduleRecorder {
    /// What is to be recorded of an update with these settings; `None` for one that follows no schedule. All of them at the last
    /// update, so that a curve has both ends.
    pub fn changes(&mut self, batch_size: Option<f64>, momentum: Option<f64>, is_last: bool) -> Vec<Measured> {
        let settings = [
            (batch_size, &mut self.batch_size, &quantity::BATCH_SIZE),
            (momentum, &mut self.momentum, &quantity::MOMENTUM),
        ];
        let change = |(now, before, quantity): (Option<f64>, &mut Option<f64>, &'static Quantity)| {
            let value = now?;
            let changed = before.replace(value) != Some(value);
            let estimate = || Estimate::new(value, quantity.unit, Uncertainty::Exact);
            (changed || is_last).then(|| Measured::new(quantity, estimate()))
        };
        settings.into_iter().filter_map(change).collect()
    }
}

impl Stateful for ScheduleRecorder {
    fn save_state(&self, state: &mut State) {
        state.put("batch_size", &self.batch_size);
        state.put("momentum", &self.momentum);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        self.batch_size = state.get("batch_size")?;
        self.momentum = state.get("momentum")?;
        Ok(())
    }
}
