//! PAL and its full-batch form: a parabola through the loss along the step, every time anew.

use stepscope_types::{Estimate, Mode, Reading, Uncertainty, quantity};

use super::parabola::Parabola;
use crate::checkpoint::{State, StateError, Stateful};
use crate::control::{Chosen, Line, StepLength};
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
/// rate kept in between it is called FBPAL&SGD there).
#[derive(Debug, Clone)]
pub struct FullBatchParabolicSearch {
    settings: ParabolicSettings,
    every: u64,
    num_batches: usize,
    latest: f64,
}

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
        Self { settings, every: every.max(1), num_batches, latest: settings.initial_learning_rate }
    }

    fn measure(&mut self, line: &mut dyn Line) -> Measured {
        let norm = line.norm();
        let half = 0.5 * self.settings.probe_length / norm;
        let losses = line.held_out_losses([0.0, half, 2.0 * half], self.num_batches);
        let step = Parabola::fit(half, &losses).map_err(|error| error.to_string()).and_then(|parabola| {
            let (a, b) = (parabola.half_curvature / (norm * norm), parabola.slope / norm);
            Ok((parabolic_step(&self.settings, a, b)? / norm, parabola))
        });
        match step {
            Ok((rate, parabola)) => {
                self.latest = rate;
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
        let measured = if line.step().is_multiple_of(self.every) { vec![self.measure(line)] } else { Vec::new() };
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
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        self.latest = state.vector("latest", 1)?[0];
        Ok(())
    }
}
