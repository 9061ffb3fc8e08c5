//! What a series of break-even readings says: when break-even will come, when it came, where sharpness first peaked.

use serde::{Deserialize, Serialize};
use stepscope_types::quantity::{self, Quantity};
use stepscope_types::{Estimate, Reading, Uncertainty};

use super::probe::Measured;
use super::student::student_quantile_95;

/// One reading.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) step: u64,
    /// Learning rate over the largest stable one, above 0.
    pub(super) position: f64,
    /// Curvature along the sharpest direction.
    pub(super) sharpness: f64,
}

/// The latest readings, and what was already announced.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct BreakEvenTrack {
    latest: Vec<Position>,
    has_broken_even: bool,
    has_peaked: bool,
}

impl BreakEvenTrack {
    /// Readings that a prediction rests on, at most.
    const REMEMBERED: usize = 6;
    /// Readings that a prediction rests on, at least: a line through fewer has no error worth the name.
    const LEAST: usize = 4;

    /// Takes in a reading; announces what it shows for the first time, and the prediction while break-even is ahead.
    pub(super) fn take(&mut self, reading: Position) -> Vec<Measured> {
        let before = self.latest.last().copied();
        if self.latest.len() == Self::REMEMBERED {
            self.latest.remove(0);
        }
        self.latest.push(reading);
        let mut measured = Vec::new();
        if !self.has_broken_even && reading.position >= 1.0 {
            self.has_broken_even = true;
            measured.push(observed(before, reading));
        }
        if !self.has_broken_even && self.latest.len() >= Self::LEAST {
            measured.push(Measured::new(&quantity::PREDICTED_BREAK_EVEN, predicted(&self.latest)));
        }
        if !self.has_peaked
            && let Some(peak) = peak(&self.latest)
        {
            self.has_peaked = true;
            measured.push(peak);
        }
        measured
    }
}

fn between(quantity: &'static Quantity, step: f64, low: f64, high: f64, level: f64) -> Measured {
    Measured::new(quantity, Estimate::new(step, quantity.unit, Uncertainty::Interval { low, high, level }))
}

/// The crossing of 1 between two readings, by interpolation of the logarithm; certain between the two.
fn observed(before: Option<Position>, now: Position) -> Measured {
    let step = now.step as f64;
    // Already past it at the first reading: it came some time before.
    let (low, at) = before.map_or((0.0, step), |before| {
        let (start, rise) = (before.step as f64, (now.position / before.position).ln());
        (start, start + (step - start) * (-before.position.ln() / rise).clamp(0.0, 1.0))
    });
    between(&quantity::OBSERVED_BREAK_EVEN, at, low, step, 1.0)
}

/// Where the line through ln(position) over steps reaches 0: Fieller's interval of the crossing of a fitted line.
fn predicted(latest: &[Position]) -> Reading {
    let count = latest.len() as f64;
    let points: Vec<(f64, f64)> = latest.iter().map(|p| (p.step as f64, p.position.ln())).collect();
    let (mean_x, mean_y) =
        (points.iter().map(|p| p.0).sum::<f64>() / count, points.iter().map(|p| p.1).sum::<f64>() / count);
    let spread_x: f64 = points.iter().map(|p| (p.0 - mean_x).powi(2)).sum();
    let slope = points.iter().map(|p| (p.0 - mean_x) * (p.1 - mean_y)).sum::<f64>() / spread_x;
    let residual: f64 = points.iter().map(|p| (p.1 - mean_y - slope * (p.0 - mean_x)).powi(2)).sum();
    let variance = residual / (count - 2.0);
    let quantile = student_quantile_95(count - 2.0);
    // mean_y + slope·d = 0 at d from mean_x; (mean_y + slope·d)² ≤ q²·variance·(1/n + d²/spread_x) bounds d.
    let (a, b, c) = (
        slope * slope - quantile * quantile * variance / spread_x,
        slope * mean_y,
        mean_y * mean_y - quantile * quantile * variance / count,
    );
    let discriminant = b * b - a * c;
    if !(slope > 0.0 && a > 0.0 && discriminant >= 0.0) {
        return Reading::Unresolved {
            reason: format!(
                "the learning rate over the largest stable one does not rise clearly over the last {count} readings: break-even \
                 is not in sight"
            ),
            num_examples: 0,
        };
    }
    let root = discriminant.sqrt();
    let (low, high) = (mean_x + (-b - root) / a, mean_x + (-b + root) / a);
    let now = latest.last().map_or(0.0, |last| last.step as f64);
    let at = (mean_x - mean_y / slope).max(now);
    let interval = Uncertainty::Interval { low: low.max(now).min(at), high: high.max(at), level: 0.95 };
    Estimate::new(at, quantity::PREDICTED_BREAK_EVEN.unit, interval).into()
}

