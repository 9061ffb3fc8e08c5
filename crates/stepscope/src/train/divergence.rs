//! When a run is given up.

use stepscope_types::{Step, StopReason};

use crate::checkpoint::{State, StateError, Stateful};

/// Watches mini-batch losses. A run has diverged when a loss is not finite, or when [`DivergenceWatch::PATIENCE`] losses
/// in a row are [`DivergenceWatch::FACTOR`] times the first one or more: one high batch is noise, twenty are not. A
/// first loss below 1 nat counts as 1, so that a run that begins near its minimum may climb out of it.
#[derive(Debug, Clone)]
pub struct DivergenceWatch {
    first_loss: Option<f64>,
    in_a_row: u64,
    last_good_step: Step,
}

impl DivergenceWatch {
    /// Losses in a row that must be too high.
    pub const PATIENCE: u64 = 20;
    /// How far above the first loss is too high.
    pub const FACTOR: f64 = 10.0;

    /// A watch that has seen nothing.
    pub fn new() -> Self {
        Self { first_loss: None, in_a_row: 0, last_good_step: Step(0) }
    }

    /// Takes in the loss of `step`'s batch; the reason to stop, if this is one.
    pub fn observe(&mut self, step: Step, loss: f64, learning_rate: Option<f64>) -> Option<StopReason> {
        let first = self.first_loss.get_or_insert(loss).max(1.0);
        let advice = || match learning_rate {
            Some(rate) => format!("learning rate {rate} is past what the loss bears here; try a third of it"),
            None => "no learning rate was measured yet: look at the data and the initial weights".to_owned(),
        };
        if !loss.is_finite() {
            return Some(self.diverged(format!("the mini-batch loss is {loss}: {}", advice())));
        }
        if loss < Self::FACTOR * first {
            (self.in_a_row, self.last_good_step) = (0, step);
            return None;
        }
        self.in_a_row += 1;
        (self.in_a_row >= Self::PATIENCE).then(|| {
            self.diverged(format!(
                "{} mini-batch losses in a row are {} times the first one (at least 1 nat: {first:.3}) or more, now {loss:.3}: {}",
                Self::PATIENCE,
                Self::FACTOR,
                advice()
            ))
        })
    }

    /// Whether the last loss was in order.
    pub fn is_calm(&self) -> bool {
        self.in_a_row == 0
    }

    fn diverged(&self, message: String) -> StopReason {
        StopReason::Diverged { last_good_step: self.last_good_step, message }
    }
}

impl Default for DivergenceWatch {
    fn default() -> Self {
        Self::new()
    }
}

impl Stateful for DivergenceWatch {
    fn save_state(&self, state: &mut State) {
        state.put("first_loss", &self.first_loss);
        state.put("in_a_row", &self.in_a_row);
        state.put("last_good_step", &self.last_good_step);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        self.first_loss = state.get("first_loss")?;
        self.in_a_row = state.get("in_a_row")?;
        self.last_good_step = state.get("last_good_step")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_that_is_not_finite_ends_the_run_at_once_and_names_the_last_good_step() {
        let mut watch = DivergenceWatch::new();
        assert_eq!(watch.observe(Step(0), 2.3, Some(0.1)), None);
        assert_eq!(watch.observe(Step(1), 2.0, Some(0.1)), None);
        let reason = watch.observe(Step(2), f64::NAN, Some(0.1));
        assert!(matches!(reason, Some(StopReason::Diverged { last_good_step: Step(1), .. })), "{reason:?}");
    }

    #[test]
    fn one_high_loss_is_forgiven_and_twenty_are_not() {
        let mut watch = DivergenceWatch::new();
        watch.observe(Step(0), 1.0, Some(0.1));
        assert_eq!(watch.observe(Step(1), 50.0, Some(0.1)), None);
        assert_eq!(watch.observe(Step(2), 1.0, Some(0.1)), None);
        let ended = (3..40).find(|&step| watch.observe(Step(step), 50.0, Some(0.1)).is_some());
        assert_eq!(ended, Some(22), "twenty in a row: steps 3 to 22");
    }
}
