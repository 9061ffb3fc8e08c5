//! Learning rates along a schedule, known beforehand or decided on along the run.

use stepscope_types::Step;

use super::schedule::{Decision, GaugedLearningRate, StepSchedule};
use super::step_length::{Chosen, Line, StepLength};
use crate::checkpoint::{State, StateError, Stateful};
use crate::measure::Measured;

/// The learning rate of a schedule at every update.
#[derive(Debug, Clone)]
pub(super) struct Scheduled {
    schedule: StepSchedule,
    /// Its value for the coming update.
    next: f64,
}

impl Scheduled {
    pub(super) fn new(schedule: StepSchedule) -> Self {
        Self { next: schedule.at(0), schedule }
    }
}

impl StepLength for Scheduled {
    fn choose(&mut self, line: &mut dyn Line) -> Chosen {
        self.next = self.schedule.at(line.step() + 1);
        self.schedule.at(line.step()).into()
    }

    fn current(&self) -> f64 {
        self.next
    }
}

impl Stateful for Scheduled {
    fn save_state(&self, state: &mut State) {
        state.put("next", &self.next);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        self.next = state.get("next")?;
        Ok(())
    }
}

/// A learning rate that is kept while it pays, and cooled down when measured gains say so.
#[derive(Debug, Clone)]
pub(super) struct GaugedLength {
    controller: GaugedLearningRate,
    /// Its value for the coming update.
    next: f64,
}

impl GaugedLength {
    pub(super) fn new(controller: GaugedLearningRate) -> Self {
        Self { next: controller.at(Step(0)), controller }
    }
}

impl StepLength for GaugedLength {
    fn choose(&mut self, line: &mut dyn Line) -> Chosen {
        self.next = self.controller.at(Step(line.step() + 1));
        self.controller.at(Step(line.step())).into()
    }

    fn current(&self) -> f64 {
        self.next
    }

    fn decide(&mut self, step: Step, measured: &[Measured]) -> Option<Decision> {
        let decision = self.controller.decide(step, measured);
        self.next = self.controller.at(step);
        decision
    }

    fn end(&self) -> Option<u64> {
        Some(self.controller.end())
    }
}

impl Stateful for GaugedLength {
    fn save_state(&self, state: &mut State) {
        state.put("next", &self.next);
        state.nest("controller", &self.controller);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        self.next = state.get("next")?;
        state.restore("controller", &mut self.controller)
    }
}
