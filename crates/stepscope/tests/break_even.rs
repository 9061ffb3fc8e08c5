//! The break-even meter on a network, and the presets and the budget along a run.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeSet;

use common::{digits, dot, model, norm, random_vector};
use stepscope::backend::Backend;
use stepscope::data::Dataset;
use stepscope::measure::{BreakEvenMeter, Curvature, CurvatureOperator, Objective, ProbePoint};
use stepscope::models::ParamLayout;
use stepscope::spectral::LinearOperator;
use stepscope::theory::Sampling;
use stepscope::train::{MemorySink, Run};
use stepscope::types::quantity;
use stepscope::types::spec::{Activation, DataSpec, LearningRateSpec, MeasurePreset, ModelKind, Precision};
use stepscope::types::{BatchSize, EventKind, LearningRate, Measurement, Record, RunSpec, Step, TrainingDuration};

/// Measured against everything computed from each example's own Hessian, and against a simulation of the one-direction process.
#[test]
fn the_meter_says_when_the_second_moment_along_the_direction_would_grow() {
    let dataset = Dataset::load(&DataSpec { train_examples: Some(40), ..DataSpec::default() }).unwrap();
    let network = model(ModelKind::Mlp, Activation::Relu, Precision::F64, &dataset);
    let layout = ParamLayout::of(&network);
    let backend = Backend::cpu(Precision::F64);
    let on =
        |indices: &[u32]| Objective::new(&dataset.train, dataset.shape, indices, &backend.tracked(), backend.dtype());
    let all: Vec<u32> = (0..40).collect();
    let product = |objective: &Objective, v: &[f64]| {
        let mut out = vec![0.0; v.len()];
        CurvatureOperator::new(&network, objective, &layout, Curvature::Hessian).apply(v, &mut out).unwrap();
        out
    };
    // The sharpest direction by power iteration.
    let mut direction = random_vector(layout.num_params(), 1);
    for _ in 0..60 {
        let image = product(&on(&all), &direction);
        let length = norm(&image);
        direction = image.iter().map(|x| x / length).collect();
    }
    let curvatures: Vec<f64> = (0..40).map(|i| dot(&direction, &product(&on(&[i]), &direction))).collect();
    let mean = curvatures.iter().sum::<f64>() / 40.0;

    let batch_size = 3;
    let sampling = Sampling::Finite { num_examples: 40 };
    let mut meter = BreakEvenMeter::new(sampling, BatchSize::new(batch_size).unwrap(), 40);
    let at = ProbePoint::new(&network, &layout, Step(0), 0.4 / mean);
    let measured = meter.measure(&at, &on(&all), &direction).unwrap();
    let value = |quantity: &quantity::Quantity| {
        let found = measured.iter().find(|m| m.quantity == quantity);
        found.and_then(|m| m.reading.estimate()).expect(quantity.name).value
    };
    // E(1 − ηa_B)² over every batch of 3 out of 40, without replacement.
    let growth = |rate: f64| {
        let (mut sum, mut count) = (0.0, 0.0);
        for i in 0..40 {
            for j in 0..i {
                for k in 0..j {
                    let curvature = (curvatures[i] + curvatures[j] + curvatures[k]) / 3.0;
                    sum += (1.0 - rate * curvature).powi(2);
                    count += 1.0;
                }
            }
        }
        sum / count
    };
    // The meter's spread has the sample's divisor, the exact mean over batches the population's: 40/39 in s².
    let growth_read = value(&quantity::MEAN_SQUARE_GROWTH);
    assert!((growth_read / growth(0.4 / mean) - 1.0).abs() < 0.02, "{growth_read} {}", growth(0.4 / mean));
    let largest = value(&quantity::LARGEST_STABLE_LEARNING_RATE);
    assert!(growth(0.97 * largest) < 1.0 && growth(1.03 * largest) > 1.0, "{largest}");
    assert!((value(&quantity::LEARNING_RATE_POSITION) * largest * mean - 0.4).abs() < 1e-6);

    // Where the batch size follows a schedule, the meter is that of the batch at hand.
    let limit = |mut meter: BreakEvenMeter, batch_size: Option<u64>| {
        let point = ProbePoint { batch_size, ..at };
        let measured = meter.measure(&point, &on(&all), &direction).unwrap();
        let found = measured.iter().find(|m| *m.quantity == quantity::LARGEST_STABLE_LEARNING_RATE).unwrap();
        found.reading.estimate().unwrap().value
    };
    let of_size = |size: u64| BreakEvenMeter::new(sampling, BatchSize::new(size).unwrap(), 40);
    assert_eq!(limit(of_size(3), Some(20)), limit(of_size(20), None));
    assert!(limit(of_size(20), None) > 1.01 * largest);
}

