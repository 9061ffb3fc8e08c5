//! The mode in which a run is measured: what it means, that it is recorded, and where it makes no sense.
#![allow(clippy::unwrap_used)]

mod common;

use stepscope::backend::Backend;
use stepscope::data::{Dataset, probe_subset};
use stepscope::measure::{BatchSource, GradientCovarianceProbe, NoiseProbe, Objective, Probe, ProbePoint};
use stepscope::models::loss::cross_entropy;
use stepscope::models::{DropoutMode, Dual, InMode, Model, Network, NormalisationMode, ParamLayout, Pass};
use stepscope::spectral::random::RandomStream;
use stepscope::train::{MemorySink, Run};
use stepscope::types::spec::{Instrument, LearningRateSpec, MeasureMode, Normalisation, Precision};
use stepscope::types::{BatchSize, LearningRate, Mode, Record, RunSpec, Step, TrainingDuration, quantity};

const EXAMPLES: usize = 60;

/// A network with batch normalisation and dropout whose whole training set is measured, in f64.
fn spec(mode: MeasureMode, dropout: bool) -> RunSpec {
    let rate = LearningRateSpec::Fixed(LearningRate::new(0.2).unwrap());
    let mut spec = RunSpec::with_learning_rate(rate);
    (spec.data.train_examples, spec.data.test_examples) = (Some(EXAMPLES as u64), Some(20));
    (spec.model.hidden, spec.model.precision) = (Some(vec![7]), Precision::F64);
    (spec.model.normalisation, spec.model.dropout) = (Some(Normalisation::Batch), 0.4);
    (spec.train.duration, spec.train.batch_size) = (TrainingDuration::Steps(5), BatchSize::new(20).unwrap());
    (spec.measure.mode, spec.measure.dropout) = (mode, dropout);
    (spec.measure.every, spec.measure.examples) = (TrainingDuration::Steps(5), EXAMPLES as u64);
    let instruments = Instrument::ALL.into_iter().filter(|&instrument| mode.allows(instrument));
    spec.measure.instruments = Some(instruments.collect());
    spec.average.enabled = false;
    spec
}

/// The trained network, and the last value of the training loss; every measured record is in `mode`.
fn train(spec: &RunSpec, dataset: &Dataset, mode: Mode) -> (Model, f64) {
    let mut sink = MemorySink::default();
    let outcome = Run::prepare(spec, dataset).unwrap().train(Vec::new(), &mut sink).unwrap();
    let mut loss = f64::NAN;
    for record in &sink.records {
        let Record::Measurement(found) = record else { continue };
        let bookkeeping = [quantity::BATCH_LOSS.name, quantity::LEARNING_RATE.name, quantity::READINGS_TAKEN.name];
        if found.value.is_some() && found.mode != Mode::None && !bookkeeping.contains(&found.name.as_str()) {
            assert_eq!(found.mode, mode, "{}", found.name);
        }
        if found.name == quantity::TRAIN_LOSS.name {
            loss = found.value.unwrap();
        }
    }
    (outcome.network, loss)
}

/// The mean loss over the examples in batches of `size` under the pass that `pass` gives for a first example.
fn by_hand(network: &Model, dataset: &Dataset, size: usize, pass: impl Fn(u64) -> Pass) -> f64 {
    let backend = Backend::cpu(Precision::F64);
    let indices = probe_subset(EXAMPLES, EXAMPLES as u64, 0).unwrap();
    let mut sum = 0.0;
    for (number, chunk) in indices.chunks(size).enumerate() {
        let (device, dtype) = (backend.tracked(), backend.dtype());
        let objective = Objective::new(&dataset.train, dataset.shape, chunk, &device, dtype);
        let (batch, _) = objective.micro_batches().next().unwrap();
        let logits = network.logits(Dual::constant(batch.images.clone()), &pass((number * size) as u64));
        sum += cross_entropy(logits, batch.labels.clone()).value.into_data().iter::<f64>().sum::<f64>();
    }
    sum / EXAMPLES as f64
}

