//! How many examples each step takes, and which: constant, or along a schedule.

use std::sync::Arc;

use stepscope_types::BatchSize;
use stepscope_types::schedule::{RunClock, Schedule};
use stepscope_types::spec::Sampling;

/// The size of every batch of a run and its place among the epochs.
///
/// Without replacement an epoch is a permutation, taken in pieces of the batch size; the first batch that does not fit into what is left
/// begins the next epoch, and what is left is dropped. With replacement an epoch is as many examples as there are. Both are
/// functions of the batch's number alone, so a run that is resumed goes on with the same batches.
///
/// Cost: a few words for each change of the batch size.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchPlan {
    sampling: Sampling,
    num_examples: u64,
    /// Stretches of equal size, ascending, the first at batch 0.
    stretches: Arc<[Stretch]>,
    /// Batches of the run; `None` where the size does not change, and there is no end.
    num_batches: Option<u64>,
}

/// Batches of equal size, and where the first of them is.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stretch {
    first: u64,
    size: u64,
    place: Place,
}

/// Where a batch begins: examples of its epoch before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// Epochs before.
    pub epoch: u64,
    /// Examples of this epoch before.
    pub offset: u64,
}

impl BatchPlan {
    /// Batches of one size. `num_examples` is at least `size`.
    pub fn constant(sampling: Sampling, num_examples: u64, size: BatchSize) -> Self {
        let stretch = Stretch { first: 0, size: size.get().min(num_examples.max(1)), place: Place::default() };
        Self { sampling, num_examples: num_examples.max(1), stretches: Arc::new([stretch]), num_batches: None }
    }

    /// Batches whose size at every position of `clock` is that of `schedule`, rounded, and at least 1 and at most all examples.
    pub fn scheduled(sampling: Sampling, num_examples: u64, clock: &RunClock, schedule: &Schedule) -> Self {
        let num_examples = num_examples.max(1);
        let size_at = |position: f64| (schedule.at(position).round() as u64).clamp(1, num_examples);
        let mut stretches: Vec<Stretch> = Vec::new();
        let (mut place, mut number) = (Place::default(), 0_u64);
        loop {
            let mut size = size_at(position(clock, number, place, num_examples));
            if sampling == Sampling::WithoutReplacement && place.offset + size > num_examples {
                place = Place { epoch: place.epoch + 1, offset: 0 };
                size = size_at(position(clock, number, place, num_examples));
            }
            if position(clock, number, place, num_examples) >= clock.end() {
                break;
            }
            if stretches.last().is_none_or(|stretch| stretch.size != size) {
                stretches.push(Stretch { first: number, size, place });
            }
            // Whether the next batch fits into what is left is seen once its size is known.
            place = match sampling {
                Sampling::WithReplacement => seen(num_examples, place, size),
                Sampling::WithoutReplacement => Place { offset: place.offset + size, ..place },
            };
            number += 1;
        }
        if stretches.is_empty() {
            stretches.push(Stretch { first: 0, size: size_at(0.0), place: Place::default() });
        }
        Self { sampling, num_examples, stretches: stretches.into(), num_batches: Some(number.max(1)) }
    }

    /// Whether all batches have one size.
    pub fn is_constant(&self) -> bool {
        self.num_batches.is_none()
    }

    /// Batches until the end of the clock that the plan was made with; `None` for one size.
    pub fn num_batches(&self) -> Option<u64> {
        self.num_batches
    }

    /// Examples to draw from.
    pub fn num_examples(&self) -> u64 {
        self.num_examples
    }

    /// Examples in a batch.
    pub fn size(&self, number: u64) -> u64 {
        self.stretch(number).size
    }

    /// The largest batch.
    pub fn largest(&self) -> u64 {
        self.stretches.iter().map(|stretch| stretch.size).max().unwrap_or(1)
    }

    /// Where a batch begins.
    pub fn place(&self, number: u64) -> Place {
        let stretch = self.stretch(number);
        after(self.sampling, self.num_examples, stretch.place, stretch.size, number - stretch.first)
    }

    /// Epochs that are over when batch `number` begins, with the fraction of the running one.
    pub fn epoch(&self, number: u64) -> f64 {
        if self.is_constant() {
            return number as f64 / self.batches_per_epoch();
        }
        let place = self.place(number);
        place.epoch as f64 + place.offset as f64 / self.num_examples as f64
    }

    /// Batches an epoch: a whole number without replacement, where what fills no batch is dropped. Of a plan whose sizes change, the
    /// mean over the run.
    pub fn batches_per_epoch(&self) -> f64 {
        match (self.num_batches, self.sampling) {
            (Some(count), _) => count as f64 / self.epoch(count).max(f64::MIN_POSITIVE),
            (None, Sampling::WithoutReplacement) => (self.num_examples / self.size(0)) as f64,
            (None, Sampling::WithReplacement) => self.num_examples as f64 / self.size(0) as f64,
        }
    }

    /// The mean size of the batches before `count`.
    pub fn mean_size(&self, count: u64) -> f64 {
        let ends = self.stretches.iter().skip(1).map(|stretch| stretch.first).chain([u64::MAX]);
        let sum: u64 = self
            .stretches
            .iter()
            .zip(ends)
            .map(|(stretch, end)| stretch.size * end.min(count).saturating_sub(stretch.first))
            .sum();
        sum as f64 / count.max(1) as f64
    }

