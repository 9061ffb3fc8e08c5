//! What the probes of a run with a budget can afford to look at.

use std::collections::BTreeMap;

use stepscope_types::RunSpec;
use stepscope_types::spec::{Instrument, MeasureBudget};

use super::budget::{Budget, Claim};
use super::plan::Plan;
use super::probes::{CRITICAL_EXAMPLES, RAISING_EVERY};
use crate::data::Batch;
use crate::measure::{BatchSharpnessProbe, BreakEvenMeter, Cost, CostModel, CriticalSharpnessProbe, Pace, sharpness};
use crate::models::Sharing;

/// The shares of a run's budget, known before it starts: from them follows how many examples each probe looks at, so that dear ones
/// read less exactly rather than never.
///
/// Where it can be paid, the sharpness over all probe examples every [`Means::SHARPNESS_WITHIN`] and the critical rate every
/// [`Means::CRITICAL_WITHIN`] trained examples come first (a little later, or over fewer examples, where that cannot): they are promised what that
/// costs, and what is left is shared out. Few readings of many examples
/// are preferred to many of few: fewer examples have another matrix.
#[derive(Debug, Clone)]
pub(super) struct Means {
    /// What all readings may cost, in gradients of one example; infinite without a budget.
    whole: f64,
    /// What each instrument gets of it.
    shares: BTreeMap<Instrument, f64>,
    /// Readings of the sharpness that are planned for.
    num_sharpness: f64,
    promises: BTreeMap<Instrument, Promise>,
    model: CostModel,
}

/// Readings that an instrument gets, whatever the others want.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Promise {
    /// Steps between two of them.
    every: u64,
    /// What they cost together.
    cost: f64,
}

/// How long a run is, and how often its probes are due.
#[derive(Debug, Clone, Copy)]
struct RunLength {
    num_steps: u64,
    batch_size: f64,
    /// Steps between two readings of an instrument without a budget, and of one that is read between the others.
    every: [u64; 2],
    /// Whether probes may look at what the coming step computes anyway, and nothing else has to be computed for a reading.
    lends: bool,
}

impl RunLength {
    /// Readings every so many steps, with those at the start and at the end.
    fn times(&self, every: u64) -> f64 {
        self.num_steps.div_ceil(every.max(1)) as f64 + 1.0
    }

    /// So many trained examples in steps.
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
    const PROMISED: f64 = 0.96;
    /// Readings of the sharpness that even a short run should have.
    const FEWEST_READINGS: f64 = 5.0;

    /// Of a run; `lends` says whether probes see what its steps compute.
    pub(super) fn of(spec: &RunSpec, plan: &Plan, lends: bool, model: CostModel) -> Self {
        let mut chosen = spec.measure.chosen_instruments();
        // The meter needs the eigenvector: asking for it alone brings the sharpness with it.
        if chosen.contains(&Instrument::BreakEven) && !chosen.contains(&Instrument::Sharpness) {
            chosen.push(Instrument::Sharpness);
        }
        let run = RunLength {
            num_steps: plan.num_steps,
            batch_size: plan.mean_batch_size(),
            every: [plan.measure_every, (plan.measure_every / 5).max(1)],
            lends,
        };
        let model = model
            .with_room_for(Sharing::up_to_mebibytes(spec.measure.shared_mebibytes).max_bytes, spec.measure.examples);
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
        let mut means = Self { whole, shares: BTreeMap::new(), num_sharpness: 1.0, promises: BTreeMap::new(), model };
        if !means.are_limited() {
            return means;
        }
        let promises = means.least(chosen, examples, run);
        let rest = whole - promises.values().map(|promise| promise.cost).sum::<f64>();
        let total_weight = chosen.iter().copied().map(weight).sum::<f64>().max(1.0);
        for &instrument in chosen {
            let own = promises.get(&instrument).map_or(0.0, |promise| promise.cost);
            means.shares.insert(instrument, own + rest * weight(instrument) / total_weight);
        }
        means.promises = means.more_often(promises, examples, chosen.contains(&Instrument::BreakEven), run);
        means
    }

