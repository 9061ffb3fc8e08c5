//! Runs along schedules against a loop by hand, and what of them is recorded.
#![allow(clippy::unwrap_used)]

mod common;

use common::relative_error;
use stepscope::backend::Backend;
use stepscope::data::{Batch, Dataset, planned_sampler};
use stepscope::measure::Objective;
use stepscope::models::{Model, ParamLayout};
use stepscope::train::{MemorySink, Outcome, Run, RunError};
use stepscope::types::spec::{Instrument, LearningRateSpec, MeasurePreset, Precision, Sampling};
use stepscope::types::{BatchSize, LearningRate, Momentum, Record, RunSpec, TrainingDuration, quantity};

fn spec() -> RunSpec {
    let rate = LearningRateSpec::Fixed(LearningRate::new(0.2).unwrap());
    let mut spec = RunSpec::with_learning_rate(rate);
    spec.model.hidden = Some(vec![8]);
    spec.model.precision = Precision::F64;
    spec.data.train_examples = Some(100);
    spec.data.test_examples = Some(50);
    spec.train.batch_size = BatchSize::new(8).unwrap();
    spec.train.duration = TrainingDuration::Epochs(4.0);
    spec.measure.enabled = false;
    spec
}

fn train(spec: &RunSpec, dataset: &Dataset) -> (Outcome<Model>, Vec<Record>) {
    let mut sink = MemorySink::default();
    let outcome = Run::prepare(spec, dataset).unwrap().train(Vec::new(), &mut sink).unwrap();
    (outcome, sink.records)
}

fn data(spec: &RunSpec) -> Dataset {
    Dataset::load(&spec.data).unwrap()
}

fn values(records: &[Record], name: &str) -> Vec<(u64, f64)> {
    let value = |record: &Record| match record {
        Record::Measurement(m) if m.name == name => Some((m.step.0, m.value?)),
        _ => None,
    };
    records.iter().filter_map(value).collect()
}

/// Everything at once, against heavy ball written out, on both kinds of sampling.
#[test]
fn every_step_uses_the_settings_that_its_schedules_say() {
    for sampling in [Sampling::WithoutReplacement, Sampling::WithReplacement] {
        let mut spec = spec();
        spec.train.sampling = sampling;
        spec.schedule.learning_rate = Some("linear(warmup = 1ep)".parse().unwrap());
        spec.schedule.batch_size = Some("cyclic(to = 20, every = 2ep, shape = discrete)".parse().unwrap());
        spec.schedule.momentum = Some("linear(from = 0, to = 0.8)".parse().unwrap());
        let dataset = data(&spec);
        let run = Run::prepare(&spec, &dataset).unwrap();
        let (plan, mut theta, layout, network) = (
            run.plan().clone(),
            ParamLayout::of(run.network()).values(run.network()),
            ParamLayout::of(run.network()),
            run.network().clone(),
        );
        let mut sampler = planned_sampler(sampling, 100, plan.batches.clone(), spec.seeds.data_seed()).unwrap();
        let backend = Backend::cpu(Precision::F64);
        let mut velocity = vec![0.0; theta.len()];
        for step in 0..plan.num_steps {
            let indices = sampler.next_batch().to_vec();
            // Epochs 0 and 2 have batches of 8, epochs 1 and 3 of 20.
            let position = plan.epoch(step);
            assert_eq!(indices.len(), if (position as u64).is_multiple_of(2) { 8 } else { 20 }, "at {position}");
            let batch = Batch::gather(&dataset.train, dataset.shape, &indices, &backend.tracked(), backend.dtype());
            let objective = Objective::of_batch(batch);
            let gradient = objective.loss_and_gradient(&layout.assign(network.clone(), &theta), &layout).unwrap().1;
            let rate = if position < 1.0 { 0.2 * position } else { 0.2 * (4.0 - position) / 3.0 };
            let momentum = 0.8 * position / 4.0;
            velocity.iter_mut().zip(&gradient).for_each(|(v, g)| *v = momentum * *v + g);
            theta.iter_mut().zip(&velocity).for_each(|(theta, v)| *theta -= rate * v);
        }
        let (outcome, records) = train(&spec, &dataset);
        let error = relative_error(&layout.values(&outcome.network), &theta);
        assert!(error < 1e-12, "{sampling:?}: {error:.1e}");
        let sizes = values(&records, quantity::BATCH_SIZE.name);
        let expected: Vec<f64> = [8.0, 20.0, 8.0, 20.0, 20.0].to_vec();
        assert_eq!(sizes.iter().map(|(_, size)| *size).collect::<Vec<_>>(), expected, "changes, and the end");
        assert_eq!(values(&records, quantity::MOMENTUM.name).len() as u64, plan.num_steps);
    }
}

#[test]
fn a_run_of_epochs_ends_after_them_and_records_what_changes() {
    let mut spec = spec();
    let dataset = data(&spec);
    let without = Run::prepare(&spec, &dataset).unwrap().plan().num_steps;
    assert_eq!(without, 48, "12 batches of 8 an epoch");
    spec.schedule.batch_size = Some("step(every = 1ep, factor = 2)".parse().unwrap());
    let plan = Run::prepare(&spec, &dataset).unwrap().plan().clone();
    // 12 of 8, 6 of 16, 3 of 32, 1 of 64.
    assert_eq!((plan.num_steps, plan.epoch(22)), (22, 4.0));
    let (_, records) = train(&spec, &dataset);
    let sizes = values(&records, quantity::BATCH_SIZE.name);
    assert_eq!(sizes, [(0, 8.0), (12, 16.0), (18, 32.0), (21, 64.0)]);
    assert!(values(&records, quantity::MOMENTUM.name).is_empty(), "it follows no schedule");
    spec.schedule.batch_size = None;
    spec.schedule.learning_rate = Some("step(every = 1ep)".parse().unwrap());
    let (_, records) = train(&spec, &dataset);
    let rates = values(&records, quantity::LEARNING_RATE.name);
    assert_eq!(rates.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [0, 12, 24, 36, 47]);
    assert!((rates[3].1 / 2e-4 - 1.0).abs() < 1e-12);
}

