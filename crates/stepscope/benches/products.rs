//! What products with each matrix cost over 2048 examples, in gradients over the same examples, and how much memory.
//!
//! `cargo bench --workspace --bench products` (`-- SimpleCNN 256` for one network and fewer examples) prints medians of ratios over interleaved rounds: every round runs every operation
//! once, so that a machine that slows down slows all of them. Memory is the peak of a process that forms one product, above
//! that of one that forms none.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::time::Instant;

use burn::Tensor;
use burn::module::Module;
use burn::tensor::TensorData;
use stepscope::backend::Backend;
use stepscope::data::{Batch, Target};
use stepscope::measure::{BatchLoss, Curvature, CurvatureOperator, Kinks, Loss, Objective};
use stepscope::models::{Dual, Model, Network, ParamLayout, Pass, Sharing};
use stepscope::spectral::random::RandomStream;
use stepscope::spectral::{EigenTracker, EigensolverConfig, LinearOperator};
use stepscope::types::spec::{Activation, ModelKind, ModelSpec, Precision};

// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An operation: its name, and what is done.
type Operation = (&'static str, Work);

#[derive(Debug, Clone, Copy)]
enum Work {
    Gradient,
    /// One product of an operator made before.
    Product(Curvature),
    /// The same of a network whose tangent rules may not be used.
    WithoutRules(Curvature),
    /// The first product of an operator whose products share their linearisation.
    FirstShared,
    /// A later one.
    Shared(Curvature),
    /// The top eigenvalue by two products from a vector near the eigenvector, as a warm reading takes it; with sharing or without.
    Warm {
        shared: bool,
    },
}

const OPERATIONS: [Operation; 14] = [
    ("gradient", Work::Gradient),
    ("Hessian", Work::Product(Curvature::Hessian)),
    ("Hessian, first at a shared point", Work::FirstShared),
    ("Hessian, later at a shared point", Work::Shared(Curvature::Hessian)),
    ("Gauss-Newton", Work::Product(Curvature::GaussNewton)),
    ("Gauss-Newton, at a shared point", Work::Shared(Curvature::GaussNewton)),
    ("two warm products for an eigenvalue", Work::Warm { shared: false }),
    ("the same at a shared point", Work::Warm { shared: true }),
    ("gradient covariance", Work::Product(Curvature::GradientCovariance)),
    ("empirical Fisher", Work::Product(Curvature::EmpiricalFisher)),
    ("Monte-Carlo Fisher", Work::Product(Curvature::MonteCarloFisher { samples: 1, seed: 1 })),
    ("Hessian, differences", Work::WithoutRules(Curvature::HessianByDifferences { kinks: Kinks::Refuse })),
    ("Gauss-Newton, differences", Work::WithoutRules(Curvature::GaussNewton)),
    ("gradient covariance, differences", Work::WithoutRules(Curvature::GradientCovariance)),
];

struct Case {
    name: &'static str,
    kind: ModelKind,
    activation: Activation,
    shape: [usize; 3],
    micro_batch: usize,
    rounds: usize,
    num_operations: usize,
}

const CASES: [Case; 4] = [
    Case {
        name: "MLP 784-500-300-10, ReLU",
        kind: ModelKind::Mlp,
        activation: Activation::Relu,
        shape: [1, 28, 28],
        micro_batch: 512,
        rounds: 15,
        num_operations: 11,
    },
    // Smooth, so that every operation is defined.
    Case {
        name: "MLP 784-500-300-10, tanh",
        kind: ModelKind::Mlp,
        activation: Activation::Tanh,
        shape: [1, 28, 28],
        micro_batch: 512,
        rounds: 15,
        num_operations: 14,
    },
    // Long rounds.
    Case {
        name: "SimpleCNN 3x32x32, ReLU",
        kind: ModelKind::SimpleCnn,
        activation: Activation::Relu,
        shape: [3, 32, 32],
        micro_batch: 512,
        rounds: 5,
        num_operations: 8,
    },
    Case {
        name: "ResNet-20 3x32x32",
        kind: ModelKind::ResNet20,
        activation: Activation::Relu,
        shape: [3, 32, 32],
        micro_batch: 512,
        rounds: 3,
        num_operations: 8,
    },
];

/// A network whose tangent rules are kept to itself.
#[derive(Module, Debug)]
struct WithoutRules {
    network: Model,
}

impl BatchLoss<Batch> for WithoutRules {
    fn loss(&self, batch: &Batch) -> Loss {
        let logits = self.network.logits(Dual::constant(batch.images.clone()), &Pass::values());
        Loss::cross_entropy(logits.value, batch.labels.clone())
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    // `cargo test --benches` and IDEs pass this; there is nothing to test here.
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    keep_free_memory();
    let numbers: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    if let ([case, operation, examples], true) = (numbers.as_slice(), arguments.iter().any(|a| a == "--peak")) {
        return print_peak(&CASES[*case], *operation, *examples);
    }
    let examples = numbers.first().copied().unwrap_or(2048);
    let word = arguments.iter().skip(1).find(|argument| argument.starts_with(char::is_alphabetic));
    let is_asked_for = |case: &Case| word.is_none_or(|word| case.name.contains(word.as_str()));
    for (index, case) in CASES.iter().enumerate().filter(|(_, case)| is_asked_for(case)) {
        bench(index, case, examples);
    }
}

/// Starts once more with the allocator's setting that the program runs under: what products share is freed and taken again from point to
/// point.
fn keep_free_memory() {
    const SETTING: &str = "MIMALLOC_PURGE_DELAY";
    #[cfg(unix)]
    if std::env::var_os(SETTING).is_none() {
        use std::os::unix::process::CommandExt;
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        let _failed = again.args(std::env::args_os().skip(1)).env(SETTING, "600000").exec();
    }
}

struct Subject {
    exact: Model,
    without: WithoutRules,
    layout: ParamLayout,
    objective: Objective,
    v: Vec<f64>,
}

impl Subject {
    fn new(case: &Case, examples: usize) -> Self {
        let hidden = (case.kind == ModelKind::Mlp).then(|| vec![500, 300]);
        let spec = ModelSpec { kind: case.kind, hidden, activation: case.activation, ..ModelSpec::default() };
        let backend = Backend::cpu(Precision::F32);
        let exact = Model::new(&spec, case.shape, 10, RandomStream::new(1, 0), &backend).unwrap();
        let batches: Vec<Batch> =
            (0..examples / case.micro_batch).map(|index| random_batch(&backend, case, index)).collect();
        let layout = ParamLayout::of(&exact);
        let mut v = vec![0.0; layout.num_params()];
        RandomStream::new(3, 0).fill_normal(&mut v);
        let objective = Objective::from_batches(batches, Batch::len);
        Self { without: WithoutRules { network: exact.clone() }, exact, layout, objective, v }
    }

    /// A closure that runs the operation once; what is done once an operator is done before.
    fn prepared(&self, (_, work): Operation) -> Box<dyn FnMut() + '_> {
        match work {
            Work::Gradient => Box::new(|| drop(self.objective.loss_and_gradient(&self.exact, &self.layout).unwrap())),
            Work::Product(curvature) => self.product(&self.exact, curvature, None),
            Work::WithoutRules(curvature) => self.product(&self.without, curvature, None),
            Work::Shared(curvature) => self.product(&self.exact, curvature, Some(Sharing::default())),
            Work::FirstShared => Box::new(|| self.product(&self.exact, Curvature::Hessian, Some(Sharing::default()))()),
            Work::Warm { shared } => Box::new(move || self.warm(shared)),
        }
    }

    fn product<'a, N: BatchLoss<Batch>>(
        &'a self,
        network: &'a N,
        curvature: Curvature,
        sharing: Option<Sharing>,
    ) -> Box<dyn FnMut() + 'a> {
        let operator = CurvatureOperator::new(network, &self.objective, &self.layout, curvature);
        let mut operator = sharing.into_iter().fold(operator, CurvatureOperator::sharing);
        let mut image = vec![0.0; self.v.len()];
        Box::new(move || operator.apply(&self.v, &mut image).unwrap())
    }

    fn warm(&self, shared: bool) {
        let config = EigensolverConfig { num_largest: 1, num_smallest: 0, ..EigensolverConfig::default() };
        let mut tracker = EigenTracker::new(config, 0).with_warm_products(2);
        tracker.restore(vec![self.v.clone()], 1);
        let operator = CurvatureOperator::new(&self.exact, &self.objective, &self.layout, Curvature::Hessian);
        let mut operator = shared.then(Sharing::default).into_iter().fold(operator, CurvatureOperator::sharing);
        tracker.measure(&mut operator, &mut RandomStream::new(1, 1)).unwrap();
    }
}