    /// The least that is promised; nothing where it cannot be paid at intervals half as long again or over a quarter of the examples.
    fn least(&mut self, chosen: &[Instrument], examples: u64, run: RunLength) -> BTreeMap<Instrument, Promise> {
        let is_alone = chosen.iter().all(|&other| weight(other) == 0.0 || weight(other) >= 2.0);
        let most = if is_alone { self.whole } else { Self::PROMISED * self.whole };
        let [.., cheapest] = Self::PACES;
        let with_break_even = chosen.contains(&Instrument::BreakEven);
        // Rather a little later than of half the examples.
        for (part, stretch) in [(1, 1.0), (1, 1.25), (1, 1.5), (2, 1.0), (4, 1.0)] {
            let [of_sharpness, of_critical] =
                [Self::SHARPNESS_WITHIN, Self::CRITICAL_WITHIN].map(|within| run.steps(stretch * within));
            self.num_sharpness = Self::FEWEST_READINGS.min(run.times(run.every[0])).max(run.times(of_sharpness));
            let plan = Self::sharpness_plan(examples / part, cheapest);
            let sharpness = Promise { every: of_sharpness, cost: self.price(&plan, with_break_even) };
            let critical = Promise { every: of_critical, cost: self.critical(of_critical, run) };
            let both = [(Instrument::Sharpness, sharpness), (Instrument::CriticalSharpness, critical)];
            // What nobody lends is computed for each reading of the critical rate: nothing is promised then.
            let can_be = |one| chosen.contains(&one) && (run.lends || one != Instrument::CriticalSharpness);
            let promises: BTreeMap<_, _> = both.into_iter().filter(|(one, _)| can_be(*one)).collect();
            if promises.values().map(|promise| promise.cost).sum::<f64>() <= most {
                return promises;
            }
        }
        self.num_sharpness = run.times(run.steps(Self::SHARPNESS_WITHIN)).min(run.times(run.every[0]));
        self.num_sharpness = self.num_sharpness.max(Self::FEWEST_READINGS.min(run.times(run.every[0])));
        BTreeMap::new()
    }

    /// The same as often as the shares pay for, in step with other readings: at a multiple of the interval without a budget, if one
    /// is no longer than what is promised at least.
    fn more_often(
        &self,
        least: BTreeMap<Instrument, Promise>,
        examples: u64,
        with_break_even: bool,
        run: RunLength,
    ) -> BTreeMap<Instrument, Promise> {
        let plan = self.sharpness(examples, with_break_even);
        let cost = |instrument, every| match instrument {
            Instrument::CriticalSharpness => self.critical(every, run),
            _ => self.price_of(&plan, run.times(every), with_break_even),
        };
        let often = |(instrument, promise): (Instrument, Promise)| {
            let [slow, fast] = run.every;
            let usual = if instrument == Instrument::CriticalSharpness { fast } else { slow }.max(1);
            let share = self.share(instrument);
            let every = (1..=promise.every / usual)
                .map(|count| count * usual)
                .find(|&every| cost(instrument, every) <= share)
                .unwrap_or(promise.every);
            (instrument, Promise { every, cost: cost(instrument, every) })
        };
        least.into_iter().map(often).collect()
    }

    /// What readings of the critical rate every so many steps cost together.
    fn critical(&self, every: u64, run: RunLength) -> f64 {
        let batch_size = run.batch_size as usize;
        // 3.25 evaluations: on an MLP it takes 2.9, and late in training 3.1.
        let along = [3, 3, 3, 4].map(|count| CriticalSharpnessProbe::<Batch>::cost_along(batch_size, count));
        let mean = along.map(|cost| self.model.worth(cost)).iter().sum::<f64>() / 4.0;
        let raising = CriticalSharpnessProbe::<Batch>::cost_of_raising(CRITICAL_EXAMPLES as usize);
        let first = CriticalSharpnessProbe::<Batch>::first_cost(batch_size, CRITICAL_EXAMPLES as usize);
        let num_later = run.times(every) - 1.0;
        self.model.worth(first) + num_later * (mean + self.model.worth(raising) / RAISING_EVERY as f64)
    }

    /// Without a limit.
    pub(super) fn unlimited() -> Self {
        let model = CostModel::with(1, 0, 1);
        let (shares, promises) = (BTreeMap::new(), BTreeMap::new());
        Self { whole: f64::INFINITY, shares, num_sharpness: 1.0, promises, model }
    }

