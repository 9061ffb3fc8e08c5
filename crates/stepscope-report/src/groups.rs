//! Runs that differ only in their seeds, pooled into one.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;
use stepscope_types::{RunSpec, Seeds, Step, StopReason, Uncertainty};

use crate::{Point, Run, Series, statistics};

/// Coverage that an interval over seeds has where there are enough of them; six are.
pub const LEVEL: f64 = 0.95;

/// Training runs with the same specification apart from name and seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct Group<'a> {
    /// Positions of the runs among those given, in their order.
    pub members: Vec<usize>,
    /// The runs as one: at each step the median over seeds with its interval; named after what sets the group apart.
    /// The run itself where there is only one.
    pub run: Cow<'a, Run>,
    /// What differs between the groups: a value for each of [`Groups::keys`].
    pub values: Vec<String>,
}

/// Runs grouped by specification.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Groups<'a> {
    /// Keys of the specification in which the groups differ, with dots.
    pub keys: Vec<String>,
    /// The groups, in the order of their first runs.
    pub groups: Vec<Group<'a>>,
}

impl<'a> Groups<'a> {
    /// Groups the training runs among `runs`; predictions are left out.
    ///
    /// The pooled run has a reading of a quantity at each step at which every member has one, so that a seed which ended
    /// early does not shift the median of those that went on. Its interval covers the median over seeds with at least
    /// 95 % from six seeds on; with fewer it is the whole range, which covers 1 - 2^(1-n): 50 % for two, 75 % for three.
    /// Cost: linear in the number of readings.
    pub fn of(runs: &'a [Run]) -> Self {
        let trained: Vec<usize> = (0..runs.len()).filter(|&index| !runs[index].is_prediction()).collect();
        let mut members: Vec<(RunSpec, Vec<usize>)> = Vec::new();
        for index in trained {
            let spec = without_seeds(&runs[index]);
            match members.iter_mut().find(|(known, _)| *known == spec) {
                Some((_, group)) => group.push(index),
                None => members.push((spec, vec![index])),
            }
        }
        let flat: Vec<BTreeMap<String, String>> = members.iter().map(|(spec, _)| flatten(spec)).collect();
        let keys = differing_keys(&flat);
        let groups = members.into_iter().zip(&flat).map(|((_, members), flat)| {
            let values = keys.iter().map(|key| flat.get(key).cloned().unwrap_or_default()).collect();
            Group { run: pooled(runs, &members), members, values }
        });
        Self { groups: groups.collect(), keys }
    }

    /// Whether any group has several runs.
    pub fn any_pooled(&self) -> bool {
        self.groups.iter().any(|group| group.members.len() > 1)
    }
}

impl Group<'_> {
    /// Number of seeds.
    pub fn num_seeds(&self) -> usize {
        self.members.len()
    }
}

fn without_seeds(run: &Run) -> RunSpec {
    RunSpec { name: String::new(), seeds: Seeds::from_root(0), ..run.manifest().spec.clone() }
}

/// Every key of a specification with dots, and its value as it would stand in a file; without name and seeds.
fn flatten(spec: &RunSpec) -> BTreeMap<String, String> {
    fn walk(key: &str, value: &Value, into: &mut BTreeMap<String, String>) {
        match value {
            Value::Object(table) => table.iter().for_each(|(name, value)| {
                walk(&if key.is_empty() { name.clone() } else { format!("{key}.{name}") }, value, into);
            }),
            Value::Null => {}
            Value::String(text) => drop(into.insert(key.to_owned(), text.clone())),
            other => drop(into.insert(key.to_owned(), other.to_string())),
        }
    }
    let mut flat = BTreeMap::new();
    // A specification holds tables, lists, words and numbers: it always serialises.
    walk("", &serde_json::to_value(spec).unwrap_or(Value::Null), &mut flat);
    flat.retain(|key, _| key != "name" && !key.starts_with("seeds."));
    flat
}

fn differing_keys(flat: &[BTreeMap<String, String>]) -> Vec<String> {
    let all: BTreeSet<&String> = flat.iter().flat_map(BTreeMap::keys).collect();
    let differs = |key: &&String| flat.iter().any(|one| one.get(*key) != flat[0].get(*key));
    let mut keys: Vec<String> = all.into_iter().filter(differs).cloned().collect();
    // What is set most often comes first.
    keys.sort_by_key(|key| !key.starts_with("optimizer."));
    keys
}

