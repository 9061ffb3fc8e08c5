//! Batches made ready while the step before is computed.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use burn::tensor::{DType, Device};

use super::augment::Augmentation;
use super::batch::Batch;
use super::batch_plan::BatchPlan;
use super::sampler::Sampler;
use super::split::Split;
use crate::checkpoint::{State, StateError, Stateful};

/// Below so many numbers a batch is made at once: handing it to another thread would take longer.
const WORTH_A_THREAD: usize = 1 << 15;

/// Draws batches and gathers and augments their examples, one batch ahead on a thread of its own.
///
/// What it delivers depends on the sampler, the augmentation and the position alone, with or without the thread.
#[derive(Debug)]
pub struct Loader {
    sampler: Box<dyn Sampler>,
    recipe: Recipe,
    shape: [usize; 3],
    worker: Option<Worker>,
    /// Whether the worker has been told to make the batch at `position`.
    ahead: bool,
    /// Batches delivered.
    position: u64,
    waited: Duration,
}

/// How a batch is made from the numbers of its examples.
#[derive(Debug, Clone)]
struct Recipe {
    split: Split,
    augmentation: Option<Augmentation>,
    plan: BatchPlan,
}

/// A batch in memory.
#[derive(Debug)]
struct Numbers {
    images: Vec<f32>,
    labels: Vec<u8>,
}

#[derive(Debug)]
struct Worker {
    /// `None` only while dropping.
    orders: Option<Sender<(Vec<u32>, u64)>>,
    ready: Receiver<Numbers>,
    thread: Option<JoinHandle<()>>,
}

impl Recipe {
    /// The batch of these examples, which is number `position` of the run.
    fn make(&self, indices: &[u32], position: u64) -> Numbers {
        let (mut images, mut labels) = (Vec::new(), Vec::new());
        self.split.gather(indices, &mut images, &mut labels);
        if let Some(augmentation) = &self.augmentation {
            let epoch = self.plan.epoch(position) as u64;
            for (image, &example) in images.chunks_mut(self.split.example_length().max(1)).zip(indices) {
                augmentation.apply(image, example, epoch);
            }
        }
        Numbers { images, labels }
    }
}

impl Loader {
    /// A loader of examples of `split`, of `shape`, in the order of `sampler`, whose batches are those of `plan`.
    pub fn new(
        split: &Split,
        shape: [usize; 3],
        sampler: Box<dyn Sampler>,
        augmentation: Option<Augmentation>,
        plan: BatchPlan,
    ) -> Self {
        let position = sampler.position();
        let recipe = Recipe { split: split.clone(), augmentation, plan };
        Self { sampler, recipe, shape, worker: None, ahead: false, position, waited: Duration::ZERO }
    }

    /// The next batch, on that device.
    pub fn next_batch(&mut self, device: &Device, dtype: DType) -> Batch {
        let numbers = self.numbers();
        let target = self.recipe.split.target();
        Batch::of_numbers(numbers.images, &numbers.labels, self.shape, target, device, dtype)
    }

    /// The batch that was delivered at `position`, again, on that device. What comes next stays.
    pub fn batch_at(&mut self, position: u64, device: &Device, dtype: DType) -> Batch {
        let ahead = self.sampler.position();
        self.sampler.set_position(position);
        let numbers = self.recipe.make(self.sampler.next_batch(), position);
        self.sampler.set_position(ahead);
        let target = self.recipe.split.target();
        Batch::of_numbers(numbers.images, &numbers.labels, self.shape, target, device, dtype)
    }

    /// Time for which the training loop stood still because no batch was ready.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    fn numbers(&mut self) -> Numbers {
        let started = Instant::now();
        let ready = if self.ahead { self.worker.as_ref().and_then(|worker| worker.ready.recv().ok()) } else { None };
        let numbers = ready.unwrap_or_else(|| {
            self.sampler.set_position(self.position);
            self.recipe.make(self.sampler.next_batch(), self.position)
        });
        self.waited += started.elapsed();
        self.position += 1;
        self.ahead = self.order_next(numbers.images.len());
        numbers
    }

    /// Has the next batch made, if that is worth a thread; says whether it is on its way.
    fn order_next(&mut self, batch_length: usize) -> bool {
        if batch_length < WORTH_A_THREAD && self.recipe.augmentation.is_none() {
            return false;
        }
        let recipe = &self.recipe;
        let worker = self.worker.get_or_insert_with(|| Worker::start(recipe.clone()));
        let indices = self.sampler.next_batch().to_vec();
        worker.orders.as_ref().is_some_and(|orders| orders.send((indices, self.position)).is_ok())
    }
}

