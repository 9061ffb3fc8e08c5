//! Every kind of network on real data for a short run: whether its loss falls, its Hessian products are symmetric, its top eigenvalue is found.
//!
//! `cargo bench --workspace --bench networks -- CIFAR10 TEXTS [KIND ...]` prints a row of Markdown for each kind. `CIFAR10` and `TEXTS` are what
//! `data.name` takes: names of fetched data sets, or folders in CIFAR's and IMDB's form; `-` leaves one out.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::time::Instant;

use stepscope::backend::compute_on_this_thread;
use stepscope::data::{Batch, Dataset};
use stepscope::measure::{Curvature, CurvatureOperator, Objective};
use stepscope::models::{Model, ParamLayout};
use stepscope::spectral::LinearOperator;
use stepscope::spectral::random::RandomStream;
use stepscope::train::{Event, Run, Sink, SinkError};
use stepscope::types::spec::{
    DataSpec, Initializer, Instrument, LearningRateSpec, ModelKind, ModelSpec, Normalisation, TargetKind,
};
use stepscope::types::{
    BatchSize, LearningRate, Measurement, Momentum, RunSpec, TrainingDuration, Uncertainty, quantity,
};

// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: u64 = 64;
/// Examples of the products and of the sharpness.
const EXAMPLES: u64 = 64;

/// A network with the length of its run and its learning rate.
struct Case {
    name: &'static str,
    model: ModelSpec,
    targets: TargetKind,
    steps: u64,
    rate: f64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    // `cargo test --benches` and IDEs pass this; there is nothing to test here.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let [images, texts, names @ ..] = arguments.as_slice() else {
        println!("usage: cargo bench --workspace --bench networks -- CIFAR10 TEXTS [KIND ...]");
        return;
    };
    compute_on_this_thread();
    println!(
        "| network | parameters | steps, rate | loss, first ten and last ten steps | λ₁ of {EXAMPLES} examples, before and after | asymmetry | a step [ms] |"
    );
    println!("|---|---|---|---|---|---|---|");
    for case in cases() {
        let data = if case.model.kind == ModelKind::Lstm { texts } else { images };
        if data != "-" && (names.is_empty() || names.iter().any(|name| name == case.name)) {
            case.run(data);
        }
    }
}

fn cases() -> Vec<Case> {
    let case = |name, kind, steps, rate| Case {
        name,
        model: ModelSpec { kind, ..ModelSpec::default() },
        targets: TargetKind::Class,
        steps,
        rate,
    };
    let mlp = |name, hidden: &[u64], normalisation, rate| {
        let model = ModelSpec { hidden: Some(hidden.to_vec()), normalisation, ..ModelSpec::default() };
        Case { model, ..case(name, ModelKind::Mlp, 200, rate) }
    };
    let ntk = |name, linearised| {
        let model = ModelSpec { kind: ModelKind::Ntk, linearised, ..ModelSpec::default() };
        Case { model, targets: TargetKind::Number, ..case(name, ModelKind::Ntk, 200, 0.02) }
    };
    vec![
        ntk("ntk", false),
        ntk("ntk-linearised", true),
        mlp("mlp-4-batch-norm", &[512; 4], Some(Normalisation::Batch), 0.02),
        mlp("mlp-20", &[100; 20], None, 0.02).with_init(Initializer::HeNormal),
        case("simple-cnn", ModelKind::SimpleCnn, 200, 0.02),
        case("simple-cnn-bn", ModelKind::SimpleCnnBn, 200, 0.02),
        case("resnet-8", ModelKind::ResNet8, 200, 0.05),
        case("resnet-20", ModelKind::ResNet20, 200, 0.05),
        case("lstm", ModelKind::Lstm, 200, 0.5),
        case("vit", ModelKind::VisionTransformer, 200, 0.02),
        case("resnet-32", ModelKind::ResNet32, 100, 0.05),
        case("resnet-56", ModelKind::ResNet56, 100, 0.05),
        case("mobilenet-v2", ModelKind::MobileNetV2, 60, 0.05),
        case("vgg-11", ModelKind::Vgg11, 100, 0.02),
        case("resnet-18", ModelKind::ResNet18, 60, 0.02),
    ]
}

impl Case {
    fn with_init(mut self, init: Initializer) -> Self {
        self.model.init = init;
        self
    }

