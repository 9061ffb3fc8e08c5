//! A learning rate that is measured every so often from a parabola of the loss along the step.

use std::collections::VecDeque;

use stepscope_types::quantity;
use stepscope_types::spec::LineSearchSpec;
use stepscope_types::{Estimate, Mode, Reading, Uncertainty};

use super::parabola::{Minimum, NoMinimum, Parabola};
use crate::checkpoint::{State, StateError, Stateful};
use crate::control::{Chosen, Line, StepLength};
use crate::measure::Measured;

/// The learning rate α (s* − one standard error), with s* the minimum of the summed parabolas of the last few lines.
///
/// A line is the mean loss of held-out batches along a step, θ − s·v. Held-out: drawn apart from the batch that gave the
/// direction, since that batch's own loss has its minimum much too far out (`line-search`, section 1.2, O3). The
/// parabolas of the last lines are summed and not their minima averaged: s* is then the one learning rate that would
/// have lowered the held-out loss most over those lines, a line that rises or bends down counts with its weight
/// instead of being dropped, and a nearly flat one, whose minimum could be anywhere, hardly counts.
///
/// Where the sum has no minimum ahead, or none resolved from zero, the last learning rate stays. From one measurement to
/// the next it grows by half at most.
///
/// At the noise floor the minimum lies at half the step taken (`averaging`, section 2.3), so with α < 2 the rate
/// anneals itself once descent is over, the faster the smaller α.
///
/// A first, simple member of the LABPAL family (`line-search`, section 2): exact fit, direction batch excluded; α = 1.8
/// is that method's. Cost of one measurement: 3 · `num_batches` forward passes, and as many again each time that
/// the points are moved. Measured against fixed rates in `docs/measured-learning-rate.md`.
#[derive(Debug, Clone)]
pub struct MeasuredLearningRate {
    every: u64,
    num_batches: usize,
    update_step_adaptation: f64,
    history: usize,
    max_learning_rate: f64,
    lines: VecDeque<Parabola>,
    spacing: f64,
    learning_rate: f64,
    was_measured: bool,
}

impl MeasuredLearningRate {
    /// A minimum further out than this many spacings is not believed: the last point is at two.
    const REACH: f64 = 4.0;
    /// Most that the learning rate may grow by from one measurement to the next.
    const MAX_GROWTH: f64 = 1.5;
    /// Most times that the points of one measurement are moved.
    const MAX_ATTEMPTS: u64 = 8;

    /// A source that measures at step 0 and every `every` steps after.
    pub fn new(spec: &LineSearchSpec, every: u64) -> Self {
        Self {
            every: every.max(1),
            num_batches: spec.num_batches as usize,
            update_step_adaptation: spec.update_step_adaptation,
            history: spec.history as usize,
            max_learning_rate: spec.max_learning_rate.get(),
            lines: VecDeque::new(),
            spacing: spec.initial_learning_rate.get(),
            learning_rate: spec.initial_learning_rate.get(),
            was_measured: false,
        }
    }

    /// The parabola of the coming step, through points that reach as far as its own minimum.
    ///
    /// A minimum far beyond the last point is extrapolated from how the loss bends near 0, where a network's loss bends least;
    /// the points are then moved out, and moved in where a loss is not finite.
    fn fit_within_reach(&mut self, line: &mut dyn Line) -> Result<Parabola, String> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let h = self.spacing;
            let fit = Parabola::fit(h, &line.held_out_losses([0.0, h, 2.0 * h], self.num_batches));
            let (moved, result) = match fit {
                Err(refusal) => (0.25 * h, Err(refusal.to_string())),
                Ok(parabola) => match parabola.minimum() {
                    Ok(minimum) if minimum.position > Self::REACH * h => (4.0 * h, Ok(parabola)),
                    Err(NoMinimum::Concave { .. }) => (4.0 * h, Ok(parabola)),
                    _ => return Ok(parabola),
                },
            };
            if attempts == Self::MAX_ATTEMPTS || moved > self.max_learning_rate {
                return result;
            }
            self.spacing = moved;
        }
    }

    /// Takes a line in, and the learning rate that follows; the reason, where none does.
    fn pooled_minimum(&mut self, parabola: Parabola) -> Result<Minimum, String> {
        self.lines.push_back(parabola);
        while self.lines.len() > self.history {
            self.lines.pop_front();
        }
        let minimum = Parabola::pooled_minimum(&self.lines).map_err(|reason| reason.to_string())?;
        let asked = self.update_step_adaptation * (minimum.position - minimum.standard_error);
        if asked <= 0.0 {
            // Not resolved from zero: a minimum that could be anywhere is no reason to change the rate.
            return Ok(minimum);
        }
        // The first may ask for any rate, since nothing was known before it.
        let growth = if self.was_measured { Self::MAX_GROWTH } else { f64::INFINITY };
        self.learning_rate = asked.min(growth * self.learning_rate).min(self.max_learning_rate);
        self.was_measured = true;
        // The three points should reach as far as the step that they decide about.
        self.spacing = 0.5 * self.learning_rate;
        Ok(minimum)
    }
}

impl StepLength for MeasuredLearningRate {
    fn choose(&mut self, line: &mut dyn Line) -> Chosen {
        if !line.step().is_multiple_of(self.every) {
            return self.learning_rate.into();
        }
        let minimum = self.fit_within_reach(line).and_then(|parabola| self.pooled_minimum(parabola));
        let reading = match minimum {
            Ok(minimum) => {
                let error = Uncertainty::StandardError(minimum.standard_error);
                Estimate::new(minimum.position, quantity::LINE_MINIMUM.unit, error).in_mode(Mode::TrainBatch).into()
            }
            Err(reason) => Reading::Unresolved { reason, num_examples: 0 },
        };
        let measured = vec![Measured::new(&quantity::LINE_MINIMUM, reading)];
        Chosen { learning_rate: self.learning_rate, measured }
    }

