//! How many mini-batches make an update, and when that changes.

use crate::checkpoint::{State, StateError, Stateful};

/// k, the number of mini-batches per update: k = max(⌊n ε⌋, 1) with n from the schedule and ε the noise factor.
///
/// An entry takes effect at the first boundary between two updates at or after its place, so that none is skipped where
/// several batches make an update (the released code compares for equality and skips them; `line-search`, D7).
#[derive(Debug, Clone)]
pub(super) struct BatchSchedule {
    noise_factor: f64,
    entries: Vec<(u64, u64)>,
    next: usize,
    per_update: u64,
}

impl BatchSchedule {
    /// One batch, times the noise factor, until the first of `entries`: batches of the training before, and number.
    pub(super) fn new(noise_factor: f64, mut entries: Vec<(u64, u64)>) -> Self {
        entries.sort_unstable_by_key(|(at, _)| *at);
        Self { noise_factor, entries, next: 0, per_update: scaled(1, noise_factor) }
    }

    /// k.
    pub(super) fn per_update(&self) -> u64 {
        self.per_update
    }

    /// The largest k there will be.
    pub(super) fn largest(&self) -> u64 {
        let later = self.entries.iter().map(|(_, number)| scaled(*number, self.noise_factor));
        later.fold(scaled(1, self.noise_factor), u64::max)
    }

    /// As the released code: an entry takes effect if the training is at its very place, and otherwise it and all that follow never
    /// do. Whether it was.
    pub(super) fn advance_at(&mut self, batches: u64) -> bool {
        let is_there = self.entries.get(self.next).is_some_and(|(at, _)| *at == batches);
        is_there && self.advance(batches)
    }

    /// Enters what is due after that many batches; whether anything was.
    pub(super) fn advance(&mut self, batches: u64) -> bool {
        let before = self.next;
        while let Some((_, number)) = self.entries.get(self.next).filter(|(at, _)| *at <= batches) {
            self.per_update = scaled(*number, self.noise_factor);
            self.next += 1;
        }
        self.next > before
    }
}

fn scaled(number: u64, noise_factor: f64) -> u64 {
    ((number as f64 * noise_factor) as u64).max(1)
}

impl Stateful for BatchSchedule {
    fn save_state(&self, state: &mut State) {
        state.put("next", &self.next);
        state.put("per_update", &self.per_update);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        self.next = state.get("next")?;
        self.per_update = state.get("per_update")?;
        Ok(())
    }
}
