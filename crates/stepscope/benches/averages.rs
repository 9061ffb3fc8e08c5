//! What averages cost: a bank of five EMAs over the memory's own copy rate and beside a training step, and two points.
//!
//! `cargo bench --workspace --bench averages` prints medians over interleaved rounds. Compare ratios, not times.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::time::Instant;

use burn::Tensor;
use burn::tensor::TensorData;
use stepscope::backend::Backend;
use stepscope::control::Direction;
use stepscope::control::average::{AverageBank, Decay, TwoPoints};
use stepscope::control::transform::GradientTransform;
use stepscope::data::{Batch, Target};
use stepscope::measure::objective::mean_loss;
use stepscope::models::{Model, ParamLayout, ParamTensors, Pass};
use stepscope::spectral::random::RandomStream;
use stepscope::types::Momentum;
use stepscope::types::spec::{ModelKind, ModelSpec, Precision};

// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DECAYS: [f64; 5] = [0.9, 0.99, 0.997, 0.999, 0.9999];
const BATCH: usize = 128;

fn main() {
    // `cargo test --benches` and IDEs pass this; there is nothing to test here.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    floor();
    beside_a_step("SimpleCNN 3x32x32", ModelKind::SimpleCnn, None, [3, 32, 32], 9);
    beside_a_step("MLP 784-500-300-10", ModelKind::Mlp, Some(vec![500, 300]), [1, 28, 28], 61);
}

fn network(kind: ModelKind, hidden: Option<Vec<u64>>, shape: [usize; 3]) -> Model {
    let spec = ModelSpec { kind, hidden, ..ModelSpec::default() };
    Model::new(&spec, shape, 10, RandomStream::new(1, 0), &Backend::cpu(Precision::F32)).unwrap()
}

fn bank() -> AverageBank {
    AverageBank::emas(DECAYS.map(|decay| Decay::new(decay).unwrap()))
}

/// Five EMAs of ten million parameters, over the bytes they move at the rate at which this machine copies.
fn floor() {
    let network = network(ModelKind::Mlp, Some(vec![2800, 2800]), [1, 28, 28]);
    let num_params = ParamLayout::of(&network).num_params();
    let (source, mut target) = (vec![1.0_f32; num_params], vec![0.0_f32; num_params]);
    let mut bank = bank();
    let (mut copies, mut updates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..42 {
        let copy = milliseconds(|| std::hint::black_box(&mut target).copy_from_slice(std::hint::black_box(&source)));
        let update = milliseconds(|| bank.update(round + 1, &network));
        // The first rounds fill caches and pages.
        if round > 0 {
            // A copy reads and writes 4 bytes; the bank reads the network and reads and writes every shadow.
            let floor = copy * (1 + 2 * DECAYS.len()) as f64 / 2.0;
            copies.push(copy);
            updates.push(update);
            ratios.push(update / floor);
        }
    }
    let rate = 8.0 * num_params as f64 / (1e6 * median(&mut copies));
    let moved = 4.0 * num_params as f64 * (1 + 2 * DECAYS.len()) as f64 / 1e6;
    println!("copy rate: {rate:.1} GB/s, read and written");
    println!("five EMAs of {num_params} parameters: {:.1} ms for {moved:.0} MB", median(&mut updates));
    let (low, middle, high) = quartiles(&mut ratios);
    println!("  over the floor of that copy rate: {middle:.2} ({low:.2} - {high:.2})");
}

/// Five EMAs, and two points of which none is due, beside a training step.
fn beside_a_step(name: &str, kind: ModelKind, hidden: Option<Vec<u64>>, shape: [usize; 3], rounds: u64) {
    let backend = Backend::cpu(Precision::F32);
    let mut network = network(kind, hidden, shape);
    let mut random = RandomStream::new(2, 0);
    let images: Vec<f64> = (0..BATCH * shape.iter().product::<usize>()).map(|_| random.normal()).collect();
    let labels: Vec<i64> = (0..BATCH as i64).map(|example| example % 10).collect();
    let dims = [BATCH, shape[0], shape[1], shape[2]];
    let batch = Batch {
        images: Tensor::from_data(TensorData::new(images, dims), (&backend.tracked(), backend.dtype())),
        labels: Tensor::from_data(TensorData::new(labels, [BATCH]), &backend.tracked()),
        first_example: 0,
        target: Target::Class,
    };
    let mut optimizer = GradientTransform::heavy_ball(Momentum::new(0.9).unwrap());
    let (mut bank, mut points) = (bank(), TwoPoints::new(1000));
    let (mut steps, mut shares, mut point_shares) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        let step = milliseconds(|| {
            let loss = mean_loss(&network, &batch, &Pass::values()).value;
            let gradient = ParamTensors::gradient(&network, &mut loss.backward());
            let direction = optimizer.direction(gradient, &|| ParamTensors::values(&network));
            network = direction.displace(network.clone(), -1e-4);
        });
        let averages = milliseconds(|| bank.update(round + 1, &network));
        let two = milliseconds(|| points.update(round + 1, &network, |_| false));
        if round > 0 {
            steps.push(step);
            shares.push(100.0 * averages / step);
            point_shares.push(100.0 * two / step);
        }
    }
    let (low, middle, high) = quartiles(&mut shares);
    println!(
        "{name}, step {:.1} ms: five EMAs {middle:.2} % ({low:.2} - {high:.2}) of a step, two points {:.5} %",
        median(&mut steps),
        median(&mut point_shares)
    );
}

fn milliseconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    1e3 * start.elapsed().as_secs_f64()
}

fn median(values: &mut [f64]) -> f64 {
    quartiles(values).1
}

fn quartiles(values: &mut [f64]) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
    (at(0.25), at(0.5), at(0.75))
}
