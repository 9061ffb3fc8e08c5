//! Networks linearised at their initial weights: exact tangents, their kernel, and training that the theory predicts.
#![allow(clippy::unwrap_used)]

mod common;

use common::{dot, norm, random_vector, relative_error};
use stepscope::backend::Backend;
use stepscope::data::Dataset;
use stepscope::measure::{Curvature, CurvatureOperator, Objective, TangentKernel};
use stepscope::models::{Dual, Model, Network, ParamLayout, Pass, Sharing};
use stepscope::predict::tangent_problem;
use stepscope::spectral::LinearOperator;
use stepscope::spectral::random::RandomStream;
use stepscope::theory::{Closure, Problem, Rung, Sampling, Sgd};
use stepscope::train::{MemorySink, Run};
use stepscope::types::spec::{
    Activation, DataSpec, Instrument, LearningRateSpec, ModelKind, ModelSpec, Normalisation, Precision, TargetKind,
};
use stepscope::types::{BatchSize, LearningRate, Momentum, Record, RunSpec, Seeds, TrainingDuration};

fn digits(count: u64, targets: TargetKind) -> Dataset {
    let spec = DataSpec { train_examples: Some(count), test_examples: Some(8), targets, ..DataSpec::default() };
    Dataset::load(&spec).unwrap()
}

fn whole(dataset: &Dataset) -> Objective {
    let backend = Backend::cpu(Precision::F64);
    Objective::whole(&dataset.train, dataset.shape, &backend.tracked(), backend.dtype())
}

fn build(spec: &ModelSpec, dataset: &Dataset, seed: u64) -> Model {
    let spec = ModelSpec { precision: Precision::F64, ..spec.clone() };
    let backend = Backend::cpu(Precision::F64);
    Model::new(&spec, dataset.shape, dataset.num_outputs, RandomStream::new(seed, 0), &backend).unwrap()
}

fn two_layers(width: u64) -> ModelSpec {
    ModelSpec { kind: ModelKind::Ntk, hidden: Some(vec![width]), ..ModelSpec::default() }
}

/// Θ of a relu network of endless width, from its formula.
fn endless_width(dataset: &Dataset) -> Vec<f64> {
    let examples: Vec<Vec<f64>> = (0..dataset.train.num_examples())
        .map(|index| dataset.train.example(index).into_iter().map(f64::from).collect())
        .collect();
    let inputs = dataset.train.example_length() as f64;
    let pi = std::f64::consts::PI;
    let entry = |x: &[f64], y: &[f64]| {
        let (product, norms) = (dot(x, y), norm(x) * norm(y));
        let angle = (product / norms).clamp(-1.0, 1.0).acos();
        (norms * (angle.sin() + (pi - angle) * angle.cos()) + product * (pi - angle)) / (pi * inputs)
    };
    examples.iter().flat_map(|x| examples.iter().map(|y| entry(x, y)).collect::<Vec<f64>>()).collect()
}

#[test]
fn the_tangent_kernel_tends_to_its_closed_form_as_one_over_the_root_of_the_width() {
    let dataset = digits(12, TargetKind::Number);
    let (objective, limit) = (whole(&dataset), endless_width(&dataset));
    let error = |width: u64| {
        let squares = (0..6).map(|seed| {
            let kernel = TangentKernel::of(&build(&two_layers(width), &dataset, seed), &objective).unwrap().kernel;
            relative_error(&kernel, &limit).powi(2)
        });
        (squares.sum::<f64>() / 6.0).sqrt()
    };
    let (narrow, wide) = (error(100), error(1600));
    assert!(wide < 0.05, "{wide}");
    // Four times smaller; a mean of six squares leaves it within a factor of 2.
    assert!((2.0..8.0).contains(&(narrow / wide)), "{narrow} {wide}");
}

