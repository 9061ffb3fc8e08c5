//! A learning rate that is kept while it pays, and cooled down when the measured gains say so.

use stepscope_types::quantity::{self, CHORD_GAUGE};
use stepscope_types::schedule::{Gauged, Ramp, Shape};
use stepscope_types::{Reading, Step, Verdict};

use super::StepSchedule;
use crate::checkpoint::{State, StateError, Stateful};
use crate::measure::Measured;

/// What was decided, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What is done from here on.
    pub verdict: Verdict,
    /// The numbers behind it, in words.
    pub reason: String,
}

/// The controller of `schedule.learning_rate = "gauged"`.
///
/// The rate stays while the chord gauge at the longest lag lies above ½: the loss still falls, if only along many steps, and an
/// average is what to evaluate meanwhile. Once two readings in a row find no descent, or the budget leaves just the cooldown, the rate falls to `to` over
/// the cooldown as 1 − √u, and the run ends with it. Every change of mind is a [`Decision`] with its numbers.
///
/// It decides on counted readings alone, so a run can be repeated, and goes on bit for bit after it was stopped. Source: `averaging`,
/// section 5.2.
#[derive(Debug, Clone)]
pub struct GaugedLearningRate {
    /// The rate while it is kept: its warm-up, then constant.
    kept: StepSchedule,
    settings: GaugedSteps,
    state: GaugedState,
}

/// The lengths of a gauged schedule in steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GaugedSteps {
    /// Steps of the run, at most.
    pub budget: u64,
    /// Steps of the cooldown.
    pub cooldown: u64,
    /// No decision by gauges before.
    pub least: u64,
    /// The rate at the end.
    pub to: f64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct GaugedState {
    cooling_since: Option<u64>,
    verdict: Option<Verdict>,
    /// Readings in a row that found no descent.
    idle: u64,
}

/// Readings in a row that must find no descent.
const ENOUGH: u64 = 2;

impl GaugedSteps {
    /// The lengths of `spec`, where `steps` converts a length and the run may take `budget` steps. A cooldown longer than the run is the run.
    pub fn new(spec: &Gauged, budget: u64, steps: impl Fn(stepscope_types::TrainingDuration) -> u64) -> Self {
        Self { budget, cooldown: steps(spec.cooldown).min(budget), least: steps(spec.least), to: spec.to }
    }
}

impl GaugedLearningRate {
    /// A controller at the start of a run.
    pub fn new(kept: StepSchedule, settings: GaugedSteps) -> Self {
        Self { kept, settings, state: GaugedState::default() }
    }

    /// The learning rate of update `step`.
    pub fn at(&self, step: Step) -> f64 {
        match self.state.cooling_since {
            Some(since) if step.0 >= since => {
                let share = (step.0 - since) as f64 / self.settings.cooldown.max(1) as f64;
                Ramp::from(Shape::OneMinusSqrt).between(self.kept.at(since), self.settings.to, share.min(1.0))
            }
            _ => self.kept.at(step.0),
        }
    }

    /// Steps of the run, as far as is known.
    pub fn end(&self) -> u64 {
        match self.state.cooling_since {
            Some(since) => (since + self.settings.cooldown).min(self.settings.budget),
            None => self.settings.budget,
        }
    }

    /// Decides before update `step` (at the end of the run: before none) on what was measured there.
    pub fn decide(&mut self, step: Step, measured: &[Measured]) -> Option<Decision> {
        if self.state.cooling_since.is_some() {
            return self.ended(step);
        }
        if step.0 + self.settings.cooldown >= self.settings.budget {
            let Self { settings: GaugedSteps { budget, cooldown, .. }, .. } = *self;
            let reason =
                format!("the budget of {budget} steps leaves {} for the cooldown of {cooldown}", budget - step.0);
            return Some(self.cool_down(step, reason));
        }
        let longest = CHORD_GAUGE.iter().rev().find_map(|(lag, name)| Some((*lag, estimate(measured, name)?)))?;
        if step.0 < self.settings.least {
            return None;
        }
        let (lag, (value, interval)) = longest;
        let one_step =
            [&quantity::ONE_STEP_GAUGE, &CHORD_GAUGE[0].1].into_iter().find_map(|name| estimate(measured, name));
        let verdict = Verdict::of(one_step.map(|(_, interval)| interval), Some(interval))?;
        let gauges = format!(
            "the gauge over {lag} steps is {value:.3} [{:.3}, {:.3}]{}",
            interval.0,
            interval.1,
            one_step.map_or(String::new(), |(value, (low, high))| format!(
                ", over one step {value:.3} [{low:.3}, {high:.3}]"
            ))
        );
        if verdict != Verdict::CoolDown {
            self.state.idle = 0;
            return self.changed(verdict, gauges);
        }
        self.state.idle += 1;
        if self.state.idle < ENOUGH {
            return None;
        }
        let gain = estimate(measured, &quantity::GAIN_COOLDOWN).map_or(String::new(), |(gain, (low, high))| {
            format!("; the cooldown is predicted to remove {gain:.4} nat [{low:.4}, {high:.4}]")
        });
        Some(self.cool_down(step, format!("{gauges}: keeping the rate gains nothing more{gain}")))
    }

