//! Milliseconds and ratios of what a training run spends its time on, at batch 128.
//!
//! `cargo bench -p stepscope` prints medians with quartiles over interleaved rounds: every round runs every operation once, so
//! that a machine that slows down slows all of them. Compare ratios, not milliseconds.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::time::Instant;

use burn::Tensor;
use burn::tensor::TensorData;
use stepscope::backend::Backend;
use stepscope::control::Direction;
use stepscope::control::transform::GradientTransform;
use stepscope::data::{Batch, Target};
use stepscope::measure::objective::mean_loss;
use stepscope::measure::{Curvature, CurvatureOperator, Objective};
use stepscope::models::{Model, ParamLayout, ParamTensors, Pass};
use stepscope::spectral::random::RandomStream;
use stepscope::spectral::{Lanczos, LanczosConfig, LinearOperator, StartVector};
use stepscope::types::Momentum;
use stepscope::types::spec::{ModelKind, ModelSpec, Precision};

// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 128;

fn main() {
    // `cargo test --benches` and IDEs pass this; there is nothing to test here.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let mlp = ModelSpec { hidden: Some(vec![500, 300]), ..ModelSpec::default() };
    let cnn = ModelSpec { kind: ModelKind::SimpleCnn, ..ModelSpec::default() };
    bench("MLP 784-500-300-10", &mlp, [1, 28, 28], 41);
    bench("SimpleCNN 3x32x32", &cnn, [3, 32, 32], 5);
}

fn bench(name: &str, spec: &ModelSpec, shape: [usize; 3], rounds: usize) {
    let backend = Backend::cpu(Precision::F32);
    let mut network = Model::new(spec, shape, 10, RandomStream::new(1, 0), &backend).unwrap();
    let batch = random_batch(&backend, shape);
    let objective = Objective::of_batch(batch.clone());
    let layout = ParamLayout::of(&network);
    let mut random = RandomStream::new(3, 0);
    let mut v = vec![0.0; layout.num_params()];
    random.fill_normal(&mut v);
    let mut product = v.clone();
    let ten = Lanczos::new(LanczosConfig { max_products: 10, tolerance: 0.0, ..LanczosConfig::default() });
    let mut optimizer = GradientTransform::heavy_ball(Momentum::new(0.0).unwrap());

    let names = ["training step", "gradient", "exact Hessian product", "Gauss-Newton product", "ten Lanczos products"];
    let mut times = vec![Vec::new(); names.len()];
    for round in 0..=rounds {
        let operator = |curvature| CurvatureOperator::new(&network, &objective, &layout, curvature);
        let mut measured = [0.0; 5];
        measured[1] = time(|| drop(objective.loss_and_gradient(&network, &layout)));
        measured[2] = time(|| operator(Curvature::Hessian).apply(&v, &mut product).unwrap());
        measured[3] = time(|| operator(Curvature::GaussNewton).apply(&v, &mut product).unwrap());
        measured[4] = time(|| {
            drop(ten.run(&mut operator(Curvature::Hessian), StartVector::Random, &mut random).unwrap());
        });
        measured[0] = time(|| network = training_step(network.clone(), &batch, &mut optimizer));
        // The first round warms caches and the allocator up.
        if round > 0 {
            times.iter_mut().zip(measured).for_each(|(times, time)| times.push(time));
        }
    }
    println!("\n{name}, {} parameters, batch {BATCH}, {rounds} interleaved rounds", layout.num_params());
    println!("{:<24}{:>10}{:>18}{:>22}", "", "median ms", "quartiles", "ratio to gradient");
    for (name, own) in names.iter().zip(&times) {
        let ratios: Vec<f64> = own.iter().zip(&times[1]).map(|(own, gradient)| own / gradient).collect();
        let ([low, median, high], [_, ratio, _]) = (quartiles(own), quartiles(&ratios));
        println!("{name:<24}{median:>10.2}{:>18}{ratio:>22.2}", format!("{low:.2} - {high:.2}"));
    }
}

fn training_step(network: Model, batch: &Batch, optimizer: &mut GradientTransform) -> Model {
    let loss = mean_loss(&network, batch, &Pass::values()).value;
    let gradient = ParamTensors::gradient(&network, &mut loss.backward());
    let direction = optimizer.direction(gradient, &ParamTensors::default);
    // Small, so that hundreds of rounds on one batch stay where gradients are ordinary numbers.
    direction.displace(network, -1e-4)
}

fn random_batch(backend: &Backend, shape: [usize; 3]) -> Batch {
    let mut random = RandomStream::new(2, 0);
    let [channels, rows, columns] = shape;
    let images: Vec<f64> = (0..BATCH * channels * rows * columns).map(|_| random.normal()).collect();
    let labels: Vec<i64> = (0..BATCH as i64).map(|example| example % 10).collect();
    let images = TensorData::new(images, [BATCH, channels, rows, columns]);
    Batch {
        images: Tensor::from_data(images, (&backend.tracked(), backend.dtype())),
        labels: Tensor::from_data(TensorData::new(labels, [BATCH]), &backend.tracked()),
        first_example: 0,
        target: Target::Class,
    }
}

/// Milliseconds that `work` takes.
fn time(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e3
}

fn quartiles(values: &[f64]) -> [f64; 3] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| sorted[(sorted.len() - 1) * quarter / 4])
}