fn pooled<'a>(runs: &'a [Run], members: &[usize]) -> Cow<'a, Run> {
    let runs: Vec<&'a Run> = members.iter().map(|&index| &runs[index]).collect();
    let first = runs[0];
    if runs.len() == 1 {
        return Cow::Borrowed(first);
    }
    let names: BTreeSet<&str> = runs.iter().flat_map(|run| run.names()).collect();
    let series = names.into_iter().filter_map(|name| Some((name.to_owned(), pooled_series(&runs, name)?)));
    let mut manifest = first.manifest().clone();
    manifest.name = common_name(&runs);
    manifest.spec.name.clone_from(&manifest.name);
    let last = runs.iter().map(|run| (run.last_step(), run.last_epoch())).min_by_key(|(step, _)| *step);
    Cow::Owned(Run::made_of(manifest, series.collect(), pooled_end(&runs), last.unwrap_or((Step(0), 0.0))))
}

/// What the names have in common at their beginning, without what separates it from a seed's number.
fn common_name(runs: &[&Run]) -> String {
    let first = runs[0].name();
    let common = runs.iter().fold(first.len(), |length, run| {
        let same = first.char_indices().zip(run.name().chars()).find(|((_, a), b)| a != b);
        length.min(same.map_or(first.len().min(run.name().len()), |((index, _), _)| index))
    });
    let common = first.get(..common).unwrap_or(first);
    let separators = |c: char| "-_ .,:/=#(".contains(c);
    let trimmed = common.trim_end_matches(separators);
    let trimmed = trimmed.strip_suffix("seed").map_or(trimmed, |rest| rest.trim_end_matches(separators));
    let stem = if trimmed.is_empty() { first } else { trimmed };
    format!("{stem} ({} seeds)", runs.len())
}

/// Finished where all finished, diverged where one did, without an end where one has none.
fn pooled_end(runs: &[&Run]) -> Option<StopReason> {
    let diverged = runs.iter().filter_map(|run| match run.stop_reason() {
        Some(StopReason::Diverged { last_good_step, message }) => Some((*last_good_step, message)),
        _ => None,
    });
    let num_diverged = diverged.clone().count();
    if let Some((last_good_step, message)) = diverged.min_by_key(|(step, _)| *step) {
        let message = format!("{num_diverged} of {} seeds diverged; the first: {message}", runs.len());
        return Some(StopReason::Diverged { last_good_step, message });
    }
    runs.iter().all(|run| run.stop_reason().is_some()).then_some(StopReason::Finished)
}

fn pooled_series(runs: &[&Run], name: &str) -> Option<Series> {
    let (first, others) = runs.split_first()?;
    let mut values: HashMap<Step, Vec<f64>> =
        first.series(name).values().map(|(point, value)| (point.step, vec![value])).collect();
    for (index, run) in others.iter().enumerate() {
        for (point, value) in run.series(name).values() {
            // A step at which an earlier member has nothing is left out.
            if let Some(found) = values.get_mut(&point.step).filter(|found| found.len() == index + 1) {
                found.push(value);
            }
        }
    }
    let unit = first.series(name).unit();
    let points = first.series(name).values().filter_map(|(point, _)| {
        let values = values.get(&point.step).filter(|found| found.len() == runs.len())?;
        let (value, error) = over_seeds(values)?;
        let interval = match error {
            Uncertainty::Interval { low, high, .. } if low < high => Some((low, high)),
            _ => None,
        };
        Some(Point { value: Some(value), error: Some(error), interval, unresolved: None, ..point.clone() })
    });
    let points: Vec<Point> = points.collect();
    (!points.is_empty()).then(|| Series::of(unit, points))
}

