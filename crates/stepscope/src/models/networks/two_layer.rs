//! The two-layer network of neural tangent kernels.

use burn::Tensor;
use burn::module::{Module, Param};
use stepscope_types::spec::Activation;

use super::Style;
use crate::models::init::WeightInit;
use crate::models::layers::{Dropout, activation};
use crate::models::{Dual, Network, Pass};

/// f(x) = √(2/m) A a(V x / √d), with V `[d, m]` and A `[m, outputs]` both trained and both starting from normal numbers of
/// variance 1: d inputs, m hidden features, no biases.
///
/// In this scaling the kernel of the tangents ⟨∇f(x), ∇f(x′)⟩ has a limit for m -> ∞, and stays near it during training. For
/// relu and one output that is Θ(x, x′) = ‖x‖‖x′‖ (sin φ + (π − φ) cos φ)/(πd) + ⟨x, x′⟩ (π − φ)/(πd), with φ the angle between
/// x and x′. Source: `loss-prediction`, section 3; Jacot et al. 2018.
#[derive(Module, Debug)]
pub struct TwoLayer {
    first: Param<Tensor<2>>,
    second: Param<Tensor<2>>,
    dropout: Dropout,
    #[module(skip)]
    activation: Activation,
}

impl TwoLayer {
    /// A network of `inputs` numbers over `width` features. The scale of `init` is that of V and A.
    pub fn new(inputs: usize, width: usize, outputs: usize, style: impl Into<Style>, init: &mut WeightInit) -> Self {
        let style = &style.into();
        let deviation = init.scale();
        Self {
            first: init.normal([inputs, width], deviation),
            second: init.normal([width, outputs], deviation),
            dropout: Dropout::new(style.dropout, init),
            activation: style.activation,
        }
    }
}

impl Network for TwoLayer {
    fn logits(&self, images: Dual<4>, pass: &Pass) -> Dual<2> {
        let [batch, ..] = images.value.dims();
        let [inputs, width] = self.first.dims();
        let product = |a: Tensor<2>, b: Tensor<2>| pass.multiply(a, b, Tensor::matmul);
        let x = images.linear(|x| x.reshape([batch, inputs]) * (1.0 / inputs as f64).sqrt());
        let x = Dual::bilinear(x, pass.param(&self.first), product);
        let x = self.dropout.forward(activation::apply(self.activation, x), pass);
        let outputs = Dual::bilinear(x, pass.param(&self.second), product);
        outputs.linear(|y| y * (2.0 / width as f64).sqrt())
    }

    fn kinks(&self) -> Vec<&'static str> {
        activation::kink(self.activation).into_iter().collect()
    }
}
