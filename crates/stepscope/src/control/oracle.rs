//! What a method may ask about the loss of a batch.

use burn::Tensor;
use burn::module::Module;
use burn::tensor::DType;
use stepscope_spectral::random::RandomStream;

use crate::data::Batch;
use crate::measure::objective::scalar;
use crate::models::{BatchStatistics, Dual, Network, ParamTensors, Pass};

/// The loss of a mini-batch, with or without its gradient: all that an optimizer which looks along its step needs to know
/// about a model.
///
/// Three things are promised, and line searches rely on them:
///
/// * **repeatable**: the same model, batch and seed give the same loss to the last bit. Whatever is random in a forward
///   pass (dropout) is drawn from `seed`.
/// * **one function**: [`LossOracle::loss`] and [`LossOracle::loss_and_gradient`] evaluate the same function. On Burn this
///   means that both run on the tracked device, or that neither leaves train or inference mode to the device.
/// * **no trace**: what a forward pass learns about its batch (running statistics) does not change later losses. Of
///   modules that keep Burn's `RunningState`, [`Statistics`](super::Statistics) restores it after every look along a line.
///
/// A closure from model, batch and seed to the losses of the batch's examples is an oracle:
///
/// ```
/// use burn::Tensor;
/// use burn::module::{Module, Param};
/// use stepscope::backend::Backend;
/// use stepscope::control::LossOracle;
/// use stepscope::types::spec::Precision;
///
/// #[derive(Module, Debug)]
/// struct Scale {
///     factor: Param<Tensor<1>>,
/// }
///
/// let device = Backend::cpu(Precision::F32).tracked();
/// let model = Scale { factor: Param::from_tensor(Tensor::from_floats([3.0], &device)) };
/// // (factor · x)², for every x of a batch.
/// let mut oracle = |model: &Scale, batch: &Tensor<1>, _seed: u64| (batch.clone() * model.factor.val()).square();
/// let batch = Tensor::from_floats([1.0, 2.0], &device);
/// let (loss, gradient) = oracle.loss_and_gradient(&model, &batch, 0);
/// assert_eq!((loss, gradient.norm()), (22.5, 15.0));
/// assert_eq!(oracle.loss(&model, &batch, 0), loss);
/// ```
///
/// Source: `line-search`, section 6.1.
pub trait LossOracle<M, B> {
    /// The mean loss of the batch's examples, accumulated in f64. One forward pass.
    fn loss(&mut self, model: &M, batch: &B, seed: u64) -> f64;

    /// The same with the gradient of every parameter that has one. One forward and one backward pass.
    fn loss_and_gradient(&mut self, model: &M, batch: &B, seed: u64) -> (f64, ParamTensors);

    /// Whether [`LossOracle::loss`] computes in numbers of less than f32's 24 bits, whatever the weights are: line searches look at
    /// points far enough apart then.
    fn is_short(&self) -> bool {
        false
    }
}

impl<M: Module, B, F: FnMut(&M, &B, u64) -> Tensor<1>> LossOracle<M, B> for F {
    fn loss(&mut self, model: &M, batch: &B, seed: u64) -> f64 {
        // On the model as it is: Burn's layers read from the device whether they train.
        mean(self(model, batch, seed))
    }

    fn loss_and_gradient(&mut self, model: &M, batch: &B, seed: u64) -> (f64, ParamTensors) {
        let losses = self(model, batch, seed);
        let loss = mean(losses.clone());
        (loss, ParamTensors::gradient(model, &mut losses.mean().backward()))
    }
}

/// The oracle of stepscope's own networks: cross-entropy in the mode of a training step, batch statistics and the dropout
/// masks of the seed, which leave the network as it is.
///
/// A batch may pass through the network in parts ([`NetworkOracle::in_micro_batches`]): loss and gradient are then the means over
/// the batch's examples all the same, with the memory of one part. Normalisation layers see each part by itself.
#[derive(Debug, Clone, Default)]
pub struct NetworkOracle {
    statistics: Vec<BatchStatistics>,
    micro_batch_size: Option<usize>,
    products: Option<DType>,
    narrow_losses: bool,
    remembered: Option<Remembered>,
}

/// A gradient that was found before its step, and what normalisation layers saw then.
#[derive(Debug, Clone)]
struct Remembered {
    seed: u64,
    loss: f64,
    gradient: ParamTensors,
    statistics: Vec<BatchStatistics>,
}

