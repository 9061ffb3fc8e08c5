//! The order in which a run sees its examples.

use std::num::NonZeroU64;

use stepscope_spectral::random::RandomStream;
use stepscope_types::BatchSize;
use stepscope_types::spec::Sampling;
use thiserror::Error;

use super::batch_plan::BatchPlan;
use crate::checkpoint::{State, StateError, Stateful};

/// Draws mini-batches, the same ones for the same seed.
///
/// A batch is a function of the seed and its number alone: a checkpoint stores [`Sampler::position`], and
/// [`Sampler::set_position`] goes on from there bit for bit.
pub trait Sampler: Stateful + Send + std::fmt::Debug {
    /// The examples of the next batch, as many as the plan says.
    fn next_batch(&mut self) -> &[u32];
    /// Number of batches drawn so far.
    fn position(&self) -> u64;
    /// Goes to where `position` batches have been drawn, forwards or backwards.
    fn set_position(&mut self, position: u64);
}

/// Why examples cannot be drawn.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SamplingError {
    /// A batch needs more examples than there are.
    #[error(
        "batch size: got {batch_size}, expected at most {num_examples}, the number of examples: lower the batch size or use more examples"
    )]
    Batch {
        /// The batch size asked for.
        batch_size: u64,
        /// The number of examples there are.
        num_examples: usize,
    },
    /// A subset needs more examples than there are, or none.
    #[error("subset of the examples: got a size of {size}, expected 1 to {num_examples}, the number of examples")]
    Subset {
        /// The size asked for.
        size: u64,
        /// The number of examples there are.
        num_examples: usize,
    },
    /// Examples are numbered with 32 bits.
    #[error("got {num_examples} examples, expected at most {}: use fewer", u32::MAX)]
    TooManyExamples {
        /// The number of examples.
        num_examples: usize,
    },
}

/// The sampler that a specification names. `seed` is [`stepscope_types::Seeds::data_seed`] for training.
///
/// # Errors
/// [`SamplingError`] for a batch that is larger than the data.
///
/// ```
/// use stepscope::data::sampler;
/// use stepscope_types::{BatchSize, spec::Sampling};
/// let mut batches = sampler(Sampling::WithoutReplacement, 10, BatchSize::new(4)?, 7)?;
/// assert_eq!(batches.next_batch().len(), 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn sampler(
    sampling: Sampling,
    num_examples: usize,
    batch_size: BatchSize,
    seed: u64,
) -> Result<Box<dyn Sampler>, SamplingError> {
    Ok(match sampling {
        Sampling::WithoutReplacement => Box::new(WithoutReplacement::new(num_examples, batch_size, seed)?),
        Sampling::WithReplacement => Box::new(WithReplacement::new(num_examples, batch_size, seed)?),
    })
}

/// The sampler of batches whose sizes are those of `plan`: see [`sampler`].
///
/// # Errors
/// [`SamplingError`] for a batch that is larger than the data.
pub fn planned_sampler(
    sampling: Sampling,
    num_examples: usize,
    plan: BatchPlan,
    seed: u64,
) -> Result<Box<dyn Sampler>, SamplingError> {
    Ok(match sampling {
        Sampling::WithoutReplacement => Box::new(WithoutReplacement::planned(num_examples, plan, seed)?),
        Sampling::WithReplacement => Box::new(WithReplacement::planned(num_examples, plan, seed)?),
    })
}

/// Every epoch goes through a new random permutation; what is left at its end and fills no batch is dropped.
///
/// The mean over a batch of B of N examples has covariance Σ (N − B) / ((N − 1) B), with Σ the covariance (divisor N)
/// of one example. Every epoch reads its own random stream, so that it does not depend on those before.
///
/// Cost: a permutation of N numbers at the first batch of an epoch, nothing at the others.
#[derive(Debug, Clone)]
pub struct WithoutReplacement {
    seed: u64,
    plan: BatchPlan,
    position: u64,
    /// The permutation of `epoch`.
    order: Vec<u32>,
    epoch: Option<u64>,
}

impl WithoutReplacement {
    /// A sampler at its first batch.
    ///
    /// # Errors
    /// [`SamplingError`] for a batch that is larger than the data.
    pub fn new(num_examples: usize, batch_size: BatchSize, seed: u64) -> Result<Self, SamplingError> {
        let plan = BatchPlan::constant(Sampling::WithoutReplacement, num_examples as u64, batch_size);
        check(num_examples, batch_size.get())?;
        Self::planned(num_examples, plan, seed)
    }

