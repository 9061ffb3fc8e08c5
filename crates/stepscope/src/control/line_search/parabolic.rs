//! PAL and its full-batch form: a parabola through the loss along the step, every time anew.

use std::collections::VecDeque;

use stepscope_types::spec::HistoryAverage;
use stepscope_types::{Estimate, Mode, Reading, Uncertainty, quantity};

use super::pace::{Pace, Paced, average};
use super::parabola::{Minimum, Parabola};
use crate::checkpoint::{State, StateError, Stateful};
use crate::control::{Chosen, Line, Refusal, StepLength};
use crate::measure::Measured;

/// What both forms of PAL are told. Lengths are distances in weight space, not learning rates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ParabolicSettings {
    /// μ: length at which the loss is looked at, above 0.
    pub probe_length: f64,
    /// α: factor on the minimum, above 0.
    pub update_step_adaptation: f64,
    /// s_max: longest step, above 0.
    pub max_step_length: f64,
    /// Learning rate that measurements are told before the first update, above 0.
    pub initial_learning_rate: f64,
}

/// PAL: with v̂ = v/‖v‖, b the slope of the batch's loss along −v̂ and a = (ℓ_B(μ) − ℓ_B(0) − bμ)/μ², the step is
///
/// −α b/(2a) where a > 0 > b; μ where the parabola has no minimum but falls; 0 where it rises; at most s_max.
///
/// Cost: one forward pass an update and two inner products. Source: Mutschler and Zell 2020, Algorithm 1. Invalid as far as a
/// batch's own loss is: its minimum lies beyond that of the whole loss (`line-search`, section 1.2, O3).
#[derive(Debug, Clone)]
pub struct ParabolicSearch {
    settings: ParabolicSettings,
    latest: f64,
}

/// FBPAL: PAL's step on the loss of the whole training set, of batches that pass over it once, measured every so many updates
/// and kept as a learning rate in between.
///
/// The parabola is that of the losses at 0, μ/2 and μ, since the slope of the whole loss would cost a gradient of all
/// examples. Cost of a measurement: three passes forward over the training set. Source: `line-search`, section 1.1 (FBPAL; with the
/// rate kept in between and averaged over the last 15 measurements it is called FBPAL&SGD there).
///
/// Ours: a line without a minimum, or with one that is not known to within its half, keeps the last rate; the median can stand for the
/// mean, since the rate of a line with a small gradient is large and uncertain; the first measurements can be closer together, 10, 20, 40, ... updates, and
/// enter no average, since a rate that is right at the initial weights is wrong soon after.
#[derive(Debug, Clone)]
pub struct FullBatchParabolicSearch {
    settings: ParabolicSettings,
    every: u64,
    paced: Paced,
    num_batches: usize,
    num_averaged: usize,
    kind: HistoryAverage,
    /// Rates measured last and the curvatures of their lines, the newest at the end.
    history: VecDeque<(f64, f64)>,
    latest: f64,
}

/// Of the minimum, its standard error may be so much at most in the full-batch form: what is not known to within its half sends
/// steps anywhere until the next measurement.
const MAX_RELATIVE_ERROR: f64 = 0.5;

/// PAL's table, in lengths: the step for the parabola a s² + b s.
///
/// # Errors
/// Why there is none.
fn parabolic_step(settings: &ParabolicSettings, a: f64, b: f64) -> Result<f64, String> {
    if !(a.is_finite() && b.is_finite()) {
        return Err("a loss along the step is not finite".to_owned());
    }
    if b >= 0.0 {
        return Err(format!("the loss rises along the step, slope {b:.3e}"));
    }
    let asked = if a > 0.0 { settings.update_step_adaptation * -b / (2.0 * a) } else { settings.probe_length };
    Ok(asked.min(settings.max_step_length))
}

fn no_minimum(reason: String) -> Measured {
    Measured::new(&quantity::LINE_MINIMUM, Reading::Unresolved { reason, num_examples: 0 })
}

impl ParabolicSearch {
    /// At its start.
    pub fn new(settings: ParabolicSettings) -> Self {
        Self { settings, latest: settings.initial_learning_rate }
    }
}

impl StepLength for ParabolicSearch {
    fn choose(&mut self, line: &mut dyn Line) -> Chosen {
        let (norm, mu) = (line.norm(), self.settings.probe_length);
        let slope = line.slope() / norm;
        let there = line.own_losses(&[mu / norm]).first().copied().unwrap_or(f64::NAN);
        let bend = (there - line.loss() - slope * mu) / (mu * mu);
        match parabolic_step(&self.settings, bend, slope) {
            Ok(length) => {
                self.latest = length / norm;
                self.latest.into()
            }
            // As in the table: no step for this batch.
            Err(reason) => {
                Chosen { learning_rate: f64::NAN, measured: vec![no_minimum(reason + ": no update was taken")] }
            }
        }
    }

