//! Every instrument on every kind of network, and the same in other precisions.
#![allow(clippy::unwrap_used)]

use stepscope::data::Dataset;
use stepscope::models::ParamLayout;
use stepscope::train::{MemorySink, Run};
use stepscope::types::spec::{
    DataSpec, Instrument, LearningRateSpec, MeasurePreset, ModelKind, ModelSpec, Normalisation, Precision,
};
use stepscope::types::{BatchSize, LearningRate, Measurement, Record, RunSpec, TrainingDuration};

/// A few steps on a few examples, measured with everything.
fn spec(model: ModelSpec) -> RunSpec {
    let mut spec = RunSpec::with_learning_rate(LearningRateSpec::Fixed(LearningRate::new(0.02).unwrap()));
    let needs_larger_images = matches!(model.kind, ModelKind::SimpleCnn | ModelKind::SimpleCnnBn);
    spec.data = DataSpec {
        name: if needs_larger_images { "fashion14" } else { "optdigits" }.into(),
        train_examples: Some(32),
        test_examples: Some(8),
        vocabulary: 17,
        ..DataSpec::default()
    };
    spec.model = model;
    spec.train.duration = TrainingDuration::Steps(4);
    spec.train.batch_size = BatchSize::new(8).unwrap();
    spec.measure.preset = MeasurePreset::Full;
    spec.measure.every = TrainingDuration::Steps(2);
    spec.measure.examples = 8;
    spec.measure.max_products = 4;
    spec.measure.noise_batches = 8;
    spec.measure.noise_batch_size = BatchSize::new(4).unwrap();
    spec.average.enabled = false;
    spec
}

fn of(kind: ModelKind) -> ModelSpec {
    ModelSpec { kind, vocabulary: 17, ..ModelSpec::default() }
}

fn kinds() -> Vec<ModelSpec> {
    let narrow = |kind, width: &[u64]| ModelSpec { hidden: Some(width.to_vec()), ..of(kind) };
    let batch = Some(Normalisation::Batch);
    vec![
        of(ModelKind::Linear),
        narrow(ModelKind::RandomFeatures, &[12]),
        narrow(ModelKind::Mlp, &[12, 9]),
        ModelSpec { normalisation: batch, dropout: 0.2, ..narrow(ModelKind::Mlp, &[12; 4]) },
        narrow(ModelKind::Mlp, &[10; 20]),
        narrow(ModelKind::Ntk, &[16]),
        ModelSpec { linearised: true, ..narrow(ModelKind::Ntk, &[16]) },
        of(ModelKind::SimpleCnn),
        of(ModelKind::SimpleCnnBn),
        of(ModelKind::ResNet8),
        of(ModelKind::VisionTransformer),
        of(ModelKind::Lstm),
    ]
}

fn measured(spec: &RunSpec, dataset: &Dataset) -> Vec<(Instrument, Vec<Measurement>)> {
    let readings = Run::prepare(spec, dataset).unwrap().measure().unwrap();
    readings.into_iter().map(|reading| (reading.instrument, reading.measurements)).collect()
}

#[test]
fn every_instrument_reads_on_every_kind_of_network() {
    for model in kinds() {
        let spec = spec(model);
        let dataset = Dataset::load(&spec.data).unwrap();
        let readings = measured(&spec, &dataset);
        // The break-even meter reads with the sharpness.
        assert_eq!(readings.len() + 1, Instrument::ALL.len());
        for (instrument, measurements) in readings {
            let values = measurements.iter().filter(|m| m.value.is_some_and(f64::is_finite)).count();
            let reasons: Vec<&str> = measurements.iter().filter_map(|m| m.unresolved.as_deref()).collect();
            println!("{:?} {instrument:?}: {values} of {}; {reasons:?}", spec.model.kind, measurements.len());
            // Distances and two-point losses are between readings, and this is the first; along one small update the loss may be too straight for a
            // gauge, as it is at the start of the 20 layers.
            use Instrument::{Distance, HalfRateGauge, TwoPoint};
            let may_be_silent = matches!(instrument, Distance | HalfRateGauge | TwoPoint);
            assert!(values > 0 || may_be_silent, "{:?} {instrument:?}: {reasons:?}", spec.model.kind);
            let all_said = measurements.iter().all(|m| m.value.is_some() || m.unresolved.is_some());
            assert!(all_said, "{:?} {instrument:?}: a reading is a value or a reason", spec.model.kind);
        }
    }
}

/// Name and value of everything that a run measures, with the losses of its steps.
fn train(spec: &RunSpec, dataset: &Dataset) -> Vec<(u64, String, Option<f64>)> {
    let mut sink = MemorySink::default();
    Run::prepare(spec, dataset).unwrap().train(Vec::new(), &mut sink).unwrap();
    let taken = |record: Record| match record {
        Record::Measurement(m) => Some((m.step.0, m.name, m.value)),
        _ => None,
    };
    sink.records.into_iter().filter_map(taken).collect()
}

