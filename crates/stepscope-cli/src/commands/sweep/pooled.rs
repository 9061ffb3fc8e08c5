//! Runs that differ in seeds alone, taken together.

use serde::Serialize;
use stepscope::sweep::Setting;
use stepscope::types::quantity::{self, Quantity};
use stepscope::types::{Estimate, StopReason, Uncertainty};
use stepscope_report::Run;
use stepscope_report::statistics::{median, median_with_interval, paired_difference};

/// Coverage that is asked of intervals. Fewer than six seeds cannot give it: their range then stands for what it covers.
const LEVEL: f64 = 0.95;

/// What is compared. Settings are ranked by the first that was recorded: the training loss, because a choice made on the test
/// set would spoil what the test set says about it; where nothing was measured, the loss of the last mini-batches.
const COMPARED: [&Quantity; 4] =
    [&quantity::TRAIN_LOSS, &quantity::TEST_LOSS, &quantity::BATCH_LOSS, &quantity::TEST_ACCURACY];

/// One setting of a sweep with all its seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Pooled {
    /// What sets it apart from the other settings.
    pub(super) settings: Vec<Setting>,
    /// Runs that are done.
    pub(super) num_runs: usize,
    /// How many of them diverged; they have no final values.
    pub(super) num_diverged: usize,
    /// Final values over the seeds: the median with its interval.
    pub(super) values: Vec<PooledValue>,
    /// How much more of the first quantity it has than the best setting: the mean of differences paired by seed.
    pub(super) above_best: Option<Estimate>,
    /// The first quantity of each seed.
    #[serde(skip)]
    by_seed: Vec<(Vec<Setting>, f64)>,
}

/// A quantity over the seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct PooledValue {
    /// The quantity's name in records.
    pub(super) name: &'static str,
    /// Its median.
    pub(super) estimate: Estimate,
}

/// A run with its seeds.
type Member<'a> = (Vec<Setting>, &'a Run);

impl Pooled {
    /// The settings of `runs`, best first: fewest divergences, then the lowest median loss.
    pub(super) fn of<'a>(runs: impl Iterator<Item = (&'a [Setting], &'a Run)>) -> Vec<Self> {
        let runs: Vec<(&[Setting], &Run)> = runs.collect();
        let recorded = |quantity: &&Quantity| runs.iter().any(|(_, run)| final_value(run, quantity).is_some());
        let mut compared: Vec<&'static Quantity> = COMPARED.into_iter().filter(recorded).collect();
        if compared.iter().any(|quantity| [quantity::TEST_LOSS, quantity::TRAIN_LOSS].contains(quantity)) {
            compared.retain(|quantity| **quantity != quantity::BATCH_LOSS);
        }
        let mut groups: Vec<(Vec<Setting>, Vec<Member<'_>>)> = Vec::new();
        for (settings, run) in runs {
            let (seeds, others): (Vec<Setting>, Vec<Setting>) = settings.iter().cloned().partition(Setting::is_seed);
            match groups.iter_mut().find(|(known, _)| *known == others) {
                Some((_, members)) => members.push((seeds, run)),
                None => groups.push((others, vec![(seeds, run)])),
            }
        }
        let mut pooled: Vec<Self> =
            groups.into_iter().map(|(settings, members)| Self::group(settings, &members, &compared)).collect();
        let rank = |pooled: &Self| {
            let first = pooled.values.first().map_or(f64::INFINITY, |value| value.estimate.value);
            (pooled.num_diverged as f64 / pooled.num_runs as f64, first)
        };
        pooled.sort_by(|a, b| rank(a).partial_cmp(&rank(b)).unwrap_or(std::cmp::Ordering::Equal));
        let best = pooled.first().map(|best| best.by_seed.clone()).unwrap_or_default();
        let unit = compared.first().map_or("", |quantity| quantity.unit);
        pooled.iter_mut().skip(1).for_each(|other| other.above_best = difference(&other.by_seed, &best, unit));
        pooled
    }