    fn stretch(&self, number: u64) -> Stretch {
        let behind = self.stretches.partition_point(|stretch| stretch.first <= number);
        let whole = Stretch { first: 0, size: 1, place: Place::default() };
        self.stretches.get(behind.saturating_sub(1)).copied().unwrap_or(whole)
    }
}

/// The position on the clock at which batch `number`, which begins at `place`, is taken.
fn position(clock: &RunClock, number: u64, place: Place, num_examples: u64) -> f64 {
    match clock {
        RunClock::Steps { .. } => number as f64,
        RunClock::Epochs { .. } => place.epoch as f64 + place.offset as f64 / num_examples as f64,
    }
}

/// Where batch `count` begins, if batch 0 begins at `place`, where it fits, and all have `size`.
fn after(sampling: Sampling, num_examples: u64, place: Place, size: u64, count: u64) -> Place {
    match sampling {
        Sampling::WithReplacement => seen(num_examples, place, size * count),
        Sampling::WithoutReplacement => {
            let (here, whole) = ((num_examples - place.offset) / size, num_examples / size);
            match count.checked_sub(here) {
                None => Place { offset: place.offset + size * count, ..place },
                Some(later) => Place { epoch: place.epoch + 1 + later / whole, offset: size * (later % whole) },
            }
        }
    }
}

/// The place `count` examples on, where epochs have no gaps.
fn seen(num_examples: u64, place: Place, count: u64) -> Place {
    let offset = place.offset + count;
    Place { epoch: place.epoch + offset / num_examples, offset: offset % num_examples }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stepscope_types::schedule::Scheduled;

    use super::*;

    /// Batch by batch, as slowly as it gets.
    fn walk(sampling: Sampling, num_examples: u64, sizes: impl Fn(u64) -> u64, count: u64) -> Vec<(u64, Place)> {
        let mut place = Place::default();
        let mut batches = Vec::new();
        for number in 0..count {
            let size = sizes(number);
            if sampling == Sampling::WithoutReplacement && place.offset + size > num_examples {
                place = Place { epoch: place.epoch + 1, offset: 0 };
            }
            batches.push((size, place));
            place.offset += size;
            if place.offset >= num_examples && sampling == Sampling::WithReplacement {
                place = Place { epoch: place.epoch + place.offset / num_examples, offset: place.offset % num_examples };
            }
        }
        batches
    }

    fn plan(sampling: Sampling, num_examples: u64, text: &str, clock: RunClock) -> BatchPlan {
        let spec: stepscope_types::schedule::ScheduleSpec = text.parse().unwrap();
        let schedule = spec.resolve(4.0, Scheduled::BatchSize, &clock).unwrap();
        BatchPlan::scheduled(sampling, num_examples, &clock, &schedule)
    }

    proptest! {
        #[test]
        fn places_agree_with_a_walk(num_examples in 20_u64..60, high in 1_u64..20, every in 1_u64..15, replaced: bool) {
            let sampling = if replaced { Sampling::WithReplacement } else { Sampling::WithoutReplacement };
            let clock = RunClock::Steps { num_steps: 200, steps_per_epoch: None };
            let text = format!("cyclic(from = 3, to = {high}, every = {every}st, shape = discrete)");
            let plan = plan(sampling, num_examples, &text, clock);
            let walked = walk(sampling, num_examples, |number| plan.size(number), 200);
            for (number, (size, place)) in walked.into_iter().enumerate() {
                prop_assert_eq!((plan.size(number as u64), plan.place(number as u64)), (size, place), "batch {}", number);
            }
            prop_assert_eq!(plan.num_batches(), Some(200));
        }

        #[test]
        fn one_size_is_the_scheduled_plan_that_never_changes(num_examples in 10_u64..60, size in 1_u64..10, replaced: bool) {
            let sampling = if replaced { Sampling::WithReplacement } else { Sampling::WithoutReplacement };
            let constant = BatchPlan::constant(sampling, num_examples, BatchSize::new(size).unwrap());
            let walked = walk(sampling, num_examples, |_| size, 200);
            for (number, (size, place)) in walked.into_iter().enumerate() {
                prop_assert_eq!((constant.size(number as u64), constant.place(number as u64)), (size, place));
            }
        }
    }

    #[test]
    fn a_run_of_epochs_ends_when_they_are_over() {
        let clock = RunClock::Epochs { num_epochs: 4.0 };
        let text = "cyclic(from = 10, to = 25, every = 2ep, shape = discrete)";
        let plan = plan(Sampling::WithoutReplacement, 100, text, clock);
        // Epochs of 10, 4, 10 and 4 batches.
        assert_eq!(plan.num_batches(), Some(28));
        assert_eq!((plan.size(9), plan.size(10), plan.size(14)), (10, 25, 10));
        assert_eq!((plan.epoch(10), plan.epoch(12), plan.epoch(28)), (1.0, 1.5, 4.0));
        assert_eq!(plan.mean_size(28), 400.0 / 28.0);
        assert_eq!(plan.batches_per_epoch(), 7.0);
    }
}