impl Worker {
    fn start(recipe: Recipe) -> Self {
        let (orders, ordered) = channel::<(Vec<u32>, u64)>();
        let (finished, ready) = channel();
        let thread = std::thread::spawn(move || {
            for (indices, position) in ordered {
                if finished.send(recipe.make(&indices, position)).is_err() {
                    break;
                }
            }
        });
        Self { orders: Some(orders), ready, thread: Some(thread) }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has delivered nothing, which the loader makes up for itself.
            let _ = thread.join();
        }
    }
}

/// The position alone: a batch that is made ahead is made again.
impl Stateful for Loader {
    fn save_state(&self, state: &mut State) {
        state.put("position", &self.position);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        self.position = state.get("position")?;
        self.sampler.set_position(self.position);
        self.worker = None;
        self.ahead = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::sampler::sampler;
    use super::*;
    use stepscope_types::BatchSize;
    use stepscope_types::spec::{AugmentSpec, Sampling};

    const SHAPE: [usize; 3] = [1, 4, 4];

    fn split() -> Split {
        let bytes: Vec<u8> = (0..20_u32 * 16).map(|value| (value * 37 % 251) as u8).collect();
        Split::of_pixels(bytes, vec![std::array::from_fn(|value| value as f32)], (0..20).collect())
    }

    fn loader(spec: AugmentSpec) -> Loader {
        let split = split();
        let sampler = sampler(Sampling::WithoutReplacement, 20, BatchSize::new(4).unwrap(), 3).unwrap();
        let augmentation = Augmentation::new(spec, SHAPE, split.black(), 9);
        let plan = BatchPlan::constant(Sampling::WithoutReplacement, 20, BatchSize::new(4).unwrap());
        Loader::new(&split, SHAPE, sampler, augmentation, plan)
    }

    const MOVED: AugmentSpec = AugmentSpec { pad_crop: 1, flip: true, shift: 0 };

    fn batches(loader: &mut Loader, count: usize) -> Vec<(Vec<f32>, Vec<u8>)> {
        (0..count).map(|_| loader.numbers()).map(|numbers| (numbers.images, numbers.labels)).collect()
    }

    #[test]
    fn a_thread_ahead_delivers_what_the_recipe_makes_in_order() {
        let mut ahead = loader(MOVED);
        let delivered = batches(&mut ahead, 12);
        assert!(ahead.worker.is_some(), "augmentation is worth a thread");
        let mut plain = loader(MOVED);
        for (position, batch) in delivered.into_iter().enumerate() {
            let made = plain.recipe.make(plain.sampler.next_batch(), position as u64);
            assert_eq!(batch, (made.images, made.labels), "{position}");
        }
    }

    #[test]
    fn small_batches_are_made_without_a_thread() {
        let mut loader = loader(AugmentSpec::default());
        assert_eq!(batches(&mut loader, 3).len(), 3);
        assert!(loader.worker.is_none());
    }

    #[test]
    fn a_saved_position_goes_on_with_the_same_batches() {
        let mut loader = loader(MOVED);
        batches(&mut loader, 3);
        let mut state = State::default();
        loader.save_state(&mut state);
        let expected = batches(&mut loader, 6);
        loader.load_state(&state).unwrap();
        assert_eq!(batches(&mut loader, 6), expected);
    }

    #[test]
    fn the_same_example_is_changed_in_another_way_in_the_next_epoch() {
        let mut loader = loader(MOVED);
        let epochs = [batches(&mut loader, 5), batches(&mut loader, 5)].map(|epoch| {
            let mut images: Vec<(u8, Vec<f32>)> = epoch
                .into_iter()
                .flat_map(|(images, labels)| {
                    let images: Vec<Vec<f32>> = images.chunks(16).map(<[f32]>::to_vec).collect();
                    labels.into_iter().zip(images)
                })
                .collect();
            images.sort_by_key(|(label, _)| *label);
            images
        });
        let changed = epochs[0].iter().zip(&epochs[1]).filter(|(a, b)| a.1 != b.1).count();
        assert!(changed > 15, "{changed} of 20");
    }
}
