//! Measuring at checkpoints: the same as while training where nothing is remembered, and nothing changes.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::digits;
use stepscope::checkpoint::{Checkpoint, RecordsMark, spec_hash};
use stepscope::train::{Event, Run, Sink, SinkError};
use stepscope::types::spec::{Instrument, LearningRateSpec};
use stepscope::types::{LearningRate, Measurement, Momentum, RunSpec, Step, TrainingDuration, quantity};

#[derive(Default)]
struct Keep {
    checkpoints: Vec<Checkpoint>,
    measured: Vec<Measurement>,
    hash: String,
}

impl Sink for Keep {
    fn receive(&mut self, event: &Event) -> Result<(), SinkError> {
        match event {
            Event::Checkpoint(snapshot) => self.checkpoints.push(Checkpoint {
                step: snapshot.step,
                spec: self.hash.clone(),
                records: RecordsMark::default(),
                wall_seconds: snapshot.wall_seconds,
                state: Arc::clone(&snapshot.state),
            }),
            Event::Measured(measurement) => self.measured.push(measurement.clone()),
            _ => {}
        }
        Ok(())
    }
}

#[test]
fn a_checkpoint_measured_afterwards_gives_what_was_measured_while_training() {
    let dataset = digits();
    let rate = LearningRateSpec::Fixed(LearningRate::new(0.1).unwrap());
    let mut spec = RunSpec::with_learning_rate(rate);
    spec.model.hidden = Some(vec![8]);
    spec.optimizer.momentum = Momentum::new(0.5).unwrap();
    spec.train.duration = TrainingDuration::Steps(20);
    spec.measure.every = TrainingDuration::Steps(20);
    spec.measure.examples = 64;
    spec.measure.instruments = Some(vec![Instrument::Loss, Instrument::Sharpness]);
    spec.checkpoint.enabled = true;
    spec.checkpoint.every = TrainingDuration::Steps(20);
    let mut kept = Keep { hash: spec_hash(&spec), ..Keep::default() };
    Run::prepare(&spec, &dataset).unwrap().train(Vec::new(), &mut kept).unwrap();

    let checkpoint = kept.checkpoints.iter().find(|saved| saved.step == Step(20)).unwrap();
    let run = Run::prepare(&spec, &dataset).unwrap().resumed_from(checkpoint).unwrap();
    let readings = run.measure().unwrap();
    assert_eq!(readings.iter().map(|r| r.instrument).collect::<Vec<_>>(), [Instrument::Loss, Instrument::Sharpness]);
    let found = |name: &str| readings.iter().flat_map(|r| &r.measurements).find(|m| m.name == name).unwrap();
    let then = |name: &str| kept.measured.iter().find(|m| m.name == name && m.step == Step(20)).unwrap();
    for name in [quantity::TRAIN_LOSS.name, quantity::TEST_ACCURACY.name, quantity::GRADIENT_NORM.name] {
        assert_eq!((found(name).value, found(name).epoch), (then(name).value, then(name).epoch), "{name}");
    }
    // Lanczos starts cold here and started warm then: the same eigenvalue within the residuals.
    let name = quantity::HESSIAN_TOP_EIGENVALUE.name;
    let (low, high) = found(name).interval().unwrap();
    assert!((found(name).value.unwrap() - then(name).value.unwrap()).abs() <= high - low, "{:?}", found(name));
    assert_eq!(found(quantity::STABILITY_POSITION.name).step, Step(20));
}