/// The middle of three running means over three readings, where it is the largest.
fn peak(latest: &[Position]) -> Option<Measured> {
    let [.., a, b, c, d, e] = latest else { return None };
    let mean = |p: [&Position; 3]| p.iter().map(|p| p.sharpness).sum::<f64>() / 3.0;
    let (before, middle, after) = (mean([a, b, c]), mean([b, c, d]), mean([c, d, e]));
    let steps = [b, c, d].map(|p| p.step as f64);
    (middle > before && middle > after)
        .then(|| between(&quantity::SHARPNESS_PEAK, steps[1], a.step as f64, e.step as f64, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use stepscope_spectral::random::RandomStream;

    fn position(step: u64, position: f64) -> Position {
        Position { step, position, sharpness: position }
    }

    fn value<'a>(measured: &'a [Measured], quantity: &Quantity) -> Option<&'a Estimate> {
        measured.iter().find(|m| m.quantity == quantity).and_then(|m| m.reading.estimate())
    }

    #[test]
    fn exponential_growth_is_predicted_to_the_step_and_then_observed_once() {
        let mut track = BreakEvenTrack::default();
        // Reaches 1 at step 1000.
        let at = |step: u64| position(step, ((step as f64 - 1000.0) / 300.0).exp());
        let mut seen = Vec::new();
        for step in (0..=1400).step_by(120) {
            let measured = track.take(at(step));
            if let Some(ahead) = value(&measured, &quantity::PREDICTED_BREAK_EVEN) {
                assert!((ahead.value - 1000.0).abs() < 1e-6, "{ahead:?}");
            }
            seen.extend(value(&measured, &quantity::OBSERVED_BREAK_EVEN).cloned());
        }
        assert_eq!(seen.len(), 1);
        assert!((seen[0].value - 1000.0).abs() < 1e-6 && seen[0].interval() == (960.0, 1080.0), "{seen:?}");
    }

    #[test]
    fn the_interval_of_the_prediction_covers_the_truth_as_often_as_it_says() {
        let (mut covered, mut resolved) = (0, 0);
        for seed in 0..600 {
            let mut random = RandomStream::new(seed, 0);
            let mut track = BreakEvenTrack::default();
            let mut last = Vec::new();
            for step in (0..600).step_by(100) {
                let truth = (step as f64 - 1000.0) / 300.0;
                last = track.take(position(step, (truth + 0.1 * random.normal()).exp()));
            }
            if let Some(ahead) = value(&last, &quantity::PREDICTED_BREAK_EVEN) {
                let (low, high) = ahead.interval();
                resolved += 1;
                covered += u64::from(low <= 1000.0 && 1000.0 <= high);
            }
        }
        let share = covered as f64 / f64::from(resolved);
        assert!(resolved > 550 && (0.92..=0.98).contains(&share), "{covered} of {resolved}");
    }

    #[test]
    fn a_flat_series_predicts_nothing_and_a_hump_is_found() {
        let mut track = BreakEvenTrack::default();
        let mut all = Vec::new();
        for (index, value) in [0.5, 0.5, 0.5, 0.5, 0.5].into_iter().enumerate() {
            all.extend(track.take(position(10 * index as u64, value)));
        }
        assert!(all.iter().all(|m| m.reading.estimate().is_none()), "{all:?}");
        let mut track = BreakEvenTrack::default();
        let hump = [0.1, 0.2, 0.4, 0.6, 0.5, 0.3, 0.2, 0.4];
        let all: Vec<Measured> =
            hump.into_iter().enumerate().flat_map(|(i, v)| track.take(position(10 * i as u64, v))).collect();
        assert_eq!(value(&all, &quantity::SHARPNESS_PEAK).map(|e| e.value), Some(30.0), "{all:?}");
    }
}
