//! What an average equals as a learning-rate schedule.

use serde::Serialize;
use stepscope_theory::{PowerProfile, StationaryMode, multipliers};

use super::Candidate;

/// Updates in a row that an average scales alike.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Stretch {
    /// The step before the first of the updates.
    pub from: u64,
    /// The step after the last one.
    pub to: u64,
    /// W: the average is x_first + Σ W (x_to − x_from), exactly, for any loss and optimizer (`averaging`, section 2.6).
    pub multiplier: f64,
}

/// The scaled updates of an average with these weights on snapshots at `steps`, first to last; neighbours that are scaled
/// alike are one.
pub fn stretches(steps: &[u64], weights: &[f64]) -> Vec<Stretch> {
    let backwards: Vec<f64> = weights.iter().rev().copied().collect();
    let mut stretches: Vec<Stretch> = Vec::new();
    for (pair, multiplier) in steps.windows(2).zip(multipliers(&backwards).into_iter().rev()) {
        match stretches.last_mut() {
            Some(last) if (last.multiplier - multiplier).abs() < 1e-12 => last.to = pair[1],
            _ => stretches.push(Stretch { from: pair[0], to: pair[1], multiplier }),
        }
    }
    stretches
}

/// The same in words.
pub fn schedule_words(candidate: &Candidate, steps: &[u64], stretches: &[Stretch]) -> String {
    let scaled: Vec<&Stretch> = stretches.iter().filter(|stretch| stretch.multiplier < 1.0 - 1e-9).collect();
    let (last, since) = (steps.last().copied().unwrap_or(0), scaled.first().map(|stretch| stretch.from));
    let Some(since) = since else { return "the rate as it was".to_owned() };
    let length = last - since;
    match candidate {
        Candidate::Last => "the rate as it was".to_owned(),
        Candidate::TwoPoint { .. } => format!("half the rate for the last {length} steps"),
        Candidate::Window { .. } | Candidate::Lawa { .. } | Candidate::Swa { .. } => {
            format!("linear cooldown over the last {length} steps, in {} stairs", scaled.len())
        }
        Candidate::Ema { half_life } => {
            format!("exponential cooldown, half-way {half_life} steps before the end")
        }
        Candidate::Power { width } | Candidate::Synthesis { width } => {
            // 1 − (1 − m/T)^{γ+1} = ½.
            let power = PowerProfile::with_relative_width(*width).map_or(1.0, |profile| profile.exponent() + 1.0);
            let half = (last as f64 * (1.0 - 0.5_f64.powf(power.recip()))).round();
            format!("power-function cooldown, half-way {half} steps before the end")
        }
    }
}

/// Which learning rate the average of a stationary run acts as, over the run's own, at curvature h:
/// a_eff/a with a = ηh (`averaging`, section 2.5).
///
/// `None` where no run is stationary there: ηh outside (0, 2(1 + β)).
pub fn effective_rate_ratio(
    steps: &[u64],
    weights: &[f64],
    learning_rate: f64,
    curvature: f64,
    momentum: f64,
) -> Option<f64> {
    let rate = learning_rate * curvature;
    let mode = StationaryMode::new(rate, momentum).ok()?;
    let last = steps.last().copied()?;
    let ages: Vec<(u64, f64)> =
        steps.iter().zip(weights).filter(|(_, w)| **w != 0.0).map(|(step, w)| (last - step, *w)).collect();
    let own = mode.effective_rate(1.0);
    Some(mode.effective_rate(mode.ratio_of_sparse_weights(&ages)) / own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_is_its_scaled_updates() {
        let steps = [10, 20, 30, 40, 50];
        let stretches_of = |candidate: Candidate| stretches(&steps, &candidate.weights(&steps).unwrap());
        let two = stretches_of(Candidate::TwoPoint { gap: 20 });
        assert_eq!(
            two,
            [Stretch { from: 10, to: 30, multiplier: 1.0 }, Stretch { from: 30, to: 50, multiplier: 0.5 },]
        );
        let lawa = Candidate::Lawa { snapshots: 4 };
        let multipliers: Vec<f64> = stretches_of(lawa).iter().map(|stretch| stretch.multiplier).collect();
        assert_eq!(multipliers, [1.0, 0.75, 0.5, 0.25]);
        assert_eq!(
            schedule_words(&lawa, &steps, &stretches_of(lawa)),
            "linear cooldown over the last 30 steps, in 3 stairs"
        );
        // On any points: x_first + Σ W (x_to − x_from) is Σ w x.
        let points = [3.0, -1.0, 4.0, 1.0, -5.0];
        for candidate in Candidate::defaults(&steps, false) {
            let weights = candidate.weights(&steps).unwrap();
            let at = |step: u64| points[steps.iter().position(|known| *known == step).unwrap()];
            let sum: f64 = weights.iter().zip(points).map(|(w, x)| w * x).sum();
            let scaled: f64 = stretches(&steps, &weights).iter().map(|s| s.multiplier * (at(s.to) - at(s.from))).sum();
            assert!((sum - points[0] - scaled).abs() < 1e-12, "{candidate:?}");
        }
    }

    #[test]
    fn two_far_points_act_as_about_half_the_rate_and_the_last_iterate_as_all_of_it() {
        let steps: Vec<u64> = (0..=10).map(|k| 1000 * k).collect();
        let ratio = |candidate: Candidate, curvature| {
            effective_rate_ratio(&steps, &candidate.weights(&steps).unwrap(), 0.1, curvature, 0.0)
        };
        assert!((ratio(Candidate::Last, 0.5).unwrap() - 1.0).abs() < 1e-12);
        // 2a/(4 − a) over a at a = 0.05.
        assert!((ratio(Candidate::TwoPoint { gap: 5000 }, 0.5).unwrap() - 2.0 / 3.95).abs() < 1e-9);
        assert_eq!(ratio(Candidate::Last, 20.0), None, "beyond the stability limit");
    }
}
