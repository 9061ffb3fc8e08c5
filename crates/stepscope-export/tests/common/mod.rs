//! Runs for tests.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

#[path = "../../src/testing.rs"]
mod testing;

use stepscope_types::{
    Estimate, EventKind, EventRecord, Manifest, Measurement, Mode, Reading, Record, Step, StopReason, Timing,
    Uncertainty,
};

pub fn manifest(name: &str) -> Manifest {
    testing::manifest(name)
}

pub fn timing(step: u64) -> Option<Timing> {
    Some(Timing { wall_seconds: 0.25 * step as f64, cost_seconds: (step % 2 == 1).then_some(0.01) })
}

pub fn measured(step: u64, name: &str, value: f64, error: Uncertainty) -> Record {
    let estimate = Estimate::new(value, "nat", error).over_examples(32).with_products(2).in_mode(Mode::Eval);
    let measurement = Measurement::new(Step(step), step as f64 / 8.0, name, estimate.into());
    Record::Measurement(Measurement { timing: timing(step), ..measurement })
}

pub fn unresolved(step: u64, name: &str, reason: &str) -> Record {
    let reading = Reading::Unresolved { reason: reason.to_owned(), num_examples: 64 };
    Record::Measurement(Measurement {
        timing: timing(step),
        ..Measurement::new(Step(step), step as f64 / 8.0, name, reading)
    })
}

pub fn event(step: u64, kind: EventKind) -> Record {
    Record::Event(EventRecord { step: Step(step), epoch: step as f64 / 8.0, kind, timing: timing(step) })
}

pub fn ended(step: u64) -> Record {
    event(step, EventKind::RunEnded { reason: StopReason::Finished })
}

/// A loss that falls, with every kind of error, and a quantity that is resolved now and then.
pub fn run(num_steps: u64) -> Vec<Record> {
    let mut records = vec![event(0, EventKind::RunStarted)];
    for step in 0..num_steps {
        let loss = 2.5 / (1.0 + step as f64);
        let error = match step % 4 {
            0 => Uncertainty::Exact,
            1 => Uncertainty::StandardError(0.125 * loss),
            2 => Uncertainty::Residual(1e-3),
            _ => Uncertainty::Interval { low: 0.5 * loss, high: 1.75 * loss, level: 0.95 },
        };
        records.push(measured(step, "train/batch_loss", loss, Uncertainty::Exact));
        records.push(measured(step, "curvature/hessian_top_eigenvalue", 20.0 - loss, error));
        let noise = "noise/gradient_noise_scale";
        records.push(if step % 3 == 0 {
            unresolved(step, noise, "signal below noise, \"try\" more batches")
        } else {
            measured(step, noise, 1e6 + step as f64, Uncertainty::StandardError(3e3))
        });
    }
    records.push(ended(num_steps));
    records
}
