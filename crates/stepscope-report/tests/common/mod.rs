//! Synthetic runs that look like those of the quickstart: made of formulas, with a fixed seed, from no network.
// Each of the crates that include this file uses a part of it.
#![allow(dead_code, unreachable_pub)]

use stepscope_types::quantity::{self, Quantity};
use stepscope_types::spec::LearningRateSpec;
use stepscope_types::{
    DataManifest, Estimate, EventKind, EventRecord, LearningRate, Manifest, Measurement, Mode, ModelManifest, Reading,
    Record, RunSpec, Seeds, Software, Step, StopReason, Uncertainty,
};

pub const NUM_STEPS: u64 = 1500;
const PROBE_EVERY: u64 = 75;
const STEPS_PER_EPOCH: f64 = 119.5;

/// A manifest and the records that belong to it.
pub type RawRun = (Manifest, Vec<Record>);

/// A manifest of a training run with that name and learning rate.
pub fn manifest(name: &str, learning_rate: f64) -> Manifest {
    with_spec(name, LearningRateSpec::Fixed(LearningRate::new(learning_rate).unwrap()))
}

fn with_spec(name: &str, learning_rate: LearningRateSpec) -> Manifest {
    let spec = RunSpec { name: name.to_owned(), ..RunSpec::with_learning_rate(learning_rate) };
    Manifest {
        format: Manifest::FORMAT,
        name: name.to_owned(),
        process: "training".to_owned(),
        spec,
        seeds: Seeds::from_root(1),
        data: DataManifest {
            name: "optdigits".to_owned(),
            sha256: "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8".to_owned(),
            num_train_examples: 3823,
            num_test_examples: 1797,
            num_classes: 10,
            shape: [1, 8, 8],
        },
        model: ModelManifest { description: "mlp 64-128-64-10 relu".to_owned(), num_params: 17_226 },
        software: Software {
            stepscope: "0.1.0".to_owned(),
            burn: "0.22.1".to_owned(),
            device: "cpu (flex), f32".to_owned(),
            threads: 2,
        },
        started_unix_seconds: 1_767_225_600,
    }
}

/// A record of the training loss.
pub fn loss(step: u64, value: f64) -> Record {
    measure(&quantity::TRAIN_LOSS, step, value, Uncertainty::StandardError(0.01))
}

pub fn measure(quantity: &Quantity, step: u64, value: f64, error: Uncertainty) -> Record {
    let estimate = Estimate::new(value, quantity.unit, error).over_examples(1024).in_mode(Mode::Eval);
    read(quantity, step, estimate.into())
}

pub fn read(quantity: &Quantity, step: u64, reading: Reading) -> Record {
    Record::Measurement(Measurement::new(Step(step), step as f64 / STEPS_PER_EPOCH, quantity.name, reading))
}

pub fn event(step: u64, kind: EventKind) -> Record {
    Record::Event(EventRecord { step: Step(step), epoch: step as f64 / STEPS_PER_EPOCH, kind, timing: None })
}

/// Noise with a fixed seed: the output function of splitmix64, summed to something near a normal law.
pub struct Noise(u64);

