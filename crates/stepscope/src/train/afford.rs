//! What the probes of a run with a budget can afford to look at.

use stepscope_types::RunSpec;
use stepscope_types::spec::Instrument;

use super::budget::Budget;
use super::plan::Plan;
use crate::measure::{Cost, CostModel, Pace, sharpness};

/// The shares of a run's budget, known before it starts: from them follows how many examples each probe looks at, so that dear ones
/// read less exactly rather than never.
#[derive(Debug, Clone, Copy)]
pub(super) struct Means {
    /// What all readings may cost, in gradients of one example; infinite without a budget.
    whole: f64,
    total_weight: f64,
    num_readings: f64,
    model: CostModel,
}

/// How the sharpness is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SharpnessPlan {
    pub(super) num_examples: u64,
    /// Examples of the scout; 0 for none.
    pub(super) num_scouts: u64,
    pub(super) pace: Pace,
}

impl Means {
    /// Examples below which a curvature or a loss says little about that of all.
    const FEWEST: u64 = 128;
    /// The part of the probe examples that a scout looks at.
    const SCOUTS: u64 = 8;
    /// What a reading of the sharpness leaves out to be cheap, in this order.
    const PACES: [Pace; 5] = [
        Pace::FULL,
        Pace { first_products: None, warm_products: 4, gradient_every: 1, break_even_every: 4 },
        Pace { first_products: None, warm_products: 3, gradient_every: 1, break_even_every: 4 },
        Pace { first_products: None, warm_products: 2, gradient_every: 2, break_even_every: 8 },
        Pace { first_products: Some(4), warm_products: 2, gradient_every: 4, break_even_every: 8 },
    ];

    pub(super) fn of(spec: &RunSpec, plan: &Plan, model: CostModel) -> Self {
        let mut chosen = spec.measure.chosen_instruments();
        // The meter needs the eigenvector: asking for it alone brings the sharpness with it.
        if chosen.contains(&Instrument::BreakEven) && !chosen.contains(&Instrument::Sharpness) {
            chosen.push(Instrument::Sharpness);
        }
        let weights = chosen.into_iter().map(weight);
        Self {
            whole: Budget::affordable(spec.measure.chosen_budget(), plan.num_steps, plan.mean_batch_size()),
            total_weight: weights.sum::<f64>().max(1.0),
            num_readings: (plan.num_steps / plan.measure_every.max(1) + 1) as f64,
            model,
        }
    }

    /// Without a limit.
    pub(super) fn unlimited() -> Self {
        Self { whole: f64::INFINITY, total_weight: 1.0, num_readings: 1.0, model: CostModel::with(1, 0, 1) }
    }

    /// Whether there is a limit.
    pub(super) fn are_limited(&self) -> bool {
        self.whole.is_finite()
    }

    fn share(&self, instrument: Instrument) -> f64 {
        self.whole * weight(instrument) / self.total_weight
    }

    /// The most examples, and of those the most thorough readings, at which all that are due can be paid; `examples` at most.
    pub(super) fn sharpness(&self, examples: u64, with_break_even: bool) -> SharpnessPlan {
        let share = self.share(Instrument::Sharpness);
        let of = |num_examples: u64, pace| {
            let scouts = num_examples / Self::SCOUTS;
            let num_scouts = if scouts >= Self::FEWEST / 4 { scouts } else { 0 };
            SharpnessPlan { num_examples, num_scouts, pace }
        };
        let price = |plan: SharpnessPlan| {
            let (examples, scouts) = (plan.num_examples as usize, plan.num_scouts as usize);
            let cold = sharpness::cold_cost(examples, scouts, plan.pace);
            let warm = plan.pace.warm_cost(examples, with_break_even);
            self.model.worth(cold) + (self.num_readings - 1.0) * self.model.worth(warm)
        };
        let mut num_examples = examples;
        while num_examples >= Self::FEWEST.min(examples) {
            let plans = Self::PACES.map(|pace| of(num_examples, pace));
            if let Some(plan) = plans.into_iter().find(|&plan| price(plan) <= share) {
                return plan;
            }
            num_examples /= 2;
        }
        // Not all readings can be paid: as many as can, of so few examples that the first one can.
        let [.., cheapest] = Self::PACES;
        let first = |count: u64| self.model.worth(sharpness::cold_cost(count as usize, 0, cheapest));
        let mut num_examples = examples.min(Self::FEWEST);
        while num_examples > Self::FEWEST / 4 && first(num_examples) > share {
            num_examples /= 2;
        }
        SharpnessPlan { num_examples, num_scouts: 0, pace: cheapest }
    }

