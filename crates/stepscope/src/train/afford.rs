//! What the probes of a run with a budget can afford to look at.

use std::collections::BTreeMap;

use stepscope_types::RunSpec;
use stepscope_types::spec::{Instrument, MeasureBudget};

use super::budget::Budget;
use super::plan::Plan;
use crate::data::Batch;
use crate::measure::{Cost, CostModel, CriticalSharpnessProbe, Pace, sharpness};

/// The shares of a run's budget, known before it starts: from them follows how many examples each probe looks at, so that dear ones
/// read less exactly rather than never.
///
/// Where it can be paid, the sharpness over all probe examples every [`Means::SHARPNESS_WITHIN`] and the critical rate every
/// [`Means::CRITICAL_WITHIN`] trained examples come first (a little later, or over fewer examples, where that cannot), and what is left is shared out. Few readings of many examples
/// are preferred to many of few: fewer examples have another matrix.
#[derive(Debug, Clone)]
pub(super) struct Means {
    /// What all readings may cost, in gradients of one example; infinite without a budget.
    whole: f64,
    /// What each instrument gets of it.
    shares: BTreeMap<Instrument, f64>,
    /// Readings of the sharpness that are planned for.
    num_sharpness: f64,
    /// The most steps between two readings of sharpness and critical rate, where those are promised.
    within: Option<[u64; 2]>,
    examples: u64,
    model: CostModel,
}

/// How long a run is, and how often its probes are due.
#[derive(Debug, Clone, Copy)]
struct RunLength {
    num_steps: u64,
    batch_size: f64,
    num_due: f64,
}

impl RunLength {
    /// Readings at intervals of so many trained examples, with the one at the start.
    fn times(&self, examples: f64) -> f64 {
        self.num_steps as f64 * self.batch_size / examples + 1.0
    }

    /// The same in steps.
    fn steps(&self, examples: f64) -> u64 {
        ((examples / self.batch_size) as u64).max(1)
    }
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
    const PACES: [Pace; 6] = [
        Pace::FULL,
        Pace { first_products: None, warm_products: 4, gradient_every: 1, break_even_every: 4 },
        Pace { first_products: None, warm_products: 3, gradient_every: 1, break_even_every: 4 },
        Pace { first_products: None, warm_products: 2, gradient_every: 2, break_even_every: 8 },
        Pace { first_products: Some(4), warm_products: 2, gradient_every: 4, break_even_every: 8 },
        Pace { first_products: Some(2), warm_products: 2, gradient_every: 8, break_even_every: 64 },
    ];
    /// Trained examples between two readings of the sharpness: 1500 steps of 128.
    const SHARPNESS_WITHIN: f64 = 192_000.0;
    /// The same for the critical rate: 100 steps of 128.
    const CRITICAL_WITHIN: f64 = 12_800.0;
    /// Most of a budget that these two are promised where there are others.
    const PROMISED: f64 = 0.95;
    /// Readings of the sharpness that even a short run should have.
    const FEWEST_READINGS: f64 = 5.0;

    pub(super) fn of(spec: &RunSpec, plan: &Plan, model: CostModel) -> Self {
        let mut chosen = spec.measure.chosen_instruments();
        // The meter needs the eigenvector: asking for it alone brings the sharpness with it.
        if chosen.contains(&Instrument::BreakEven) && !chosen.contains(&Instrument::Sharpness) {
            chosen.push(Instrument::Sharpness);
        }
        let run = RunLength {
            num_steps: plan.num_steps,
            batch_size: plan.mean_batch_size(),
            num_due: (plan.num_steps / plan.measure_every.max(1) + 1) as f64,
        };
        Self::new(&chosen, spec.measure.chosen_budget(), spec.measure.examples, run, model)
    }

    fn new(
        chosen: &[Instrument],
        budget: Option<MeasureBudget>,
        examples: u64,
        run: RunLength,
        model: CostModel,
    ) -> Self {
        let whole = Budget::affordable(budget, run.num_steps, run.batch_size);
        let mut means = Self { whole, shares: BTreeMap::new(), num_sharpness: 1.0, within: None, examples, model };
        if !means.are_limited() {
            return means;
        }
        let promised = means.promised(chosen, run);
        let rest = whole - promised.iter().map(|(_, cost)| cost).sum::<f64>();
        let total_weight = chosen.iter().copied().map(weight).sum::<f64>().max(1.0);
        for &instrument in chosen {
            let own = promised.iter().find(|(other, _)| *other == instrument).map_or(0.0, |(_, cost)| *cost);
            means.shares.insert(instrument, own + rest * weight(instrument) / total_weight);
        }
        means
    }

