//! A run that goes on from any of its states is the run that was never stopped, in records and in every bit of its weights.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use stepscope::checkpoint::{Checkpoint, RecordsMark, named_tensors, spec_hash};
use stepscope::data::Dataset;
use stepscope::measure::LocalQuadraticProbe;
use stepscope::models::Model;
use stepscope::train::{
    Claim, Due, Event, Interrupt, Outcome, Run, RunError, ScheduledProbe, Sink, SinkError, Snapshot, TrainError,
};
use stepscope::types::spec::{
    Activation, DirectionRule, Instrument, LearningRateSpec, MeasureMode, MeasurePreset, ModelKind, Normalisation,
    OptimizerMethod, ParamGroupSpec, Precision, Sampling,
};
use stepscope::types::{BatchSize, LearningRate, Momentum, Record, RunSpec, Step, TrainingDuration, quantity};

/// Keeps records with the number of them before each state.
#[derive(Default)]
struct Keep {
    records: Vec<Record>,
    snapshots: Vec<(Arc<Snapshot>, usize)>,
    resumed: Option<Step>,
}

impl Sink for Keep {
    fn receive(&mut self, event: &Event) -> Result<(), SinkError> {
        match event {
            Event::Checkpoint(snapshot) => self.snapshots.push((Arc::clone(snapshot), self.records.len())),
            Event::RunResumed { step, .. } => self.resumed = Some(*step),
            _ => self.records.extend(event.records().into_iter().map(Record::without_timing)),
        }
        Ok(())
    }
}

/// Through the bytes of a file and back.
fn as_file(spec: &RunSpec, snapshot: &Snapshot) -> Checkpoint {
    let checkpoint = Checkpoint {
        step: snapshot.step,
        spec: spec_hash(spec),
        records: RecordsMark::default(),
        wall_seconds: snapshot.wall_seconds,
        state: Arc::clone(&snapshot.state),
    };
    Checkpoint::decode(&checkpoint.encode("memory").unwrap(), "memory").unwrap()
}

struct Ran {
    outcome: Outcome<Model>,
    kept: Keep,
    quadratics: String,
}

fn run(spec: &RunSpec, dataset: &Dataset, from: Option<&Checkpoint>) -> Ran {
    let mut probe = LocalQuadraticProbe::on_training_set(spec, dataset).unwrap();
    let mut prepared = Run::prepare(spec, dataset).unwrap();
    if let Some(checkpoint) = from {
        prepared = prepared.resumed_from(checkpoint).unwrap();
    }
    let mut kept = Keep::default();
    let due = Due::From { start: 2, every: 5 };
    let extra = if spec.measure.enabled {
        vec![ScheduledProbe { probe: &mut probe, due, claim: Claim::Shares(1.0) }]
    } else {
        Vec::new()
    };
    let outcome = prepared.train(extra, &mut kept).unwrap();
    Ran { outcome, kept, quadratics: format!("{:?}", probe.quadratics()) }
}

fn spec(learning_rate: LearningRateSpec) -> RunSpec {
    let mut spec = RunSpec::with_learning_rate(learning_rate);
    spec.data.train_examples = Some(96);
    spec.data.test_examples = Some(32);
    spec.model.hidden = Some(vec![6]);
    spec.train.duration = TrainingDuration::Steps(12);
    spec.line_search.every = TrainingDuration::Steps(3);
    spec.line_search.num_batches = 2;
    spec.measure.every = TrainingDuration::Steps(4);
    spec.measure.examples = 24;
    spec.measure.max_products = 4;
    spec.measure.noise_batches = 8;
    spec.average.start = TrainingDuration::Steps(5);
    spec.average.two_point_gap = TrainingDuration::Steps(4);
    spec.average.more_ema_half_lives = vec![TrainingDuration::Steps(2)];
    spec.average.ema_every = TrainingDuration::Steps(2);
    spec.average.window = Some(TrainingDuration::Steps(6));
    spec.average.window_stride = Some(TrainingDuration::Steps(2));
    spec.average.lawa_epochs = Some(2);
    spec.average.swa_every = Some(TrainingDuration::Steps(3));
    spec.average.power_widths = vec![0.05, 0.1];
    spec.average.evaluate_every = Some(TrainingDuration::Steps(3));
    spec.checkpoint.every = TrainingDuration::Steps(1);
    spec
}

