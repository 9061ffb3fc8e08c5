//! Initial weights from an explicit random stream.

use burn::Tensor;
use burn::module::Param;
use burn::tensor::{DType, Device, TensorData};
use stepscope_spectral::random::RandomStream;
use stepscope_types::spec::{Initializer, ModelSpec};

use crate::backend::Backend;

/// Draws the parameters of a network, layer by layer, in f64.
///
/// An f32 and an f64 network of one seed start at the same point up to rounding.
#[derive(Debug)]
pub struct WeightInit {
    law: Initializer,
    scale: f64,
    random: RandomStream,
    device: Device,
    dtype: DType,
    dropout_layers: u64,
}

impl WeightInit {
    /// Weights by the law, scale and precision of `spec`, on the backend's tracked device.
    pub fn new(spec: &ModelSpec, random: RandomStream, backend: &Backend) -> Self {
        Self {
            law: spec.init,
            scale: spec.init_scale,
            random,
            device: backend.tracked(),
            dtype: backend.dtype(),
            dropout_layers: 0,
        }
    }

    /// The factor on weights that the specification asks for.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// A weight tensor by the law of [`Initializer`], times the scale.
    pub fn weight<const D: usize>(&mut self, shape: [usize; D], fan_in: usize, fan_out: usize) -> Param<Tensor<D>> {
        let both = (fan_in + fan_out) as f64;
        let fan_in = fan_in as f64;
        match self.law {
            Initializer::GlorotUniform => self.uniform(shape, self.scale * (6.0 / both).sqrt()),
            Initializer::GlorotNormal => self.normal(shape, self.scale * (2.0 / both).sqrt()),
            Initializer::HeUniform => self.uniform(shape, self.scale * (6.0 / fan_in).sqrt()),
            Initializer::HeNormal => self.normal(shape, self.scale * (2.0 / fan_in).sqrt()),
            Initializer::PytorchDefault => self.uniform(shape, self.scale / fan_in.sqrt()),
        }
    }

    /// A bias: zeros, or uniform in ±scale/√fan_in where the law is PyTorch's.
    pub fn bias<const D: usize>(&mut self, shape: [usize; D], fan_in: usize) -> Param<Tensor<D>> {
        match self.law {
            Initializer::PytorchDefault => self.uniform(shape, self.scale / (fan_in as f64).sqrt()),
            _ => self.zeros(shape),
        }
    }

    /// Normal numbers of mean 0 and that standard deviation, whatever the law: embeddings, random features.
    pub fn normal<const D: usize>(&mut self, shape: [usize; D], deviation: f64) -> Param<Tensor<D>> {
        let mut values = vec![0.0; shape.iter().product()];
        self.random.fill_normal(&mut values);
        values.iter_mut().for_each(|value| *value *= deviation);
        self.param(TensorData::new(values, shape))
    }

    /// Uniform numbers in ±`bound`, whatever the law.
    pub fn uniform<const D: usize>(&mut self, shape: [usize; D], bound: f64) -> Param<Tensor<D>> {
        let count = shape.iter().product();
        let values: Vec<f64> = (0..count).map(|_| bound * (2.0 * self.random.uniform() - 1.0)).collect();
        self.param(TensorData::new(values, shape))
    }

    /// A parameter that starts at zero.
    pub fn zeros<const D: usize>(&self, shape: [usize; D]) -> Param<Tensor<D>> {
        self.constant(shape, 0.0)
    }

    /// A parameter that starts at one value everywhere.
    pub fn constant<const D: usize>(&self, shape: [usize; D], value: f64) -> Param<Tensor<D>> {
        self.param(TensorData::new(vec![value; shape.iter().product()], shape))
    }

    /// Numbers the dropout layers of a network, so that each has masks of its own.
    pub(super) fn next_dropout_layer(&mut self) -> u64 {
        self.dropout_layers += 1;
        self.dropout_layers
    }

    fn param<const D: usize>(&self, data: TensorData) -> Param<Tensor<D>> {
        Param::from_tensor(Tensor::from_data(data, (&self.device, self.dtype)))
    }
}
