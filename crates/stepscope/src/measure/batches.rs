//! Mini-batches that probes draw for themselves.

use std::collections::HashSet;
use std::fmt;
use std::num::NonZeroU64;

use burn::tensor::{DType, Device};
use stepscope_spectral::random::RandomStream;

use super::objective::Objective;
use crate::checkpoint::{State, StateError, Stateful};
use crate::data::{Batch, Dataset};

/// Independent batches of training examples, from a stream that training does not touch.
///
/// `B` is the batch type of a [`BatchLoss`](super::BatchLoss); examples are known by their numbers.
pub struct BatchSource<'a, B = Batch> {
    num_examples: usize,
    batch_size: usize,
    gather: Gather<'a, B>,
    random: RandomStream,
}

/// Makes the batch of the examples of these numbers.
type Gather<'a, B> = Box<dyn Fn(&[u32]) -> B + Send + 'a>;

impl<'a> BatchSource<'a> {
    /// Batches of `batch_size` examples of the training set, or of all of it where it is smaller. `tracked` is the tracked
    /// device.
    pub fn new(dataset: &'a Dataset, batch_size: u64, tracked: Device, dtype: DType, random: RandomStream) -> Self {
        let gather = move |indices: &[u32]| {
            let batch = Batch::gather(&dataset.train, dataset.shape, indices, &tracked, dtype);
            // Dropout masks go by places: those of a batch are a function of its examples, and differ between batches.
            batch.starting_at(indices.first().copied().map_or(0, u64::from))
        };
        Self::of(dataset.train.num_examples(), batch_size, random, gather)
    }
}

impl<'a, B> BatchSource<'a, B> {
    /// Batches of `batch_size` out of `num_examples` (at least 1) training examples, or of all of them where they are fewer.
    ///
    /// `gather` makes the batch of the examples of these numbers, where the module lives that is measured.
    pub fn of(
        num_examples: usize,
        batch_size: u64,
        random: RandomStream,
        gather: impl Fn(&[u32]) -> B + Send + 'a,
    ) -> Self {
        let batch_size = usize::try_from(batch_size).unwrap_or(usize::MAX).min(num_examples);
        Self { num_examples, batch_size, gather: Box::new(gather), random }
    }

    /// Examples a batch.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// Examples that batches are drawn from.
    pub fn num_examples(&self) -> usize {
        self.num_examples
    }

    /// The next batch: `batch_size` different examples, every such set equally likely.
    pub fn draw(&mut self) -> Vec<u32> {
        if 2 * self.batch_size >= self.num_examples {
            let mut order: Vec<u32> = (0..self.num_examples as u32).collect();
            self.random.shuffle(&mut order);
            order.truncate(self.batch_size);
            return order;
        }
        let (mut drawn, mut seen) = (Vec::with_capacity(self.batch_size), HashSet::new());
        while drawn.len() < self.batch_size {
            let index = self.draw_one();
            if seen.insert(index) {
                drawn.push(index);
            }
        }
        drawn
    }

    /// The next batches have `batch_size` examples, where that is said.
    pub(super) fn resize(&mut self, batch_size: Option<u64>) {
        if let Some(size) = batch_size {
            self.batch_size = usize::try_from(size).unwrap_or(usize::MAX).min(self.num_examples);
        }
    }

    /// The next batch of examples drawn one by one, which may be in it several times: gradients of such batches have the
    /// covariance of one example's over their number, without a factor for the finite set.
    pub fn draw_with_replacement(&mut self) -> Vec<u32> {
        (0..self.batch_size).map(|_| self.draw_one()).collect()
    }

    fn draw_one(&mut self) -> u32 {
        let bound = NonZeroU64::new(self.num_examples as u64).unwrap_or(NonZeroU64::MIN);
        self.random.u64_below(bound) as u32
    }

    /// The loss over the examples of these numbers, which pass through the network together.
    pub fn objective(&self, indices: &[u32]) -> Objective<B> {
        self.objective_in_parts(indices, usize::MAX)
    }

    /// The same in micro-batches of at most `most` (at least 1) examples.
    pub fn objective_in_parts(&self, indices: &[u32], most: usize) -> Objective<B> {
        let parts = indices.chunks(most.max(1)).map(|part| ((self.gather)(part), part.len()));
        Objective::from_sized(parts)
    }
}

impl<B> fmt::Debug for BatchSource<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batches of {} out of {} examples, {:?}", self.batch_size, self.num_examples, self.random)
    }
}

impl<B> Stateful for BatchSource<'_, B> {
    fn save_state(&self, state: &mut State) {
        state.nest("random", &self.random);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        state.restore("random", &mut self.random)
    }
}
