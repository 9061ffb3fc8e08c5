//! What recording costs beside a training step, and for how long a checkpoint holds training up.
//!
//! `cargo bench --workspace --bench survival` prints medians over interleaved rounds. Compare ratios, not times.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::sync::Arc;
use std::time::Instant;

use burn::Tensor;
use burn::tensor::TensorData;
use stepscope::backend::Backend;
use stepscope::checkpoint::{Retention, State, WeightState};
use stepscope::control::Direction;
use stepscope::control::transform::GradientTransform;
use stepscope::data::{Batch, Target};
use stepscope::measure::objective::mean_loss;
use stepscope::models::{Model, ParamLayout, ParamTensors, Pass};
use stepscope::record::{RunFolder, RunSink};
use stepscope::spectral::random::RandomStream;
use stepscope::train::{Event, Sink, Snapshot};
use stepscope::types::spec::{ModelSpec, Precision};
use stepscope::types::{Estimate, Measurement, Mode, Momentum, Step, Timing, Uncertainty};

// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 128;

fn main() {
    // `cargo test --benches` and IDEs pass this; there is nothing to test here.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    recording();
    checkpoint();
}

struct Training {
    network: Model,
    batch: Batch,
    optimizer: GradientTransform,
}

impl Training {
    fn new(hidden: Vec<u64>, momentum: f64) -> Self {
        let backend = Backend::cpu(Precision::F32);
        let spec = ModelSpec { hidden: Some(hidden), ..ModelSpec::default() };
        let network = Model::new(&spec, [1, 28, 28], 10, RandomStream::new(1, 0), &backend).unwrap();
        let mut random = RandomStream::new(2, 0);
        let images: Vec<f64> = (0..BATCH * 784).map(|_| random.normal()).collect();
        let labels: Vec<i64> = (0..BATCH as i64).map(|example| example % 10).collect();
        let batch = Batch {
            images: Tensor::from_data(
                TensorData::new(images, [BATCH, 1, 28, 28]),
                (&backend.tracked(), backend.dtype()),
            ),
            labels: Tensor::from_data(TensorData::new(labels, [BATCH]), &backend.tracked()),
            first_example: 0,
            target: Target::Class,
        };
        Self { network, batch, optimizer: GradientTransform::heavy_ball(Momentum::new(momentum).unwrap()) }
    }

    fn step(&mut self) {
        let loss = mean_loss(&self.network, &self.batch, &Pass::values()).value;
        let gradient = ParamTensors::gradient(&self.network, &mut loss.backward());
        let direction = self.optimizer.direction(gradient, &ParamTensors::default);
        self.network = direction.displace(self.network.clone(), -1e-4);
    }
}

/// 50 scalars a step through the sink that a run uses, beside a step of the MLP 784-500-300-10.
fn recording() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunFolder::create(folder.path(), true).unwrap();
    let mut sink = RunSink::new(run.create_records().unwrap(), None);
    let mut training = Training::new(vec![500, 300], 0.0);
    let (mut steps, mut records) = (Vec::new(), Vec::new());
    for round in 0..=300 {
        let step = milliseconds(|| training.step());
        let record = milliseconds(|| {
            for scalar in 0..50 {
                let timing = Timing { wall_seconds: f64::from(round) * 0.004, cost_seconds: Some(1e-4) };
                let estimate = Estimate::new(1.0 / f64::from(scalar + 3), "nat", Uncertainty::StandardError(0.01))
                    .over_examples(1024)
                    .in_mode(Mode::Eval);
                let mut measurement = Measurement::new(Step(7), 0.3, "curvature/quantity", estimate.into());
                measurement.timing = Some(timing);
                sink.receive(&Event::Measured(measurement)).unwrap();
            }
        });
        if round > 0 {
            steps.push(step);
            records.push(record);
        }
    }
    let (step, record) = (median(steps), median(records));
    let mean = 100.0 * record / step;
    println!("50 scalars a step: {:.1} us, beside a step of {step:.2} ms: {mean:.2} %", 1e3 * record);
}

/// A checkpoint of ten million parameters with momentum: what the loop waits for, beside a copy of the same memory.
fn checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunFolder::create(folder.path(), true).unwrap();
    drop(run.create_records().unwrap());
    let mut training = Training::new(vec![3000, 2500], 0.9);
    let layout = ParamLayout::of(&training.network);
    training.step();
    let numbers = vec![1.0_f32; 2 * layout.num_params()];
    let (mut holds, mut copies, mut free, mut shared, mut written) = (vec![], vec![], vec![], vec![], vec![]);
    for step in 1..=7 {
        let mut sink = run.checkpoint_writer(Retention { newest: 2, multiples_of: None }, "0".repeat(64));
        copies.push(milliseconds(|| drop(std::hint::black_box(numbers.clone()))));
        free.push(milliseconds(|| training.step()));
        let started = Instant::now();
        let mut state = State::default();
        state.put_network("network", &training.network);
        training.optimizer.save_weights(&mut state, &layout);
        let snapshot = Snapshot { step: Step(step), is_calm: true, wall_seconds: 0.0, state: Arc::new(state) };
        let snapshot = Arc::new(snapshot);
        holds.push(1e3 * started.elapsed().as_secs_f64());
        // The step that follows writes elsewhere, since the snapshot still has the memory: this is the copy.
        shared.push(milliseconds(|| training.step()));
        let started = Instant::now();
        sink.write(snapshot, Default::default()).unwrap();
        *holds.last_mut().unwrap() += 1e3 * started.elapsed().as_secs_f64();
        sink.wait().unwrap();
        written.push(1e3 * started.elapsed().as_secs_f64());
    }
    let numbers = layout.num_params();
    let [hold, copy, free, shared, written] = [holds, copies, free, shared, written].map(median);
    println!("checkpoint of {numbers} parameters and their velocities:");
    println!("  the loop hands over in {hold:.2} ms; a copy of the memory takes {copy:.1} ms");
    println!("  the step after takes {shared:.0} ms, one without a checkpoint {free:.0} ms");
    println!("  beside the training it is on the device after {written:.0} ms");
}

fn milliseconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    1e3 * start.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
