//! When a line is measured again, and what several measurements say together.

use stepscope_types::spec::HistoryAverage;

use crate::checkpoint::{State, StateError, Stateful};

/// The average of at least one minimum, each with the curvature of its parabola, above 0, in the same unit of length.
pub(in crate::control) fn average(kind: HistoryAverage, minima: impl IntoIterator<Item = (f64, f64)>) -> f64 {
    let (mut values, weights): (Vec<f64>, Vec<f64>) = minima.into_iter().unzip();
    match kind {
        HistoryAverage::Mean => values.iter().sum::<f64>() / values.len() as f64,
        HistoryAverage::Median => {
            values.sort_by(f64::total_cmp);
            let middle = values.len() / 2;
            if values.len() % 2 == 1 { values[middle] } else { 0.5 * (values[middle - 1] + values[middle]) }
        }
        HistoryAverage::Weighted => {
            let moments = values.iter().zip(&weights).map(|(value, weight)| value * weight);
            moments.sum::<f64>() / weights.iter().sum::<f64>()
        }
    }
}

/// Updates between two measurements: `every` of them, and at the beginning, where what is measured changes fastest and nothing else
/// would correct a first measurement, 10, 20, 40, ... up to `every`.
///
/// Source: ours; the slow start that it is against is that of `line-search`, section 6.7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::control) struct Pace {
    every: u64,
    begins_early: bool,
}

impl Pace {
    pub(in crate::control) fn new(every: u64, begins_early: bool) -> Self {
        Self { every: every.max(1), begins_early }
    }

    /// Updates from the last of `num_measurements` to the next.
    pub(in crate::control) fn interval(self, num_measurements: u64) -> u64 {
        const FIRST: u64 = 10;
        if !self.begins_early {
            return self.every;
        }
        let doublings = u32::try_from(num_measurements.saturating_sub(1)).unwrap_or(u32::MAX);
        self.every.min(FIRST.saturating_mul(2_u64.saturating_pow(doublings)))
    }

    /// Whether the intervals have reached their length.
    pub(in crate::control) fn is_even(self, num_measurements: u64) -> bool {
        self.interval(num_measurements) == self.every
    }
}

/// Measurements at a [`Pace`], counted in updates.
#[derive(Debug, Clone, Copy)]
pub(in crate::control) struct Paced {
    pace: Pace,
    num_measurements: u64,
    last: u64,
}

impl Paced {
    pub(in crate::control) fn new(pace: Pace) -> Self {
        Self { pace, num_measurements: 0, last: 0 }
    }

    /// Whether the coming update, the one after `num_updates`, is to be measured first.
    pub(in crate::control) fn is_due(&self, num_updates: u64) -> bool {
        self.num_measurements == 0 || num_updates.saturating_sub(self.last) >= self.pace.interval(self.num_measurements)
    }

    /// A measurement was made; whether the intervals had reached their length before it.
    pub(in crate::control) fn measured(&mut self, num_updates: u64) -> bool {
        let was_even = self.num_measurements > 0 && self.pace.is_even(self.num_measurements);
        self.num_measurements += 1;
        self.last = num_updates;
        was_even
    }
}

impl Stateful for Paced {
    fn save_state(&self, state: &mut State) {
        state.put("num_measurements", &self.num_measurements);
        state.put("last", &self.last);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        self.num_measurements = state.get("num_measurements")?;
        self.last = state.get("last")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::parabola::Parabola;
    use super::*;

    #[test]
    fn the_weighted_average_is_the_minimum_of_the_summed_parabolas() {
        let lines = [(-3.0, 2.0), (-0.1, 5.0), (-7.0, 0.01)].map(|(slope, half_curvature)| Parabola {
            slope,
            half_curvature,
            ..Parabola::default()
        });
        let minima = lines.map(|line| (line.minimum().unwrap().position, line.half_curvature));
        let expected = Parabola::sum(&lines).minimum().unwrap().position;
        assert!((average(HistoryAverage::Weighted, minima) - expected).abs() < 1e-12);
        // The flat line, with its minimum at 350, hardly counts.
        assert!(expected < 1.0 && average(HistoryAverage::Mean, minima) > 100.0);
        assert_eq!(average(HistoryAverage::Median, minima), 0.75);
    }

    #[test]
    fn measurements_double_their_distance_until_it_is_the_usual_one() {
        let due = |begins_early| {
            let mut paced = Paced::new(Pace::new(50, begins_early));
            let mut seen = Vec::new();
            for update in 0..231 {
                if paced.is_due(update) {
                    paced.measured(update);
                    seen.push(update);
                }
            }
            seen
        };
        assert_eq!(due(true), [0, 10, 30, 70, 120, 170, 220]);
        assert_eq!(due(false), [0, 50, 100, 150, 200]);
        let mut paced = Paced::new(Pace::new(15, true));
        assert_eq!([0, 10, 25, 40].map(|update| paced.measured(update)), [false, false, true, true]);
        assert_eq!(Pace::new(7, true).interval(u64::MAX), 7);
    }
}
