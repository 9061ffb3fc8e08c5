//! The seam of control: oracles, several ranks, running statistics of foreign modules.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{Arc, Barrier, Mutex};

use burn::Tensor;
use burn::module::{Module, Param, RunningState};
use common::{digits, model, relative_error};
use stepscope::backend::Backend;
use stepscope::control::transform::GradientTransform;
use stepscope::control::{
    Context, Fixed, LossOracle, Method, NetworkOracle, Numbered, Passes, Reduce, Statistics, StepReport, Stepwise,
};
use stepscope::data::Batch;
use stepscope::models::{Model, ParamLayout};
use stepscope::types::spec::{Activation, ModelKind, Precision};
use stepscope::types::{LearningRate, Momentum};

fn momentum_sgd() -> Stepwise {
    let rate = LearningRate::new(0.2).unwrap();
    Stepwise::new(Box::new(GradientTransform::heavy_ball(Momentum::new(0.5).unwrap())), Box::new(Fixed(rate)))
}

fn batches(from: u32, size: u32) -> Vec<Batch> {
    let (dataset, backend) = (digits(), Backend::cpu(Precision::F64));
    let batch = |number: u32| {
        let indices: Vec<u32> = (from + number * size..from + (number + 1) * size).collect();
        Batch::gather(&dataset.train, dataset.shape, &indices, &backend.tracked(), backend.dtype())
    };
    (0..5).map(batch).collect()
}

fn network() -> Model {
    model(ModelKind::Mlp, Activation::Tanh, Precision::F64, &digits())
}

/// The mean over two threads.
struct Pair {
    rank: usize,
    shared: Arc<(Barrier, Mutex<[Vec<f64>; 2]>)>,
}

impl Reduce for Pair {
    fn mean_over_ranks(&mut self, numbers: &mut [f64]) {
        let (barrier, slots) = &*self.shared;
        slots.lock().unwrap()[self.rank] = numbers.to_vec();
        barrier.wait();
        let [first, second] = slots.lock().unwrap().clone();
        // Nobody may write the next numbers before both have read these.
        barrier.wait();
        assert_eq!(first.len(), second.len());
        numbers.iter_mut().zip(first.iter().zip(second)).for_each(|(mean, (a, b))| *mean = 0.5 * (a + b));
    }

    fn num_ranks(&self) -> usize {
        2
    }
}

fn train(mut network: Model, batches: Vec<Batch>, mut reduce: Option<&mut dyn Reduce>) -> (Model, Vec<StepReport>) {
    let (mut method, mut oracle, mut reports) = (momentum_sgd(), NetworkOracle::default(), Vec::new());
    for (number, batch) in (0..).zip(batches) {
        let mut context = Context::new(&mut oracle, 1);
        if let Some(reduce) = reduce.as_mut() {
            context = context.with_reduce(&mut **reduce);
        }
        let (next, report) = method.take(network, Numbered { number, batch }, &mut context);
        network = next;
        reports.push(report);
    }
    (network, reports)
}

#[test]
fn two_ranks_take_the_step_that_one_takes_on_both_their_batches() {
    let start = network();
    let layout = ParamLayout::of(&start);
    let shared = Arc::new((Barrier::new(2), Mutex::new([Vec::new(), Vec::new()])));
    let ranks = [0, 1].map(|rank| {
        let (start, shared) = (start.clone(), Arc::clone(&shared));
        std::thread::spawn(move || {
            // Batch n of both ranks together is batch n of the single run.
            let own = batches(0, 16).into_iter().map(|batch| batch.slice(rank * 8..rank * 8 + 8)).collect();
            train(start, own, Some(&mut Pair { rank, shared }))
        })
    });
    let [(first, reports), (second, _)] = ranks.map(|rank| rank.join().unwrap());
    assert_eq!(layout.values(&first), layout.values(&second), "bit for bit");
    let (single, expected) = train(start, batches(0, 16), None);
    let error = relative_error(&layout.values(&first), &layout.values(&single));
    assert!(error < 1e-12, "{error:.1e}");
    for (report, expected) in reports.iter().zip(&expected) {
        assert!((report.loss - expected.loss).abs() < 1e-12 && report.updated);
        assert_eq!(report.passes, Passes { forward: 1, backward: 1 });
    }
}

