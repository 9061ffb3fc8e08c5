//! A convolution and the normalisation after it.

use burn::module::Module;
use stepscope_types::spec::Activation;

use super::Style;
use crate::models::init::WeightInit;
use crate::models::layers::{Conv2d, Norm};
use crate::models::{Dual, Pass};

/// Convolution, then normalisation where the style has one; the convolution has a bias where it has not.
#[derive(Module, Debug)]
pub(super) struct ConvNorm {
    conv: Conv2d,
    norm: Option<Norm>,
}

impl ConvNorm {
    pub(super) fn new(conv: Conv2d, style: &Style, init: &WeightInit) -> Self {
        let channels = conv.weight.shape().dims::<4>()[0];
        let norm = Norm::new(style.normalisation, channels, init);
        let conv = if norm.is_some() { conv.without_bias() } else { conv };
        Self { conv, norm }
    }

    pub(super) fn forward(&self, x: Dual<4>, pass: &Pass) -> Dual<4> {
        Norm::apply(&self.norm, self.conv.forward(x, pass), pass)
    }

    /// The same, and the nonlinearity.
    pub(super) fn activated(&self, activation: Activation, x: Dual<4>, pass: &Pass) -> Dual<4> {
        Norm::activated(&self.norm, activation, self.conv.forward(x, pass), pass)
    }
}
