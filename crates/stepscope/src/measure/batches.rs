//! Mini-batches that probes draw for themselves.

use burn::tensor::{DType, Device};
use std::collections::HashSet;
use std::num::NonZeroU64;
use stepscope_spectral::random::RandomStream;

use super::objective::Objective;
use crate::checkpoint::{State, StateError, Stateful};
use crate::data::{Batch, Dataset};

/// Independent batches of different training examples, from a stream that training does not touch.
#[derive(Debug)]
pub struct BatchSource<'a> {
    dataset: &'a Dataset,
    batch_size: usize,
    tracked: Device,
    dtype: DType,
    random: RandomStream,
}

impl<'a> BatchSource<'a> {
    /// Batches of `batch_size` examples, or of the whole training set where it is smaller. `tracked` is the tracked device.
    pub fn new(dataset: &'a Dataset, batch_size: u64, tracked: Device, dtype: DType, random: RandomStream) -> Self {
        let batch_size = usize::try_from(batch_size).unwrap_or(usize::MAX).min(dataset.train.num_examples());
        Self { dataset, batch_size, tracked, dtype, random }
    }

    /// Examples a batch.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// The next batch: `batch_size` different examples, every such set equally likely.
    pub fn draw(&mut self) -> Vec<u32> {
        let count = self.dataset.train.num_examples();
        if 2 * self.batch_size >= count {
            let mut order: Vec<u32> = (0..count as u32).collect();
            self.random.shuffle(&mut order);
            order.truncate(self.batch_size);
            return order;
        }
        // A loaded data set has at least one example.
        let bound = NonZeroU64::new(count as u64).unwrap_or(NonZeroU64::MIN);
        let (mut drawn, mut seen) = (Vec::with_capacity(self.batch_size), HashSet::new());
        while drawn.len() < self.batch_size {
            let index = self.random.u64_below(bound) as u32;
            if seen.insert(index) {
                drawn.push(index);
            }
        }
        drawn
    }

    /// The examples where gradients can be taken.
    pub fn tracked(&self, indices: &[u32]) -> Objective {
        self.on(indices, &self.tracked)
    }

    /// The examples where only values are wanted.
    pub fn plain(&self, indices: &[u32]) -> Objective {
        self.on(indices, &self.tracked.clone().inner())
    }

    fn on(&self, indices: &[u32], device: &Device) -> Objective {
        Objective::of_batch(Batch::gather(&self.dataset.train, self.dataset.shape, indices, device, self.dtype))
    }
}

impl Stateful for BatchSource<'_> {
    fn save_state(&self, state: &mut State) {
        state.nest("random", &self.random);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        state.restore("random", &mut self.random)
    }
}