#[test]
fn every_instrument_bears_a_learning_rate_that_has_fallen_to_nothing() {
    let mut spec = spec();
    spec.measure.enabled = true;
    spec.measure.preset = MeasurePreset::Full;
    spec.measure.examples = 50;
    spec.measure.noise_batch_size = BatchSize::new(8).unwrap();
    spec.schedule.learning_rate = Some("linear".parse().unwrap());
    let (outcome, records) = train(&spec, &data(&spec));
    let last = |name: &str| {
        records.iter().rev().find_map(|record| match record {
            Record::Measurement(m) if m.name == name && m.step == outcome.step => Some(m.clone()),
            _ => None,
        })
    };
    for name in [quantity::STABILITY_POSITION.name, quantity::LEARNING_RATE_POSITION.name] {
        assert_eq!(last(name).unwrap().value, Some(0.0), "{name}");
    }
    assert!(last(quantity::LARGEST_STABLE_LEARNING_RATE.name).unwrap().value.unwrap() > 0.0);
    let ratio = last(quantity::ONE_STEP_MINIMUM_RATIO.name).unwrap();
    assert!(ratio.unresolved.unwrap().contains("is 0 here"));
}

/// A budget that pays for nothing leaves out what is measured, and not what the run is steered by.
#[test]
fn no_budget_takes_its_readings_from_a_gauged_learning_rate() {
    let mut spec = spec();
    spec.measure.enabled = true;
    spec.measure.examples = 50;
    spec.measure.noise_batch_size = BatchSize::new(8).unwrap();
    spec.measure.instruments = Some(vec![Instrument::Sharpness]);
    spec.measure.budget = "0.001%".parse().ok();
    spec.schedule.learning_rate = Some("gauged(cooldown = 8st, least = 5st)".parse().unwrap());
    let (_, records) = train(&spec, &data(&spec));
    assert!(values(&records, quantity::HESSIAN_TOP_EIGENVALUE.name).is_empty());
    let drops = values(&records, quantity::TWO_POINT_DROP[0].1.name);
    assert!(drops.len() > 3, "{drops:?}");
}

#[test]
fn probes_of_batches_follow_the_scheduled_size() {
    let mut spec = spec();
    spec.measure.enabled = true;
    spec.measure.examples = 50;
    spec.measure.instruments = Some(vec![Instrument::BatchSharpness, Instrument::CriticalSharpness]);
    spec.measure.preset = MeasurePreset::Full;
    spec.measure.every = "12st".parse().unwrap();
    spec.schedule.batch_size = Some("step(every = 1ep, factor = 2)".parse().unwrap());
    let (_, records) = train(&spec, &data(&spec));
    // A product a batch.
    let sizes = records.iter().filter_map(|record| match record {
        Record::Measurement(m) if m.name == quantity::BATCH_SHARPNESS.name => {
            Some((m.step.0, m.num_examples / m.num_products))
        }
        _ => None,
    });
    let sizes: Vec<(u64, u64)> = sizes.collect();
    assert_eq!(sizes[..2], [(0, 8), (12, 16)]);
    assert!(sizes[2].1 >= 64, "{sizes:?}");
}

#[test]
fn a_momentum_that_passes_through_nothing_keeps_its_velocity() {
    let mut spec = spec();
    spec.optimizer.momentum = Momentum::new(0.0).unwrap();
    let dataset = data(&spec);
    let plain = train(&spec, &dataset).0;
    spec.schedule.momentum = Some("constant".parse().unwrap());
    let scheduled = train(&spec, &dataset).0;
    let layout = ParamLayout::of(&plain.network);
    assert_eq!(layout.values(&plain.network), layout.values(&scheduled.network));
}

#[test]
fn schedules_that_do_not_fit_the_data_are_refused_by_key() {
    let base = spec();
    let dataset = data(&base);
    let refused = |change: fn(&mut RunSpec)| {
        let mut spec = base.clone();
        change(&mut spec);
        let error = Run::prepare(&spec, &dataset).unwrap_err();
        assert!(RunError::is_bad_input(&error));
        error.to_string()
    };
    let message = refused(|spec| spec.schedule.batch_size = Some("linear(to = 200)".parse().unwrap()));
    assert_eq!(
        message,
        "schedule.batch_size: a batch of 200 is larger than the 100 training examples: use at most 100"
    );
    let message = refused(|spec| spec.schedule.learning_rate = Some("wsd(cooldown = 9ep)".parse().unwrap()));
    assert_eq!(
        message,
        "schedule.learning_rate: \"wsd(cooldown = 9ep)\": the cooldown takes 108 steps and there are 48: shorten it or lengthen the run or the part"
    );
    let message = refused(|spec| {
        spec.schedule.batch_size = Some("linear(to = 20)".parse().unwrap());
        spec.schedule.learning_rate = Some("linear(warmup = 5st)".parse().unwrap());
    });
    assert!(message.contains("\"5st\" has no length here"), "{message}");
}