    /// Whether there is a limit.
    pub(super) fn are_limited(&self) -> bool {
        self.whole.is_finite()
    }

    /// The steps between two readings of an instrument that is read every `every` steps without a budget.
    pub(super) fn every(&self, instrument: Instrument, every: u64) -> u64 {
        self.promise(instrument).map_or(every, |promise| promise.every)
    }

    /// What an instrument's probe may claim of the budget.
    pub(super) fn claim(&self, instrument: Instrument) -> Claim {
        if let Some(promise) = self.promise(instrument) {
            return Claim::Promised(promise.cost / self.whole);
        }
        match self.shares.get(&instrument) {
            Some(share) if *share > 0.0 => Claim::Shares(share * self.shares.len() as f64 / self.whole),
            _ => Claim::Shares(1.0),
        }
    }

    fn promise(&self, instrument: Instrument) -> Option<&Promise> {
        // The meter reads with the sharpness.
        let read_with = if instrument == Instrument::BreakEven { Instrument::Sharpness } else { instrument };
        self.promises.get(&read_with)
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
        self.price_of(plan, self.num_sharpness, with_break_even)
    }

    fn price_of(&self, plan: &SharpnessPlan, num_readings: f64, with_break_even: bool) -> f64 {
        let num_examples = plan.num_examples as usize;
        let warm = plan.pace.warm_cost(num_examples, with_break_even);
        let meter = if with_break_even { BreakEvenMeter::cost(num_examples) } else { Cost::ZERO };
        let (cold, warm) = (self.model.worth(Self::cold(plan)), self.model.worth(warm));
        let num_later_cold = ((num_readings - 1.0) / sharpness::COLD_EVERY as f64).floor();
        cold + self.model.worth(meter) + (num_readings - 1.0) * warm + num_later_cold * (cold - warm).max(0.0)
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

    /// Batches that a reading of the batch sharpness may draw: `most`, or so many that one reading can be paid, and no fewer than 8.
    pub(super) fn sharpness_batches(&self, most: usize, batch_size: usize) -> usize {
        let batch = self.model.worth(BatchSharpnessProbe::<Batch>::cost_of_batch(batch_size));
        let affordable = self.share(Instrument::BatchSharpness) / batch;
        (affordable as usize).clamp(BatchSharpnessProbe::<Batch>::MIN_BATCHES, most)
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
        let every = [num_steps / 20, num_steps / 100];
        let run = RunLength { num_steps, batch_size: 128.0, every, lends: true };
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
            let every = pair.map(|one| means.every(one, 10_000));
            assert!(every[0] <= 1500 && every[1] <= 100, "{every:?}");
            // Both are paid, by the prices that are charged.
            let part = |one| match means.claim(one) {
                Claim::Promised(part) => part * means.whole,
                shares => panic!("{shares:?}"),
            };
            let warm = means.model.worth(plan.pace.warm_cost(1024, false));
            let critical = means.model.worth(CriticalSharpnessProbe::<Batch>::cost_along(128, 3));
            assert!((num_steps / every[0]) as f64 * warm <= part(pair[0]), "{plan:?}");
            assert!((num_steps / every[1]) as f64 * critical <= part(pair[1]));
            assert!(part(pair[0]) + part(pair[1]) <= means.whole);
        }
        let poor = means(20_000, "0.5%", &pair);
        assert_eq!(poor.every(Instrument::Sharpness, 10_000), 10_000, "nothing is promised that cannot be paid");
        assert!(matches!(poor.claim(Instrument::Sharpness), Claim::Shares(_)));
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
        let batches = |budget| means(1000, budget, &[Instrument::Loss, Instrument::BatchSharpness]);
        // A batch costs 128 gradients and 128 products of 8/3, and next to nothing for its passes; half of 5 % are 3104.
        assert_eq!(batches("5%").sharpness_batches(64, 128), 8);
        assert_eq!(batches("20%").sharpness_batches(64, 128), 12_416 / 470);
        assert_eq!(batches("500%").sharpness_batches(64, 128), 64);
    }
}
