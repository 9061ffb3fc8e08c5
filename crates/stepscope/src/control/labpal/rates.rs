//! The step in use, and the measured ones that it is the average of.

use std::collections::VecDeque;

use stepscope_types::spec::{HistoryAverage, LabPalSpec};

use crate::checkpoint::{State, StateError, Stateful};
use crate::control::line_search::average;

/// A measured step in its two forms: a length along the unit direction, and the learning rate that it was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rate {
    pub(super) step_length: f64,
    pub(super) learning_rate: f64,
    /// Half the curvature of the loss along the unit direction, by which measurements are weighted.
    pub(super) half_curvature: f64,
}

/// Averages what is measured, once the first updates are over.
#[derive(Debug, Clone)]
pub(super) struct Rates {
    length: usize,
    average: HistoryAverage,
    min_step: f64,
    history: VecDeque<Rate>,
    current: Option<Rate>,
    ceiling: f64,
}

impl Rates {
    pub(super) fn new(spec: &LabPalSpec) -> Self {
        let length = usize::try_from(spec.history).unwrap_or(usize::MAX);
        let (average, min_step) = (spec.history_average, spec.min_step);
        Self { length, average, min_step, history: VecDeque::new(), current: None, ceiling: f64::INFINITY }
    }

    pub(super) fn current(&self) -> Option<Rate> {
        self.current
    }

    /// Takes in a measured step along a direction of that norm; what is in use from now on.
    pub(super) fn measured(&mut self, step_length: f64, norm: f64, half_curvature: f64, is_trusted: bool) -> Rate {
        let step_length = step_length.min(self.ceiling).max(self.min_step);
        self.ceiling *= 2.0;
        let learning_rate = (step_length / norm.max(self.min_step)).max(self.min_step);
        let mut rate = Rate { step_length, learning_rate, half_curvature };
        if is_trusted {
            self.history.push_back(rate);
            while self.history.len() > self.length {
                self.history.pop_front();
            }
            // Along v itself, which a learning rate is a factor on, the curvature is ‖v‖² times as large.
            let along_v = |rate: &Rate| rate.half_curvature * (rate.step_length / rate.learning_rate).powi(2);
            let lengths = self.history.iter().map(|rate| (rate.step_length, rate.half_curvature));
            let rates = self.history.iter().map(|rate| (rate.learning_rate, along_v(rate)));
            rate.step_length = average(self.average, lengths);
            rate.learning_rate = average(self.average, rates);
        }
        self.current = Some(rate);
        rate
    }

    /// After a step that had to be taken back: none is as long for a while.
    pub(super) fn exploded(&mut self) {
        if let Some(rate) = &mut self.current {
            self.history.clear();
            rate.step_length *= 0.25;
            rate.learning_rate *= 0.25;
            self.ceiling = rate.step_length;
        }
    }
}

impl Stateful for Rates {
    fn save_state(&self, state: &mut State) {
        // As vectors and not as JSON, so that every f64 comes back, infinities among them.
        let rates = self.current.iter().chain(&self.history);
        state.put_vector(
            "rates",
            rates.flat_map(|rate| [rate.step_length, rate.learning_rate, rate.half_curvature]).collect(),
        );
        state.put("has_current", &self.current.is_some());
        state.put_vector("ceiling", vec![self.ceiling]);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        let (saved, _) = state.vector_of_any_length("rates")?.as_chunks();
        let mut rates = saved.iter().map(|&[step_length, learning_rate, half_curvature]| Rate {
            step_length,
            learning_rate,
            half_curvature,
        });
        self.current = if state.get("has_current")? { rates.next() } else { None };
        self.history = rates.collect();
        self.ceiling = state.vector("ceiling", 1)?[0];
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(history: u64, history_average: HistoryAverage) -> Rates {
        Rates::new(&LabPalSpec { history, history_average, ..LabPalSpec::default() })
    }

    #[test]
    fn the_average_is_over_the_last_trusted_measurements() {
        for (average, expected) in [(HistoryAverage::Mean, 4.0), (HistoryAverage::Median, 3.0)] {
            let mut rates = rates(3, average);
            assert_eq!(
                rates.measured(9.0, 2.0, 1.0, false),
                Rate { step_length: 9.0, learning_rate: 4.5, half_curvature: 1.0 }
            );
            for step in [5.0, 2.0, 3.0] {
                rates.measured(step, 1.0, 1.0, true);
            }
            assert_eq!(rates.measured(7.0, 1.0, 1.0, true).step_length, expected);
        }
    }

    #[test]
    fn weights_are_curvatures_along_what_is_averaged() {
        let mut rates = rates(2, HistoryAverage::Weighted);
        rates.measured(1.0, 1.0, 3.0, true);
        let rate = rates.measured(4.0, 10.0, 1.0, true);
        // Lengths 1 and 4 with curvatures 3 and 1; rates 1 and 0.4 with curvatures 3 and 100.
        assert!((rate.step_length - 7.0 / 4.0).abs() < 1e-12, "{rate:?}");
        assert!((rate.learning_rate - 43.0 / 103.0).abs() < 1e-12, "{rate:?}");
    }

    #[test]
    fn no_step_is_as_long_as_one_that_exploded_until_others_have_served() {
        let mut rates = rates(2, HistoryAverage::Mean);
        rates.measured(8.0, 1.0, 1.0, true);
        rates.exploded();
        let lengths = [8.0; 4].map(|step| rates.measured(step, 1.0, 1.0, false).step_length);
        assert_eq!(lengths, [2.0, 4.0, 8.0, 8.0]);
    }

    #[test]
    fn a_step_and_a_rate_have_a_floor() {
        let mut rates = rates(1, HistoryAverage::Mean);
        assert_eq!(
            rates.measured(0.0, 1e9, 1.0, false),
            Rate { step_length: 1e-6, learning_rate: 1e-6, half_curvature: 1.0 }
        );
    }
}
