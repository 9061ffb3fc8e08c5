//! What a method may ask about the loss of a batch.

use burn::Tensor;
use burn::module::Module;

use crate::data::Batch;
use crate::measure::objective::scalar;
use crate::models::loss::cross_entropy;
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
#[derive(Debug, Clone, Default)]
pub struct NetworkOracle {
    statistics: BatchStatistics,
}

impl NetworkOracle {
    /// What normalisation layers saw in the last pass with a gradient, for the network to absorb once its step is taken.
    pub fn statistics(&self) -> &BatchStatistics {
        &self.statistics
    }
}

impl<N: Network> LossOracle<N, Batch> for NetworkOracle {
    fn loss(&mut self, network: &N, batch: &Batch, seed: u64) -> f64 {
        // Train or evaluation is the pass's to say and not the device's, so that no graph need be built.
        let (images, labels) = (batch.images.clone().inner(), batch.labels.clone().inner());
        let logits = network.valid().logits(Dual::constant(images), &Pass::training(seed));
        mean(cross_entropy(logits, labels).value)
    }

    fn loss_and_gradient(&mut self, network: &N, batch: &Batch, seed: u64) -> (f64, ParamTensors) {
        let pass = Pass::training(seed);
        let logits = network.logits(Dual::constant(batch.images.clone()), &pass);
        let losses = cross_entropy(logits, batch.labels.clone()).value;
        let loss = mean(losses.clone());
        self.statistics = pass.statistics();
        (loss, ParamTensors::gradient(network, &mut losses.mean().backward()))
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