    fn cool_down(&mut self, step: Step, reason: String) -> Decision {
        self.state.cooling_since = Some(step.0);
        self.state.verdict = Some(Verdict::CoolDown);
        Decision { verdict: Verdict::CoolDown, reason }
    }

    fn ended(&mut self, step: Step) -> Option<Decision> {
        let left = self.settings.budget.saturating_sub(step.0);
        let is_over = step.0 >= self.end();
        is_over.then(|| self.changed(Verdict::Stop, format!("cooled down; {left} steps of the budget are left")))?
    }

    fn changed(&mut self, verdict: Verdict, reason: String) -> Option<Decision> {
        let before = self.state.verdict.replace(verdict);
        (before != Some(verdict)).then_some(Decision { verdict, reason })
    }
}

/// Value and interval of a quantity that was resolved.
fn estimate(measured: &[Measured], quantity: &quantity::Quantity) -> Option<(f64, (f64, f64))> {
    measured.iter().filter(|measured| measured.quantity == quantity).find_map(|measured| match &measured.reading {
        Reading::Value(estimate) => Some((estimate.value, estimate.interval())),
        Reading::Unresolved { .. } => None,
    })
}

impl Stateful for GaugedLearningRate {
    fn save_state(&self, state: &mut State) {
        state.put("cooling_since", &self.state.cooling_since);
        state.put("verdict", &self.state.verdict);
        state.put("idle", &self.state.idle);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        self.state = GaugedState {
            cooling_since: state.get("cooling_since")?,
            verdict: state.get("verdict")?,
            idle: state.get("idle")?,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use stepscope_types::spec::Sampling;
    use stepscope_types::{BatchSize, Estimate, Uncertainty};

    use super::super::{RunClock, Schedule};
    use super::*;
    use crate::data::BatchPlan;

    fn controller() -> GaugedLearningRate {
        let batches = BatchPlan::constant(Sampling::WithReplacement, 100, BatchSize::new(10).unwrap());
        let kept = StepSchedule::new(Schedule::constant(0.4), RunClock::steps(1000, 10.0), batches);
        GaugedLearningRate::new(kept, GaugedSteps { budget: 1000, cooldown: 100, least: 200, to: 0.1 })
    }

    fn readings(one: f64, many: f64) -> Vec<Measured> {
        let gauge = |index: usize, value: f64| {
            let interval = Uncertainty::Interval { low: value - 0.03, high: value + 0.03, level: 0.95 };
            Measured::new(&CHORD_GAUGE[index].1, Estimate::new(value, "1", interval))
        };
        vec![gauge(0, one), gauge(4, many)]
    }

    #[test]
    fn it_keeps_the_rate_while_chords_descend_and_cools_down_after_two_readings_that_do_not() {
        let mut controller = controller();
        let mut at =
            |step, one, many| controller.decide(Step(step), &readings(one, many)).map(|decision| decision.verdict);
        assert_eq!(at(100, 0.5, 0.5), None, "too early");
        assert_eq!(at(200, 0.8, 0.9), Some(Verdict::Keep));
        assert_eq!(at(250, 0.8, 0.9), None, "no change of mind");
        assert_eq!(at(300, 0.5, 0.7), Some(Verdict::KeepAndAverage));
        assert_eq!(at(400, 0.5, 0.5), None, "once may be chance");
        assert_eq!(at(500, 0.5, 0.7), None, "back again");
        assert_eq!(at(600, 0.5, 0.5), None);
        assert_eq!(at(700, 0.5, 0.48), Some(Verdict::CoolDown));
        assert_eq!(controller.end(), 800);
        assert_eq!(controller.at(Step(699)), 0.4);
        assert!((controller.at(Step(725)) - (0.4 - 0.3 * 0.5)).abs() < 1e-12);
        assert_eq!(controller.decide(Step(750), &[]), None);
        let stop = controller.decide(Step(800), &[]).unwrap();
        assert_eq!(stop.verdict, Verdict::Stop);
        assert!(stop.reason.contains("200 steps"), "{}", stop.reason);
    }

    #[test]
    fn the_budget_always_leaves_room_for_the_cooldown() {
        let mut controller = controller();
        let kept = |controller: &mut GaugedLearningRate, step| controller.decide(Step(step), &readings(0.5, 0.9));
        assert_eq!(kept(&mut controller, 899).map(|decision| decision.verdict), Some(Verdict::KeepAndAverage));
        let forced = kept(&mut controller, 900).unwrap();
        assert!(forced.verdict == Verdict::CoolDown && forced.reason.contains("leaves 100"), "{forced:?}");
        assert_eq!(controller.end(), 1000);
        let mut state = State::default();
        controller.save_state(&mut state);
        let mut again = super::tests::controller();
        again.load_state(&state).unwrap();
        assert_eq!((again.at(Step(950)), again.end()), (controller.at(Step(950)), 1000));
    }
}
