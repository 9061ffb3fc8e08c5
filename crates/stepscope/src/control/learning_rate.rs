//! Where the learning rate of a step comes from.

use stepscope_types::spec::LearningRateSpec;
use stepscope_types::{RunSpec, Step};

use super::line_search::MeasuredLearningRate;
use crate::checkpoint::{State, StateError, Stateful};
use crate::measure::Measured;

/// The loss of held-out mini-batches along the coming step.
pub trait Line {
    /// The mean losses of `num_batches` fresh batches at θ − s·v for every s of `positions`: a row a batch, the same batches at every position. Nothing
    /// changes but the stream that the batches are drawn from.
    fn losses(&mut self, positions: [f64; 3], num_batches: usize) -> Vec<[f64; 3]>;
}

/// A fixed learning rate or one that is measured along the step.
#[derive(Debug, Clone)]
pub enum LearningRateSource {
    /// The same at every step.
    Fixed(f64),
    /// From a parabola of the loss along the step.
    Measured(MeasuredLearningRate),
}

impl LearningRateSource {
    /// The source that `spec` asks for. `measure_every` is the time between measurements, in steps.
    pub fn new(spec: &RunSpec, measure_every: u64) -> Self {
        match spec.optimizer.learning_rate {
            LearningRateSpec::Fixed(learning_rate) => Self::Fixed(learning_rate.get()),
            LearningRateSpec::Measured => Self::Measured(MeasuredLearningRate::new(&spec.line_search, measure_every)),
        }
    }

    /// The learning rate that the next step will start from, without measuring.
    pub fn current(&self) -> f64 {
        match self {
            Self::Fixed(learning_rate) => *learning_rate,
            Self::Measured(measured) => measured.current(),
        }
    }

    /// The learning rate of this step, and what was measured to get it.
    pub fn at(&mut self, step: Step, line: &mut dyn Line) -> (f64, Vec<Measured>) {
        match self {
            Self::Fixed(learning_rate) => (*learning_rate, Vec::new()),
            Self::Measured(measured) => measured.at(step, line),
        }
    }
}

impl Stateful for LearningRateSource {
    fn save_state(&self, state: &mut State) {
        match self {
            Self::Fixed(_) => {}
            Self::Measured(measured) => measured.save_state(state),
        }
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        match self {
            Self::Fixed(_) => Ok(()),
            Self::Measured(measured) => measured.load_state(state),
        }
    }
}
