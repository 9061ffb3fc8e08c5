//! Methods by their names in a specification, and the range test.

use burn::module::Module;
use stepscope::backend::Backend;
use stepscope::checkpoint::named_tensors;
use stepscope::control::{LossOracle, NetworkOracle};
use stepscope::data::{Batch, Dataset};
use stepscope::measure::Objective;
use stepscope::models::{BatchStatistics, Dual, Network, ParamLayout};
use stepscope::train::{MemorySink, RangeTestSettings, Run};
use stepscope::types::spec::{
    Activation, DirectionRule, Instrument, LearningRateSpec, ModelKind, Normalisation, OptimizerMethod, Precision,
};
use stepscope::types::{BatchSize, LearningRate, Record, RunSpec, TrainingDuration, Uncertainty, quantity};

use super::common::{digits, model, relative_error};

const STEPS: u64 = 60;

fn spec(method: OptimizerMethod) -> RunSpec {
    let mut spec = RunSpec::with_learning_rate(LearningRateSpec::Fixed(LearningRate::new(0.5).unwrap()));
    spec.optimizer.method = method;
    if !method.has_learning_rate() {
        spec.optimizer.learning_rate = None;
    }
    spec.data.train_examples = Some(512);
    spec.data.test_examples = Some(64);
    spec.model.hidden = Some(vec![16]);
    spec.train.duration = TrainingDuration::Steps(STEPS);
    spec.measure.enabled = false;
    spec.average.enabled = false;
    spec.checkpoint.enabled = false;
    // Steps of length 1 are too long for so small a network.
    spec.pal.probe_length = Some(0.1);
    spec.pal.updates_per_measurement = 20;
    spec.prodigy.initial_distance = 1e-4;
    spec.validate().unwrap();
    spec
}

fn values(records: &[Record], name: &str) -> Vec<f64> {
    let value = |record: &Record| match record {
        Record::Measurement(measurement) if measurement.name == name => measurement.value,
        _ => None,
    };
    records.iter().filter_map(value).collect()
}

fn train(spec: &RunSpec, dataset: &Dataset) -> (stepscope::models::Model, Vec<Record>) {
    let mut sink = MemorySink::default();
    let outcome = Run::prepare(spec, dataset).unwrap().train(Vec::new(), &mut sink).unwrap();
    (outcome.network, sink.records)
}

#[test]
fn every_method_of_a_specification_trains_and_counts_its_passes() {
    for method in OptimizerMethod::ALL {
        let spec = spec(method);
        let dataset = Dataset::load(&spec.data).unwrap();
        let (_, records) = train(&spec, &dataset);
        let losses = values(&records, quantity::BATCH_LOSS.name);
        let (first, last) = (losses[0], losses[losses.len() - 8..].iter().sum::<f64>() / 8.0);
        // LABPAL's first measured rate comes late in so short a run, Prodigy's distance grows from 1e-4.
        assert!(last < 0.75 * first, "{method}: {first} {last}");
        let forwards = values(&records, quantity::FORWARD_PASSES.name).last().copied().unwrap();
        let backwards = values(&records, quantity::BACKWARD_PASSES.name).last().copied().unwrap();
        let steps = STEPS as f64;
        match method {
            OptimizerMethod::LabPalSgd | OptimizerMethod::LabPalNsgd => {}
            OptimizerMethod::Pal => assert_eq!((forwards, backwards), (2.0 * steps, steps)),
            // Measured before updates 0, 10, 30 and 50, each time three times over 512/32 batches.
            OptimizerMethod::Fbpal => assert_eq!((forwards, backwards), (steps + 4.0 * 3.0 * 16.0, steps)),
            OptimizerMethod::Sls | OptimizerMethod::Ponos => {
                assert!(forwards >= 2.0 * steps && backwards == steps, "{method}: {forwards}");
            }
            _ => assert_eq!((forwards, backwards), (steps, steps), "{method}"),
        }
    }
}

#[test]
fn before_its_first_measurement_a_method_has_no_rate_and_probes_say_so() {
    let mut spec = spec(OptimizerMethod::LabPalSgd);
    spec.measure.enabled = true;
    spec.measure.instruments = Some(vec![Instrument::Sharpness, Instrument::OneStep]);
    spec.measure.every = TrainingDuration::Steps(STEPS);
    spec.measure.examples = 512;
    let (_, records) = train(&spec, &Dataset::load(&spec.data).unwrap());
    for quantity in [&quantity::EFFECTIVE_SHARPNESS, &quantity::STABILITY_POSITION, &quantity::ONE_STEP_MINIMUM_RATIO] {
        let of = |record: &Record| match record {
            Record::Measurement(measurement) if measurement.name == quantity.name => {
                Some((measurement.value, measurement.unresolved.clone()))
            }
            _ => None,
        };
        let readings: Vec<_> = records.iter().filter_map(of).collect();
        let [(None, Some(reason)), .., (Some(value), None)] = &readings[..] else {
            panic!("{}: {readings:?}", quantity.name)
        };
        assert!(reason.contains("not measured its learning rate") && *value > 0.0, "{reason} {value}");
    }
}