fn bench(index: usize, case: &Case, examples: usize) {
    let subject = Subject::new(case, examples);
    let operations = &OPERATIONS[..case.num_operations];
    let mut runs: Vec<_> = operations.iter().map(|&operation| subject.prepared(operation)).collect();
    let mut times = vec![Vec::new(); operations.len()];
    for round in 0..=case.rounds {
        let measured: Vec<f64> = runs.iter_mut().map(time).collect();
        // The first round prepares operators, and warms caches and the allocator up.
        if round > 0 {
            times.iter_mut().zip(measured).for_each(|(times, time)| times.push(time));
        }
    }
    println!(
        "\n{}, {} parameters, {examples} examples in micro-batches of {}, {} interleaved rounds",
        case.name,
        subject.layout.num_params(),
        case.micro_batch,
        case.rounds
    );
    println!("{:<37}{:>11}{:>20}{:>18}", "", "median ms", "ratio (quartiles)", "peak MiB (ratio)");
    let peak_of_gradient = peak_of(index, 0, examples);
    for (row, (name, _)) in operations.iter().enumerate() {
        let ratios: Vec<f64> = times[row].iter().zip(&times[0]).map(|(own, gradient)| own / gradient).collect();
        let ([_, median, _], [low, ratio, high]) = (quartiles(&times[row]), quartiles(&ratios));
        let ratio = format!("{ratio:.2} ({low:.2}-{high:.2})");
        let peak = if row == 0 { peak_of_gradient } else { peak_of(index, row, examples) };
        let peak = format!("{peak:.0} ({:.2})", peak / peak_of_gradient);
        println!("{name:<37}{median:>11.1}{ratio:>20}{peak:>18}");
    }
}

