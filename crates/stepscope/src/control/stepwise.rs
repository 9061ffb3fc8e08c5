//! An update for every batch: a direction and a length.

use std::cell::OnceCell;

use burn::module::Module;
use stepscope_types::Step;

use super::direction::Direction;
use super::method::{Context, Method, Numbered, StepReport};
use super::schedule::Decision;
use super::statistics::Statistics;
use super::step_length::{Line, StepLength};
use crate::checkpoint::{State, StateError, WeightState};
use crate::measure::{Measured, Motion};
use crate::models::{ParamLayout, ParamTensors};

/// θ ← θ − η v for every batch, with v from a [`Direction`] and η from a [`StepLength`].
///
/// SGD is a [`GradientTransform`](super::transform::GradientTransform) with [`Fixed`](super::Fixed); a line search is another length.
#[derive(Debug)]
pub struct Stepwise {
    direction: Box<dyn Direction>,
    length: Box<dyn StepLength>,
    num_updates: u64,
}

impl Stepwise {
    /// A method at its start.
    pub fn new(direction: Box<dyn Direction>, length: Box<dyn StepLength>) -> Self {
        Self { direction, length, num_updates: 0 }
    }
}

impl<M: Module, B> Method<M, B> for Stepwise {
    fn take(&mut self, model: M, batch: Numbered<B>, context: &mut Context<'_, M, B>) -> (M, StepReport) {
        let before = context.passes();
        let (loss, gradient) = context.loss_and_gradient(&model, &batch.batch, context.seed_of(batch.number, 0));
        let mut report = StepReport { loss, batches_per_update: 1, ..StepReport::default() };
        let mut model = model;
        if let Some(gradient) = gradient {
            let direction = self.direction.direction(gradient.clone(), &|| ParamTensors::values(&model));
            let mut line = BatchLine {
                model: &model,
                batch: &batch,
                context: &mut *context,
                loss,
                gradient,
                direction: &direction,
                step: self.num_updates,
                slope: OnceCell::new(),
                norm: OnceCell::new(),
            };
            let chosen = self.length.choose(&mut line);
            drop(line);
            report.measured = chosen.measured;
            if chosen.learning_rate.is_finite() {
                report.learning_rate = Some(chosen.learning_rate);
                report.updated = true;
                self.num_updates += 1;
                model = direction.displace(model, -chosen.learning_rate);
            }
        }
        report.passes = context.passes() - before;
        (model, report)
    }

    fn learning_rate(&self) -> Option<f64> {
        Some(self.length.current())
    }

    fn motion(&self) -> Motion<'_> {
        self.direction.motion()
    }

    fn set_momentum(&mut self, momentum: f64) {
        self.direction.set_momentum(momentum);
    }

    fn decide(&mut self, step: Step, measured: &[Measured]) -> Option<Decision> {
        self.length.decide(step, measured)
    }

    fn end(&self) -> Option<u64> {
        self.length.end()
    }
}

impl WeightState for Stepwise {
    fn save_weights(&self, state: &mut State, layout: &ParamLayout) {
        state.put("num_updates", &self.num_updates);
        state.nest_weights("direction", self.direction.as_ref(), layout);
        state.nest("length", self.length.as_ref());
    }

    fn load_weights(&mut self, state: &State, layout: &ParamLayout) -> Result<(), StateError> {
        self.num_updates = state.get("num_updates")?;
        state.restore_weights("direction", self.direction.as_mut(), layout)?;
        state.restore("length", self.length.as_mut())
    }
}

/// The line of one update of a model.
struct BatchLine<'l, 'c, M, B> {
    model: &'l M,
    batch: &'l Numbered<B>,
    context: &'l mut Context<'c, M, B>,
    loss: f64,
    gradient: ParamTensors,
    direction: &'l ParamTensors,
    step: u64,
    slope: OnceCell<f64>,
    norm: OnceCell<f64>,
}

impl<M: Module, B> BatchLine<'_, '_, M, B> {
    /// Looks from every position of the line, and leaves running statistics as they were.
    fn look<const P: usize>(&mut self, positions: [f64; P], rows: usize, held_out: bool) -> Vec<[f64; P]> {
        let statistics = Statistics::of(self.model);
        let models = positions.map(|s| self.direction.displace(self.model.clone(), -s));
        let mut losses = Vec::with_capacity(rows);
        for row in 0..rows {
            let fresh = if held_out { self.context.held_out() } else { None };
            let Some(batch) = (if held_out { fresh.as_ref() } else { Some(&self.batch.batch) }) else { break };
            let seed = self.context.seed_of(self.batch.number, if held_out { 1 + row as u64 } else { 0 });
            losses.push(std::array::from_fn(|point| self.context.loss(&models[point], batch, seed)));
        }
        drop(models);
        drop(statistics.restore(self.model.clone()));
        losses
    }
}

impl<M: Module, B> Line for BatchLine<'_, '_, M, B> {
    fn step(&self) -> u64 {
        self.step
    }

    fn loss(&self) -> f64 {
        self.loss
    }

    fn slope(&self) -> f64 {
        *self.slope.get_or_init(|| -self.gradient.dot(self.direction))
    }

    fn norm(&self) -> f64 {
        *self.norm.get_or_init(|| self.direction.norm())
    }

    fn own_losses(&mut self, positions: &[f64]) -> Vec<f64> {
        let mut losses: Vec<f64> = Vec::with_capacity(positions.len());
        for &position in positions {
            losses.extend(self.look([position], 1, false).into_iter().flatten());
        }
        self.context.reduce().mean_over_ranks(&mut losses);
        losses
    }

    fn held_out_losses(&mut self, positions: [f64; 3], num_batches: usize) -> Vec<[f64; 3]> {
        let mut losses = self.look(positions, num_batches, true);
        self.context.reduce().mean_over_ranks(losses.as_flattened_mut());
        losses
    }
}
