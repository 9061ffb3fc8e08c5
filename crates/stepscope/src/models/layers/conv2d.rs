//! The two-dimensional convolution.

use burn::Tensor;
use burn::module::{Module, Param};
use burn::tensor::ops::ConvOptions;

use crate::backend::{Kept, conv2d};
use crate::models::dual::add;
use crate::models::init::WeightInit;
use crate::models::{Dual, Pass, Tap, cast_to};

/// Cross-correlation of x `[batch, in, rows, columns]` with W `[out, in / groups, k, k]`, plus b `[out]`.
///
/// Tangent: ẏ = conv(ẋ, W) + conv(x, Ẇ) + ḃ.
#[derive(Module, Debug)]
pub struct Conv2d {
    /// W, `[out_channels, in_channels / groups, kernel, kernel]`.
    pub weight: Param<Tensor<4>>,
    /// b, `[out_channels]`; none where a normalisation follows that would take it out again.
    pub bias: Option<Param<Tensor<1>>>,
    stride: usize,
    padding: usize,
    groups: usize,
}

impl Conv2d {
    /// A layer with weights drawn from `init`, stride 1 and no padding.
    pub fn new(channels: [usize; 2], kernel: usize, init: &mut WeightInit) -> Self {
        Self::grouped(channels, kernel, 1, init)
    }

    /// A layer whose channels are split into that many groups, in and out, each with a kernel of its own; as many groups as
    /// channels is a depthwise convolution. `groups` divides both numbers of channels.
    pub fn grouped(
        [in_channels, out_channels]: [usize; 2],
        kernel: usize,
        groups: usize,
        init: &mut WeightInit,
    ) -> Self {
        let receptive_field = kernel * kernel;
        let (fan_in, fan_out) = (in_channels / groups * receptive_field, out_channels / groups * receptive_field);
        Self {
            weight: init.weight([out_channels, in_channels / groups, kernel, kernel], fan_in, fan_out),
            bias: Some(init.bias([out_channels], fan_in)),
            stride: 1,
            padding: 0,
            groups,
        }
    }

    /// The layer without b.
    pub fn without_bias(mut self) -> Self {
        self.bias = None;
        self
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
        let convolve = |x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, kept: &Kept| {
            let options =
                ConvOptions::new([self.stride, self.stride], [self.padding, self.padding], [1, 1], self.groups);
            let own = x.dtype();
            let (x, weight, bias) = (pass.operand(x), pass.operand(weight), bias.map(|bias| pass.operand(bias)));
            cast_to(conv2d(x, weight, bias, options, kept), own)
        };
        let weight = pass.param(&self.weight);
        let (bias, bias_tangent) = match self.bias.as_ref().map(|bias| pass.param(bias)) {
            Some(bias) => (Some(bias.value), bias.tangent),
            None => (None, None),
        };
        let input = x.value.clone();
        let by_number = self.multiplications();
        let kept = pass.kept(self.weight.id, &input, by_number);
        let value = convolve(x.value.clone(), weight.value.clone(), bias, &kept.value);
        let [batch, _, rows, columns] = value.dims();
        pass.count(&x, batch * rows * columns * weight.value.shape().num_elements(), by_number);
        // The bias's tangent rides along with the weight's, as the bias does with the weight.
        let from_weight = match (weight.tangent, bias_tangent) {
            (Some(weight), bias) => Some(convolve(x.value, weight, bias, &Kept::default())),
            (None, Some(bias)) => Some(bias.reshape([1, -1, 1, 1]).expand(value.dims())),
            (None, None) => None,
        };
        let from_input = x.tangent.map(|tangent| convolve(tangent, weight.value, None, &kept.tangent));
        self.tapped(&input, Dual { value, tangent: add(from_weight, from_input) }, pass)
    }

    /// What a number of the output takes, and one of the input's gradient; nothing worth keeping in groups, which are Burn's.
    fn multiplications(&self) -> [usize; 2] {
        if self.groups != 1 {
            return [0, 0];
        }
        let [channels_out, channels_in, rows, columns] = self.weight.dims();
        [channels_in * rows * columns, channels_out * rows * columns / (self.stride * self.stride)]
    }

    fn tapped(&self, input: &Tensor<4>, y: Dual<4>, pass: &Pass) -> Dual<4> {
        if self.groups != 1 {
            return y;
        }
        let [_, _, rows, columns] = self.weight.dims();
        let (weight, bias) = (self.weight.id, self.bias.as_ref().map(|bias| bias.id));
        let (kernel, stride, padding) = ([rows, columns], self.stride, self.padding);
        pass.tap(input, y, |input, zeros| Tap::Convolution { weight, bias, input, zeros, kernel, stride, padding })
    }
}