#[test]
fn every_reading_is_in_the_mode_that_was_asked_for_and_says_so() {
    let with = |normalisation: NormalisationMode| move |_| Pass::values().with_normalisation(normalisation.clone());
    // Frozen statistics of all examples are those of one batch that holds them all; batches are of the training's size.
    for (mode, word, size, normalisation) in [
        (MeasureMode::Eval, Mode::Eval, EXAMPLES, NormalisationMode::Eval),
        (MeasureMode::FrozenFull, Mode::FrozenFull, EXAMPLES, NormalisationMode::TrainBatch),
        (MeasureMode::TrainBatch, Mode::TrainBatch, 20, NormalisationMode::TrainBatch),
    ] {
        let spec = spec(mode, false);
        let dataset = Dataset::load(&spec.data).unwrap();
        let (network, loss) = train(&spec, &dataset, word);
        let truth = by_hand(&network, &dataset, size, with(normalisation));
        assert!((loss - truth).abs() < 1e-12, "{mode:?}: {loss} {truth}");
    }
}

#[test]
fn dropout_while_measuring_is_one_mask_whatever_the_micro_batches() {
    for (mode, word) in [(MeasureMode::Eval, Mode::EvalWithDropout), (MeasureMode::TrainBatch, Mode::Train)] {
        let spec = spec(mode, true);
        let dataset = Dataset::load(&spec.data).unwrap();
        let (network, loss) = train(&spec, &dataset, word);
        let seed = RandomStream::named(spec.seeds.probe_seed(), "dropout masks").next_word();
        let pass = |first| {
            let normalisation =
                if mode == MeasureMode::Eval { NormalisationMode::Eval } else { NormalisationMode::TrainBatch };
            let dropped =
                Pass::values().with_normalisation(normalisation).with_dropout(DropoutMode::FixedMask { seed });
            dropped.with_first_example(first)
        };
        let truth = by_hand(&network, &dataset, 20, pass);
        assert!((loss - truth).abs() < 1e-12, "{mode:?}: {loss} {truth}");
        if mode == MeasureMode::Eval {
            assert!((by_hand(&network, &dataset, EXAMPLES, pass) - truth).abs() < 1e-12, "micro-batches do not matter");
            let plain = by_hand(&network, &dataset, EXAMPLES, |_| Pass::values());
            assert!((plain - truth).abs() > 1e-3, "{plain} {truth}");
        }
    }
}

#[test]
fn networks_without_batch_normalisation_have_one_mode() {
    let mut spec = spec(MeasureMode::TrainBatch, false);
    spec.model.normalisation = Some(Normalisation::Layer);
    spec.measure.instruments = None;
    let dataset = Dataset::load(&spec.data).unwrap();
    train(&spec, &dataset, Mode::Eval);
}

#[test]
fn probes_of_single_examples_refuse_a_mode_in_which_examples_see_each_other() {
    let spec = spec(MeasureMode::Eval, false);
    let dataset = Dataset::load(&spec.data).unwrap();
    let run = Run::prepare(&spec, &dataset).unwrap();
    let view = InMode::new(run.network().clone(), NormalisationMode::TrainBatch, DropoutMode::Off);
    let layout = ParamLayout::of(run.network());
    let at = ProbePoint::new(&view, &layout, Step(0), 0.1).in_mode(Mode::TrainBatch);
    let backend = Backend::cpu(Precision::F64);
    let (device, dtype) = (backend.tracked(), backend.dtype());
    let random = |name| RandomStream::named(1, name);
    let batches = BatchSource::new(&dataset, 20, device.clone(), dtype, random("batches"));
    let objective = Objective::new(&dataset.train, dataset.shape, &[0, 1, 2], &device, dtype);
    let mut noise = NoiseProbe::new(batches, 8);
    let mut covariance = GradientCovarianceProbe::new(objective, 4, 0.1, random("covariance"));
    let probes: [&mut dyn Probe<InMode<Model>>; 2] = [&mut noise, &mut covariance];
    for probe in probes {
        let message = probe.measure(&at).unwrap_err().to_string();
        assert!(message.contains(probe.name()) && message.contains("train-batch") && message.contains("frozen-full"));
    }
}
