//! Chords of a trajectory: where they begin, which end now, and what was seen along them.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::checkpoint::{State, StateError, Stateful};

/// Stretches of a run that begin every so many steps, and the chords from their beginnings at a few lags.
#[derive(Debug)]
pub(super) struct Chords {
    every: u64,
    /// Ascending.
    lags: Vec<u64>,
    /// When the settings changed last.
    since: u64,
    stretches: VecDeque<Stretch>,
    /// Weights at the beginnings of the stretches that are open, with their steps.
    starts: Vec<(u64, Vec<f64>)>,
}

/// What was seen from one beginning on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Stretch {
    /// Step of its beginning.
    pub(super) step: u64,
    /// Loss there.
    pub(super) loss: Option<f64>,
    /// tr Cov of a batch's gradient there.
    pub(super) noise: Option<f64>,
    /// The chord of every lag, where it was closed.
    pub(super) chords: Vec<Option<Chord>>,
}

/// Losses at the beginning, in the middle and at the end of a chord.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Chord {
    losses: [f64; 3],
}

impl Chord {
    /// ½(f₀ + f₁) − f_mid.
    pub(super) fn drop(self) -> f64 {
        0.5 * (self.losses[0] + self.losses[2]) - self.losses[1]
    }

    /// f₀ − f₁.
    pub(super) fn fall(self) -> f64 {
        self.losses[0] - self.losses[2]
    }
}

/// Stretches that are remembered at most.
const MOST: usize = 256;

impl Chords {
    /// A stretch every `every` steps (at least 1), with chords of these lags, ascending.
    pub(super) fn new(every: u64, lags: Vec<u64>) -> Self {
        Self { every: every.max(1), lags, since: 0, stretches: VecDeque::new(), starts: Vec::new() }
    }

    pub(super) fn lags(&self) -> &[u64] {
        &self.lags
    }

    /// How many stretches follow each other before two have nothing in common.
    pub(super) fn overlap(&self) -> usize {
        self.lags.last().map_or(1, |longest| longest.div_ceil(self.every)) as usize
    }

    /// Whether a stretch begins at `step`.
    pub(super) fn begins_at(&self, step: u64) -> bool {
        step.is_multiple_of(self.every)
    }

    /// The beginnings whose chord of some lag ends at `step`, with the lag's index.
    pub(super) fn open_at(&self, step: u64) -> Vec<(u64, usize)> {
        let ends = |(index, lag): (usize, &u64)| {
            let start = step.checked_sub(*lag)?;
            self.starts.iter().any(|(known, _)| *known == start).then_some((start, index))
        };
        self.lags.iter().enumerate().filter_map(ends).collect()
    }

    /// Weights and loss at a beginning.
    pub(super) fn start_of(&self, step: u64) -> Option<(&[f64], f64)> {
        let weights = self.starts.iter().find(|(known, _)| *known == step).map(|(_, weights)| weights.as_slice())?;
        let loss = self.stretches.iter().find(|stretch| stretch.step == step)?.loss?;
        Some((weights, loss))
    }

    /// Losses at the beginning, in the middle and at the end of a chord.
    pub(super) fn close(&mut self, start: u64, lag: usize, losses: [f64; 3]) {
        let is_finite = losses.iter().all(|loss| loss.is_finite());
        let stretch = self.stretches.iter_mut().find(|stretch| stretch.step == start);
        if let Some(chord) = stretch.filter(|_| is_finite).and_then(|stretch| stretch.chords.get_mut(lag)) {
            *chord = Some(Chord { losses });
        }
    }

    /// Begins a stretch, and forgets weights from which no chord is open any more.
    pub(super) fn begin(&mut self, step: u64, weights: Vec<f64>, loss: f64, noise: f64) {
        let longest = self.lags.last().copied().unwrap_or(0);
        self.starts.retain(|(start, _)| start + longest > step);
        self.starts.push((step, weights));
        let finite = |value: f64| Some(value).filter(|value| value.is_finite());
        let chords = vec![None; self.lags.len()];
        self.stretches.push_back(Stretch { step, loss: finite(loss), noise: finite(noise), chords });
        while self.stretches.len() > MOST {
            self.stretches.pop_front();
        }
    }

    /// Forgets everything before `step`: what comes is under another law.
    pub(super) fn begin_anew(&mut self, step: u64) {
        self.since = step;
        self.stretches.clear();
        self.starts.clear();
    }

    /// The stretches that began in the later half of the time since the settings changed, and have a chord.
    pub(super) fn recent(&self) -> impl Iterator<Item = &Stretch> {
        let latest = self.stretches.back().map_or(self.since, |stretch| stretch.step);
        let from = self.since + (latest - self.since) / 2;
        let has_chord = |stretch: &&Stretch| stretch.chords.iter().any(Option::is_some);
        self.stretches.iter().filter(move |stretch| stretch.step >= from).filter(has_chord)
    }
}

impl Stateful for Chords {
    fn save_state(&self, state: &mut State) {
        state.put("since", &self.since);
        state.put("stretches", &self.stretches);
        let steps: Vec<u64> = self.starts.iter().map(|(step, _)| *step).collect();
        state.put("starts", &steps);
        for (step, weights) in &self.starts {
            state.put_vector(&format!("start-{step}"), weights.clone());
        }
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        self.since = state.get("since")?;
        self.stretches = state.get("stretches")?;
        let steps: Vec<u64> = state.get("starts")?;
        let start = |step: u64| Ok((step, state.vector_of_any_length(&format!("start-{step}"))?.to_vec()));
        self.starts = steps.into_iter().map(start).collect::<Result<_, StateError>>()?;
        Ok(())
    }
}
