//! One quantity along a run.

use stepscope_types::{Measurement, Step, Uncertainty};

/// A quantity at a step: a value with its error, or the reason why there is none.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Updates applied before the measurement.
    pub step: Step,
    /// Examples seen over training examples.
    pub epoch: f64,
    /// The value, where there is one; always finite.
    pub value: Option<f64>,
    /// The error of the value.
    pub error: Option<Uncertainty>,
    /// Lower and upper end of the error; `None` without a value or where the value is exact.
    pub interval: Option<(f64, f64)>,
    /// Why there is no value.
    pub unresolved: Option<Box<str>>,
}

/// Everything recorded under one name in one run, by step.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    unit: String,
    points: Vec<Point>,
    cost_seconds: f64,
}

impl From<&Measurement> for Point {
    fn from(measurement: &Measurement) -> Self {
        let value = measurement.value.filter(|value| value.is_finite());
        let interval = value.and(measurement.interval());
        Self {
            step: measurement.step,
            epoch: measurement.epoch,
            value,
            error: value.and(measurement.error),
            interval: interval.filter(|(low, high)| low.is_finite() && high.is_finite() && low < high),
            unresolved: measurement.unresolved.as_deref().map(Into::into),
        }
    }
}

impl Series {
    pub(super) const fn empty() -> Self {
        Self { unit: String::new(), points: Vec::new(), cost_seconds: 0.0 }
    }

    /// A series made of others: `points` by step, no two at the same.
    pub(crate) fn of(unit: &str, points: Vec<Point>) -> Self {
        Self { unit: unit.to_owned(), points, cost_seconds: 0.0 }
    }

    pub(super) fn push(&mut self, point: Point, unit: &str, cost_seconds: f64) {
        // An unresolved reading has no unit.
        if self.unit.is_empty() {
            unit.clone_into(&mut self.unit);
        }
        self.points.push(point);
        self.cost_seconds += cost_seconds;
    }

    /// By step; of several points at a step the one pushed last stays.
    pub(super) fn sort(&mut self) {
        self.points.reverse();
        self.points.sort_by_key(|point| point.step);
        self.points.dedup_by_key(|point| point.step);
        self.points.shrink_to_fit();
    }

    /// The unit of the values; empty where none was resolved.
    pub fn unit(&self) -> &str {
        &self.unit
    }

    /// Seconds that the readings took, those included that a resumed run made twice; 0 where no time was recorded.
    pub fn cost_seconds(&self) -> f64 {
        self.cost_seconds
    }

    /// All points, unresolved ones included, by step.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// The points that have a value.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = (&Point, f64)> {
        self.points.iter().filter_map(|point| point.value.map(|value| (point, value)))
    }

    /// The first point that has a value.
    pub fn first(&self) -> Option<(&Point, f64)> {
        self.values().next()
    }

    /// The last point that has a value.
    pub fn last(&self) -> Option<(&Point, f64)> {
        self.values().next_back()
    }

    /// The mean of every stretch of `length` successive values, at the middle step of the stretch: what a curve of
    /// thousands of noisy readings does underneath. A last stretch that is shorter than half is left out.
    pub(crate) fn means(&self, length: usize) -> Vec<(&Point, f64)> {
        let values: Vec<(&Point, f64)> = self.values().collect();
        let whole = |chunk: &&[(&Point, f64)]| 2 * chunk.len() >= length;
        let mean = |chunk: &[(&Point, f64)]| chunk.iter().map(|(_, value)| value).sum::<f64>() / chunk.len() as f64;
        let stretches = values.chunks(length.max(1)).filter(whole);
        stretches.filter_map(|chunk| Some((chunk.get(chunk.len() / 2)?.0, mean(chunk)))).collect()
    }

    /// At most about `limit` points (at least 8) that draw the same curve: the first, the last, and of every stretch
    /// of equally many points the smallest, the largest and, where there is one, an unresolved one.
    pub fn thinned(&self, limit: usize) -> Vec<&Point> {
        if self.points.len() <= limit.max(8) {
            return self.points.iter().collect();
        }
        let (Some((first, inner)), Some(last)) = (self.points.split_first(), self.points.last()) else {
            return Vec::new();
        };
        let inner = &inner[..inner.len() - 1];
        let num_buckets = (limit.max(8) - 2) / POINTS_PER_BUCKET;
        let buckets = inner.chunks(inner.len().div_ceil(num_buckets));
        std::iter::once(first).chain(buckets.flat_map(extremes)).chain([last]).collect()
    }
}

const POINTS_PER_BUCKET: usize = 3;

/// The smallest, the largest and an unresolved point, in their order.
fn extremes(bucket: &[Point]) -> Vec<&Point> {
    let resolved = || bucket.iter().enumerate().filter_map(|(index, point)| Some((index, point.value?)));
    let smallest = resolved().min_by(|a, b| a.1.total_cmp(&b.1));
    let largest = resolved().max_by(|a, b| a.1.total_cmp(&b.1));
    let unresolved = bucket.iter().position(|point| point.value.is_none());
    let mut kept: Vec<usize> = [smallest, largest].into_iter().flatten().map(|(index, _)| index).collect();
    kept.extend(unresolved);
    kept.sort_unstable();
    kept.dedup();
    kept.into_iter().map(|index| &bucket[index]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn series(values: &[Option<f64>]) -> Series {
        let points = values.iter().enumerate().map(|(step, &value)| Point {
            step: Step(step as u64),
            epoch: step as f64,
            value,
            error: None,
            interval: None,
            unresolved: None,
        });
        Series::of("nat", points.collect())
    }

    #[test]
    fn thinning_keeps_a_single_spike_and_a_single_gap() {
        let mut values = vec![Some(1.0); 100_000];
        (values[54_321], values[77_777], values[12_345]) = (Some(1e9), Some(-5.0), None);
        let series = series(&values);
        let thinned = series.thinned(4000);
        assert!(thinned.len() <= 4000, "{}", thinned.len());
        for step in [0, 12_345, 54_321, 77_777, 99_999] {
            assert!(thinned.iter().any(|point| point.step == Step(step)), "step {step} is lost");
        }
    }

    proptest! {
        #[test]
        fn thinning_keeps_order_ends_and_extremes(
            values in prop::collection::vec(prop::option::of(-1e3f64..1e3), 0..400),
            limit in 0usize..100,
        ) {
            let series = series(&values);
            let thinned = series.thinned(limit);
            prop_assert!(thinned.len() <= limit.max(8).max(2));
            prop_assert!(thinned.is_sorted_by(|a, b| a.step < b.step));
            prop_assert_eq!(thinned.first().copied(), series.points().first());
            prop_assert_eq!(thinned.last().copied(), series.points().last());
            let range = |values: Vec<f64>| (values.iter().copied().reduce(f64::min), values.iter().copied().reduce(f64::max));
            let kept = thinned.iter().filter_map(|point| point.value).collect();
            prop_assert_eq!(range(kept), range(values.iter().copied().flatten().collect()));
        }
    }
}