/// Median over seeds with its interval; exact where all agree.
pub(crate) fn over_seeds(values: &[f64]) -> Option<(f64, Uncertainty)> {
    // Rounded down a little: the coverage of the whole range is met by itself.
    let level = LEVEL.min((1.0 - 0.5f64.powi(values.len() as i32 - 1)) * (1.0 - 1e-9));
    let estimate = statistics::median_with_interval(values, level, "")?;
    let (low, high) = estimate.interval();
    Some((estimate.value, if low < high { estimate.error } else { Uncertainty::Exact }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic;

    fn seeded(name: &str, rate: f64, seed: u64, losses: &[(u64, f64)]) -> Run {
        let mut manifest = synthetic::manifest(name, rate);
        manifest.spec.seeds = Seeds::from_root(seed);
        Run::from_records(manifest, losses.iter().map(|&(step, loss)| synthetic::loss(step, loss)))
    }

    #[test]
    fn runs_that_differ_only_in_name_and_seed_are_one_group() {
        let runs = [
            seeded("a-seed-1", 0.1, 1, &[(0, 2.0), (9, 1.0)]),
            seeded("b", 0.2, 1, &[(0, 2.0)]),
            seeded("a-seed-2", 0.1, 2, &[(0, 4.0), (9, 3.0)]),
            seeded("a-seed-3", 0.1, 3, &[(0, 3.0), (5, 9.0), (9, 7.0)]),
        ];
        let groups = Groups::of(&runs);
        assert_eq!(groups.keys, ["optimizer.learning_rate"]);
        assert_eq!(
            groups.groups.iter().map(|group| group.members.clone()).collect::<Vec<_>>(),
            [vec![0, 2, 3], vec![1]]
        );
        assert_eq!(groups.groups.iter().map(|group| group.values.concat()).collect::<Vec<_>>(), ["0.1", "0.2"]);
        let pool = &groups.groups[0].run;
        assert_eq!(pool.name(), "a (3 seeds)");
        let readings: Vec<_> =
            pool.series("train/loss").points().iter().map(|p| (p.step.0, p.value, p.interval)).collect();
        assert_eq!(readings, [(0, Some(3.0), Some((2.0, 4.0))), (9, Some(3.0), Some((1.0, 7.0)))]);
        let Some(Uncertainty::Interval { level, .. }) = pool.series("train/loss").points()[0].error else { panic!() };
        assert!((level - 0.75).abs() < 1e-12, "three values cover their median with 3/4");
        assert_eq!(*groups.groups[1].run, runs[1]);
    }

    #[test]
    fn six_seeds_give_an_interval_of_at_least_95_percent() {
        let runs: Vec<Run> = (0..6).map(|seed| seeded("a", 0.1, seed, &[(0, seed as f64)])).collect();
        let pool = Groups::of(&runs).groups.swap_remove(0).run;
        let Some(Uncertainty::Interval { low, high, level }) = pool.series("train/loss").points()[0].error else {
            panic!()
        };
        assert_eq!((low, high), (0.0, 5.0));
        assert!(level >= LEVEL);
    }

    #[test]
    fn a_seed_that_diverged_is_counted_and_ends_the_pooled_curve() {
        let (manifest, records) = synthetic::diverging_run();
        let mut other = manifest.clone();
        other.spec.seeds = Seeds::from_root(9);
        other.name = "rate 0.8, again".to_owned();
        let finished = crate::synthetic::quickstart().swap_remove(1).1;
        let runs = [Run::from_records(manifest, records), Run::from_records(other, finished)];
        let pool = Groups::of(&runs).groups.swap_remove(0).run;
        let Some(StopReason::Diverged { message, .. }) = pool.stop_reason() else { panic!("{:?}", pool.stop_reason()) };
        assert!(message.starts_with("1 of 2 seeds diverged; the first: "), "{message}");
        assert_eq!(pool.last_step(), Step(214));
        assert!(pool.series("train/batch_loss").points().iter().all(|point| point.step <= Step(214)));
    }

    #[test]
    fn names_without_anything_in_common_fall_back_to_the_first() {
        let runs = [seeded("x", 0.1, 1, &[(0, 1.0)]), seeded("y", 0.1, 2, &[(0, 1.0)])];
        assert_eq!(Groups::of(&runs).groups[0].run.name(), "x (2 seeds)");
        let runs = [seeded("né", 0.1, 1, &[(0, 1.0)]), seeded("nè", 0.1, 2, &[(0, 1.0)])];
        assert_eq!(Groups::of(&runs).groups[0].run.name(), "n (2 seeds)");
    }
}
