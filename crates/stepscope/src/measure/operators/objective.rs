//! The mean loss over a fixed set of examples: what probes measure.

use burn::Tensor;
use burn::tensor::{DType, Device};

use super::batch_loss::BatchLoss;
use super::error::ProductError;
use crate::data::{Batch, Split};
use crate::models::{BatchStatistics, Dual, Network, ParamLayout, Pass};

/// L(θ) = (1/n) Σ_i ℓ_i(θ) over n fixed examples, held on the device in micro-batches of type `B`.
///
/// The micro-batch size bounds memory and changes results by f64 rounding of a sum only: every micro-batch enters with
/// its number of examples, and sums over micro-batches are f64.
#[derive(Debug, Clone)]
pub struct Objective<B = Batch> {
    micro_batches: Vec<Held<B>>,
    num_examples: usize,
}

#[derive(Debug, Clone)]
struct Held<B> {
    batch: B,
    len: usize,
}

/// Loss and accuracy of a network on an [`Objective`].
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// ℓ_i of every example, in the order of the indices.
    pub losses: Vec<f64>,
    /// Whether each is put into its class; `None` where examples have no one label.
    pub hits: Option<Vec<bool>>,
}

impl<B> Objective<B> {
    /// The examples of `batches`, of which `len` says how many a batch has. Each batch is a micro-batch: it passes
    /// through the network as a whole. Empty ones are left out.
    pub fn from_batches(batches: impl IntoIterator<Item = B>, len: impl Fn(&B) -> usize) -> Self {
        Self::from_sized(batches.into_iter().map(|batch| {
            let len = len(&batch);
            (batch, len)
        }))
    }

    /// The examples of `batches`, each given with its number of examples.
    pub(in crate::measure) fn from_sized(batches: impl IntoIterator<Item = (B, usize)>) -> Self {
        let batches = batches.into_iter().map(|(batch, len)| Held { batch, len });
        let micro_batches: Vec<Held<B>> = batches.filter(|sized| sized.len > 0).collect();
        Self { num_examples: micro_batches.iter().map(|sized| sized.len).sum(), micro_batches }
    }

    /// The objective itself, if it holds at least `asked` examples.
    ///
    /// # Errors
    /// [`ProductError::TooFewExamples`] with both numbers.
    pub fn with_at_least(self, asked: usize) -> Result<Self, ProductError> {
        let available = self.num_examples;
        if available >= asked { Ok(self) } else { Err(ProductError::TooFewExamples { asked, available }) }
    }

    /// n.
    pub fn num_examples(&self) -> usize {
        self.num_examples
    }

    /// The micro-batches, each with its share of the examples.
    pub fn micro_batches(&self) -> impl Iterator<Item = (&B, f64)> {
        let total = self.num_examples.max(1) as f64;
        self.sized_batches().map(move |(batch, len)| (batch, len as f64 / total))
    }

    /// The micro-batches, each with its number of examples.
    pub(in crate::measure) fn sized_batches(&self) -> impl Iterator<Item = (&B, usize)> {
        self.micro_batches.iter().map(|sized| (&sized.batch, sized.len))
    }

    /// ℓ_i of every example, in order. One forward pass.
    ///
    /// # Errors
    /// [`ProductError::Loss`] where the loss does not fit a batch.
    pub fn per_example_losses<N: BatchLoss<B>>(&self, network: &N) -> Result<Vec<f64>, ProductError> {
        let mut losses = Vec::with_capacity(self.num_examples);
        for (batch, len) in self.sized_batches() {
            let parts = network.loss(batch).parts(len)?;
            losses.extend(parts.per_example.value.into_data().iter::<f64>());
        }
        Ok(losses)
    }

    /// L(θ). One forward pass.
    ///
    /// # Errors
    /// As for [`Objective::per_example_losses`].
    pub fn mean_loss<N: BatchLoss<B>>(&self, network: &N) -> Result<f64, ProductError> {
        let losses = self.per_example_losses(network)?;
        Ok(losses.iter().sum::<f64>() / losses.len().max(1) as f64)
    }

    /// Every example's loss and, where they have classes, whether each is put into its own. One forward pass.
    ///
    /// # Errors
    /// As for [`Objective::per_example_losses`].
    pub fn score<N: BatchLoss<B>>(&self, network: &N) -> Result<Evaluation, ProductError> {
        let mut evaluation = Evaluation { losses: Vec::with_capacity(self.num_examples), hits: Some(Vec::new()) };
        for (batch, len) in self.sized_batches() {
            let parts = network.loss(batch).parts(len)?;
            let hits = parts.outputs.and_then(|outputs| outputs.hits());
            evaluation.hits = evaluation.hits.zip(hits).map(|(all, hits)| [all, hits].concat());
            evaluation.losses.extend(parts.per_example.value.into_data().iter::<f64>());
        }
        Ok(evaluation)
    }

    /// L(θ) and ∇L(θ). One gradient over the n examples.
    ///
    /// `network` is on the tracked device with parameters that require gradients.
    ///
    /// # Errors
    /// [`ProductError::Loss`] where the loss does not fit a batch.
    pub fn loss_and_gradient<N: BatchLoss<B>>(
        &self,
        network: &N,
        layout: &ParamLayout,
    ) -> Result<(f64, Vec<f64>), ProductError> {
        let mut gradient = vec![0.0; layout.num_params()];
        let mut loss = 0.0;
        let total = self.num_examples.max(1) as f64;
        for (batch, len) in self.sized_batches() {
            let (mean, share) = (network.loss(batch).parts(len)?.mean().value, len as f64 / total);
            loss += share * scalar(&mean);
            let part = layout.gradient(network, &mut mean.backward());
            accumulate(&mut gradient, &part, share);
        }
        Ok((loss, gradient))
    }
}