#[test]
fn the_kernel_is_the_gram_matrix_of_the_examples_gradients() {
    let dataset = digits(7, TargetKind::Number);
    let spec = ModelSpec { hidden: Some(vec![9, 5]), activation: Activation::Tanh, ..ModelSpec::default() };
    let network = build(&spec, &dataset, 3);
    let layout = ParamLayout::of(&network);
    let TangentKernel { kernel, residual } = TangentKernel::of(&network, &whole(&dataset)).unwrap();
    let outputs = |network: &Model| -> Vec<f64> {
        let objective = whole(&dataset);
        let (batch, _) = objective.micro_batches().next().unwrap();
        network.logits(Dual::constant(batch.images.clone()), &Pass::values()).value.into_data().iter::<f64>().collect()
    };
    // The gradients of f itself, by central differences of the outputs.
    let start = layout.values(&network);
    let mut gradients = vec![vec![0.0; start.len()]; 7];
    for parameter in 0..start.len() {
        let moved = |by: f64| {
            let mut values = start.clone();
            values[parameter] += by;
            outputs(&layout.assign(network.clone(), &values))
        };
        for (gradient, (plus, minus)) in gradients.iter_mut().zip(moved(1e-5).into_iter().zip(moved(-1e-5))) {
            gradient[parameter] = (plus - minus) / 2e-5;
        }
    }
    let gram: Vec<f64> =
        gradients.iter().flat_map(|a| gradients.iter().map(|b| dot(a, b)).collect::<Vec<f64>>()).collect();
    assert!(relative_error(&kernel, &gram) < 1e-8);
    let numbers: Vec<f64> = dataset.train.labels().iter().map(|&label| f64::from(label)).collect();
    let mean = numbers.iter().sum::<f64>() / 7.0;
    let deviation = (numbers.iter().map(|number| (number - mean).powi(2)).sum::<f64>() / 7.0).sqrt();
    let expected: Vec<f64> = outputs(&network).iter().zip(&numbers).map(|(f, t)| f - (t - mean) / deviation).collect();
    assert!(relative_error(&residual, &expected) < 1e-12);
}

#[test]
fn several_outputs_have_no_kernel_of_examples() {
    for targets in [TargetKind::Class, TargetKind::OneHot] {
        let dataset = digits(5, targets);
        let message = TangentKernel::of(&build(&two_layers(8), &dataset, 1), &whole(&dataset)).unwrap_err().to_string();
        assert!(message.contains("10 outputs") && message.contains("data.targets"), "{message}");
    }
}

#[test]
fn a_kernel_that_would_not_fit_is_refused_with_the_key_that_helps() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, dimensions: &[u32], payload: Vec<u8>| {
        let header = [0, 0, 8, dimensions.len() as u8].into_iter();
        let bytes: Vec<u8> = header.chain(dimensions.iter().flat_map(|d| d.to_be_bytes())).chain(payload).collect();
        std::fs::write(folder.path().join(name), bytes).unwrap();
    };
    for (split, count) in [("train", 5001_u32), ("t10k", 2)] {
        let numbers: Vec<u8> = (0..count).map(|index| (index % 2) as u8).collect();
        write(&format!("{split}-images-idx3-ubyte"), &[count, 1, 1], numbers.clone());
        write(&format!("{split}-labels-idx1-ubyte"), &[count], numbers);
    }
    let mut spec = regression(1, 4, 4);
    let name = folder.path().to_str().unwrap().to_owned();
    spec.data = DataSpec { name, targets: TargetKind::Number, ..DataSpec::default() };
    let message = tangent_problem(&spec, &Dataset::load(&spec.data).unwrap()).unwrap_err().to_string();
    assert!(message.contains("5001") && message.contains("data.train_examples"), "{message}");
}

/// Kinds whose layers cover every tangent rule that a linearised network may have.
fn kinds() -> Vec<ModelSpec> {
    let of = |kind| ModelSpec { kind, activation: Activation::Tanh, ..ModelSpec::default() };
    vec![
        ModelSpec { hidden: Some(vec![9, 5]), normalisation: Some(Normalisation::Layer), ..of(ModelKind::Mlp) },
        ModelSpec { hidden: Some(vec![9]), ..of(ModelKind::Ntk) },
        ModelSpec { hidden: Some(vec![9]), ..of(ModelKind::RandomFeatures) },
        ModelSpec { normalisation: Some(Normalisation::Group), ..of(ModelKind::ResNet8) },
        of(ModelKind::VisionTransformer),
        ModelSpec { vocabulary: 16, ..of(ModelKind::Lstm) },
    ]
}