fn goes_on_from_every_state(spec: &RunSpec) {
    let dataset = Dataset::load(&spec.data).unwrap();
    let whole = run(spec, &dataset, None);
    let steps = whole.outcome.step.0;
    let every = spec.checkpoint.every.steps(1.0, None).unwrap();
    assert_eq!(whole.kept.snapshots.len() as u64, steps.div_ceil(every), "one every so many steps, and at the end");
    for (snapshot, before) in &whole.kept.snapshots {
        let again = run(spec, &dataset, Some(&as_file(spec, snapshot)));
        assert_eq!(again.kept.resumed, Some(snapshot.step));
        assert_eq!(again.kept.records, whole.kept.records[*before..], "from step {}", snapshot.step);
        assert_eq!(named_tensors(&again.outcome.network), named_tensors(&whole.outcome.network));
        assert_eq!(again.quadratics, whole.quadratics);
        let later = |kept: &Keep| kept.snapshots.last().unwrap().0.state.clone();
        assert_eq!(later(&again.kept), later(&whole.kept), "the last states are equal, in whatever they hold");
    }
}

#[test]
fn a_measured_learning_rate_with_momentum_goes_on_from_every_state() {
    let mut spec = spec(LearningRateSpec::Measured);
    spec.optimizer.momentum = Momentum::new(0.5).unwrap();
    goes_on_from_every_state(&spec);
}

#[test]
fn labpal_goes_on_from_every_state_in_the_middle_of_a_measurement_too() {
    for method in [OptimizerMethod::LabPalSgd, OptimizerMethod::LabPalNsgd] {
        let mut spec = spec(LearningRateSpec::Measured);
        spec.optimizer.learning_rate = None;
        spec.optimizer.method = method;
        spec.optimizer.momentum = Momentum::new(0.5).unwrap();
        spec.model.dropout = 0.2;
        spec.model.normalisation = Some(Normalisation::Batch);
        spec.train.batch_size = BatchSize::new(8).unwrap();
        spec.train.duration = TrainingDuration::Steps(24);
        spec.labpal.approximation_batches = 3;
        spec.labpal.updates_per_measurement = 3;
        spec.labpal.noise_factor = Some(2.0);
        spec.labpal.schedule_at = vec![TrainingDuration::Steps(16)];
        spec.labpal.schedule_batches = vec![2];
        goes_on_from_every_state(&spec);
    }
}

#[test]
fn every_method_goes_on_from_every_state() {
    for method in OptimizerMethod::ALL {
        if matches!(method, OptimizerMethod::LabPalSgd | OptimizerMethod::LabPalNsgd) {
            continue;
        }
        let mut spec = spec(LearningRateSpec::Fixed(LearningRate::new(0.2).unwrap()));
        spec.optimizer.method = method;
        if !method.has_learning_rate() {
            spec.optimizer.learning_rate = None;
        }
        if !method.has_own_direction() {
            spec.optimizer.momentum = Momentum::new(0.4).unwrap();
        }
        spec.model.dropout = 0.2;
        spec.model.normalisation = Some(Normalisation::Batch);
        spec.train.micro_batch_size = Some(BatchSize::new(20).unwrap());
        spec.pal.updates_per_measurement = 3;
        spec.validate().unwrap();
        goes_on_from_every_state(&spec);
    }
}

#[test]
fn adam_with_groups_decay_and_clipping_goes_on_from_every_state() {
    for direction in [DirectionRule::Adam, DirectionRule::Nesterov] {
        let mut spec = spec(LearningRateSpec::Fixed(LearningRate::new(0.01).unwrap()));
        spec.optimizer.direction = direction;
        if direction == DirectionRule::Nesterov {
            spec.optimizer.momentum = Momentum::new(0.9).unwrap();
        }
        spec.optimizer.weight_decay = 0.1;
        spec.optimizer.clip_norm = Some(0.5);
        let group = ParamGroupSpec { names: "*.bias".into(), learning_rate_factor: 2.0, weight_decay: false };
        spec.optimizer.groups = vec![group];
        goes_on_from_every_state(&spec);
    }
}