    /// Training and test examples that losses are evaluated on: all of them, where that can be paid at both ends of the run; else
    /// so many that it can be five times, in proportion, and as few as twice [`Means::FEWEST`].
    pub(super) fn losses(&self, [train, test]: [usize; 2]) -> [usize; 2] {
        let share = self.share(Instrument::Loss);
        let per_example = self.model.worth(Cost::forwards(1));
        let all = (train + test) as f64;
        if 2.0 * all * per_example <= share {
            return [train, test];
        }
        let part = (share / (5.0 * per_example * all)).min(1.0);
        [train, test].map(|count| ((count as f64 * part) as usize).max(Self::FEWEST as usize).min(count))
    }

    /// Batches of the gradient noise: `most`, or so many that five readings can be paid, and no fewer than 8.
    pub(super) fn noise_batches(&self, most: u64, batch: Cost) -> u64 {
        let affordable = self.share(Instrument::GradientNoise) / (5.0 * self.model.worth(batch));
        (affordable as u64).clamp(8, most.max(8))
    }
}

/// Shares that an instrument's probe has of a budget.
fn weight(instrument: Instrument) -> f64 {
    match instrument {
        Instrument::Sharpness => 4.0,
        Instrument::CriticalSharpness => 2.0,
        // Paid with the sharpness.
        Instrument::BreakEven => 0.0,
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of so many steps of 128 on a network of inner layers, with these shares.
    fn means(num_steps: u64, budget: f64, total_weight: f64) -> Means {
        let model = CostModel::with(1, 0, 1000);
        Means { whole: budget * (num_steps * 128) as f64, total_weight, num_readings: 21.0, model }
    }

    #[test]
    fn a_short_run_looks_at_fewer_examples_and_a_long_one_at_all() {
        let long = means(1_000_000, 0.05, 9.0).sharpness(1024, true);
        assert_eq!((long.num_examples, long.num_scouts, long.pace), (1024, 128, Pace::FULL));
        let middling = means(20_000, 0.05, 9.0).sharpness(1024, true);
        assert!(middling.num_examples <= 512 && middling.pace != Pace::FULL, "{middling:?}");
        let short = means(1000, 0.05, 9.0).sharpness(1024, true);
        assert_eq!((short.num_examples, short.num_scouts, short.pace.first_products), (128, 0, Some(4)));
        assert_eq!(means(100, 0.05, 9.0).sharpness(1024, true).num_examples, 32);
        assert_eq!(means(1000, 0.05, 9.0).sharpness(60, true).num_examples, 60);
        let unlimited = Means { whole: f64::INFINITY, ..means(1, 1.0, 9.0) };
        assert_eq!(unlimited.sharpness(1024, true).pace, Pace::FULL);
        assert!(!unlimited.are_limited() && unlimited.losses([1000, 500]) == [1000, 500]);
        assert_eq!(unlimited.noise_batches(64, Cost::gradients(32)), 64);
    }

    #[test]
    fn losses_are_those_of_all_examples_where_both_ends_can_be_paid_and_of_a_sample_elsewhere() {
        let all = [60_000, 10_000];
        // A forward pass of all is 23,333 gradients: both ends are 46,667.
        assert_eq!(means(1000, 0.4, 1.0).losses(all), all);
        let [train, test] = means(1000, 0.3, 1.0).losses(all);
        assert!((15_000..all[0]).contains(&train) && (2_500..all[1]).contains(&test), "{train} {test}");
        assert_eq!(means(10, 0.01, 9.0).losses(all), [128, 128]);
        assert_eq!(means(10, 0.01, 9.0).losses([100, 50]), [100, 50]);
        assert_eq!(means(10, 0.01, 9.0).noise_batches(64, Cost::gradients(32)), 8);
    }
}