fn batch_losses(records: &[(u64, String, Option<f64>)]) -> Vec<f64> {
    let of_batch = |(_, name, value): &(u64, String, Option<f64>)| value.filter(|_| name == "train/batch_loss");
    records.iter().filter_map(of_batch).collect()
}

#[test]
fn a_training_in_f32_can_be_measured_in_f64_and_goes_on_as_before() {
    for kind in [ModelKind::Mlp, ModelKind::SimpleCnnBn] {
        let mut plain = spec(ModelSpec { dropout: 0.1, ..of(kind) });
        if kind != ModelKind::Mlp {
            plain.measure.instruments = Some(vec![Instrument::Loss, Instrument::Sharpness]);
        }
        let dataset = Dataset::load(&plain.data).unwrap();
        let mut wide = plain.clone();
        wide.measure.precision = Some(Precision::F64);
        wide.optimizer.momentum = stepscope::types::Momentum::new(0.9).unwrap();
        let plain = RunSpec { optimizer: wide.optimizer.clone(), ..plain };
        let (a, b) = (train(&plain, &dataset), train(&wide, &dataset));
        assert_eq!(batch_losses(&a), batch_losses(&b), "{kind:?}: the training is the same to the bit");
        assert_ne!(a, b, "{kind:?}: readings differ in their last digits");

        // At the start the weights are those of a network in f64, rounded once.
        let doubled = RunSpec { model: ModelSpec { precision: Precision::F64, ..wide.model.clone() }, ..wide.clone() };
        let sharpness = |spec: &RunSpec| {
            let readings = measured(spec, &dataset);
            let found = readings.iter().flat_map(|(_, m)| m).find(|m| m.name == "curvature/hessian_top_eigenvalue");
            found.unwrap().value.unwrap()
        };
        let (narrow, cast, full) = (sharpness(&plain), sharpness(&wide), sharpness(&doubled));
        assert!((cast / full - 1.0).abs() < 1e-5, "{kind:?}: {cast} {full}");
        assert!((narrow / full - 1.0).abs() < 1e-3, "{kind:?}: {narrow} {full}");
    }
}

#[test]
fn bf16_rounds_the_products_of_a_step_and_nothing_that_is_measured() {
    for kind in [ModelKind::Mlp, ModelKind::SimpleCnn] {
        let with = |precision| {
            let mut spec = spec(ModelSpec { precision, ..of(kind) });
            let of_forward_passes = [Instrument::Loss, Instrument::Sharpness, Instrument::CriticalSharpness];
            spec.measure.instruments = Some(of_forward_passes.to_vec());
            spec
        };
        let (single, rounded) = (with(Precision::F32), with(Precision::Bf16));
        let dataset = Dataset::load(&single.data).unwrap();
        let start = |spec: &RunSpec| -> Vec<Option<f64>> {
            measured(spec, &dataset).into_iter().flat_map(|(_, m)| m).map(|m| m.value).collect()
        };
        assert_eq!(start(&single), start(&rounded), "{kind:?}: measured in f32");
        let (a, b) = (batch_losses(&train(&single, &dataset)), batch_losses(&train(&rounded, &dataset)));
        assert_ne!(a, b, "{kind:?}");
        // Eight bits: 2^-9 of an operand, averaged over many; logits of order 1.
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 0.03 * a), "{kind:?}: {a:?} {b:?}");
        let run = Run::prepare(&rounded, &dataset).unwrap();
        let same = ParamLayout::of(run.network()).values(run.network());
        let other = Run::prepare(&single, &dataset).unwrap();
        assert_eq!(same, ParamLayout::of(other.network()).values(other.network()), "{kind:?}: weights stay f32");
        assert_eq!(run.manifest(0).software.device, "cpu (flex), bf16");
    }
}

#[test]
fn random_labels_are_read_apart_from_the_others() {
    let mut spec = spec(ModelSpec { hidden: Some(vec![12]), ..of(ModelKind::Mlp) });
    spec.measure.instruments = Some(vec![Instrument::Loss]);
    spec.data.random_labels = 0.25;
    let dataset = Dataset::load(&spec.data).unwrap();
    let readings = train(&spec, &dataset);
    let at_end = |name: &str| readings.iter().rev().find(|(_, other, _)| other == name).and_then(|(.., value)| *value);
    let (all, random, kept) = (
        at_end("train/accuracy").unwrap(),
        at_end("train/random_label_accuracy").unwrap(),
        at_end("train/kept_label_accuracy").unwrap(),
    );
    assert!((0.25 * random + 0.75 * kept - all).abs() < 1e-12, "{random} {kept} {all}");
    spec.data.random_labels = 0.0;
    let clean = train(&spec, &Dataset::load(&spec.data).unwrap());
    assert!(clean.iter().all(|(_, name, _)| !name.contains("label_accuracy")));
}
