//! Dropout with masks that can be drawn again.

use burn::Tensor;
use burn::module::Module;
use burn::tensor::TensorData;
use stepscope_spectral::random::RandomStream;

use crate::models::init::WeightInit;
use crate::models::{DropoutMode, Dual, Pass};

/// y = m x / (1 − p), with mᵢ = 0 with probability p and 1 otherwise; y = x where the pass says
/// [`DropoutMode::Off`].
///
/// The mask is a function of the pass's seed, of the layer's number within its network, and of the example's and the
/// feature's place. It is the same whenever the seed is, whatever was evaluated in between, and a constant to every
/// derivative: tangent ẏ = m ẋ / (1 − p). Source: Srivastava et al. 2014; `curvature`, section 4.8.
#[derive(Module, Debug)]
pub struct Dropout {
    probability: f64,
    #[module(skip)]
    number: u64,
}

impl Dropout {
    /// A layer that drops a feature with `probability`, at least 0 and below 1.
    pub fn new(probability: f64, init: &mut WeightInit) -> Self {
        Self { probability, number: init.next_dropout_layer() }
    }

    /// The layer applied to `x`, `[batch, ...]`.
    pub fn forward<const D: usize>(&self, x: Dual<D>, pass: &Pass) -> Dual<D> {
        match pass.dropout() {
            DropoutMode::FixedMask { seed } if self.probability > 0.0 => {
                let mask = self.mask(&x.value, seed, pass.first_example());
                x.linear(|x| x * mask.clone())
            }
            _ => x,
        }
    }

    /// m / (1 − p), of the shape and on the device of `x`.
    fn mask<const D: usize>(&self, x: &Tensor<D>, seed: u64, first_example: u64) -> Tensor<D> {
        let shape = x.dims();
        let features: usize = shape.iter().skip(1).product();
        let mut random = RandomStream::new(seed, self.number);
        random.set_position(first_example.wrapping_mul(features as u64));
        let kept = 1.0 / (1.0 - self.probability);
        let values: Vec<f64> =
            (0..shape[0] * features).map(|_| if random.uniform() < self.probability { 0.0 } else { kept }).collect();
        Tensor::from_data(TensorData::new(values, shape), (&x.device(), x.dtype()))
    }
}
