//! The two-dimensional convolution.

use burn::Tensor;
use burn::module::{Module, Param};
use burn::tensor::ops::ConvOptions;

use crate::backend::conv2d;
use crate::models::init::WeightInit;
use crate::models::{Dual, Pass};

/// Cross-correlation of x `[batch, in, rows, columns]` with W `[out, in, k, k]`, plus b `[out]`.
///
/// Tangent: ẏ = conv(ẋ, W) + conv(x, Ẇ) + ḃ.
#[derive(Module, Debug)]
pub struct Conv2d {
    /// W, `[out_channels, in_channels, kernel, kernel]`.
    pub weight: Param<Tensor<4>>,
    /// b, `[out_channels]`.
    pub bias: Param<Tensor<1>>,
    stride: usize,
    padding: usize,
}

impl Conv2d {
    /// A layer with weights drawn from `init`, zero bias, stride 1 and no padding.
    pub fn new([in_channels, out_channels]: [usize; 2], kernel: usize, init: &mut WeightInit) -> Self {
        let receptive_field = kernel * kernel;
        Self {
            weight: init.weight(
                [out_channels, in_channels, kernel, kernel],
                in_channels * receptive_field,
                out_channels * receptive_field,
            ),
            bias: init.zeros([out_channels]),
            stride: 1,
            padding: 0,
        }
    }

    /// Rows and columns of zeros on every side.
    pub fn with_padding(mut self, padding: usize) -> Self {
        self.padding = padding;
        self
    }

    /// Distance between two applications of the kernel.
    pub fn with_stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// The layer applied to `x` of shape `[batch, in_channels, rows, columns]`.
    pub fn forward(&self, x: Dual<4>, pass: &Pass) -> Dual<4> {
        let convolve = |x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>| {
            let options = ConvOptions::new([self.stride, self.stride], [self.padding, self.padding], [1, 1], 1);
            conv2d(x, weight, bias, options)
        };
        let (weight, bias) = (pass.param(&self.weight), pass.param(&self.bias));
        let value = convolve(x.value.clone(), weight.value.clone(), Some(bias.value));
        // The bias's tangent rides along with the weight's, as the bias does with the weight.
        let from_weight = weight.tangent.map(|tangent| convolve(x.value, tangent, bias.tangent));
        let from_input = x.tangent.map(|tangent| convolve(tangent, weight.value, None));
        let tangent = match (from_weight, from_input) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
        Dual { value, tangent }
    }
}