    /// What the promised readings cost; nothing where they cannot be paid at intervals half as long again or over a quarter of the examples.
    fn promised(&mut self, chosen: &[Instrument], run: RunLength) -> Vec<(Instrument, f64)> {
        let is_alone = chosen.iter().all(|&other| weight(other) == 0.0 || weight(other) >= 2.0);
        let most = if is_alone { self.whole } else { Self::PROMISED * self.whole };
        // Three evaluations or four: batches differ from each other by a factor.
        let of_critical =
            [3, 4, 4].map(|count| CriticalSharpnessProbe::<Batch>::cost_along(run.batch_size as usize, count));
        let critical = of_critical.map(|cost| self.model.worth(cost)).iter().sum::<f64>() / 3.0;
        let [.., cheapest] = Self::PACES;
        let with_break_even = chosen.contains(&Instrument::BreakEven);
        // Rather a little later than of half the examples.
        for (part, stretch) in [(1, 1.0), (1, 1.25), (1, 1.5), (2, 1.0), (4, 1.0)] {
            let [every_sharpness, every_critical] =
                [Self::SHARPNESS_WITHIN, Self::CRITICAL_WITHIN].map(|within| stretch * within);
            self.num_sharpness = self.num_sharpness(every_sharpness, run);
            let sharpness = self.price(&Self::sharpness_plan(self.examples / part, cheapest), with_break_even);
            let costs = [
                (Instrument::Sharpness, sharpness),
                (Instrument::CriticalSharpness, critical * run.times(every_critical)),
            ];
            let promised: Vec<_> = costs.into_iter().filter(|(instrument, _)| chosen.contains(instrument)).collect();
            if promised.iter().map(|(_, cost)| cost).sum::<f64>() <= most {
                self.within = Some([every_sharpness, every_critical].map(|examples| run.steps(examples)));
                return promised;
            }
        }
        self.num_sharpness = self.num_sharpness(Self::SHARPNESS_WITHIN, run).min(run.num_due);
        Vec::new()
    }

    /// Readings of the sharpness at intervals of so many trained examples.
    fn num_sharpness(&self, within: f64, run: RunLength) -> f64 {
        Self::FEWEST_READINGS.min(run.num_due).max(run.times(within))
    }

    /// Without a limit.
    pub(super) fn unlimited() -> Self {
        let model = CostModel::with(1, 0, 1);
        Self { whole: f64::INFINITY, shares: BTreeMap::new(), num_sharpness: 1.0, within: None, examples: 1, model }
    }

    /// Whether there is a limit.
    pub(super) fn are_limited(&self) -> bool {
        self.whole.is_finite()
    }

    /// The steps between two readings of an instrument that is read every `every` steps without a budget.
    pub(super) fn every(&self, instrument: Instrument, every: u64) -> u64 {
        match (instrument, self.within) {
            (Instrument::Sharpness | Instrument::BreakEven, Some([within, _])) => every.min(within),
            (Instrument::CriticalSharpness, Some([_, within])) => every.min(within),
            _ => every,
        }
    }

    /// How many shares of the budget an instrument's probe has, where the mean is one.
    pub(super) fn weight(&self, instrument: Instrument) -> f64 {
        match self.shares.get(&instrument) {
            Some(share) if *share > 0.0 => share * self.shares.len() as f64 / self.whole,
            _ => 1.0,
        }
    }

    /// The part of the budget that should be there at the start: what the first reading of the sharpness costs where later ones are
    /// promised, and else no less than anything could.
    pub(super) fn first_readings(&self) -> f64 {
        if self.within.is_none() {
            return 1.0;
        }
        let plan = self.sharpness(self.examples, false);
        self.model.worth(Self::cold(&plan)) / self.whole
    }

    fn share(&self, instrument: Instrument) -> f64 {
        if self.are_limited() { self.shares.get(&instrument).copied().unwrap_or(0.0) } else { f64::INFINITY }
    }

    fn sharpness_plan(num_examples: u64, pace: Pace) -> SharpnessPlan {
        let scouts = num_examples / Self::SCOUTS;
        let num_scouts = if scouts >= Self::FEWEST / 4 { scouts } else { 0 };
        SharpnessPlan { num_examples, num_scouts, pace }
    }

    fn cold(plan: &SharpnessPlan) -> Cost {
        sharpness::cold_cost(plan.num_examples as usize, plan.num_scouts as usize, plan.pace)
    }

    /// What the planned readings of the sharpness cost together.
    fn price(&self, plan: &SharpnessPlan, with_break_even: bool) -> f64 {
        let warm = plan.pace.warm_cost(plan.num_examples as usize, with_break_even);
        self.model.worth(Self::cold(plan)) + (self.num_sharpness - 1.0) * self.model.worth(warm)
    }