/// LABPAL on all training digits, in batches of `batch_size`.
fn labpal(batch_size: u64, epochs: f64) -> RunSpec {
    let mut spec = spec(OptimizerMethod::LabPalSgd);
    (spec.data.train_examples, spec.data.test_examples) = (None, None);
    spec.train.batch_size = BatchSize::new(batch_size).unwrap();
    spec.train.duration = TrainingDuration::Epochs(epochs);
    spec
}

#[test]
fn batches_of_eight_are_gathered_until_a_line_can_be_measured_over_them() {
    let mut spec = labpal(8, 6.0);
    spec.labpal.noise_factor = Some(4.0);
    let (_, records) = train(&spec, &Dataset::load(&spec.data).unwrap());
    let (losses, updates) = (values(&records, quantity::BATCH_LOSS.name), values(&records, quantity::UPDATES.name));
    let last = losses[losses.len() - 100..].iter().sum::<f64>() / 100.0;
    assert!(last < 0.4 * losses[0], "{} {last}", losses[0]);
    // At least four batches each, twice and four times as many from half and three quarters of the run on.
    let most = (0.5 + 0.25 / 2.0 + 0.25 / 4.0) * losses.len() as f64 / 4.0;
    assert!(updates[0] > 0.4 * most && updates[0] <= most, "{updates:?} {most}");
    assert!(!values(&records, quantity::LINE_MINIMUM.name).is_empty());
}

/// Lines whose losses come from products of 8 bits: the first is that of f32, further points are needed, and what they cannot tell is
/// refused.
#[test]
fn lines_in_bf16_are_looked_along_far_apart_and_refused_where_rounding_hides_them() {
    let run = |precision, probe_points| {
        let mut spec = labpal(64, 5.0);
        spec.model.precision = precision;
        spec.labpal.probe_points = probe_points;
        let (_, records) = train(&spec, &Dataset::load(&spec.data).unwrap());
        let line = |record: &Record| match record {
            Record::Measurement(line) if line.name == quantity::LINE_MINIMUM.name => Some(line.clone()),
            _ => None,
        };
        let lines: Vec<_> = records.iter().filter_map(line).collect();
        let losses = values(&records, quantity::BATCH_LOSS.name);
        (lines, losses[losses.len() - 20..].iter().sum::<f64>() / 20.0, losses[0])
    };
    let (wide, last, first) = run(Precision::Bf16, None);
    assert!(last < 0.5 * first, "{first} {last}");
    let (exact, ..) = run(Precision::F32, Some([0.1, 0.3]));
    let (Some(value), Some(Uncertainty::StandardError(error))) = (wide[0].value, &wide[0].error) else {
        panic!("{:?}", wide[0])
    };
    let expected = exact[0].value.unwrap();
    assert!((value - expected).abs() < 3.0 * error && *error < 0.5 * value, "{value} ± {error}, {expected}");
    assert_ne!(value, expected, "losses are rounded");
    // At the points for 24 bits rounding is all there is to see: two standard errors let a line pass by chance, one in twenty.
    let (narrow, ..) = run(Precision::Bf16, Some([0.000_177, 0.01]));
    let accepted = narrow.iter().filter(|line| line.value.is_some()).count();
    assert!(narrow[0].value.is_none() && narrow.len() >= 5 && accepted <= 1, "{narrow:?}");
}

#[test]
fn adam_and_nesterov_train_from_a_specification() {
    for (direction, rate, momentum) in [(DirectionRule::Adam, 0.01, 0.0), (DirectionRule::Nesterov, 0.05, 0.9)] {
        let mut spec = spec(OptimizerMethod::Sgd);
        spec.optimizer.learning_rate = Some(LearningRateSpec::Fixed(LearningRate::new(rate).unwrap()));
        spec.optimizer.direction = direction;
        spec.optimizer.momentum = stepscope::types::Momentum::new(momentum).unwrap();
        let (_, records) = train(&spec, &Dataset::load(&spec.data).unwrap());
        let losses = values(&records, quantity::BATCH_LOSS.name);
        assert!(losses[losses.len() - 1] < 0.5 * losses[0], "{direction:?}");
    }
}

