//! A learning rate that is measured every so often from a parabola of the loss along the step.

use std::collections::VecDeque;

use stepscope_types::quantity;
use stepscope_types::spec::LineSearchSpec;
use stepscope_types::{Estimate, Mode, Reading, Step, Uncertainty};

use super::parabola::{Parabola, ParabolaError};
use crate::control::Line;
use crate::measure::Measured;

/// The learning rate alpha · mean of the last minima of the mean loss of held-out batches along the step.
///
/// Held-out: the batches that are evaluated are drawn apart from the batch that gave the direction, since that batch's own
/// loss has its minimum much too far out (`line-search`, section 1.2, O3). A refused fit keeps the last learning rate; a line
/// that bends down doubles the spacing of the next measurement, a line whose loss is not finite halves it.
///
/// A first, simple member of the LABPAL family (`line-search`, section 2): exact fit, direction batch excluded.
/// Cost of one measurement: 3 · `num_batches` forward passes.
#[derive(Debug, Clone)]
pub struct MeasuredLearningRate {
    every: u64,
    num_batches: usize,
    update_step_adaptation: f64,
    history: usize,
    max_learning_rate: f64,
    minima: VecDeque<f64>,
    spacing: f64,
    learning_rate: f64,
}

impl MeasuredLearningRate {
    /// A source that measures at step 0 and every `every` steps after.
    pub fn new(spec: &LineSearchSpec, every: u64) -> Self {
        Self {
            every: every.max(1),
            num_batches: spec.num_batches as usize,
            update_step_adaptation: spec.update_step_adaptation,
            history: spec.history as usize,
            max_learning_rate: spec.max_learning_rate.get(),
            minima: VecDeque::new(),
            spacing: spec.initial_learning_rate.get(),
            learning_rate: spec.initial_learning_rate.get(),
        }
    }

    /// The learning rate as last measured.
    pub fn current(&self) -> f64 {
        self.learning_rate
    }

    /// The learning rate of this step; measures it first where it is due.
    pub fn at(&mut self, step: Step, line: &mut dyn Line) -> (f64, Vec<Measured>) {
        if !step.0.is_multiple_of(self.every) {
            return (self.learning_rate, Vec::new());
        }
        let h = self.spacing;
        let losses = line.losses([0.0, h, 2.0 * h], self.num_batches);
        let reading = match Parabola::fit(h, &losses) {
            Ok(fit) => {
                self.accept(fit.minimum);
                let error = Uncertainty::StandardError(fit.minimum_error);
                Estimate::new(fit.minimum, quantity::LINE_MINIMUM.unit, error).in_mode(Mode::Eval).into()
            }
            Err(refusal) => {
                self.refuse(&refusal);
                Reading::Unresolved { reason: refusal.to_string(), num_examples: 0 }
            }
        };
        (self.learning_rate, vec![Measured::new(&quantity::LINE_MINIMUM, reading)])
    }

    fn accept(&mut self, minimum: f64) {
        self.minima.push_back(minimum.min(self.max_learning_rate));
        while self.minima.len() > self.history {
            self.minima.pop_front();
        }
        let mean = self.minima.iter().sum::<f64>() / self.minima.len() as f64;
        self.learning_rate = (self.update_step_adaptation * mean).min(self.max_learning_rate);
        // The three points should reach as far as the step that they decide about.
        self.spacing = 0.5 * self.learning_rate;
    }

    fn refuse(&mut self, refusal: &ParabolaError) {
        match refusal {
            ParabolaError::Concave { .. } => self.spacing = (2.0 * self.spacing).min(self.max_learning_rate),
            ParabolaError::NotFinite { .. } => self.spacing *= 0.5,
            ParabolaError::Ascending { .. } | ParabolaError::TooLittle { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stepscope_types::LearningRate;

    /// A line on which every batch has the same parabola.
    struct Exact(fn(f64) -> f64, u64);

    impl Line for Exact {
        fn losses(&mut self, positions: [f64; 3], num_batches: usize) -> Vec<[f64; 3]> {
            self.1 += 1;
            vec![positions.map(self.0); num_batches]
        }
    }

    fn spec(adaptation: f64) -> LineSearchSpec {
        LineSearchSpec {
            update_step_adaptation: adaptation,
            initial_learning_rate: LearningRate::new(0.01).unwrap(),
            ..LineSearchSpec::default()
        }
    }

    #[test]
    fn on_a_parabola_the_learning_rate_is_alpha_times_the_minimum() {
        let mut source = MeasuredLearningRate::new(&spec(1.5), 10);
        let (learning_rate, measured) = source.at(Step(0), &mut Exact(|s| 1.0 - s + 2.0 * s * s, 0));
        assert!((learning_rate - 1.5 * 0.25).abs() < 1e-9, "{learning_rate}");
        assert_eq!(measured.len(), 1);
    }

    #[test]
    fn between_two_measurements_nothing_is_evaluated() {
        let mut line = Exact(|s| 1.0 - s + 2.0 * s * s, 0);
        let mut source = MeasuredLearningRate::new(&spec(1.0), 10);
        for step in 0..25 {
            source.at(Step(step), &mut line);
        }
        assert_eq!(line.1, 3, "steps 0, 10 and 20");
    }

    #[test]
    fn refused_fits_keep_the_learning_rate_and_adapt_the_spacing() {
        let mut source = MeasuredLearningRate::new(&spec(1.0), 1);
        let (learning_rate, measured) = source.at(Step(0), &mut Exact(|s| 1.0 - s - s * s, 0));
        assert_eq!((learning_rate, source.spacing), (0.01, 0.02));
        assert!(matches!(&measured[0].reading, Reading::Unresolved { reason, .. } if reason.contains("bends down")));
        source.at(Step(1), &mut Exact(|_| f64::NAN, 0));
        assert_eq!((source.current(), source.spacing), (0.01, 0.01));
        source.at(Step(2), &mut Exact(|s| s + s * s, 0));
        assert_eq!((source.current(), source.spacing), (0.01, 0.01));
    }
}