    /// A sampler of batches of the sizes of `plan`, at its first batch.
    ///
    /// # Errors
    /// As [`WithoutReplacement::new`].
    pub fn planned(num_examples: usize, plan: BatchPlan, seed: u64) -> Result<Self, SamplingError> {
        let count = check(num_examples, plan.largest())?;
        Ok(Self { seed, plan, position: 0, order: (0..count).collect(), epoch: None })
    }

    /// Batches in an epoch, ⌊N / B⌋: at least 1. Their mean, rounded, where sizes change.
    pub fn batches_per_epoch(&self) -> u64 {
        self.plan.batches_per_epoch().round() as u64
    }

    fn begin(&mut self, epoch: u64) {
        for (index, example) in self.order.iter_mut().enumerate() {
            *example = index as u32;
        }
        RandomStream::new(self.seed, epoch).shuffle(&mut self.order);
        self.epoch = Some(epoch);
    }
}

impl Sampler for WithoutReplacement {
    fn next_batch(&mut self) -> &[u32] {
        let (place, size) = (self.plan.place(self.position), self.plan.size(self.position));
        if self.epoch != Some(place.epoch) {
            self.begin(place.epoch);
        }
        self.position += 1;
        &self.order[place.offset as usize..][..size as usize]
    }

    fn position(&self) -> u64 {
        self.position
    }

    fn set_position(&mut self, position: u64) {
        self.position = position;
    }
}

impl Stateful for WithoutReplacement {
    fn save_state(&self, state: &mut State) {
        state.put("position", &self.position);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        self.position = state.get("position")?;
        Ok(())
    }
}

/// Every example of every batch is drawn afresh from the whole set: what the theory assumes.
///
/// The mean over a batch of B has covariance Σ / B. Every batch reads its own random stream.
///
/// Cost: B random numbers a batch.
#[derive(Debug, Clone)]
pub struct WithReplacement {
    seed: u64,
    num_examples: NonZeroU64,
    plan: BatchPlan,
    position: u64,
    batch: Vec<u32>,
}

impl WithReplacement {
    /// A sampler at its first batch.
    ///
    /// # Errors
    /// [`SamplingError`] for a batch that is larger than the data: the law would be defined, but such a
    /// specification is a slip.
    pub fn new(num_examples: usize, batch_size: BatchSize, seed: u64) -> Result<Self, SamplingError> {
        check(num_examples, batch_size.get())?;
        let plan = BatchPlan::constant(Sampling::WithReplacement, num_examples as u64, batch_size);
        Self::planned(num_examples, plan, seed)
    }

    /// A sampler of batches of the sizes of `plan`, at its first batch.
    ///
    /// # Errors
    /// As [`WithReplacement::new`].
    pub fn planned(num_examples: usize, plan: BatchPlan, seed: u64) -> Result<Self, SamplingError> {
        let count = check(num_examples, plan.largest())?;
        let refused = SamplingError::Batch { batch_size: plan.largest(), num_examples };
        let num_examples = NonZeroU64::new(count.into()).ok_or(refused)?;
        Ok(Self { seed, num_examples, plan, position: 0, batch: Vec::new() })
    }
}

impl Sampler for WithReplacement {
    fn next_batch(&mut self) -> &[u32] {
        let mut stream = RandomStream::new(self.seed, self.position);
        self.batch.resize(self.plan.size(self.position) as usize, 0);
        for example in &mut self.batch {
            *example = stream.u64_below(self.num_examples) as u32;
        }
        self.position += 1;
        &self.batch
    }

    fn position(&self) -> u64 {
        self.position
    }

    fn set_position(&mut self, position: u64) {
        self.position = position;
    }
}

impl Stateful for WithReplacement {
    fn save_state(&self, state: &mut State) {
        state.put("position", &self.position);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        self.position = state.get("position")?;
        Ok(())
    }
}