#[test]
fn a_group_without_parameters_is_refused_before_training() {
    let mut spec = spec(OptimizerMethod::Sgd);
    spec.optimizer.groups = vec![stepscope::types::spec::ParamGroupSpec {
        names: "head.*".into(),
        learning_rate_factor: 0.1,
        weight_decay: true,
    }];
    let dataset = Dataset::load(&spec.data).unwrap();
    let error = Run::prepare(&spec, &dataset).unwrap_err();
    assert!(error.is_bad_input());
    let message = error.to_string();
    assert!(message.contains("optimizer.groups") && message.contains("layers.0.weight"), "{message}");
}

#[test]
fn gradients_of_a_batch_in_parts_are_averaged_and_not_summed() {
    let dataset = digits();
    let network = model(ModelKind::Mlp, Activation::Tanh, Precision::F64, &dataset);
    let layout = ParamLayout::of(&network);
    let backend = Backend::cpu(Precision::F64);
    let indices: Vec<u32> = (0..37).collect();
    let batch = Batch::gather(&dataset.train, dataset.shape, &indices, &backend.tracked(), backend.dtype());
    let (loss, gradient) = NetworkOracle::default().loss_and_gradient(&network, &batch, 3);
    for size in [1, 8, 37, 100] {
        let mut oracle = NetworkOracle::default().in_micro_batches(Some(size));
        let (parts, in_parts) = oracle.loss_and_gradient(&network, &batch, 3);
        assert!((parts - loss).abs() < 1e-12, "{size}: {parts} {loss}");
        assert!(relative_error(&layout.vector(&in_parts), &layout.vector(&gradient)) < 1e-12, "{size}");
        assert!((oracle.loss(&network, &batch, 3) - loss).abs() < 1e-12, "{size}");
    }
}

#[test]
fn the_network_of_schedule_free_has_the_running_statistics_of_its_own_weights() {
    let mut spec = spec(OptimizerMethod::ScheduleFree);
    spec.model.normalisation = Some(Normalisation::Batch);
    let dataset = Dataset::load(&spec.data).unwrap();
    let (network, _) = train(&spec, &dataset);
    let backend = Backend::cpu(Precision::F32);
    // So few examples that the subset for statistics is all of them, in one pass.
    let all = Objective::whole(&dataset.train, dataset.shape, &backend.plain(), backend.dtype());
    let batches: Vec<&Batch> = all.micro_batches().map(|(batch, _)| batch).collect();
    let plain = network.valid();
    let anew = BatchStatistics::by_batches(batches.len(), |index, pass| {
        plain.logits(Dual::constant(batches[index].images.clone()), pass);
    });
    let own = all.evaluate(&plain).mean_loss();
    let expected = all.evaluate(&anew.assign_to(plain)).mean_loss();
    assert!((own / expected - 1.0).abs() < 1e-5, "{own} {expected}");
}

#[test]
fn a_range_test_leaves_no_trace_and_suggests_a_rate_that_trains() {
    let mut spec = spec(OptimizerMethod::Sgd);
    spec.model.normalisation = Some(Normalisation::Batch);
    spec.model.dropout = 0.1;
    let dataset = Dataset::load(&spec.data).unwrap();
    let settings = RangeTestSettings { steps: 60, sweeps: 3, ..RangeTestSettings::default() };
    let (untouched, records) = train(&spec, &dataset);
    let run = Run::prepare(&spec, &dataset).unwrap();
    let before = named_tensors(run.network());
    let test = run.range_test(settings).unwrap();
    assert_eq!(named_tensors(run.network()), before);
    let mut sink = MemorySink::default();
    let outcome = run.train(Vec::new(), &mut sink).unwrap();
    assert_eq!(named_tensors(&outcome.network), named_tensors(&untouched));
    let plain = |records: Vec<Record>| records.into_iter().map(Record::without_timing).collect::<Vec<_>>();
    assert_eq!(plain(sink.records), plain(records));
    let again = Run::prepare(&spec, &dataset).unwrap().range_test(settings).unwrap();
    assert_eq!(again, test, "the same specification gives the same test");
    let suggestion = test.suggestion.unwrap();
    spec.optimizer.learning_rate = Some(LearningRateSpec::Fixed(LearningRate::new(suggestion.value).unwrap()));
    let losses = values(&train(&spec, &dataset).1, quantity::BATCH_LOSS.name);
    assert!(losses[losses.len() - 1] < 0.7 * losses[0], "{suggestion:?} {losses:?}");
}
