//! The multilayer perceptron.

use burn::module::Module;
use stepscope_types::spec::Activation;

use super::init::WeightInit;
use super::layers::{Linear, activation};
use super::{Dual, Network, Pass};

/// Fully connected layers with one nonlinearity between them: inputs - widths - classes.
#[derive(Module, Debug)]
pub struct Mlp {
    layers: Vec<Linear>,
    #[module(skip)]
    activation: Activation,
}

impl Mlp {
    /// A network from `inputs` features over `hidden` widths to `classes` logits.
    pub fn new(inputs: usize, hidden: &[usize], classes: usize, activation: Activation, init: &mut WeightInit) -> Self {
        let widths: Vec<usize> = [inputs].iter().chain(hidden).chain([&classes]).copied().collect();
        let layers = widths.windows(2).map(|pair| Linear::new(pair[0], pair[1], init)).collect();
        Self { layers, activation }
    }
}

impl Network for Mlp {
    fn logits(&self, images: Dual<4>, pass: &Pass) -> Dual<2> {
        let batch = images.value.dims()[0] as i32;
        let mut x = images.linear(|x| x.reshape([batch, -1]));
        for (depth, layer) in self.layers.iter().enumerate() {
            if depth > 0 {
                x = activation::apply(self.activation, x);
            }
            x = layer.forward(x, pass);
        }
        x
    }
    fn kinks(&self) -> Vec<&'static str> {
        activation::kink(self.activation).into_iter().collect()
    }
}
