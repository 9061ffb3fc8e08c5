//! A linear model over random features.

use burn::module::Module;
use stepscope_types::spec::Activation;

use super::Style;
use crate::models::init::WeightInit;
use crate::models::layers::{Dropout, Linear, activation};
use crate::models::{Dual, Network, Pass};

/// logits = W a(V x + c) + b with V and c drawn once and never trained: linear in its parameters W and b, so that its
/// Hessian is its Gauss-Newton matrix.
///
/// V and c are buffers of the network. W starts by the law of the specification. Source: Rahimi and Recht 2007, with the
/// nonlinearity of the specification.
#[derive(Module, Debug)]
pub struct RandomFeatures {
    features: Linear,
    dense: Linear,
    dropout: Dropout,
    #[module(skip)]
    activation: Activation,
}

impl RandomFeatures {
    /// A model of `inputs` numbers over `width` features. V and c are normal with variance 1 / `inputs` and 1.
    pub fn new(inputs: usize, width: usize, classes: usize, style: impl Into<Style>, init: &mut WeightInit) -> Self {
        let style = &style.into();
        let weight = init.normal([inputs, width], 1.0 / (inputs as f64).sqrt());
        let features = Linear { weight, bias: init.normal([width], 1.0) }.frozen();
        let dense = Linear::new(width, classes, init);
        Self { features, dense, dropout: Dropout::new(style.dropout, init), activation: style.activation }
    }
}

impl Network for RandomFeatures {
    fn logits(&self, images: Dual<4>, pass: &Pass) -> Dual<2> {
        let batch = images.value.dims()[0] as i32;
        let x = self.features.forward(images.linear(|x| x.reshape([batch, -1])), pass);
        let x = self.dropout.forward(activation::apply(self.activation, x), pass);
        self.dense.forward(x, pass)
    }
}