fn spec(preset: MeasurePreset) -> RunSpec {
    let mut spec = RunSpec::with_learning_rate(LearningRateSpec::Fixed(LearningRate::new(0.1).unwrap()));
    spec.model.hidden = Some(vec![8]);
    spec.train.duration = TrainingDuration::Steps(40);
    spec.measure.every = TrainingDuration::Steps(8);
    spec.measure.examples = 64;
    spec.measure.noise_batches = 8;
    spec.measure.noise_batch_size = BatchSize::new(8).unwrap();
    spec.measure.preset = preset;
    spec
}

fn records(spec: &RunSpec, dataset: &Dataset) -> Vec<Record> {
    let mut sink = MemorySink::default();
    Run::prepare(spec, dataset).unwrap().train(Vec::new(), &mut sink).unwrap();
    sink.records.into_iter().map(Record::without_timing).collect()
}

fn measurements(records: &[Record]) -> impl Iterator<Item = &Measurement> {
    records.iter().filter_map(|record| match record {
        Record::Measurement(measurement) => Some(measurement),
        Record::Event(_) => None,
    })
}

#[test]
fn the_full_preset_records_every_quantity_that_instruments_measure_with_its_doubt() {
    let mut spec = spec(MeasurePreset::Full);
    spec.measure.eigenvalues = 5;
    let records = records(&spec, &digits());
    let names: BTreeSet<&str> = measurements(&records).map(|m| m.name.as_str()).collect();
    let groups = [
        "stability/",
        "fixed_batch/",
        "one_step/",
        "gauge/",
        "gradient/",
        "distance/",
        "curvature/",
        "noise/",
        "covariance/",
    ];
    // Those that a short run on this network need not show.
    let rare = [
        &quantity::OBSERVED_BREAK_EVEN,
        &quantity::SHARPNESS_PEAK,
        &quantity::PREDICTED_BREAK_EVEN,
        // Of modules without a Hessian, by SharpnessProbe::of_gauss_newton.
        &quantity::GAUSS_NEWTON_TOP_EIGENVALUE,
        // Of optimizers that scale each parameter.
        &quantity::PRECONDITIONED_TOP_EIGENVALUE,
    ];
    for quantity in quantity::ALL.iter().filter(|q| groups.iter().any(|group| q.name.starts_with(group))) {
        assert!(names.contains(quantity.name) || rare.contains(&quantity), "{} is missing", quantity.name);
    }
    for measurement in measurements(&records) {
        assert!(quantity::by_name(&measurement.name).is_some(), "{}", measurement.name);
        assert_eq!(measurement.value.is_some(), measurement.error.is_some(), "{}", measurement.name);
        if measurement.value.is_some() {
            assert_eq!(measurement.unit, quantity::by_name(&measurement.name).unwrap().unit, "{}", measurement.name);
        }
    }
}

#[test]
fn a_budget_is_kept_says_what_it_left_out_and_leaves_out_the_same_again() {
    let few = DataSpec { train_examples: Some(200), test_examples: Some(40), ..DataSpec::default() };
    let dataset = Dataset::load(&few).unwrap();
    let mut spec = spec(MeasurePreset::Business);
    spec.data = few;
    spec.measure.examples = 16;
    spec.train.duration = TrainingDuration::Steps(1200);
    spec.measure.every = TrainingDuration::Steps(30);
    let first = records(&spec, &dataset);
    let cost = measurements(&first).find(|m| m.name == quantity::PROBE_COST.name).and_then(|m| m.value).unwrap();
    assert!((0.17..=0.245).contains(&cost), "97 % of 25 %, nearly used up: {cost}");
    let left_out = first.iter().find_map(|record| match record {
        Record::Event(event) => match &event.kind {
            EventKind::ReadingsLeftOut { left_out, .. } => Some(left_out.clone()),
            _ => None,
        },
        Record::Measurement(_) => None,
    });
    let left_out = left_out.expect("so many readings of a small run do not fit");
    assert!(left_out.iter().any(|probe| probe.num_taken > 0 && probe.num_taken < probe.num_due), "{left_out:?}");
    let num_sharpness = measurements(&first).filter(|m| m.name == quantity::HESSIAN_TOP_EIGENVALUE.name).count();
    assert!(num_sharpness > 3, "which comes first: {num_sharpness}");
    let lines = |records: &[Record]| -> Vec<String> {
        records.iter().map(|record| serde_json::to_string(record).unwrap()).collect()
    };
    assert_eq!(lines(&first), lines(&records(&spec, &dataset)), "counted costs, not the clock, decide");
}