impl Objective {
    /// Examples per device pass: large enough to keep matrix products efficient, small enough for caches.
    pub const MICRO_BATCH_SIZE: usize = 512;

    /// The examples of `split` at `indices`.
    pub fn new(split: &Split, shape: [usize; 3], indices: &[u32], device: &Device, dtype: DType) -> Self {
        Self::with_micro_batch_size(split, shape, indices, device, dtype, Self::MICRO_BATCH_SIZE)
    }

    /// Every example of `split`.
    pub fn whole(split: &Split, shape: [usize; 3], device: &Device, dtype: DType) -> Self {
        let indices: Vec<u32> = (0..split.num_examples() as u32).collect();
        Self::new(split, shape, &indices, device, dtype)
    }

    /// As [`Objective::new`], with another micro-batch size (at least 1).
    pub fn with_micro_batch_size(
        split: &Split,
        shape: [usize; 3],
        indices: &[u32],
        device: &Device,
        dtype: DType,
        micro_batch_size: usize,
    ) -> Self {
        let size = micro_batch_size.max(1);
        let batch = |(number, chunk)| {
            Batch::gather(split, shape, chunk, device, dtype).starting_at(number as u64 * size as u64)
        };
        Self::from_batches(indices.chunks(size).enumerate().map(batch), Batch::len)
    }

    /// An objective over one batch that already lives on the device.
    pub fn of_batch(batch: Batch) -> Self {
        Self::from_batches([batch], Batch::len)
    }

    /// The statistics of batch normalisation over the n examples at the network's own weights; empty for networks without.
    ///
    /// Cost: one forward pass where the examples are a single micro-batch, else one for each normalised layer.
    pub fn statistics<N: Network>(&self, network: &N) -> BatchStatistics {
        let batches: Vec<&Batch> = self.micro_batches().map(|(batch, _)| batch).collect();
        BatchStatistics::over(batches.len(), |index, pass| {
            if let Some(batch) = batches.get(index) {
                network.logits(Dual::constant(batch.images.clone()), pass);
            }
        })
    }

    /// The network with its running statistics replaced by [`Objective::statistics`]: evaluation then is that of the mode
    /// `frozen-full` (`curvature`, section 4.8).
    pub fn with_own_statistics<N: Network>(&self, network: N) -> N {
        self.statistics(&network).assign_to(network)
    }

    /// [`Objective::score`] of a network, which cannot fail.
    pub fn evaluate<N: Network>(&self, network: &N) -> Evaluation {
        let (mut losses, mut hits) = (Vec::with_capacity(self.num_examples), Vec::with_capacity(self.num_examples));
        for (batch, _) in self.sized_batches() {
            let pass = Pass::values().with_first_example(batch.first_example);
            let outputs = network.logits(Dual::constant(batch.images.clone()), &pass);
            hits.extend(batch.target.hits(&outputs.value, &batch.labels));
            losses.extend(batch.target.losses(outputs, batch.labels.clone()).value.into_data().iter::<f64>());
        }
        Evaluation { losses, hits: Some(hits) }
    }
}

impl Evaluation {
    /// The mean loss, in nats where outputs are compared with classes.
    pub fn mean_loss(&self) -> f64 {
        self.losses.iter().sum::<f64>() / self.losses.len().max(1) as f64
    }

    /// Standard deviation of an example's loss over the root of their number: the standard error of the mean, where the
    /// examples are a sample (a test set) and not the whole population.
    pub fn standard_error(&self) -> f64 {
        let count = self.losses.len() as f64;
        let mean = self.mean_loss();
        let variance = self.losses.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
        (variance / count.max(1.0)).sqrt()
    }

    /// Share of examples classified correctly; NaN where examples have no one label.
    pub fn accuracy(&self) -> f64 {
        self.accuracy_over(0..self.losses.len())
    }

    /// The same among the examples at these places; those behind the end are left out.
    pub fn accuracy_over(&self, places: impl IntoIterator<Item = usize>) -> f64 {
        let Some(hits) = &self.hits else { return f64::NAN };
        let (mut correct, mut count) = (0_u64, 0_u64);
        for &hit in places.into_iter().filter_map(|place| hits.get(place)) {
            (correct, count) = (correct + u64::from(hit), count + 1);
        }
        correct as f64 / count.max(1) as f64
    }
}

/// The mean loss of a batch with its tangent along the pass.
pub fn mean_loss<N: Network>(network: &N, batch: &Batch, pass: &Pass) -> Dual<1> {
    let outputs = network.logits(Dual::constant(batch.images.clone()), pass);
    batch.target.losses(outputs, batch.labels.clone()).linear(Tensor::mean)
}

/// A one-element tensor's number.
pub fn scalar(tensor: &Tensor<1>) -> f64 {
    tensor.to_data().iter::<f64>().next().unwrap_or(f64::NAN)
}

/// out += factor · part.
pub(in crate::measure) fn accumulate(out: &mut [f64], part: &[f64], factor: f64) {
    for (out, part) in out.iter_mut().zip(part) {
        *out += factor * part;
    }
}