    fn current(&self) -> f64 {
        self.latest
    }
}

impl FullBatchParabolicSearch {
    /// One that measures at its first update and every `every` after (at least 1), over `num_batches` batches.
    pub fn new(settings: ParabolicSettings, every: u64, num_batches: usize) -> Self {
        let latest = settings.initial_learning_rate;
        let paced = Paced::new(Pace::new(every, false));
        Self {
            settings,
            every,
            paced,
            num_batches,
            num_averaged: 1,
            kind: HistoryAverage::Mean,
            history: VecDeque::new(),
            latest,
        }
    }

    /// Whether the first measurements are closer together.
    #[must_use]
    pub fn with_early_measurements(self, begins_early: bool) -> Self {
        Self { paced: Paced::new(Pace::new(self.every, begins_early)), ..self }
    }

    /// Averages the rates of so many latest measurements, at least 1, of those that are `every` updates apart.
    #[must_use]
    pub fn with_history(self, num_averaged: u64, kind: HistoryAverage) -> Self {
        Self { num_averaged: usize::try_from(num_averaged.max(1)).unwrap_or(usize::MAX), kind, ..self }
    }

    /// The average of the latest rates, with this one.
    fn averaged(&mut self, rate: f64, curvature: f64) -> f64 {
        self.history.push_back((rate, curvature));
        while self.history.len() > self.num_averaged {
            self.history.pop_front();
        }
        average(self.kind, self.history.iter().copied())
    }

    fn measure(&mut self, line: &mut dyn Line) -> Measured {
        let is_averaged = self.paced.measured(line.step());
        let norm = line.norm();
        let half = 0.5 * self.settings.probe_length / norm;
        let losses = line.held_out_losses([0.0, half, 2.0 * half], self.num_batches);
        let step = Parabola::fit(half, &losses).map_err(|error| error.to_string()).and_then(|parabola| {
            if let Ok(Minimum { position, standard_error }) = parabola.minimum()
                && standard_error > MAX_RELATIVE_ERROR * position
            {
                return Err(Refusal::Imprecise { position, standard_error, limit: MAX_RELATIVE_ERROR }.to_string());
            }
            let (a, b) = (parabola.half_curvature / (norm * norm), parabola.slope / norm);
            Ok((parabolic_step(&self.settings, a, b)? / norm, parabola))
        });
        match step {
            Ok((rate, parabola)) => {
                self.latest = if is_averaged { self.averaged(rate, parabola.half_curvature) } else { rate };
                match parabola.minimum() {
                    Ok(minimum) => {
                        let error = Uncertainty::StandardError(minimum.standard_error);
                        let estimate = Estimate::new(minimum.position, quantity::LINE_MINIMUM.unit, error);
                        Measured::new(&quantity::LINE_MINIMUM, estimate.in_mode(Mode::TrainBatch))
                    }
                    Err(reason) => no_minimum(reason.to_string()),
                }
            }
            Err(reason) => no_minimum(reason + ": the last learning rate is kept"),
        }
    }
}

impl StepLength for FullBatchParabolicSearch {
    fn choose(&mut self, line: &mut dyn Line) -> Chosen {
        let measured = if self.paced.is_due(line.step()) { vec![self.measure(line)] } else { Vec::new() };
        Chosen { learning_rate: self.latest, measured }
    }

    fn current(&self) -> f64 {
        self.latest
    }
}

impl Stateful for ParabolicSearch {
    fn save_state(&self, state: &mut State) {
        state.put_vector("latest", vec![self.latest]);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        self.latest = state.vector("latest", 1)?[0];
        Ok(())
    }
}

impl Stateful for FullBatchParabolicSearch {
    fn save_state(&self, state: &mut State) {
        state.put_vector("latest", vec![self.latest]);
        state.put_vector("history", self.history.iter().flat_map(|&(rate, curvature)| [rate, curvature]).collect());
        state.nest("paced", &self.paced);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        self.latest = state.vector("latest", 1)?[0];
        let (pairs, _) = state.vector_of_any_length("history")?.as_chunks();
        self.history = pairs.iter().map(|&[rate, curvature]| (rate, curvature)).collect();
        state.restore("paced", &mut self.paced)?;
        Ok(())
    }
}
