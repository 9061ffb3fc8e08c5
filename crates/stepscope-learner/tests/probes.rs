//! Probes in burn-train's loop: they measure what they would measure elsewhere, and training does not notice.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::sync::Arc;

use burn::data::dataloader::DataLoaderBuilder;
use burn::data::dataset::InMemDataset;
use burn_optim::SgdConfig;
use burn_train::logger::InMemoryMetricLogger;
use burn_train::{InferenceStep, Interrupter, Learner, LearnerModel, LearningResult, SupervisedTraining, TrainStep};
use stepscope::backend::Backend;
use stepscope::checkpoint::{State, StateError, Stateful};
use stepscope::data::{Batch, Dataset};
use stepscope::measure::{Measured, Objective, Probe, ProbeError, ProbePoint, ProductError, SharpnessProbe};
use stepscope::models::init::WeightInit;
use stepscope::models::{Mlp, ParamLayout};
use stepscope::spectral::random::RandomStream;
use stepscope::train::MemorySink;
use stepscope::types::spec::{Activation, DataSpec, MeasureSpec, ModelSpec, Precision};
use stepscope_learner::{Classifier, Probed, TrainingBatches, Watch};

#[path = "../examples/probes_in_learner.rs"]
#[allow(unreachable_pub)]
mod probes_in_learner;

type Model = Classifier<Mlp>;

fn backend() -> Backend {
    Backend::cpu(Precision::F32)
}

fn digits() -> Arc<Dataset> {
    Arc::new(Dataset::load(&DataSpec::default()).unwrap())
}

fn model() -> Model {
    let mut init = WeightInit::new(&ModelSpec::default(), RandomStream::new(1, 0), &backend());
    Classifier::new(Mlp::new(64, &[8], 10, Activation::Tanh, &mut init))
}

fn sharpness(dataset: &Dataset) -> SharpnessProbe {
    let indices: Vec<u32> = (0..64).collect();
    let objective = Objective::new(&dataset.train, dataset.shape, &indices, &backend().tracked(), backend().dtype());
    SharpnessProbe::new(objective, &MeasureSpec::default(), RandomStream::new(2, 0))
}

/// Trains for ten updates.
fn train<M>(model: M, dataset: &Arc<Dataset>, interrupter: Interrupter) -> LearningResult<M>
where
    M: LearnerModel + TrainStep<Input = Batch> + InferenceStep<Input = Batch>,
{
    let folder = tempfile::tempdir().unwrap();
    let loader = |examples: std::ops::Range<u32>| {
        let batches = TrainingBatches::new(Arc::clone(dataset), backend().dtype());
        DataLoaderBuilder::new(batches).batch_size(32).build(InMemDataset::new(examples.collect()))
    };
    SupervisedTraining::new(folder.path(), loader(0..320), loader(320..352))
        .with_metric_logger(InMemoryMetricLogger::new())
        .with_application_logger(None)
        .with_interrupter(interrupter)
        .launch(Learner::new(model, SgdConfig::new().init(), 0.1))
}

#[test]
fn training_is_the_same_to_the_last_bit_and_readings_are_those_of_the_model_before_the_update() {
    let dataset = digits();
    let watch = Watch::new(10).with_probe(4, sharpness(&dataset)).with_sink(MemorySink::default());
    let probed = train(Probed::new(model(), watch.clone()), &dataset, Interrupter::new()).model.into_inner();
    let alone = train(model(), &dataset, Interrupter::new()).model;
    let layout = ParamLayout::of(&alone);
    assert_eq!(layout.values(&alone), ParamLayout::of(&probed).values(&probed));
    assert_ne!(layout.values(&alone), ParamLayout::of(&model()).values(&model()));

    let found = watch.measurements();
    assert_eq!(watch.failure(), None);
    let steps: Vec<u64> = found
        .iter()
        .filter(|found| found.name == "curvature/hessian_top_eigenvalue")
        .map(|found| found.step.0)
        .collect();
    assert_eq!(steps, [0, 4, 8]);
    assert!((found[found.len() - 1].epoch - 0.8).abs() < 1e-12);
    let start = model();
    let layout = ParamLayout::of(&start);
    let at = ProbePoint::new(&start, &layout, stepscope::types::Step(0), 0.1);
    for (by_hand, found) in sharpness(&dataset).measure(&at).unwrap().iter().zip(&found) {
        assert_eq!(by_hand.quantity.name, found.name);
        assert_eq!(by_hand.reading.estimate().map(|estimate| estimate.value), found.value);
    }
}

struct Failing;

impl Stateful for Failing {
    fn save_state(&self, _state: &mut State) {}

    fn load_state(&mut self, _state: &State) -> Result<(), StateError> {
        Ok(())
    }
}

impl<N> Probe<N> for Failing {
    fn name(&self) -> &'static str {
        "failing"
    }

    fn measure(&mut self, _at: &ProbePoint<'_, N>) -> Result<Vec<Measured>, ProbeError> {
        Err(ProductError::TooFewExamples { asked: 2, available: 1 }.into())
    }
}

#[test]
fn a_probe_that_fails_is_named_with_its_step_and_stops_the_training_where_asked_to() {
    let dataset = digits();
    let watch = Watch::new(10).with_probe(1, Failing);
    assert!(train(Probed::new(model(), watch.clone()), &dataset, Interrupter::new()).interrupted.is_none());
    let reason = watch.failure().unwrap();
    assert!(reason.starts_with("failing at step 0: ") && reason.contains("holds 1 examples"), "{reason}");

    let interrupter = Interrupter::new();
    let watch = Watch::new(10).with_probe(1, Failing).with_interrupter(interrupter.clone());
    let result = train(Probed::new(model(), watch), &dataset, interrupter);
    assert!(result.interrupted.unwrap().reason.unwrap().contains("failing at step 0"));
}

#[test]
fn the_example_runs() {
    probes_in_learner::main().unwrap();
}
