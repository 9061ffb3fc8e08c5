//! Sharpness while burn-train's `Learner` trains: `cargo run --release --workspace --example probes_in_learner`.
#![allow(clippy::print_stdout)]

use std::sync::Arc;

use burn::data::dataloader::DataLoaderBuilder;
use burn::data::dataset::InMemDataset;
use burn_optim::SgdConfig;
use burn_train::{Learner, SupervisedTraining};
use stepscope::backend::Backend;
use stepscope::data::{Dataset, probe_subset};
use stepscope::measure::{Objective, SharpnessProbe};
use stepscope::models::{Mlp, init::WeightInit};
use stepscope::spectral::random::RandomStream;
use stepscope::types::spec::{Activation, DataSpec, MeasureSpec, ModelSpec, Precision};
use stepscope_learner::{Classifier, Probed, TrainingBatches, Watch};

const LEARNING_RATE: f64 = 0.1;

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dataset = Arc::new(Dataset::load(&DataSpec::default())?);
    let backend = Backend::cpu(Precision::F32);
    let loader = |examples: std::ops::Range<u32>| {
        let batches = TrainingBatches::new(Arc::clone(&dataset), backend.dtype());
        DataLoaderBuilder::new(batches).batch_size(64).build(InMemDataset::new(examples.collect()))
    };

    // Any model with burn-train's `TrainStep` and `InferenceStep` will do in place of this one.
    let mut init = WeightInit::new(&ModelSpec::default(), RandomStream::named(1, "weights"), &backend);
    let model = Classifier::new(Mlp::new(64, &[32], 10, Activation::Tanh, &mut init));

    let settings = MeasureSpec::default();
    let subset = probe_subset(dataset.train.num_examples(), 512, 1)?;
    let objective = Objective::new(&dataset.train, dataset.shape, &subset, &backend.tracked(), backend.dtype());
    let sharpness = SharpnessProbe::new(objective, &settings, RandomStream::named(1, "sharpness"));
    let watch = Watch::new(48).with_probe(24, sharpness);

    let folder = std::env::temp_dir().join("stepscope-probes-in-learner");
    let learner = Learner::new(Probed::new(model, watch.clone()), SgdConfig::new().init(), LEARNING_RATE);
    SupervisedTraining::new(&folder, loader(0..3072), loader(3072..3800))
        .num_epochs(2)
        .with_application_logger(None)
        .launch(learner);

    for found in watch.measurements() {
        println!("step {:>3}  {:<34} {:>10.4?}", found.step.0, found.name, found.value);
    }
    match watch.failure() {
        Some(reason) => Err(reason.into()),
        None => Ok(()),
    }
}
