//! Burn modules as a user would write them, and the examples that they are measured on.

use std::sync::atomic::{AtomicU64, Ordering};

use burn::Tensor;
use burn::module::{Module, Param};
use burn::tensor::{Int, TensorData};
use stepscope::backend::Backend;
use stepscope::measure::{BatchLoss, Curvature, CurvatureOperator, Loss, Objective};
use stepscope::models::layers::activation;
use stepscope::models::{Dual, ParamLayout, Pass};
use stepscope::spectral::LinearOperator;
use stepscope::spectral::random::RandomStream;
use stepscope::types::spec::{Activation, Precision};

/// Rows of features with a class or a real target each.
#[derive(Debug, Clone)]
pub struct Rows {
    pub features: Tensor<2>,
    pub labels: Tensor<1, Int>,
    pub targets: Tensor<2>,
}

pub const INPUTS: usize = 5;
pub const CLASSES: usize = 3;

/// Which of its tangent rules a [`TwoLayers`] has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rules {
    None,
    All,
    /// The second layer takes its weights past the pass.
    FirstOnly,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    CrossEntropy,
    SquaredError,
    /// Half the squared distance, example by example, with or without its output Hessian.
    Custom {
        with_hessian: bool,
    },
}

/// x -> W₂ᵀ f(W₁ᵀ x).
#[derive(Module, Debug)]
pub struct TwoLayers {
    first: Param<Tensor<2>>,
    second: Param<Tensor<2>>,
    #[module(skip)]
    pub rules: Rules,
    #[module(skip)]
    pub kind: Kind,
    #[module(skip)]
    pub activation: Activation,
    #[module(skip)]
    pub has_hidden_state: bool,
}

/// What a dropout layer without a fixed mask amounts to: a number that differs from call to call.
static CALLS: AtomicU64 = AtomicU64::new(0);

pub fn parameter<const D: usize>(shape: [usize; D], precision: Precision, stream: u64) -> Param<Tensor<D>> {
    Param::from_tensor(normal(shape, precision, stream))
}

/// Normal numbers on the tracked device.
pub fn normal<const D: usize>(shape: [usize; D], precision: Precision, stream: u64) -> Tensor<D> {
    let (backend, mut values) = (Backend::cpu(precision), vec![0.0; shape.iter().product()]);
    RandomStream::new(23, stream).fill_normal(&mut values);
    Tensor::from_data(TensorData::new(values, shape), (&backend.tracked(), backend.dtype()))
}

pub fn rows(count: usize, precision: Precision) -> Rows {
    let labels: Vec<i64> = (0..count as i64).map(|index| index * index % CLASSES as i64).collect();
    Rows {
        features: normal([count, INPUTS], precision, 1),
        labels: Tensor::from_data(TensorData::new(labels, [count]), &Backend::cpu(precision).tracked()),
        targets: normal([count, CLASSES], precision, 2),
    }
}

/// The rows in micro-batches of `size`.
pub fn in_micro_batches(rows: &Rows, size: usize) -> Objective<Rows> {
    let count = rows.labels.dims()[0];
    let slices = (0..count).step_by(size).map(|start| {
        let range = start..count.min(start + size);
        Rows {
            features: rows.features.clone().slice([range.clone()]),
            labels: rows.labels.clone().slice([range.clone()]),
            targets: rows.targets.clone().slice([range]),
        }
    });
    Objective::from_batches(slices.collect::<Vec<_>>(), |rows| rows.labels.dims()[0])
}

impl TwoLayers {
    pub fn new(kind: Kind, rules: Rules, precision: Precision) -> Self {
        Self {
            first: parameter([INPUTS, 4], precision, 3),
            second: parameter([4, CLASSES], precision, 4),
            rules,
            kind,
            activation: Activation::Tanh,
            has_hidden_state: false,
        }
    }

    fn outputs(&self, features: &Tensor<2>, pass: &Pass) -> Dual<2> {
        let second = if self.rules == Rules::FirstOnly { self.second.val().into() } else { pass.param(&self.second) };
        let hidden = Dual::bilinear(Dual::constant(features.clone()), pass.param(&self.first), Tensor::matmul);
        let hidden = if self.has_hidden_state {
            let factor = 1.0 + 1e-3 * CALLS.fetch_add(1, Ordering::Relaxed) as f64;
            hidden.linear(|x| x * factor)
        } else {
            hidden
        };
        Dual::bilinear(activation::apply(self.activation, hidden), second, Tensor::matmul)
    }

    fn measure(&self, batch: &Rows, pass: &Pass) -> Loss {
        let outputs = self.outputs(&batch.features, pass);
        match self.kind {
            Kind::CrossEntropy => Loss::cross_entropy(outputs, batch.labels.clone()),
            Kind::SquaredError => Loss::mean_squared_error(outputs, batch.targets.clone()),
            Kind::Custom { with_hessian } => {
                let off = outputs.clone() + Dual::constant(batch.targets.clone().neg());
                let examples = batch.labels.dims()[0];
                let halves = off.elementwise(|x| x.square() * 0.5, |x, _| x);
                let losses = Loss::per_example(halves.linear(|x| x.sum_dim(1).reshape([examples])));
                if with_hessian { losses.with_output_hessian(outputs, |u| u) } else { losses }
            }
        }
    }
}

impl BatchLoss<Rows> for TwoLayers {
    fn loss(&self, batch: &Rows) -> Loss {
        self.measure(batch, &Pass::values())
    }

    fn loss_along(&self, batch: &Rows, pass: &Pass) -> Option<Loss> {
        (self.rules != Rules::None).then(|| self.measure(batch, pass))
    }
}

pub fn product<N: BatchLoss<B>, B>(network: &N, objective: &Objective<B>, curvature: Curvature, v: &[f64]) -> Vec<f64> {
    let layout = ParamLayout::of(network);
    let mut image = vec![0.0; v.len()];
    CurvatureOperator::new(network, objective, &layout, curvature).apply(v, &mut image).unwrap();
    image
}

/// The matrix, column by column, through one operator.
pub fn dense<N: BatchLoss<B>, B>(network: &N, objective: &Objective<B>, curvature: Curvature) -> Vec<Vec<f64>> {
    let layout = ParamLayout::of(network);
    let mut operator = CurvatureOperator::new(network, objective, &layout, curvature);
    let dim = layout.num_params();
    let column = |index: usize| {
        let (mut unit, mut image) = (vec![0.0; dim], vec![0.0; dim]);
        unit[index] = 1.0;
        operator.apply(&unit, &mut image).unwrap();
        image
    };
    (0..dim).map(column).collect()
}

/// ‖A − B‖_F / ‖B‖_F.
pub fn matrix_error(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    crate::common::relative_error(&a.concat(), &b.concat())
}