#[test]
fn double_precision_and_convolutions_go_on_from_every_state() {
    let rate = || LearningRateSpec::Fixed(LearningRate::new(0.05).unwrap());
    let mut double = spec(rate());
    double.model.precision = Precision::F64;
    double.model.activation = Activation::Tanh;
    double.optimizer.momentum = Momentum::new(-0.3).unwrap();
    goes_on_from_every_state(&double);
    let mut cnn = spec(rate());
    (cnn.model.kind, cnn.model.hidden) = (ModelKind::SimpleCnn, None);
    cnn.data.name = "fashion14".to_owned();
    cnn.train.duration = TrainingDuration::Steps(3);
    (cnn.average.window, cnn.average.lawa_epochs) = (Some(TrainingDuration::Steps(2)), None);
    cnn.measure.enabled = false;
    goes_on_from_every_state(&cnn);
}

#[test]
fn batch_statistics_and_dropout_go_on_from_every_state_in_every_mode() {
    for (mode, dropout) in
        [(MeasureMode::Eval, false), (MeasureMode::FrozenFull, true), (MeasureMode::TrainBatch, true)]
    {
        let mut spec = spec(LearningRateSpec::Fixed(LearningRate::new(0.05).unwrap()));
        (spec.model.normalisation, spec.model.dropout) = (Some(Normalisation::Batch), 0.3);
        (spec.measure.mode, spec.measure.dropout) = (mode, dropout);
        let instruments = Instrument::ALL.into_iter().filter(|&instrument| mode.allows(instrument));
        spec.measure.instruments = Some(instruments.collect());
        spec.measure.budget = "2000%".parse().ok();
        spec.train.duration = TrainingDuration::Steps(8);
        assert_eq!(spec.validate(), Ok(()));
        goes_on_from_every_state(&spec);
    }
}

#[test]
fn schedules_of_every_setting_go_on_from_every_state() {
    for duration in [TrainingDuration::Steps(18), TrainingDuration::Epochs(3.0)] {
        let mut spec = spec(LearningRateSpec::Fixed(LearningRate::new(0.2).unwrap()));
        spec.train.duration = duration;
        spec.schedule.learning_rate = Some("one-cycle".parse().unwrap());
        spec.schedule.batch_size = Some("cyclic(from = 8, to = 21, every = 0.4dur)".parse().unwrap());
        // It passes through 0, where the velocity must not be lost.
        spec.schedule.momentum = Some("piecewise(0.9, 0 at 0.25dur, 0.5 at 0.5dur)".parse().unwrap());
        goes_on_from_every_state(&spec);
    }
}

#[test]
fn a_gauged_learning_rate_goes_on_from_every_state_and_decides_the_same() {
    let mut spec = spec(LearningRateSpec::Fixed(LearningRate::new(0.05).unwrap()));
    spec.train.duration = TrainingDuration::Steps(40);
    spec.schedule.learning_rate = Some("gauged(cooldown = 8st, least = 5st, warmup = 3st)".parse().unwrap());
    spec.measure.instruments = Some(vec![Instrument::TwoPoint]);
    spec.measure.budget = "2000%".parse().ok();
    goes_on_from_every_state(&spec);
    let records = run(&spec, &Dataset::load(&spec.data).unwrap(), None).kept.records;
    let decided = |record: &&Record| serde_json::to_string(record).unwrap().contains("\"decided\"");
    let last: Vec<&Record> = records.iter().filter(decided).collect();
    assert!(last.len() >= 2, "it cools down, and stops: {last:?}");
}