impl Noise {
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Mean 0, standard deviation 1.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

/// How a synthetic run behaves.
struct Behaviour {
    learning_rate: fn(u64) -> f64,
    /// Mean loss over the training set.
    loss: fn(f64) -> f64,
    sharpness: fn(f64) -> f64,
    ends_at: u64,
    seed: u64,
}

fn power_law(flow_time: f64) -> f64 {
    0.01 + 2.3 * (1.0 + flow_time / 2.0).powf(-1.1)
}

fn record(manifest: Manifest, behaviour: &Behaviour, end: StopReason) -> RawRun {
    let mut noise = Noise::seeded(behaviour.seed);
    let mut records = vec![event(0, EventKind::RunStarted)];
    for step in 0..=behaviour.ends_at {
        let rate = (behaviour.learning_rate)(step);
        let loss = (behaviour.loss)(step as f64);
        records.push(measure(&quantity::LEARNING_RATE, step, rate, Uncertainty::Exact));
        let batch_loss = loss * (0.25 * noise.normal()).exp();
        records.push(measure(&quantity::BATCH_LOSS, step, batch_loss, Uncertainty::StandardError(0.2 * batch_loss)));
        if step % PROBE_EVERY == 0 {
            let sharpness = (behaviour.sharpness)(step as f64) * (0.04 * noise.normal()).exp();
            probe(&mut records, &mut noise, step, (loss, rate, sharpness));
        }
    }
    records.push(event(behaviour.ends_at, EventKind::RunEnded { reason: end }));
    (manifest, records)
}

fn probe(records: &mut Vec<Record>, noise: &mut Noise, step: u64, (loss, rate, sharpness): (f64, f64, f64)) {
    use Uncertainty::{Exact, Interval, Residual, StandardError};
    let test_loss = 0.06 + loss * (1.02 + 0.01 * noise.normal());
    let accuracy = |loss: f64| 0.1 + 0.89 * (-0.6 * loss).exp();
    let error_of_share = |share: f64, n: f64| StandardError((share * (1.0 - share) / n).sqrt());
    let scale = 12.0 / loss.powf(0.8) * (0.15 * noise.normal()).exp();
    let mut add = |quantity: &Quantity, value, error| records.push(measure(quantity, step, value, error));
    add(&quantity::TRAIN_LOSS, loss * (1.0 + 0.01 * noise.normal()), Exact);
    add(&quantity::TEST_LOSS, test_loss, StandardError(0.02 * test_loss.sqrt()));
    add(&quantity::TRAIN_ACCURACY, accuracy(loss), Exact);
    add(&quantity::TEST_ACCURACY, accuracy(test_loss), error_of_share(accuracy(test_loss), 1797.0));
    add(&quantity::HESSIAN_TOP_EIGENVALUE, sharpness, Residual(0.01 * sharpness));
    add(&quantity::EFFECTIVE_SHARPNESS, rate * sharpness, Residual(0.01 * rate * sharpness));
    add(&quantity::GRADIENT_NORM, 0.8 * loss.sqrt(), StandardError(0.03 * loss.sqrt()));
    add(&quantity::NOISE_TRACE, 9.0 * loss, StandardError(0.6 * loss));
    if step == 450 {
        let reason = "the squared gradient norm is not above its noise: raise measure.noise_batches";
        records.push(read(
            &quantity::NOISE_SCALE,
            step,
            Reading::Unresolved { reason: reason.into(), num_examples: 1024 },
        ));
    } else {
        add(&quantity::NOISE_SCALE, scale, Interval { low: 0.7 * scale, high: 1.5 * scale, level: 0.95 });
    }
    if step >= NUM_STEPS / 2 {
        averages(records, step, test_loss, accuracy(test_loss));
    }
}

fn averages(records: &mut Vec<Record>, step: u64, test_loss: f64, accuracy: f64) {
    use Uncertainty::StandardError;
    let averages = [
        (quantity::EMA_TEST_LOSS, quantity::EMA_TEST_ACCURACY, quantity::EMA_LOSS_GAIN, 0.9),
        (quantity::TWO_POINT_TEST_LOSS, quantity::TWO_POINT_TEST_ACCURACY, quantity::TWO_POINT_LOSS_GAIN, 0.985),
    ];
    for (loss, share, gain, factor) in averages {
        let late = factor + 0.06 * (1.0 - step as f64 / NUM_STEPS as f64);
        records.push(measure(&loss, step, test_loss * late, StandardError(0.02)));
        records.push(measure(&share, step, accuracy + 0.003 / factor, StandardError(0.004)));
        records.push(measure(&gain, step, test_loss * (1.0 - late), StandardError(0.003)));
    }
}

/// A run that grows without bound after some 200 steps.
pub fn diverging_run() -> RawRun {
    let behaviour = Behaviour {
        learning_rate: |_| 0.8,
        loss: |k| power_law(0.2 * k) + 0.02 * (k / 22.0).exp(),
        sharpness: |k| 2.2 + 0.012 * k,
        ends_at: 214,
        seed: 3,
    };
    let message = "the mini-batch loss was above 100 times its start for 20 steps; lower optimizer.learning_rate";
    let end = StopReason::Diverged { last_good_step: Step(193), message: message.to_owned() };
    record(manifest("rate 0.8", 0.8), &behaviour, end)
}

/// Three hand-set learning rates, a measured one, and the prediction of the good one.
pub fn quickstart() -> Vec<RawRun> {
    let slow = Behaviour {
        learning_rate: |_| 0.005,
        loss: |k| power_law(0.005 * k),
        sharpness: |k| 6.0 + 22.0 * (1.0 - (-k / 900.0).exp()),
        ends_at: NUM_STEPS,
        seed: 1,
    };
    let good = Behaviour {
        learning_rate: |_| 0.08,
        loss: |k| power_law(0.08 * k),
        sharpness: |k| 6.0 + 17.0 * (1.0 - (-k / 250.0).exp()),
        ends_at: NUM_STEPS,
        seed: 2,
    };
    let measured = Behaviour {
        learning_rate: |k| if k < 25 { 0.01 } else { 0.14 + 0.05 * ((k / 25) as f64 * 1.7).sin() },
        loss: |k| power_law(0.14 * k),
        sharpness: |k| 6.0 + 7.0 * (1.0 - (-k / 200.0).exp()),
        ends_at: NUM_STEPS,
        seed: 4,
    };
    let (manifest_measured, mut records_measured) =
        record(with_spec("measured", LearningRateSpec::Measured), &measured, StopReason::Finished);
    let mut noise = Noise::seeded(5);
    for step in (0..NUM_STEPS).step_by(25) {
        let minimum = (measured.learning_rate)(step + 25) * (0.3 * noise.normal()).exp();
        records_measured.push(measure(&quantity::LINE_MINIMUM, step, minimum, Uncertainty::StandardError(0.03)));
    }
    vec![
        record(manifest("rate 0.005", 0.005), &slow, StopReason::Finished),
        record(manifest("rate 0.08", 0.08), &good, StopReason::Finished),
        diverging_run(),
        (manifest_measured, records_measured),
        prediction("rate 0.08, predicted", 0.08),
    ]
}

fn prediction(name: &str, learning_rate: f64) -> RawRun {
    let mut manifest = manifest(name, learning_rate);
    manifest.process = "theory".to_owned();
    let loss = |k: u64| 1.06 * power_law(0.079 * k as f64) - 0.14 * (-(k as f64) / 60.0).exp();
    let step = |k| measure(&quantity::TRAIN_LOSS, k, loss(k), Uncertainty::Exact);
    let mut records = vec![event(0, EventKind::RunStarted)];
    records.extend((0..=NUM_STEPS).map(step));
    records.push(event(NUM_STEPS, EventKind::RunEnded { reason: StopReason::Finished }));
    (manifest, records)
}