    fn current(&self) -> f64 {
        self.learning_rate
    }
}

impl Stateful for MeasuredLearningRate {
    fn save_state(&self, state: &mut State) {
        // As vectors and not as JSON, so that every f64 comes back, infinities among them.
        let numbers = |line: &Parabola| {
            [line.slope, line.half_curvature, line.slope_variance, line.half_curvature_variance, line.covariance]
        };
        state.put_vector("lines", self.lines.iter().flat_map(numbers).collect());
        state.put_vector("spacing_and_learning_rate", vec![self.spacing, self.learning_rate]);
        state.put("was_measured", &self.was_measured);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        let (lines, _) = state.vector_of_any_length("lines")?.as_chunks();
        self.lines = lines
            .iter()
            .map(|&[slope, half_curvature, slope_variance, half_curvature_variance, covariance]| Parabola {
                slope,
                half_curvature,
                slope_variance,
                half_curvature_variance,
                covariance,
            })
            .collect();
        let rates = state.vector("spacing_and_learning_rate", 2)?;
        (self.spacing, self.learning_rate) = (rates[0], rates[1]);
        self.was_measured = state.get("was_measured")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stepscope_types::LearningRate;

    /// A line on which every batch has the same loss; step and looks are counted.
    struct Exact(fn(f64) -> f64, u64, u64);

    /// What no measured learning rate asks for.
    macro_rules! unused {
        () => {
            fn loss(&self) -> f64 {
                f64::NAN
            }
            fn slope(&self) -> f64 {
                f64::NAN
            }
            fn norm(&self) -> f64 {
                f64::NAN
            }
            fn own_losses(&mut self, _: &[f64]) -> Vec<f64> {
                Vec::new()
            }
        };
    }

    impl Line for Exact {
        unused!();

        fn step(&self) -> u64 {
            self.1
        }

        fn held_out_losses(&mut self, positions: [f64; 3], num_batches: usize) -> Vec<[f64; 3]> {
            self.2 += 1;
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
        let chosen = source.choose(&mut Exact(|s| 1.0 - s + 2.0 * s * s, 0, 0));
        assert!((chosen.learning_rate - 1.5 * 0.25).abs() < 1e-9, "{chosen:?}");
        assert_eq!(chosen.measured.len(), 1);
    }

    #[test]
    fn between_two_measurements_nothing_is_evaluated() {
        let mut line = Exact(|s| 1.0 - s + 2.0 * s * s, 0, 0);
        let mut source = MeasuredLearningRate::new(&spec(1.0), 10);
        for step in 0..25 {
            line.1 = step;
            source.choose(&mut line);
        }
        // At step 0 the points are moved out twice, from 0.01 to 0.16, before they reach the minimum at 0.25.
        assert_eq!(line.2, 3 + 1 + 1, "steps 0, 10 and 20");
    }

    #[test]
    fn a_minimum_is_taken_one_standard_error_short_and_growth_is_bounded() {
        /// Two batches whose slopes differ by `spread` about `slope`, curvature 2.
        struct Spread(f64, f64);
        impl Line for Spread {
            unused!();

            fn step(&self) -> u64 {
                0
            }

            fn held_out_losses(&mut self, positions: [f64; 3], _: usize) -> Vec<[f64; 3]> {
                [-1.0, 1.0].map(|sign| positions.map(|s| (self.0 + sign * self.1) * s + s * s)).to_vec()
            }
        }
        // One line at a time, so that no scatter between lines enters.
        let mut source = MeasuredLearningRate::new(&LineSearchSpec { history: 1, ..spec(1.0) }, 1);
        // Minimum at 0.5 with standard error 0.1: slopes -1 ± 0.2 have a mean with standard error 0.2.
        let Chosen { learning_rate, .. } = source.choose(&mut Spread(-1.0, 0.2));
        assert!((learning_rate - 0.4).abs() < 1e-9, "{learning_rate}");
        // The minimum lies at 10: half as much again is all that is granted.
        let Chosen { learning_rate, .. } = source.choose(&mut Spread(-20.0, 0.2));
        assert!((learning_rate - 0.6).abs() < 1e-9, "{learning_rate}");
        // Nothing is resolved any more: the rate stays.
        let Chosen { learning_rate, measured } = source.choose(&mut Spread(-1.0, 90.0));
        assert!((learning_rate - 0.6).abs() < 1e-9, "{learning_rate}");
        assert!(measured[0].reading.estimate().is_some(), "the minimum itself is still reported, with its error");
    }

    #[test]
    fn lines_without_a_minimum_keep_the_learning_rate_and_adapt_the_spacing() {
        let mut source = MeasuredLearningRate::new(&spec(1.0), 1);
        let Chosen { learning_rate, measured } = source.choose(&mut Exact(|s| 1.0 - s - s * s, 0, 0));
        assert!(matches!(&measured[0].reading, Reading::Unresolved { reason, .. } if reason.contains("bends down")));
        assert!(learning_rate == 0.01 && source.spacing > 1.0, "the points went out in search of an end");
        source.choose(&mut Exact(|s| if s > 0.1 { f64::NAN } else { 1.0 - s - s * s }, 1, 0));
        assert!(source.current() == 0.01 && source.spacing < 0.1, "and came back from where nothing is finite");
        let Chosen { learning_rate, measured } = source.choose(&mut Exact(|s| 9.0 * s + 9.0 * s * s, 2, 0));
        assert_eq!(learning_rate, 0.01);
        assert!(matches!(&measured[0].reading, Reading::Unresolved { reason, .. } if reason.contains("rises")));
    }
}