    fn group(settings: Vec<Setting>, members: &[Member<'_>], compared: &[&'static Quantity]) -> Self {
        let sound = || members.iter().filter(|(_, run)| run.stop_reason() == Some(&StopReason::Finished));
        let value = |quantity: &&'static Quantity| {
            let finals: Vec<Estimate> = sound().filter_map(|(_, run)| final_value(run, quantity)).collect();
            Some(PooledValue { name: quantity.name, estimate: pool(finals, quantity.unit)? })
        };
        let by_seed = compared.first().map(|quantity| {
            sound().filter_map(|(seeds, run)| Some((seeds.clone(), final_value(run, quantity)?.value))).collect()
        });
        Self {
            settings,
            num_runs: members.len(),
            num_diverged: members.len() - sound().count(),
            values: compared.iter().filter_map(value).collect(),
            above_best: None,
            by_seed: by_seed.unwrap_or_default(),
        }
    }

    /// The value of that quantity, where the runs have one.
    pub(super) fn value(&self, name: &str) -> Option<&Estimate> {
        self.values.iter().find(|value| value.name == name).map(|value| &value.estimate)
    }
}

/// The last reading; of the mini-batch loss, which jumps from step to step, the median of the last tenth.
fn final_value(run: &Run, quantity: &Quantity) -> Option<Estimate> {
    let series = run.series(quantity.name);
    if *quantity == quantity::BATCH_LOSS {
        let values: Vec<f64> = series.values().map(|(_, value)| value).collect();
        let tail = &values[values.len() - values.len().div_ceil(10)..];
        return Some(Estimate::new(median(tail)?, quantity.unit, Uncertainty::Exact).over_examples(tail.len() as u64));
    }
    let (point, value) = series.last()?;
    Some(Estimate::new(value, quantity.unit, point.error.unwrap_or(Uncertainty::Exact)))
}

/// The median over seeds. One seed has nothing to pool: its own value and error stand.
fn pool(mut finals: Vec<Estimate>, unit: &str) -> Option<Estimate> {
    if finals.len() < 2 {
        return finals.pop();
    }
    let values: Vec<f64> = finals.iter().map(|estimate| estimate.value).collect();
    // The range of n values covers the median with 1 - 2^(1-n); a little less is asked, against rounding.
    let range = (1.0 - 0.5f64.powi(values.len() as i32 - 1)) * (1.0 - 1e-9);
    median_with_interval(&values, LEVEL.min(range), unit)
}

fn difference(of: &[(Vec<Setting>, f64)], from: &[(Vec<Setting>, f64)], unit: &str) -> Option<Estimate> {
    let pair = |(seeds, value): &(Vec<Setting>, f64)| {
        from.iter().find(|(other, _)| other == seeds).map(|(_, other)| (*value, *other))
    };
    let (of, from): (Vec<f64>, Vec<f64>) = of.iter().filter_map(pair).unzip();
    paired_difference(&of, &from, unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(values: &[f64]) -> Vec<Estimate> {
        values.iter().map(|&value| Estimate::new(value, "nat", Uncertainty::Exact)).collect()
    }

    #[test]
    fn few_seeds_give_their_range_and_say_what_it_covers() {
        let pooled = pool(exact(&[3.0, 1.0, 2.0]), "nat").unwrap();
        let Uncertainty::Interval { low, high, level } = pooled.error else { panic!("{pooled:?}") };
        assert_eq!((pooled.value, low, high, level), (2.0, 1.0, 3.0, 0.75));
        let values: Vec<f64> = (0..20).map(f64::from).collect();
        let Uncertainty::Interval { low, high, level } = pool(exact(&values), "nat").unwrap().error else { panic!() };
        assert!(low > 0.0 && high < 19.0 && level >= LEVEL);
        assert_eq!(pool(exact(&[3.0]), "nat").unwrap().error, Uncertainty::Exact);
        assert_eq!(pool(Vec::new(), "nat"), None);
    }

    #[test]
    fn differences_are_taken_between_the_same_seeds() {
        let seed = |value: &str| vec![Setting { key: "seeds.root".into(), value: value.into() }];
        let best = [(seed("0"), 1.0), (seed("1"), 10.0), (seed("2"), 5.0)];
        let other = [(seed("1"), 11.0), (seed("0"), 2.0), (seed("7"), 0.0)];
        let difference = difference(&other, &best, "nat").unwrap();
        assert_eq!((difference.value, difference.error), (1.0, Uncertainty::StandardError(0.0)));
    }
}