#[test]
fn an_oracle_of_our_networks_gives_one_loss_with_and_without_gradient() {
    let dataset = digits();
    for kind in [ModelKind::Mlp, ModelKind::SimpleCnn] {
        let spec = stepscope::types::spec::ModelSpec {
            dropout: 0.2,
            normalisation: Some(stepscope::types::spec::Normalisation::Batch),
            ..common::model_spec(kind, Activation::Relu, Precision::F32)
        };
        let backend = Backend::cpu(Precision::F32);
        let random = stepscope::spectral::random::RandomStream::new(1, 0);
        let dataset = if kind == ModelKind::Mlp { dataset.clone() } else { common::fashion() };
        let network = Model::new(&spec, dataset.shape, 10, random, &backend).unwrap();
        let indices: Vec<u32> = (0..32).collect();
        let batch = Batch::gather(&dataset.train, dataset.shape, &indices, &backend.tracked(), backend.dtype());
        let mut oracle = NetworkOracle::default();
        let (loss, _) = oracle.loss_and_gradient(&network, &batch, 5);
        assert_eq!(oracle.loss(&network, &batch, 5), loss, "{kind:?}: to the last bit");
        assert_ne!(oracle.loss(&network, &batch, 6), loss, "{kind:?}: other masks");
    }
}

#[test]
fn a_batch_that_is_not_admitted_moves_nothing() {
    let start = network();
    let before = ParamLayout::of(&start).values(&start);
    let (mut method, mut oracle) = (momentum_sgd(), NetworkOracle::default());
    let mut seen = Vec::new();
    let mut refuse = |loss| {
        seen.push(loss);
        false
    };
    let mut context = Context::new(&mut oracle, 1).with_admission(&mut refuse);
    let batch = batches(0, 4).swap_remove(0);
    let (network, report) = method.take(start, Numbered { number: 0, batch }, &mut context);
    assert_eq!(ParamLayout::of(&network).values(&network), before);
    assert!(!report.updated && report.learning_rate.is_none() && seen == [report.loss]);
}

/// A normalisation as Burn's own are: it writes its statistics in every forward pass, through clones too.
#[derive(Module, Debug)]
struct Running {
    weight: Param<Tensor<1>>,
    mean: RunningState<Tensor<1>>,
}

impl Running {
    fn forward(&self, batch: &Tensor<1>) -> Tensor<1> {
        let seen = batch.clone().mean().inner();
        self.mean.update(self.mean.value_sync() * 0.9 + seen * 0.1);
        (batch.clone() * self.weight.val()).square()
    }
}

#[test]
fn running_statistics_of_a_foreign_module_are_put_back_whatever_was_pending() {
    let device = Backend::cpu(Precision::F32).tracked();
    let model = Running {
        weight: Param::from_tensor(Tensor::from_floats([1.0], &device)),
        mean: RunningState::new(Tensor::from_floats([0.0], &device.clone().inner())),
    };
    let batch = |value: f32| Tensor::<1>::from_floats([value], &device);
    let mean = |model: &Running| model.mean.value_sync().into_data().iter::<f64>().next().unwrap();
    model.forward(&batch(1.0));
    let before = Statistics::of(&model);
    let expected = mean(&model);
    assert!(expected > 0.09);
    let moved = model.clone();
    (0..3).for_each(|_| drop(moved.forward(&batch(100.0))));
    let model = before.restore(model);
    assert_eq!([mean(&model), mean(&moved)], [expected; 2], "of the model and of its clones");
}