impl NetworkOracle {
    /// The same with the operands of dense and convolution layers rounded to that type where a gradient is taken. Losses alone are
    /// not rounded, since searches live on their differences, but where [`NetworkOracle::with_narrow_losses`] says so.
    #[must_use]
    pub fn with_products_in(mut self, narrow: Option<DType>) -> Self {
        self.products = narrow;
        self
    }

    /// The same with losses alone computed in those products, too, if `narrow`.
    #[must_use]
    pub fn with_narrow_losses(mut self, narrow: bool) -> Self {
        self.narrow_losses = narrow;
        self
    }

    /// The same with batches in parts of at most that many examples, at least 1.
    #[must_use]
    pub fn in_micro_batches(mut self, size: Option<u64>) -> Self {
        self.micro_batch_size = size.map(|size| (size as usize).max(1));
        self
    }

    /// Gives out this loss and gradient, found by [`LossOracle::loss_and_gradient`] with that seed, when it is next asked with the
    /// seed: for the same batch at the same network, where somebody looked at a step before it was taken. Once; any other question
    /// forgets it.
    pub(crate) fn remember(&mut self, seed: u64, loss: f64, gradient: ParamTensors) {
        // A step that never asks has seen nothing that its normalisation layers could absorb.
        let statistics = std::mem::take(&mut self.statistics);
        self.remembered = Some(Remembered { seed, loss, gradient, statistics });
    }

    /// The network that has absorbed what its normalisation layers saw in the last pass with a gradient, part after part.
    pub fn absorb_into<M: Module>(&self, network: M) -> M {
        self.statistics.iter().fold(network, |network, statistics| statistics.absorb_into(network))
    }

    /// The parts of a batch, each with its share of the examples and a seed of its own.
    fn parts(&self, batch: &Batch, seed: u64) -> Vec<(Batch, f64, u64)> {
        let (len, size) = (batch.len(), self.micro_batch_size.unwrap_or(usize::MAX));
        if len <= size {
            return vec![(batch.clone(), 1.0, seed)];
        }
        let starts = (0..len).step_by(size).enumerate();
        starts
            .map(|(index, start)| {
                let end = (start + size).min(len);
                let seed = RandomStream::new(seed, index as u64).next_word();
                (batch.slice(start..end), (end - start) as f64 / len as f64, seed)
            })
            .collect()
    }
}

impl<N: Network> LossOracle<N, Batch> for NetworkOracle {
    fn loss(&mut self, network: &N, batch: &Batch, seed: u64) -> f64 {
        // Train or evaluation is the pass's to say and not the device's, so that no graph need be built.
        let plain = network.valid();
        let parts = self.parts(batch, seed).into_iter().map(|(part, share, seed)| {
            let (images, labels) = (part.images.inner(), part.labels.inner());
            let pass = Pass::training(seed).with_products_in(self.products.filter(|_| self.narrow_losses));
            let outputs = plain.logits(Dual::constant(images), &pass);
            share * mean(part.target.losses(outputs, labels).value)
        });
        parts.sum()
    }

    fn loss_and_gradient(&mut self, network: &N, batch: &Batch, seed: u64) -> (f64, ParamTensors) {
        self.statistics.clear();
        if let Some(found) = self.remembered.take().filter(|found| found.seed == seed) {
            self.statistics = found.statistics;
            return (found.loss, found.gradient);
        }
        let (mut loss, mut gradient) = (0.0, ParamTensors::default());
        for (part, share, seed) in self.parts(batch, seed) {
            let pass = Pass::training(seed).with_products_in(self.products);
            let outputs = network.logits(Dual::constant(part.images), &pass);
            let losses = part.target.losses(outputs, part.labels).value;
            loss += share * mean(losses.clone());
            self.statistics.push(pass.statistics());
            let own = ParamTensors::gradient(network, &mut losses.mean().backward());
            gradient.scale_and_add(1.0, share, &own);
        }
        (loss, gradient)
    }

    fn is_short(&self) -> bool {
        self.narrow_losses && self.products.is_some()
    }
}

/// In f64: a mean in f32 is off by as much as losses at neighbouring points of a line differ.
fn mean(losses: Tensor<1>) -> f64 {
    let count = losses.dims()[0];
    if count == 1 {
        return scalar(&losses);
    }
    losses.into_data().iter::<f64>().sum::<f64>() / count.max(1) as f64
}
