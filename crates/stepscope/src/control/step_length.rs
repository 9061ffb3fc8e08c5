//! How far an update goes along its direction.

use stepscope_types::{LearningRate, Step};

use super::schedule::Decision;
use crate::checkpoint::{State, StateError, Stateful};
use crate::measure::Measured;

/// The loss along a coming update θ(s) = θ − s·v: what a line search looks at.
///
/// Positions are learning rates. Looking changes nothing but the stream that held-out batches are drawn from.
pub trait Line {
    /// Updates taken before this one.
    fn step(&self) -> u64;

    /// ℓ(0) of the batch that gave the direction.
    fn loss(&self) -> f64;

    /// dℓ/ds at 0 of the batch that gave the direction, −⟨g, v⟩: negative where the update descends.
    fn slope(&self) -> f64;

    /// ‖v‖: a step of learning rate s is s‖v‖ long.
    fn norm(&self) -> f64;

    /// ℓ(s) of the batch that gave the direction, at each of `positions`, with the dropout masks that it had.
    ///
    /// One forward pass a position.
    fn own_losses(&mut self, positions: &[f64]) -> Vec<f64>;

    /// The losses of `num_batches` fresh batches: a row a batch, the same batches at every position.
    ///
    /// `num_batches` · 3 forward passes.
    fn held_out_losses(&mut self, positions: [f64; 3], num_batches: usize) -> Vec<[f64; 3]>;
}

/// Chooses the learning rate of every update.
pub trait StepLength: Stateful + std::fmt::Debug {
    /// The learning rate of the update along `line`, and what was measured to get it.
    fn choose(&mut self, line: &mut dyn Line) -> Chosen;

    /// The learning rate that the next update will start from, without looking.
    fn current(&self) -> f64;

    /// Decides about the rest of the run on what was measured before `step`; says what was decided, if it is new.
    fn decide(&mut self, _step: Step, _measured: &[Measured]) -> Option<Decision> {
        None
    }

    /// The step at which the run ends, where that is decided along the way.
    fn end(&self) -> Option<u64> {
        None
    }
}

/// A learning rate, and what was measured on the way to it.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// η of this update; where it is not finite no update is taken.
    pub learning_rate: f64,
    /// For the record.
    pub measured: Vec<Measured>,
}

impl From<f64> for Chosen {
    fn from(learning_rate: f64) -> Self {
        Self { learning_rate, measured: Vec::new() }
    }
}

/// The same learning rate at every update.
#[derive(Debug, Clone, Copy)]
pub struct Fixed(pub LearningRate);

impl StepLength for Fixed {
    fn choose(&mut self, _line: &mut dyn Line) -> Chosen {
        self.0.get().into()
    }

    fn current(&self) -> f64 {
        self.0.get()
    }
}

/// Nothing to remember.
impl Stateful for Fixed {
    fn save_state(&self, _state: &mut State) {}

    fn load_state(&mut self, _state: &State) -> Result<(), StateError> {
        Ok(())
    }
}
