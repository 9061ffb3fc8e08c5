//! Where the learning rate of a step comes from.

use stepscope_types::spec::LearningRateSpec;
use stepscope_types::{RunSpec, Step};

use super::line_search::MeasuredLearningRate;
use super::schedule::{Decision, GaugedLearningRate, StepSchedule};
use crate::checkpoint::{State, StateError, Stateful};
use crate::measure::Measured;

/// The loss of held-out mini-batches along the coming step.
pub trait Line {
    /// The mean losses of `num_batches` fresh batches at θ − s·v for every s of `positions`: a row a batch, the same batches at every position. Nothing
    /// changes but the stream that the batches are drawn from.
    fn losses(&mut self, positions: [f64; 3], num_batches: usize) -> Vec<[f64; 3]>;
}

/// A fixed learning rate, one that follows a schedule, or one that is measured along the step.
#[derive(Debug, Clone)]
pub enum LearningRateSource {
    /// The same at every step.
    Fixed(f64),
    /// Along a schedule.
    Scheduled {
        /// The schedule.
        schedule: StepSchedule,
        /// Its value for the coming step.
        next: f64,
    },
    /// Kept while it pays, cooled down when measured gains say so.
    Gauged {
        /// Who decides.
        controller: Box<GaugedLearningRate>,
        /// Its value for the coming step.
        next: f64,
    },
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

    /// The same source, along `schedule` where there is one.
    pub fn scheduled(self, schedule: Option<StepSchedule>) -> Self {
        match schedule {
            Some(schedule) => Self::Scheduled { next: schedule.at(0), schedule },
            None => self,
        }
    }

    /// A source that is decided on along the run.
    pub fn gauged(controller: GaugedLearningRate) -> Self {
        Self::Gauged { next: controller.at(Step(0)), controller: Box::new(controller) }
    }

    /// Decides about the rest of the run on what was measured before update `step`; says what was decided, if it is new.
    pub fn decide(&mut self, step: Step, measured: &[Measured]) -> Option<Decision> {
        let Self::Gauged { controller, next } = self else { return None };
        let decision = controller.decide(step, measured);
        *next = controller.at(step);
        decision
    }

    /// The step at which the run ends, where that is decided along the way.
    pub fn end(&self) -> Option<u64> {
        match self {
            Self::Gauged { controller, .. } => Some(controller.end()),
            _ => None,
        }
    }

    /// The learning rate that the next step will start from, without measuring.
    pub fn current(&self) -> f64 {
        match self {
            Self::Fixed(learning_rate) => *learning_rate,
            Self::Scheduled { next, .. } | Self::Gauged { next, .. } => *next,
            Self::Measured(measured) => measured.current(),
        }
    }

    /// The learning rate of this step, and what was measured to get it.
    pub fn at(&mut self, step: Step, line: &mut dyn Line) -> (f64, Vec<Measured>) {
        match self {
            Self::Fixed(learning_rate) => (*learning_rate, Vec::new()),
            Self::Scheduled { schedule, next } => {
                *next = schedule.at(step.0 + 1);
                (schedule.at(step.0), Vec::new())
            }
            Self::Gauged { controller, next } => {
                *next = controller.at(Step(step.0 + 1));
                (controller.at(step), Vec::new())
            }
            Self::Measured(measured) => measured.at(step, line),
        }
    }
}

impl Stateful for LearningRateSource {
    fn save_state(&self, state: &mut State) {
        match self {
            Self::Fixed(_) => {}
            Self::Scheduled { next, .. } => state.put("next", next),
            Self::Gauged { controller, next } => {
                state.put("next", next);
                state.nest("controller", controller.as_ref());
            }
            Self::Measured(measured) => measured.save_state(state),
        }
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        match self {
            Self::Fixed(_) => Ok(()),
            Self::Scheduled { next, .. } => {
                *next = state.get("next")?;
                Ok(())
            }
            Self::Gauged { controller, next } => {
                *next = state.get("next")?;
                state.restore("controller", controller.as_mut())
            }
            Self::Measured(measured) => measured.load_state(state),
        }
    }
}
