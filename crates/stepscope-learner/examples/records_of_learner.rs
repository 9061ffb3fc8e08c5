//! burn-train's `Learner` with stepscope's records and a TensorBoard event file:
//! `cargo run --release --workspace --example records_of_learner`, then `tensorboard --logdir` of the folder it names.
#![allow(clippy::print_stdout)]

use std::sync::Arc;

use burn::data::dataloader::DataLoaderBuilder;
use burn::data::dataset::InMemDataset;
use burn_optim::SgdConfig;
use burn_train::metric::{AccuracyMetric, LossMetric};
use burn_train::{Learner, SupervisedTraining};
use stepscope::backend::Backend;
use stepscope::data::Dataset;
use stepscope::models::{Mlp, init::WeightInit};
use stepscope::spectral::random::RandomStream;
use stepscope::types::spec::{Activation, DataSpec, ModelSpec, Precision};
use stepscope_learner::{Classifier, RecordLogger, TrainingBatches};

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dataset = Arc::new(Dataset::load(&DataSpec::default())?);
    let backend = Backend::cpu(Precision::F32);
    let loader = |examples: std::ops::Range<u32>| {
        let batches = TrainingBatches::new(Arc::clone(&dataset), backend.dtype());
        DataLoaderBuilder::new(batches).batch_size(64).build(InMemDataset::new(examples.collect()))
    };
    let mut init = WeightInit::new(&ModelSpec::default(), RandomStream::named(1, "weights"), &backend);
    let model = Classifier::new(Mlp::new(64, &[32], 10, Activation::Tanh, &mut init));

    let folder = std::env::temp_dir().join(format!("stepscope-records-of-learner-{}", std::process::id()));
    let logger = RecordLogger::create(&folder)?;
    let failure = logger.failure();
    SupervisedTraining::new(folder.join("burn"), loader(0..3072), loader(3072..3800))
        .num_epochs(2)
        .metrics((LossMetric::new(), AccuracyMetric::new()))
        .with_metric_logger(logger)
        .with_application_logger(None)
        .launch(Learner::new(model, SgdConfig::new().init(), 0.1));

    println!("{}", folder.display());
    failure.get().map_or(Ok(()), |reason| Err(reason.as_str().into()))
}
