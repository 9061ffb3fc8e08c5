//! Networks and data sets of stepscope in burn-train's loop.

use std::sync::Arc;

use burn::data::dataloader::batcher::Batcher;
use burn::module::{Module, ModuleDisplay};
use burn::tensor::{DType, Device};
use burn_train::{ClassificationOutput, InferenceStep, TrainOutput, TrainStep};
use stepscope::data::{Batch, Dataset};
use stepscope::models::loss::cross_entropy;
use stepscope::models::{Dual, Network, Pass};

/// A network with the steps that `Learner` asks for: cross-entropy on batches of images.
///
/// It stays a [`Network`], so probes measure it as they measure the one inside.
#[derive(Module, Debug)]
pub struct Classifier<N: Module> {
    network: N,
}

impl<N: Network> Classifier<N> {
    /// The network as a classifier.
    pub fn new(network: N) -> Self {
        Self { network }
    }
}

impl<N: Network + ModuleDisplay> Network for Classifier<N> {
    fn logits(&self, images: Dual<4>, pass: &Pass) -> Dual<2> {
        self.network.logits(images, pass)
    }

    fn kinks(&self) -> Vec<&'static str> {
        self.network.kinks()
    }
}

impl<N: Network + ModuleDisplay> InferenceStep for Classifier<N> {
    type Input = Batch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Batch) -> ClassificationOutput {
        let logits = self.logits(Dual::constant(batch.images), &Pass::values());
        let losses = cross_entropy(logits.clone(), batch.labels.clone()).value;
        ClassificationOutput::new(losses.mean(), logits.value, batch.labels)
    }
}

impl<N: Network + ModuleDisplay> TrainStep for Classifier<N> {
    type Input = Batch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Batch) -> TrainOutput<ClassificationOutput> {
        let output = InferenceStep::step(self, batch);
        TrainOutput::new(self, output.loss.backward(), output)
    }
}

/// Makes batches of a data set's training examples from their indices, for burn-train's data loaders.
#[derive(Debug, Clone)]
pub struct TrainingBatches {
    dataset: Arc<Dataset>,
    dtype: DType,
}

impl TrainingBatches {
    /// Batches of the training split, in numbers of type `dtype`.
    pub fn new(dataset: Arc<Dataset>, dtype: DType) -> Self {
        Self { dataset, dtype }
    }
}

impl Batcher<u32, Batch> for TrainingBatches {
    fn batch(&self, indices: Vec<u32>, device: &Device) -> Batch {
        Batch::gather(&self.dataset.train, self.dataset.shape, &indices, device, self.dtype)
    }
}
