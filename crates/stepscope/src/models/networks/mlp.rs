//! The multilayer perceptron.

use burn::module::Module;
use stepscope_types::spec::Activation;

use super::Style;
use crate::models::init::WeightInit;
use crate::models::layers::{Dropout, Linear, Norm, activation};
use crate::models::{Dual, Network, Pass};

/// Fully connected layers with one nonlinearity between them: inputs - widths - classes. Without widths, logistic
/// regression.
#[derive(Module, Debug)]
pub struct Mlp {
    layers: Vec<Linear>,
    norms: Vec<Option<Norm>>,
    dropout: Dropout,
    #[module(skip)]
    activation: Activation,
}

impl Mlp {
    /// A network from `inputs` features over `hidden` widths to `classes` logits.
    pub fn new(
        inputs: usize,
        hidden: &[usize],
        classes: usize,
        style: impl Into<Style>,
        init: &mut WeightInit,
    ) -> Self {
        let style = &style.into();
        let widths: Vec<usize> = [inputs].iter().chain(hidden).chain([&classes]).copied().collect();
        let layers = widths.windows(2).map(|pair| Linear::new(pair[0], pair[1], init)).collect();
        let norms = hidden.iter().map(|&width| Norm::new(style.normalisation, width, init)).collect();
        Self { layers, norms, dropout: Dropout::new(style.dropout, init), activation: style.activation }
    }
}

impl Network for Mlp {
    fn logits(&self, images: Dual<4>, pass: &Pass) -> Dual<2> {
        let batch = images.value.dims()[0] as i32;
        let mut x = images.linear(|x| x.reshape([batch, -1]));
        for (depth, layer) in self.layers.iter().enumerate() {
            if depth + 1 == self.layers.len() {
                x = self.dropout.forward(x, pass);
            }
            x = layer.forward(x, pass);
            if let Some(norm) = self.norms.get(depth) {
                x = Norm::activated(norm, self.activation, x, pass);
            }
        }
        x
    }

    fn kinks(&self) -> Vec<&'static str> {
        let is_nonlinear = self.layers.len() > 1;
        activation::kink(self.activation).filter(|_| is_nonlinear).into_iter().collect()
    }
}
