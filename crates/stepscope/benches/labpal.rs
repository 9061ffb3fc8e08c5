//! What LABPAL costs beside SGD on SimpleCNN at batch 128, in time and in memory.
//!
//! `cargo bench --workspace --bench labpal` prints medians with quartiles over interleaved rounds: every round measures one line
//! and then takes updates of both methods in turn. Compare ratios, not times. Memory is the peak of a fresh process.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::time::Instant;

use burn::Tensor;
use burn::tensor::TensorData;
use stepscope::backend::Backend;
use stepscope::control::transform::GradientTransform;
use stepscope::control::{Context, Fixed, LabPal, LabPalMode, LabPalTask, Method, NetworkOracle, Numbered, Stepwise};
use stepscope::data::{Batch, Target};
use stepscope::models::{Model, ParamLayout};
use stepscope::spectral::random::RandomStream;
use stepscope::types::spec::{LabPalSpec, ModelKind, ModelSpec, Precision};
use stepscope::types::{LearningRate, Momentum};

// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 128;
const ROUNDS: usize = 8;
/// Updates of either method in a round; LABPAL's next measurement comes after ten.
const UPDATES: usize = 9;
const PER_MEASUREMENT: f64 = 1000.0;
const APPROXIMATION: u64 = 10;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    // `cargo test --benches` and IDEs pass this; there is nothing to test here.
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    if let Some(method) = arguments.iter().position(|argument| argument == "--peak").map(|at| &arguments[at + 1]) {
        peak(method);
        return;
    }
    time();
    memory();
}

fn network(kind: ModelKind, hidden: Option<Vec<u64>>, shape: [usize; 3]) -> Model {
    let spec = ModelSpec { kind, hidden, ..ModelSpec::default() };
    Model::new(&spec, shape, 10, RandomStream::new(1, 0), &Backend::cpu(Precision::F32)).unwrap()
}

fn random_batch(shape: [usize; 3]) -> Batch {
    let (backend, mut random) = (Backend::cpu(Precision::F32), RandomStream::new(2, 0));
    let images: Vec<f64> = (0..BATCH * shape.iter().product::<usize>()).map(|_| random.normal()).collect();
    let labels: Vec<i64> = (0..BATCH as i64).map(|example| example % 10).collect();
    let dims = [BATCH, shape[0], shape[1], shape[2]];
    Batch {
        images: Tensor::from_data(TensorData::new(images, dims), (&backend.tracked(), backend.dtype())),
        labels: Tensor::from_data(TensorData::new(labels, [BATCH]), &backend.tracked()),
        first_example: 0,
        target: Target::Class,
    }
}

fn direction() -> Box<GradientTransform> {
    Box::new(GradientTransform::heavy_ball(Momentum::default()))
}

fn labpal() -> Box<dyn Method<Model, Batch>> {
    let task = LabPalTask { batch_size: BATCH as u64, num_examples: 40_000, num_batches: 100_000 };
    Box::new(LabPal::new(LabPalMode::Sgd, &LabPalSpec::default(), direction(), task).unwrap())
}

fn sgd() -> Box<dyn Method<Model, Batch>> {
    Box::new(Stepwise::new(direction(), Box::new(Fixed(LearningRate::new(1e-4).unwrap()))))
}

/// One batch into a method; the network is put back where it was, so that all rounds are alike.
fn take(method: &mut Box<dyn Method<Model, Batch>>, network: &mut Model, batch: &Batch, number: u64) -> f64 {
    let start = Instant::now();
    let mut oracle = NetworkOracle::default();
    let numbered = Numbered { number, batch: batch.clone() };
    let (next, report) = method.take(network.clone(), numbered, &mut Context::new(&mut oracle, 3));
    assert!(report.halt.is_none());
    *network = oracle.absorb_into(next);
    1e3 * start.elapsed().as_secs_f64()
}

fn time() {
    let shape = [3, 32, 32];
    let (start, batch) = (network(ModelKind::SimpleCnn, None, shape), random_batch(shape));
    let (mut steps, mut updates, mut measurements) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (mut ours, mut theirs) = (start.clone(), start.clone());
        let (mut labpal, mut sgd) = (labpal(), sgd());
        let measured: f64 = (0..APPROXIMATION).map(|number| take(&mut labpal, &mut ours, &batch, number)).sum();
        let mut own = Vec::new();
        for number in APPROXIMATION..APPROXIMATION + UPDATES as u64 {
            let update = take(&mut labpal, &mut ours, &batch, number);
            let step = take(&mut sgd, &mut theirs, &batch, number);
            own.push(step);
            // The first round fills caches and pages.
            if round > 0 {
                steps.push(step);
                updates.push(update / step);
            }
        }
        if round > 0 {
            measurements.push(measured / quartiles(&mut own).1);
        }
    }
    let (low, update, high) = quartiles(&mut updates);
    println!("SimpleCNN 3x32x32, batch {BATCH}, step of SGD {:.1} ms", quartiles(&mut steps).1);
    println!("an update of LABPAL between two measurements: {update:.4} ({low:.4} - {high:.4}) of a step of SGD");
    let (low, measurement, high) = quartiles(&mut measurements);
    println!(
        "a measurement with its update: {measurement:.2} ({low:.2} - {high:.2}) steps of SGD, for {APPROXIMATION} batches"
    );
    let all = (PER_MEASUREMENT - 1.0) * update + measurement;
    println!(
        "over {PER_MEASUREMENT} updates: {:+.2} % of SGD's time for as many updates",
        100.0 * (all / PER_MEASUREMENT - 1.0)
    );
    let batches = PER_MEASUREMENT - 1.0 + APPROXIMATION as f64;
    println!("  and {:+.2} % of SGD's time for as many batches", 100.0 * (all / batches - 1.0));
}

/// An MLP whose weights outweigh all else: peaks beyond those of SGD, in vectors as long as the weights.
fn memory() {
    let of = |method: &str| {
        let output =
            std::process::Command::new(std::env::current_exe().unwrap()).args(["--peak", method]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse::<f64>().unwrap()
    };
    let bytes = 4.0 * ParamLayout::of(&large()).num_params() as f64;
    let (sgd, labpal) = (of("sgd"), of("labpal"));
    println!(
        "peak memory with {:.0} MB of weights: SGD {:.2} vectors, LABPAL {:.2}",
        bytes / 1e6,
        sgd / bytes,
        labpal / bytes
    );
}

fn large() -> Model {
    network(ModelKind::Mlp, Some(vec![5000, 5000]), [1, 28, 28])
}

/// Prints the peak of this process, in bytes, after fifteen batches.
fn peak(method: &str) {
    let (mut network, batch) = (large(), random_batch([1, 28, 28]));
    let mut method = if method == "labpal" { labpal() } else { sgd() };
    for number in 0..15 {
        // By value and not as in `take`: a copy of the network that is kept would be memory, too.
        let mut oracle = NetworkOracle::default();
        let numbered = Numbered { number, batch: batch.clone() };
        network = method.take(network, numbered, &mut Context::new(&mut oracle, 3)).0;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    println!("{}", 1024.0 * kilobytes);
}

fn quartiles(values: &mut [f64]) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
    (at(0.25), at(0.5), at(0.75))
}