    /// The most examples, and of those the most thorough readings, at which as many as are planned for can be paid; `examples` at most.
    pub(super) fn sharpness(&self, examples: u64, with_break_even: bool) -> SharpnessPlan {
        // Rounding of sums of shares is not to cost half the examples.
        let share = self.share(Instrument::Sharpness) * (1.0 + 1e-9);
        let mut num_examples = examples;
        while num_examples >= Self::FEWEST.min(examples) {
            let plans = Self::PACES.map(|pace| Self::sharpness_plan(num_examples, pace));
            if let Some(plan) = plans.into_iter().find(|plan| self.price(plan, with_break_even) <= share) {
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

/// Shares that an instrument's probe has of what is not promised.
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

    /// A run of so many steps of 128 on a network of inner layers, read 21 times.
    fn means(num_steps: u64, budget: &str, chosen: &[Instrument]) -> Means {
        let run = RunLength { num_steps, batch_size: 128.0, num_due: 21.0 };
        Means::new(chosen, budget.parse().ok(), 1024, run, CostModel::with(1, 0, 1000))
    }

    const USUAL: [Instrument; 6] = [
        Instrument::Loss,
        Instrument::Sharpness,
        Instrument::BreakEven,
        Instrument::GradientNoise,
        Instrument::CriticalSharpness,
        Instrument::Distance,
    ];

    #[test]
    fn a_short_run_looks_at_fewer_examples_and_a_long_one_at_all() {
        let long = means(1_000_000, "5%", &USUAL).sharpness(1024, true);
        assert_eq!((long.num_examples, long.num_scouts), (1024, 128));
        let free = means(1_000_000, "50%", &USUAL).sharpness(1024, true);
        assert_eq!((free.num_examples, free.pace), (1024, Pace::FULL));
        let short = means(1000, "5%", &USUAL).sharpness(1024, true);
        assert!(short.num_examples <= 256 && short.pace != Pace::FULL, "{short:?}");
        assert_eq!(means(100, "5%", &USUAL).sharpness(1024, true).num_examples, 32);
        assert_eq!(means(1000, "5%", &USUAL).sharpness(60, true).num_examples, 60);
        let unlimited = Means::unlimited();
        assert_eq!(unlimited.sharpness(1024, true).pace, Pace::FULL);
        assert!(!unlimited.are_limited() && unlimited.losses([1000, 500]) == [1000, 500]);
        assert_eq!(unlimited.noise_batches(64, Cost::gradients(32)), 64);
    }

    #[test]
    fn what_is_promised_is_all_examples_every_1500_steps_and_a_critical_rate_every_100() {
        let pair = [Instrument::Sharpness, Instrument::CriticalSharpness];
        for num_steps in [20_000, 1_000_000] {
            let means = means(num_steps, "5%", &pair);
            let plan = means.sharpness(1024, false);
            assert_eq!(plan.num_examples, 1024, "{plan:?}");
            let due = [Instrument::Sharpness, Instrument::CriticalSharpness].map(|one| means.every(one, 10_000));
            assert_eq!(due, [1500, 100]);
            // Both rates are paid, by the prices that are charged.
            let num = [num_steps as f64 / 1500.0, num_steps as f64 / 100.0];
            let warm = means.model.worth(plan.pace.warm_cost(1024, false));
            let critical = means.model.worth(CriticalSharpnessProbe::<Batch>::cost_along(128, 3));
            assert!(num[0] * warm <= means.share(Instrument::Sharpness), "{plan:?}");
            assert!(num[1] * critical <= means.share(Instrument::CriticalSharpness));
        }
        let poor = means(20_000, "0.5%", &pair);
        assert_eq!(poor.every(Instrument::Sharpness, 10_000), 10_000, "nothing is promised that cannot be paid");
        let all: f64 = USUAL.iter().map(|&one| means(20_000, "5%", &USUAL).share(one)).sum();
        let whole = means(20_000, "5%", &USUAL).whole;
        assert!((all / whole - 1.0).abs() < 1e-12, "{all} of {whole}");
    }

    #[test]
    fn losses_are_those_of_all_examples_where_both_ends_can_be_paid_and_of_a_sample_elsewhere() {
        let (all, loss) = ([60_000, 10_000], [Instrument::Loss]);
        // A forward pass of all is 23,333 gradients: both ends are 46,667.
        assert_eq!(means(1000, "60%", &loss).losses(all), all);
        let [train, test] = means(1000, "35%", &loss).losses(all);
        assert!((15_000..all[0]).contains(&train) && (2_500..all[1]).contains(&test), "{train} {test}");
        assert_eq!(means(10, "1%", &USUAL).losses(all), [128, 128]);
        assert_eq!(means(10, "1%", &USUAL).losses([100, 50]), [100, 50]);
        assert_eq!(means(10, "1%", &USUAL).noise_batches(64, Cost::gradients(32)), 8);
    }
}