/// Half of the labels say nothing and weights decay: soon nothing descends any more.
#[test]
fn averages_follow_an_end_that_is_decided_before_they_would_begin_and_go_on_from_every_state() {
    let mut spec = spec(LearningRateSpec::Fixed(LearningRate::new(2.0).unwrap()));
    spec.seeds.root = 1;
    spec.data.random_labels = 0.5;
    spec.model.kind = ModelKind::Linear;
    spec.model.hidden = None;
    spec.train.batch_size = BatchSize::new(8).unwrap();
    spec.train.sampling = Sampling::WithReplacement;
    spec.train.duration = TrainingDuration::Steps(400);
    spec.optimizer.weight_decay = 0.05;
    spec.schedule.learning_rate = Some("gauged(cooldown = 8st, least = 5st)".parse().unwrap());
    spec.measure.instruments = Some(vec![Instrument::TwoPoint]);
    spec.measure.examples = 96;
    spec.measure.preset = MeasurePreset::Full;
    spec.average.start = TrainingDuration::Steps(380);
    spec.average.two_point_gap = TrainingDuration::Steps(20);
    spec.average.evaluate_every = None;
    spec.checkpoint.every = TrainingDuration::Steps(7);
    goes_on_from_every_state(&spec);
    let Ran { outcome, kept, .. } = run(&spec, &Dataset::load(&spec.data).unwrap(), None);
    assert!(outcome.step.0 < 380, "it ends early: {}", outcome.step);
    for average in [quantity::EMA, quantity::SWA, quantity::TWO_POINT, quantity::WINDOW, quantity::LAWA] {
        let is_at_end = |record: &Record| matches!(record, Record::Measurement(m) if m.name == average.loss.name && m.step == outcome.step);
        assert!(kept.records.iter().any(is_at_end), "{}", average.loss.name);
    }
}

#[test]
fn an_interrupted_run_has_not_ended_and_its_state_is_that_of_its_step() {
    /// Asks the run to stop while it takes step 4.
    struct Ask(Interrupt, Keep);
    impl Sink for Ask {
        fn receive(&mut self, event: &Event) -> Result<(), SinkError> {
            if matches!(event, Event::StepTaken { batch_loss, .. } if batch_loss.step == Step(4)) {
                self.0.request();
            }
            self.1.receive(event)
        }
    }
    let mut spec = spec(LearningRateSpec::Measured);
    spec.checkpoint.every = TrainingDuration::Steps(10);
    let dataset = Dataset::load(&spec.data).unwrap();
    let interrupt = Interrupt::default();
    let mut sink = Ask(interrupt.clone(), Keep::default());
    let stopped = Run::prepare(&spec, &dataset).unwrap().interrupted_by(interrupt).train(Vec::new(), &mut sink);
    assert!(matches!(stopped, Err(RunError::Train(TrainError::Interrupted { step: Step(5) }))), "{stopped:?}");
    let (snapshot, before) = sink.1.snapshots.pop().unwrap();
    assert_eq!((snapshot.step, before), (Step(5), sink.1.records.len()), "nothing is recorded after the state");
    let mut whole = Keep::default();
    Run::prepare(&spec, &dataset).unwrap().train(Vec::new(), &mut whole).unwrap();
    let mut rest = Keep::default();
    let prepared = Run::prepare(&spec, &dataset).unwrap().resumed_from(&as_file(&spec, &snapshot)).unwrap();
    prepared.train(Vec::new(), &mut rest).unwrap();
    assert_eq!([sink.1.records, rest.records].concat(), whole.records);
}

#[test]
fn a_state_of_another_network_is_refused_with_the_first_difference() {
    let spec = spec(LearningRateSpec::Measured);
    let dataset = Dataset::load(&spec.data).unwrap();
    let checkpoint = as_file(&spec, &run(&spec, &dataset, None).kept.snapshots[2].0);
    let refused = |change: fn(&mut RunSpec)| {
        let mut other = spec.clone();
        change(&mut other);
        let error = Run::prepare(&other, &dataset).unwrap().resumed_from(&checkpoint).unwrap_err();
        assert!(error.is_bad_input());
        error.to_string()
    };
    let message = refused(|spec| spec.model.hidden = Some(vec![7]));
    assert!(message.contains("checkpoint of step 3") && message.contains("layers.0.bias is [6] of f32"), "{message}");
    let message = refused(|spec| spec.model.hidden = Some(vec![6, 6]));
    assert!(message.contains("layers.1") || message.contains("layers.2"), "{message}");
    let message = refused(|spec| spec.model.precision = Precision::F64);
    assert!(message.contains("of f32, where this network has") && message.contains("f64"), "{message}");
}