    fn spec(&self, data: &str) -> RunSpec {
        let mut spec = RunSpec::with_learning_rate(LearningRateSpec::Fixed(LearningRate::new(self.rate).unwrap()));
        spec.data = DataSpec {
            name: data.to_owned(),
            train_examples: Some(4096),
            test_examples: Some(64),
            targets: self.targets,
            ..DataSpec::default()
        };
        spec.model = self.model.clone();
        spec.optimizer.momentum = Momentum::new(0.9).unwrap();
        spec.train.duration = TrainingDuration::Steps(self.steps);
        spec.train.batch_size = BatchSize::new(BATCH).unwrap();
        spec.measure.instruments = Some(vec![Instrument::Sharpness]);
        spec.measure.every = TrainingDuration::Steps(self.steps);
        spec.measure.examples = EXAMPLES;
        spec.average.enabled = false;
        spec
    }

    fn run(&self, data: &str) {
        let spec = self.spec(data);
        let dataset = Dataset::load(&spec.data).unwrap();
        let run = Run::prepare(&spec, &dataset).unwrap();
        let backend = run.backend().clone();
        let mut seen = Seen { before: Instant::now(), losses: Vec::new(), millis: Vec::new(), sharpness: Vec::new() };
        let network = run.train(Vec::new(), &mut seen).unwrap().network;
        let first: Vec<u32> = (0..EXAMPLES as u32).collect();
        let batch = Batch::gather(&dataset.train, dataset.shape, &first, &backend.tracked(), backend.dtype());
        let (num_params, asymmetry) = asymmetry(&network, &Objective::of_batch(batch));
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        let (start, end) = (mean(&seen.losses[..10]), mean(&seen.losses[seen.losses.len() - 10..]));
        seen.millis.sort_by(f64::total_cmp);
        println!(
            "| `{}` | {num_params} | {}, {} | {start:.3}, **{end:.3}** | {} | {asymmetry:.0e} | {:.1} |",
            self.name,
            seen.losses.len(),
            self.rate,
            seen.sharpness.join(", "),
            seen.millis[seen.millis.len() / 2]
        );
    }
}

/// How far ⟨u, Hv⟩ and ⟨v, Hu⟩ are apart for u = Hv / ‖Hv‖ and a normal v, of the first: ‖Hv‖.
fn asymmetry(network: &Model, objective: &Objective) -> (usize, f64) {
    let layout = ParamLayout::of(network);
    let mut operator = CurvatureOperator::new(network, objective, &layout, Curvature::Hessian);
    let mut v = vec![0.0; layout.num_params()];
    RandomStream::named(0, "symmetry").fill_normal(&mut v);
    let (mut product, mut back) = (v.clone(), v.clone());
    operator.apply(&v, &mut product).unwrap();
    let norm = product.iter().map(|x| x * x).sum::<f64>().sqrt();
    product.iter_mut().for_each(|x| *x /= norm);
    operator.apply(&product, &mut back).unwrap();
    let other: f64 = v.iter().zip(&back).map(|(a, b)| a * b).sum();
    (v.len(), (norm - other).abs() / norm)
}

/// Losses, milliseconds between them, and the sharpness.
struct Seen {
    before: Instant,
    losses: Vec<f64>,
    millis: Vec<f64>,
    sharpness: Vec<String>,
}

impl Sink for Seen {
    fn receive(&mut self, event: &Event) -> Result<(), SinkError> {
        match event {
            Event::StepTaken { batch_loss, .. } => {
                self.losses.push(batch_loss.value.unwrap_or(f64::NAN));
                self.millis.push(self.before.elapsed().as_secs_f64() * 1e3);
                self.before = Instant::now();
            }
            Event::Measured(measurement) if measurement.name == quantity::HESSIAN_TOP_EIGENVALUE.name => {
                self.sharpness.push(written(measurement));
            }
            _ => {}
        }
        Ok(())
    }
}

fn written(measurement: &Measurement) -> String {
    match (measurement.value, &measurement.error, &measurement.unresolved) {
        (Some(value), Some(Uncertainty::Residual(residual)), _) => format!("{value:.3} ± {residual:.0e}"),
        (Some(value), ..) => format!("{value:.3}"),
        (None, _, reason) => format!("none ({})", reason.as_deref().unwrap_or("no reason")),
    }
}