#[test]
fn a_linearised_network_is_its_value_and_exact_tangent_at_the_origin() {
    for targets in [TargetKind::Class, TargetKind::OneHot] {
        let dataset = digits(4, targets);
        let objective = whole(&dataset);
        for spec in kinds() {
            let plain = build(&spec, &dataset, 5);
            let linear = build(&ModelSpec { linearised: true, ..spec.clone() }, &dataset, 5);
            let layout = ParamLayout::of(&linear);
            assert_eq!(layout.values(&linear), ParamLayout::of(&plain).values(&plain), "{:?}", spec.kind);
            let logits = |network: &Model| -> Vec<f64> {
                let (batch, _) = objective.micro_batches().next().unwrap();
                let outputs = network.logits(Dual::constant(batch.images.clone()), &Pass::values());
                outputs.value.into_data().iter::<f64>().collect()
            };
            let way = random_vector(layout.num_params(), 8);
            let moved = |network: &Model, by: f64| {
                let layout = ParamLayout::of(network);
                let values: Vec<f64> = layout.values(network).iter().zip(&way).map(|(p, v)| p + by * v).collect();
                layout.assign(network.clone(), &values)
            };
            let (here, plus, minus) = (logits(&plain), logits(&moved(&plain, 1e-5)), logits(&moved(&plain, -1e-5)));
            assert!(relative_error(&logits(&linear), &here) < 1e-14, "{:?}", spec.kind);
            let tangent: Vec<f64> = plus.iter().zip(&minus).map(|(a, b)| (a - b) / 2e-5).collect();
            let expected: Vec<f64> = here.iter().zip(&tangent).map(|(f, jv)| f + 0.3 * jv).collect();
            let error = relative_error(&logits(&moved(&linear, 0.3)), &expected);
            assert!(error < 1e-7, "{:?}: {error:.1e}", spec.kind);
            assert!(Network::kinks(&linear).is_empty());
        }
    }
}

#[test]
fn the_hessian_of_a_linearised_network_is_its_gauss_newton_matrix_wherever_it_stands() {
    for targets in [TargetKind::Class, TargetKind::OneHot] {
        let dataset = digits(6, targets);
        let objective = whole(&dataset);
        for spec in kinds() {
            let network = build(&ModelSpec { linearised: true, ..spec.clone() }, &dataset, 5);
            let layout = ParamLayout::of(&network);
            let (u, way) = (random_vector(layout.num_params(), 1), random_vector(layout.num_params(), 2));
            let moved: Vec<f64> = layout.values(&network).iter().zip(&way).map(|(p, v)| p + 0.1 * v).collect();
            let moved = layout.assign(network.clone(), &moved);
            let product = |network: &Model, curvature| {
                let layout = ParamLayout::of(network);
                let mut out = vec![0.0; u.len()];
                let mut operator = CurvatureOperator::new(network, &objective, &layout, curvature);
                operator.apply(&u, &mut out).unwrap();
                out
            };
            let hessian = product(&moved, Curvature::Hessian);
            let error = relative_error(&hessian, &product(&moved, Curvature::GaussNewton));
            assert!(error < 1e-10, "{:?} {targets:?}: {error:.1e}", spec.kind);
            // Its loss depends on tangents in another way than linearly: adjoints are no gradients, and nothing is shared.
            let everything = Sharing { max_bytes: u64::MAX, min_multiplications: 0 };
            let mut shared =
                CurvatureOperator::new(&moved, &objective, &layout, Curvature::Hessian).sharing(everything);
            let mut again = vec![0.0; u.len()];
            shared.apply(&way, &mut again).unwrap();
            shared.apply(&u, &mut again).unwrap();
            assert_eq!(again, hessian, "{:?}", spec.kind);
            let elsewhere = relative_error(&hessian, &product(&network, Curvature::Hessian));
            // Squares have the same curvature everywhere, cross-entropy has not.
            assert_eq!(elsewhere < 1e-10, targets == TargetKind::OneHot, "{:?} {elsewhere:.1e}", spec.kind);
        }
    }
}