/// The number of examples, once a batch fits.
fn check(num_examples: usize, batch_size: u64) -> Result<u32, SamplingError> {
    let count = u32::try_from(num_examples).map_err(|_| SamplingError::TooManyExamples { num_examples })?;
    if batch_size <= num_examples as u64 { Ok(count) } else { Err(SamplingError::Batch { batch_size, num_examples }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use stepscope_types::schedule::{RunClock, ScheduleSpec, Scheduled};

    fn size(batch_size: u64) -> BatchSize {
        BatchSize::new(batch_size).unwrap()
    }

    fn draw(sampler: &mut dyn Sampler, count: usize) -> Vec<Vec<u32>> {
        (0..count).map(|_| sampler.next_batch().to_vec()).collect()
    }

    /// Largest distance, in standard errors, of the entries of the covariance of a batch's mean from `expected` times
    /// that of one example. Every epoch gives one batch, a different one of it each time, so that the batches are
    /// independent.
    fn covariance_misfit(sampler: &mut dyn Sampler, per_epoch: u64, expected: f64) -> f64 {
        const NUM_EXAMPLES: usize = 11;
        const NUM_BATCHES: u64 = 40_000;
        let features: Vec<[f64; 2]> = (0..NUM_EXAMPLES).map(|i| [i as f64, ((7 * i) % 11) as f64 * 0.3]).collect();
        let mean_of = |examples: &mut dyn Iterator<Item = [f64; 2]>| {
            let (sum, count) = examples.fold(([0.0; 2], 0.0), |(s, n), x| ([s[0] + x[0], s[1] + x[1]], n + 1.0));
            sum.map(|sum| sum / count)
        };
        let mean = mean_of(&mut features.iter().copied());
        let pairs = [(0, 0), (0, 1), (1, 1)];
        let product = |x: [f64; 2], (a, b): (usize, usize)| (x[a] - mean[a]) * (x[b] - mean[b]);
        let mut samples = vec![Vec::new(); pairs.len()];
        for epoch in 0..NUM_BATCHES {
            sampler.set_position(epoch * per_epoch + epoch % per_epoch);
            let batch = mean_of(&mut sampler.next_batch().iter().map(|&example| features[example as usize]));
            for (sample, &pair) in samples.iter_mut().zip(&pairs) {
                sample.push(product(batch, pair));
            }
        }
        let misfit = |(sample, &pair): (&Vec<f64>, &(usize, usize))| {
            let count = sample.len() as f64;
            let one = features.iter().map(|&x| product(x, pair)).sum::<f64>() / NUM_EXAMPLES as f64;
            let mean = sample.iter().sum::<f64>() / count;
            let variance = sample.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (count - 1.0);
            (mean - expected * one).abs() / (variance / count).sqrt()
        };
        samples.iter().zip(&pairs).map(misfit).fold(0.0, f64::max)
    }

    #[test]
    fn batches_have_the_covariance_of_their_kind_of_sampling() {
        let (n, b) = (11.0, 3.0);
        let (finite, independent) = ((n - b) / ((n - 1.0) * b), 1.0 / b);
        let without = &mut WithoutReplacement::new(11, size(3), 1).unwrap();
        let with = &mut WithReplacement::new(11, size(3), 1).unwrap();
        assert!(covariance_misfit(without, 3, finite) < 4.0);
        assert!(covariance_misfit(with, 3, independent) < 4.0);
        assert!(covariance_misfit(without, 3, independent) > 20.0, "the test tells the two apart");
        assert!(covariance_misfit(with, 3, finite) > 20.0, "the test tells the two apart");
    }

    #[test]
    fn every_epoch_is_a_new_permutation_without_its_tail() {
        let mut sampler = WithoutReplacement::new(23, size(4), 5).unwrap();
        assert_eq!(sampler.batches_per_epoch(), 5);
        let mut dropped = [0; 23];
        let mut previous = Vec::new();
        for _ in 0..2_000 {
            let epoch = draw(&mut sampler, 5).concat();
            let mut sorted = epoch.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), 20, "{epoch:?}");
            (0..23).filter(|index| !sorted.contains(index)).for_each(|index| dropped[index as usize] += 1);
            assert_ne!(epoch, previous);
            previous = epoch;
        }
        // Each example is dropped with probability 3/23; 5 standard deviations to either side.
        let (expected, deviation) = (2_000.0 * 3.0 / 23.0, (2_000.0_f64 * 3.0 / 23.0 * 20.0 / 23.0).sqrt());
        assert!(dropped.iter().all(|&count| (f64::from(count) - expected).abs() < 5.0 * deviation), "{dropped:?}");
    }

    #[test]
    fn with_replacement_every_example_is_equally_likely_at_every_place() {
        let mut sampler = WithReplacement::new(10, size(4), 2).unwrap();
        let mut counts = [[0_u32; 10]; 4];
        for batch in draw(&mut sampler, 20_000) {
            batch.iter().zip(&mut counts).for_each(|(&example, counts)| counts[example as usize] += 1);
        }
        for counts in counts {
            let chi_square: f64 = counts.iter().map(|&count| (f64::from(count) - 2_000.0).powi(2) / 2_000.0).sum();
            // The 0.999 quantile of chi-square with 9 degrees of freedom is 27.9.
            assert!(chi_square < 27.9, "{counts:?}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_batches_and_another_one_others() {
        for sampling in [Sampling::WithoutReplacement, Sampling::WithReplacement] {
            let batches = |seed| draw(&mut *sampler(sampling, 100, size(10), seed).unwrap(), 30);
            assert_eq!(batches(3), batches(3));
            assert_ne!(batches(3), batches(4));
        }
    }

    proptest! {
        #[test]
        fn a_restored_position_goes_on_with_the_same_batches(
            num_examples in 1_usize..50, batch in 1_u64..50, seed: u64, before in 0_usize..40, with_replacement: bool,
        ) {
            let sampling = if with_replacement { Sampling::WithReplacement } else { Sampling::WithoutReplacement };
            let batch_size = size(batch.min(num_examples as u64));
            let mut first = sampler(sampling, num_examples, batch_size, seed).unwrap();
            draw(&mut *first, before);
            let position = first.position();
            let expected = draw(&mut *first, 20);
            let mut second = sampler(sampling, num_examples, batch_size, seed).unwrap();
            second.set_position(position);
            prop_assert_eq!(&draw(&mut *second, 20), &expected);
            first.set_position(position);
            prop_assert_eq!(draw(&mut *first, 20), expected);
        }
    }

    #[test]
    fn batches_of_changing_size_go_through_every_epoch_and_a_restored_position_goes_on() {
        let clock = RunClock::Epochs { num_epochs: 20.0 };
        let schedule: ScheduleSpec = "cyclic(from = 2, to = 5, every = 3ep)".parse().unwrap();
        let schedule = schedule.resolve(2.0, Scheduled::BatchSize, &clock).unwrap();
        for sampling in [Sampling::WithoutReplacement, Sampling::WithReplacement] {
            let plan = BatchPlan::scheduled(sampling, 20, &clock, &schedule);
            let count = plan.num_batches().unwrap() as usize;
            let sampler = || planned_sampler(sampling, 20, plan.clone(), 7).unwrap();
            let batches = draw(&mut *sampler(), count);
            let sizes: Vec<u64> = batches.iter().map(|batch| batch.len() as u64).collect();
            assert!(sizes.contains(&2) && sizes.contains(&5), "{sizes:?}");
            for from in [0, 1, 17, count / 2, count - 1] {
                let mut restored = sampler();
                restored.set_position(from as u64);
                assert_eq!(draw(&mut *restored, count - from), batches[from..]);
            }
            if sampling == Sampling::WithoutReplacement {
                for epoch in 0..20 {
                    let numbers = (0..count as u64).filter(|&number| plan.place(number).epoch == epoch);
                    let mut seen: Vec<u32> = numbers.flat_map(|number| batches[number as usize].clone()).collect();
                    assert!(seen.len() > 15, "at most a batch less one is dropped: {seen:?}");
                    seen.sort_unstable();
                    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
                }
            }
        }
    }

    #[test]
    fn a_batch_larger_than_the_data_is_refused_with_both_numbers() {
        for sampling in [Sampling::WithoutReplacement, Sampling::WithReplacement] {
            assert!(sampler(sampling, 8, size(8), 0).is_ok());
            for (num_examples, batch_size) in [(8, 9), (0, 1), (8, u64::MAX)] {
                let error = sampler(sampling, num_examples, size(batch_size), 0).err();
                assert_eq!(error, Some(SamplingError::Batch { batch_size, num_examples }));
            }
        }
        let message = sampler(Sampling::WithReplacement, usize::MAX, size(1), 0).err().unwrap().to_string();
        assert_eq!(message, format!("got {} examples, expected at most 4294967295: use fewer", usize::MAX));
    }
}