/// MiB that a fresh process needs for the operation beyond what it needs for the subject alone.
fn peak_of(case: usize, operation: usize, examples: usize) -> f64 {
    let numbers = [case, operation, examples].map(|number| number.to_string());
    let output =
        std::process::Command::new(std::env::current_exe().unwrap()).arg("--peak").args(numbers).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap_or(f64::NAN)
}

fn print_peak(case: &Case, operation: usize, examples: usize) {
    let subject = Subject::new(case, examples);
    let before = peak_resident();
    let mut run = subject.prepared(OPERATIONS[operation]);
    run();
    if matches!(OPERATIONS[operation].1, Work::Shared(_)) {
        run();
    }
    println!("{}", (peak_resident() - before) / 1024.0);
}

/// The process's largest resident set so far in KiB, where the system tells.
fn peak_resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(f64::NAN)
}

fn random_batch(backend: &Backend, case: &Case, index: usize) -> Batch {
    let mut random = RandomStream::new(2, index as u64);
    let [channels, rows, columns] = case.shape;
    let size = case.micro_batch;
    let images: Vec<f64> = (0..size * channels * rows * columns).map(|_| random.normal()).collect();
    let labels: Vec<i64> = (0..size as i64).map(|example| example % 10).collect();
    let images = TensorData::new(images, [size, channels, rows, columns]);
    Batch {
        images: Tensor::from_data(images, (&backend.tracked(), backend.dtype())),
        labels: Tensor::from_data(TensorData::new(labels, [size]), &backend.tracked()),
        first_example: 0,
        target: Target::Class,
    }
}

/// Milliseconds that `work` takes.
fn time(work: &mut Box<dyn FnMut() + '_>) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e3
}

fn quartiles(values: &[f64]) -> [f64; 3] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| sorted[(sorted.len() - 1) * quarter / 4])
}
