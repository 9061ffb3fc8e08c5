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
}

impl WeightInit {
    /// Weights by the law, scale and precision of `spec`, on the backend's tracked device.
    pub fn new(spec: &ModelSpec, random: RandomStream, backend: &Backend) -> Self {
        Self { law: spec.init, scale: spec.init_scale, random, device: backend.tracked(), dtype: backend.dtype() }
    }

    /// A weight tensor: uniform in ±scale·√(6 / fan), with fan = fan_in + fan_out (Glorot) or fan_in (He).
    pub fn weight<const D: usize>(&mut self, shape: [usize; D], fan_in: usize, fan_out: usize) -> Param<Tensor<D>> {
        let fan = match self.law {
            Initializer::GlorotUniform => fan_in + fan_out,
            Initializer::HeUniform => fan_in,
        };
        let bound = self.scale * (6.0 / fan as f64).sqrt();
        let count = shape.iter().product();
        let values: Vec<f64> = (0..count).map(|_| bound * (2.0 * self.random.uniform() - 1.0)).collect();
        self.param(TensorData::new(values, shape))
    }

    /// A parameter that starts at zero.
    pub fn zeros<const D: usize>(&self, shape: [usize; D]) -> Param<Tensor<D>> {
        self.param(TensorData::new(vec![0.0f64; shape.iter().product()], shape))
    }

    fn param<const D: usize>(&self, data: TensorData) -> Param<Tensor<D>> {
        Param::from_tensor(Tensor::from_data(data, (&self.device, self.dtype)))
    }
}
