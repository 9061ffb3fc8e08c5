//! Small networks and data that the integration tests share.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use burn::module::Module;
use stepscope::backend::Backend;
use stepscope::data::Dataset;
use stepscope::measure::Objective;
use stepscope::models::init::WeightInit;
use stepscope::models::layers::{Conv2d, Linear, activation, pooling};
use stepscope::models::{Dual, Model, Network, Pass};
use stepscope::spectral::random::RandomStream;
use stepscope::types::spec::{Activation, DataSpec, ModelKind, ModelSpec, Precision};

/// A user's own network over the tangent-aware layers: stride, padding, both poolings, a dense layer.
#[derive(Module, Debug)]
pub struct OwnNetwork {
    conv1: Conv2d,
    conv2: Conv2d,
    dense: Linear,
    #[module(skip)]
    activation: Activation,
}

impl OwnNetwork {
    pub fn new(activation: Activation, precision: Precision) -> Self {
        let mut init = weights(precision);
        Self {
            conv1: Conv2d::new([1, 3], 3, &mut init).with_padding(1).with_stride(2),
            conv2: Conv2d::new([3, 4], 2, &mut init).with_padding(1),
            dense: Linear::new(4, 10, &mut init),
            activation,
        }
    }
}

impl Network for OwnNetwork {
    fn logits(&self, images: Dual<4>, pass: &Pass) -> Dual<2> {
        let batch = images.value.dims()[0] as i32;
        let x = activation::apply(self.activation, self.conv1.forward(images, pass));
        let x = pooling::max_pool2d(activation::apply(self.activation, self.conv2.forward(x, pass)), 2);
        let x = pooling::avg_pool2d(x, 2);
        self.dense.forward(x.linear(|x| x.reshape([batch, -1])), pass)
    }
}

pub const ACTIVATIONS: [Activation; 4] = [Activation::Relu, Activation::Tanh, Activation::Gelu, Activation::Softplus];

pub fn weights(precision: Precision) -> WeightInit {
    WeightInit::new(&ModelSpec::default(), RandomStream::new(11, 0), &Backend::cpu(precision))
}

pub fn digits() -> Dataset {
    Dataset::load(&DataSpec::default()).unwrap()
}

pub fn fashion() -> Dataset {
    Dataset::load(&DataSpec { name: "fashion14".into(), ..DataSpec::default() }).unwrap()
}

pub fn model_spec(kind: ModelKind, activation: Activation, precision: Precision) -> ModelSpec {
    let hidden = (kind == ModelKind::Mlp).then(|| vec![12, 9]);
    ModelSpec { kind, hidden, activation, precision, ..ModelSpec::default() }
}

pub fn model(kind: ModelKind, activation: Activation, precision: Precision, dataset: &Dataset) -> Model {
    let spec = model_spec(kind, activation, precision);
    Model::new(&spec, dataset.shape, dataset.num_classes, RandomStream::new(3, 0), &Backend::cpu(precision)).unwrap()
}

/// The first `count` training examples on the tracked device.
pub fn objective(dataset: &Dataset, count: u32, precision: Precision) -> Objective {
    let backend = Backend::cpu(precision);
    let indices: Vec<u32> = (0..count).collect();
    Objective::new(&dataset.train, dataset.shape, &indices, &backend.tracked(), backend.dtype())
}

pub fn random_vector(len: usize, stream: u64) -> Vec<f64> {
    let mut random = RandomStream::new(17, stream);
    let mut vector: Vec<f64> = (0..len).map(|_| random.normal()).collect();
    let norm = norm(&vector);
    vector.iter_mut().for_each(|v| *v /= norm);
    vector
}

pub fn norm(v: &[f64]) -> f64 {
    dot(v, v).sqrt()
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// ‖a − b‖ / ‖b‖.
pub fn relative_error(a: &[f64], b: &[f64]) -> f64 {
    let difference: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    norm(&difference) / norm(b)
}
