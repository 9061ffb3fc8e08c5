//! How far runs are from one another in weight space, from their records alone.

use std::collections::HashMap;

use stepscope_types::{Step, Uncertainty, quantity};

use crate::page::lineup::{Lineup, Role};
use crate::{Point, Run, Series};

/// Distances of runs from the first of them.
pub(super) struct Apart {
    /// What the panel says below its title.
    pub(super) words: String,
    /// Positions among the entries, and the distances.
    pub(super) curves: Vec<(usize, Series)>,
}

/// Distances of every run from the first one, of those that began at the same weights and share a random projection; `None` for
/// fewer than two.
///
/// The norm of the difference of two runs' m coordinates estimates their distance, with a relative standard error of 1/√(2m).
/// Source: `averaging`, section 1.1 (coupling distance); `curvature`, section 2.5 (F1) and claim C11.
pub(super) fn series(lineup: &Lineup) -> Option<Apart> {
    let has_way = |run: &Run| run.series(quantity::SKETCH[0].name).first().is_some();
    let mut measured = lineup.whole().filter(|&index| {
        let entry = &lineup.entries[index];
        !matches!(entry.role, Role::Prediction(_)) && has_way(&entry.run)
    });
    let first: &Run = &lineup.entries[measured.next()?].run;
    let start = coordinates(first);
    let curves: Vec<(usize, Series)> = measured
        .filter(|&index| same_start(first, &lineup.entries[index].run))
        .map(|index| (index, distances(&start, &lineup.entries[index].run)))
        .filter(|(_, series)| series.points().len() > 1)
        .collect();
    if curves.is_empty() {
        return None;
    }
    let fed: Vec<&str> = curves
        .iter()
        .map(|(index, _)| &lineup.entries[*index].run)
        .filter(|run| same_batches(first, run))
        .map(|run| run.name())
        .collect();
    let fed = if fed.is_empty() { String::new() } else { format!(" Fed the same batches: {}.", fed.join(", ")) };
    let words = format!(
        "From the weights of {} to those of other runs that began at the same ones, by random projections that they share.{fed}",
        first.name()
    );
    Some(Apart { words, curves })
}

/// Coordinates by step, of the steps that have all of them.
fn coordinates(run: &Run) -> HashMap<Step, Vec<f64>> {
    let mut coordinates: HashMap<Step, Vec<f64>> = HashMap::new();
    for quantity in quantity::SKETCH {
        for (point, value) in run.series(quantity.name).values() {
            coordinates.entry(point.step).or_default().push(value);
        }
    }
    coordinates.retain(|_, values| values.len() == quantity::SKETCH.len());
    coordinates
}

fn distances(start: &HashMap<Step, Vec<f64>>, run: &Run) -> Series {
    let own = coordinates(run);
    let relative_error = 1.0 / (2.0 * quantity::SKETCH.len() as f64).sqrt();
    let first = run.series(quantity::SKETCH[0].name);
    let points = first.points().iter().filter_map(|point| {
        let (a, b) = (start.get(&point.step)?, own.get(&point.step)?);
        let value = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        let error = value * relative_error;
        let interval = (error > 0.0).then_some((value - error, value + error));
        let error = Some(if error > 0.0 { Uncertainty::StandardError(error) } else { Uncertainty::Exact });
        Some(Point { value: Some(value), error, interval, unresolved: None, ..point.clone() })
    });
    Series::of("1", points.collect())
}

fn same_start(a: &Run, b: &Run) -> bool {
    let (a, b) = (&a.manifest().spec, &b.manifest().spec);
    a.model == b.model
        && a.seeds.probe_seed() == b.seeds.probe_seed()
        && (a.model.weights.is_some() || a.seeds.init_seed() == b.seeds.init_seed())
}

fn same_batches(a: &Run, b: &Run) -> bool {
    let same_data = a.manifest().data.sha256 == b.manifest().data.sha256;
    let (a, b) = (&a.manifest().spec, &b.manifest().spec);
    same_data
        && a.data == b.data
        && a.seeds.data_seed() == b.seeds.data_seed()
        && a.train.batch_size == b.train.batch_size
        && a.schedule.batch_size == b.schedule.batch_size
        && a.train.sampling == b.train.sampling
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic;
    use stepscope_types::{BatchSize, Seeds};

    fn run(name: &str, change: impl Fn(&mut stepscope_types::RunSpec), reach: f64) -> Run {
        let mut manifest = synthetic::manifest(name, 0.1);
        change(&mut manifest.spec);
        let records = (0..5_u64).flat_map(|step| {
            quantity::SKETCH.iter().enumerate().map(move |(index, quantity)| {
                let value = if index == 0 { reach * step as f64 } else { 1.0 };
                synthetic::measure(quantity, step, value, Uncertainty::Exact)
            })
        });
        Run::from_records(manifest, records)
    }

    #[test]
    fn runs_from_the_same_weights_are_compared_step_by_step_and_others_are_not() {
        let runs = [
            run("a", |_| {}, 1.0),
            run("b", |spec| spec.optimizer.momentum = stepscope_types::Momentum::new(0.5).unwrap(), 4.0),
            run("c", |spec| spec.train.batch_size = BatchSize::new(7).unwrap(), 2.0),
            run("elsewhere", |spec| spec.seeds = Seeds::from_root(9), 3.0),
        ];
        let apart = series(&Lineup::new(&runs)).unwrap();
        let last: Vec<f64> = apart.curves.iter().map(|(_, series)| series.last().unwrap().1).collect();
        assert_eq!(last, [12.0, 4.0]);
        let (low, high) = apart.curves[0].1.points()[4].interval.unwrap();
        assert!((high - low - 2.0 * 12.0 / 32.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!(apart.curves[0].1.points()[0].interval, None, "they began at the same place");
        assert!(apart.words.contains("From the weights of a ") && apart.words.ends_with("Fed the same batches: b."));
        assert!(series(&Lineup::new(&runs[..1])).is_none());
    }
}
