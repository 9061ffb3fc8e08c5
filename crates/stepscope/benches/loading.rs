//! For which share of its time training stands still because no batch is ready.
//!
//! `cargo bench --workspace --bench loading [-- FASHION CIFAR]` (names of fetched data sets, or folders; without them the embedded
//! Fashion images) prints it for batches of 128, with and without augmentation. Under 2 % is aimed at.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::time::Instant;

use stepscope::backend::{Backend, compute_on_this_thread};
use stepscope::control::Direction;
use stepscope::control::transform::GradientTransform;
use stepscope::data::{BatchPlan, Dataset, Loader, planned_sampler};
use stepscope::measure::objective::{mean_loss, scalar};
use stepscope::models::{Model, ParamTensors, Pass};
use stepscope::spectral::random::RandomStream;
use stepscope::types::spec::{AugmentSpec, DataSpec, ModelKind, ModelSpec, Precision, Sampling};
use stepscope::types::{BatchSize, Momentum};

// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: u64 = 128;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    // `cargo test --benches` and IDEs pass this; there is nothing to test here.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    compute_on_this_thread();
    println!("network         data                augmented   step [ms]   waited [us a step]   share [%]");
    let mlp = ModelSpec { hidden: Some(vec![500, 300]), ..ModelSpec::default() };
    let cnn = ModelSpec { kind: ModelKind::SimpleCnn, ..ModelSpec::default() };
    let fashion = arguments.first().map_or("fashion14", String::as_str);
    for augment in [AugmentSpec::default(), AugmentSpec { pad_crop: 2, flip: true, shift: 0 }] {
        measure("mlp", &mlp, fashion, augment, 300);
        if let Some(cifar) = arguments.get(1) {
            measure("simple-cnn", &cnn, cifar, augment, 20);
        }
    }
}

fn measure(name: &str, spec: &ModelSpec, data: &str, augment: AugmentSpec, steps: u32) {
    let data_spec = DataSpec { name: data.to_owned(), train_examples: Some(4096), augment, ..DataSpec::default() };
    let dataset = Dataset::load(&data_spec).unwrap();
    let backend = Backend::cpu(Precision::F32);
    let mut network = Model::new(spec, dataset.shape, dataset.num_classes, RandomStream::new(1, 0), &backend).unwrap();
    let (drawn, num_examples) = (Sampling::WithoutReplacement, dataset.train.num_examples());
    let plan = BatchPlan::constant(drawn, num_examples as u64, BatchSize::new(BATCH).unwrap());
    let order = planned_sampler(drawn, num_examples, plan.clone(), 2).unwrap();
    let augmentation = dataset.augmentation(&data_spec, 3).unwrap();
    let mut loader = Loader::new(&dataset.train, dataset.shape, order, augmentation, plan);
    let mut optimizer = GradientTransform::heavy_ball(Momentum::new(0.9).unwrap());
    let mut step = |network: Model| {
        let batch = loader.next_batch(&backend.tracked(), backend.dtype());
        let loss = mean_loss(&network, &batch, &Pass::training(4)).value;
        scalar(&loss);
        let gradient = ParamTensors::gradient(&network, &mut loss.backward());
        let direction = optimizer.direction(gradient, &ParamTensors::default);
        (direction.displace(network, -1e-3), loader.waited())
    };
    // The first step warms up, and waits for its own batch.
    let before;
    (network, before) = step(network);
    let start = Instant::now();
    let mut waited = before;
    for _ in 0..steps {
        (network, waited) = step(network);
    }
    let (seconds, waited) = (start.elapsed().as_secs_f64(), (waited - before).as_secs_f64());
    let (each, idle) = (1e3 * seconds / f64::from(steps), 1e6 * waited / f64::from(steps));
    let short = data.rsplit('/').next().unwrap_or(data);
    let augmented = if augment == AugmentSpec::default() { "no" } else { "yes" };
    println!("{name:<16}{short:<20}{augmented:<12}{each:>9.2}{idle:>21.1}{:>12.2}", 100.0 * waited / seconds);
}