fn regression(examples: u64, batch: u64, width: u64) -> RunSpec {
    let rate = LearningRateSpec::Fixed(LearningRate::new(0.3).unwrap());
    let mut spec = RunSpec::with_learning_rate(rate);
    spec.data = DataSpec {
        train_examples: Some(examples),
        test_examples: Some(8),
        targets: TargetKind::Number,
        ..DataSpec::default()
    };
    spec.model = ModelSpec { linearised: true, precision: Precision::F64, ..two_layers(width) };
    spec.train.duration = TrainingDuration::Steps(30);
    spec.train.batch_size = BatchSize::new(batch).unwrap();
    spec.measure.every = TrainingDuration::Steps(5);
    spec.measure.examples = 1;
    spec.measure.instruments = Some(vec![Instrument::Loss]);
    spec.average.enabled = false;
    spec
}

/// The training loss after 0, 5, ..., 30 steps.
fn losses(spec: &RunSpec, dataset: &Dataset) -> Vec<f64> {
    let mut sink = MemorySink::default();
    Run::prepare(spec, dataset).unwrap().train(Vec::new(), &mut sink).unwrap();
    let of_loss = |record: &Record| match record {
        Record::Measurement(measurement) if measurement.name == "train/loss" => {
            assert_eq!(measurement.unit, "1", "squared distances are no nats");
            measurement.value
        }
        _ => None,
    };
    sink.records.iter().filter_map(of_loss).collect()
}

const TIMES: [u64; 7] = [0, 5, 10, 15, 20, 25, 30];

#[test]
fn full_batch_training_of_a_linearised_network_is_what_the_theory_predicts_to_rounding() {
    for momentum in [0.0, 0.8] {
        let mut spec = regression(40, 40, 60);
        spec.optimizer.momentum = Momentum::new(momentum).unwrap();
        let dataset = Dataset::load(&spec.data).unwrap();
        let measured = losses(&spec, &dataset);
        let problem = Problem::of_data(tangent_problem(&spec, &dataset).unwrap(), Closure::INTERPOLATING).unwrap();
        let sgd = Sgd::from_numbers(0.3, momentum, 0.0).unwrap();
        let predicted = problem.predict(&sgd, &TIMES, Rung::Recursion).unwrap().loss;
        let error = relative_error(&measured, &predicted);
        assert!(error < 1e-9, "{error:.1e}: {measured:?} {predicted:?}");
        assert!(measured[6] < 0.5 * measured[0], "it learns");
    }
}

#[test]
fn the_mean_of_many_mini_batch_runs_of_a_linearised_network_is_what_the_theory_predicts() {
    let mut spec = regression(24, 4, 16);
    spec.train.sampling = stepscope::types::spec::Sampling::WithReplacement;
    let dataset = Dataset::load(&spec.data).unwrap();
    let mut problem = Problem::of_data(tangent_problem(&spec, &dataset).unwrap(), Closure::INTERPOLATING).unwrap();
    problem.sampling = Sampling::Stream;
    let sgd = Sgd::from_numbers(0.3, 0.0, 0.25).unwrap();
    let predicted = problem.predict(&sgd, &TIMES, Rung::SecondMoment).unwrap().loss;
    const RUNS: u64 = 150;
    let init = spec.seeds.init_seed();
    let runs: Vec<Vec<f64>> = (0..RUNS)
        .map(|seed| {
            spec.seeds = Seeds { root: seed, init: Some(init), ..Seeds::default() };
            losses(&spec, &dataset)
        })
        .collect();
    for (index, &predicted) in predicted.iter().enumerate().skip(1) {
        let mean = runs.iter().map(|run| run[index]).sum::<f64>() / RUNS as f64;
        let squares = runs.iter().map(|run| (run[index] - mean).powi(2)).sum::<f64>();
        let error = (squares / (RUNS * (RUNS - 1)) as f64).sqrt();
        assert!((mean - predicted).abs() < 4.0 * error, "step {}: {mean} ± {error}, {predicted}", TIMES[index]);
        assert!(error < 0.05 * predicted, "the runs say something: {error} of {predicted}");
    }
}

#[test]
fn a_wide_network_trains_like_its_tangent_and_a_narrow_one_does_not() {
    let deviation = |width: u64| {
        let mut spec = regression(24, 24, width);
        let dataset = Dataset::load(&spec.data).unwrap();
        let linear = losses(&spec, &dataset);
        spec.model.linearised = false;
        relative_error(&losses(&spec, &dataset), &linear)
    };
    let (narrow, wide) = (deviation(10), deviation(2560));
    assert!(narrow > 8.0 * wide && wide < 0.02, "{narrow} {wide}");
}
