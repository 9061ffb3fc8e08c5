//! The coming step's batch and gradient, lent to probes: what they read of it, and that the step is the same.
#![allow(clippy::unwrap_used)]

mod common;

use burn::module::Module;
use common::digits;
use stepscope::backend::Backend;
use stepscope::data::{Dataset, sampler};
use stepscope::measure::Objective;
use stepscope::models::{Model, ParamLayout};
use stepscope::spectral::random::RandomStream;
use stepscope::train::{MemorySink, Outcome, Run};
use stepscope::types::spec::{Instrument, LearningRateSpec, MeasureMode, Normalisation, OptimizerMethod, Precision};
use stepscope::types::{LearningRate, Mode, Record, RunSpec, Seeds, TrainingDuration, Uncertainty, quantity};

fn spec(method: OptimizerMethod) -> RunSpec {
    let mut spec = RunSpec::with_learning_rate(LearningRateSpec::Fixed(LearningRate::new(0.1).unwrap()));
    spec.optimizer.method = method;
    if !method.has_learning_rate() {
        spec.optimizer.learning_rate = None;
    }
    spec.model.hidden = Some(vec![16]);
    spec.train.duration = TrainingDuration::Steps(12);
    spec.measure.instruments = Some(vec![Instrument::CriticalSharpness]);
    spec.measure.every = TrainingDuration::Steps(3);
    spec.measure.examples = 32;
    spec.average.enabled = false;
    spec.checkpoint.enabled = false;
    spec.pal.probe_length = Some(0.1);
    spec.pal.updates_per_measurement = 4;
    spec
}

fn train(spec: &RunSpec, dataset: &Dataset) -> (Outcome<Model>, Vec<Record>) {
    let mut sink = MemorySink::default();
    let outcome = Run::prepare(spec, dataset).unwrap().train(Vec::new(), &mut sink).unwrap();
    (outcome, sink.records)
}

/// Every record but those of what was measured and what that cost.
fn of_training(records: &[Record]) -> Vec<String> {
    let is_measured = |record: &&Record| match record {
        Record::Measurement(measurement) => {
            measurement.name.starts_with("stability/") || measurement.name.starts_with("budget/")
        }
        Record::Event(_) => false,
    };
    let text = |record: &Record| serde_json::to_string(&record.clone().without_timing()).unwrap();
    records.iter().filter(|record| !is_measured(record)).map(text).collect()
}

#[test]
fn a_step_that_was_looked_at_before_it_was_taken_is_the_same_bit_for_bit_under_every_method() {
    let dataset = digits();
    for method in OptimizerMethod::ALL {
        let looked_at = spec(method);
        let mut silent = looked_at.clone();
        silent.measure.enabled = false;
        let ((a, with), (b, without)) = (train(&looked_at, &dataset), train(&silent, &dataset));
        let values = |outcome: &Outcome<Model>| ParamLayout::of(&outcome.network).values(&outcome.network);
        assert_eq!(values(&a), values(&b), "{method}");
        assert_eq!(of_training(&with), of_training(&without), "{method}");
        let readings = |records: &[Record]| {
            let is_rate = |record: &&Record| matches!(record, Record::Measurement(m) if m.name == quantity::CRITICAL_LEARNING_RATE.name);
            records.iter().filter(is_rate).count()
        };
        assert_eq!((readings(&with), readings(&without)), (13, 0), "{method}");
    }
}

#[test]
fn with_batch_normalisation_in_its_own_mode_the_step_and_the_running_statistics_are_the_same() {
    let dataset = digits();
    let backend = Backend::cpu(Precision::F32);
    let test = Objective::whole(&dataset.test, dataset.shape, &backend.plain(), backend.dtype());
    for method in OptimizerMethod::ALL {
        let mut looked_at = spec(method);
        looked_at.model.normalisation = Some(Normalisation::Batch);
        looked_at.measure.mode = MeasureMode::TrainBatch;
        let mut silent = looked_at.clone();
        silent.measure.enabled = false;
        let ((a, with), (b, without)) = (train(&looked_at, &dataset), train(&silent, &dataset));
        // In evaluation, so by the running statistics, which a pass of a probe would have moved.
        let loss = |outcome: &Outcome<Model>| test.mean_loss(&Module::no_grad(outcome.network.clone())).unwrap();
        assert_eq!(loss(&a).to_bits(), loss(&b).to_bits(), "{method}");
        assert_eq!(of_training(&with), of_training(&without), "{method}");
        let modes: Vec<Mode> = with
            .iter()
            .filter_map(|record| match record {
                Record::Measurement(m) if m.name == quantity::CRITICAL_LEARNING_RATE.name => Some(m.mode),
                _ => None,
            })
            .collect();
        assert!(modes.len() == 13 && modes.iter().all(|mode| *mode == Mode::TrainBatch), "{method}: {modes:?}");
    }
}

#[test]
fn the_critical_rate_is_that_of_the_batch_that_the_step_takes() {
    let dataset = digits();
    let backend = Backend::cpu(Precision::F64);
    let mut rates = Vec::new();
    for seed in 0..4 {
        let mut run = spec(OptimizerMethod::Sgd);
        run.seeds = Seeds::from_root(seed);
        run.model.precision = Precision::F64;
        let (_, records) = train(&run, &dataset);
        let reading = records.iter().find_map(|record| match record {
            Record::Measurement(m) if m.name == quantity::CRITICAL_LEARNING_RATE.name && m.step.0 == 0 => {
                Some(m.clone())
            }
            _ => None,
        });
        let reading = reading.unwrap();
        let Some(Uncertainty::Interval { low, high, .. }) = reading.error else { panic!("{reading:?}") };

        // The same network and the first batch of the training's own order again; a fine scan along its gradient.
        let random = RandomStream::named(run.seeds.init_seed(), "initial weights");
        let network = Model::new(&run.model, dataset.shape, dataset.num_outputs, random, &backend).unwrap();
        let mut order =
            sampler(run.train.sampling, dataset.train.num_examples(), run.train.batch_size, run.seeds.data_seed())
                .unwrap();
        let (device, dtype) = (backend.tracked(), backend.dtype());
        let batch = Objective::new(&dataset.train, dataset.shape, order.next_batch(), &device, dtype);
        let layout = ParamLayout::of(&network);
        let (loss, gradient) = batch.loss_and_gradient(&network, &layout).unwrap();
        let theta = layout.values(&network);
        let at = |rate: f64| {
            let values: Vec<f64> = theta.iter().zip(&gradient).map(|(theta, g)| theta - rate * g).collect();
            batch.loss_and_gradient(&layout.assign(network.clone(), &values), &layout).unwrap().0
        };
        let truth = (1..).map(|i| 1.01_f64.powi(i) * 1e-2).find(|&rate| at(rate) > loss).unwrap();
        assert!(low <= truth && truth <= 1.01 * high, "{low} {high} {truth}");
        assert_eq!(reading.num_examples, run.train.batch_size.get());
        rates.push(truth);
    }
    let (least, most) = rates.iter().fold((f64::MAX, 0.0_f64), |(a, b), &rate| (a.min(rate), b.max(rate)));
    assert!(
        most > 1.1 * least,
        "batches differ by more than a bracket, so another batch would be found out: {rates:?}"
    );
}
