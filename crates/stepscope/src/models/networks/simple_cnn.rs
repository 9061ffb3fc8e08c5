//! SimpleCNN, the small convolutional network of *The Break-Even Point* (`curvature`, section 2.5).

use burn::module::Module;
use stepscope_types::spec::Activation;

use super::Style;
use crate::models::init::WeightInit;
use crate::models::layers::{Conv2d, Dropout, Linear, Norm, activation, pooling};
use crate::models::{Dual, Network, Pass};

/// conv 32 same - conv 32 valid - max-pool 2 - conv 64 same - conv 64 valid - max-pool 2 - dense 128 - dense
/// classes, kernels 3x3, a nonlinearity after every layer but the last, with a normalisation before it where the style has
/// one. 361,898 parameters for 3x32x32 inputs and 10 classes; 362,538 with batch normalisation, which keeps the biases as
/// the paper's code does.
#[derive(Module, Debug)]
pub struct SimpleCnn {
    conv1: Conv2d,
    conv2: Conv2d,
    conv3: Conv2d,
    conv4: Conv2d,
    dense1: Linear,
    dense2: Linear,
    norms: Vec<Option<Norm>>,
    dropout: Dropout,
    #[module(skip)]
    activation: Activation,
}

impl SimpleCnn {
    /// Smallest rows and columns that leave something after two valid convolutions and two poolings.
    pub const SMALLEST_SIDE: usize = 10;

    /// A network for `[channels, rows, columns]` images. Rows and columns must be at least
    /// [`SimpleCnn::SMALLEST_SIDE`]; [`Model::new`](crate::models::Model::new) checks.
    pub fn new(
        [channels, rows, columns]: [usize; 3],
        classes: usize,
        style: impl Into<Style>,
        init: &mut WeightInit,
    ) -> Self {
        let style = &style.into();
        // A valid 3x3 convolution takes 2 off a side, pooling halves it (rounding down); twice.
        let side = |side: usize| ((side - 2) / 2 - 2) / 2;
        Self {
            conv1: Conv2d::new([channels, 32], 3, init).with_padding(1),
            conv2: Conv2d::new([32, 32], 3, init),
            conv3: Conv2d::new([32, 64], 3, init).with_padding(1),
            conv4: Conv2d::new([64, 64], 3, init),
            dense1: Linear::new(64 * side(rows) * side(columns), 128, init),
            dense2: Linear::new(128, classes, init),
            norms: [32, 32, 64, 64, 128].map(|channels| Norm::new(style.normalisation, channels, init)).into(),
            dropout: Dropout::new(style.dropout, init),
            activation: style.activation,
        }
    }

    /// The normalisation after that layer, and the nonlinearity.
    fn activate<const D: usize>(&self, layer: usize, x: Dual<D>, pass: &Pass) -> Dual<D> {
        match self.norms.get(layer) {
            Some(norm) => Norm::activated(norm, self.activation, x, pass),
            None => activation::apply(self.activation, x),
        }
    }
}

impl Network for SimpleCnn {
    fn logits(&self, images: Dual<4>, pass: &Pass) -> Dual<2> {
        let batch = images.value.dims()[0] as i32;
        let x = self.activate(0, self.conv1.forward(images, pass), pass);
        let x = pooling::max_pool2d(self.activate(1, self.conv2.forward(x, pass), pass), 2);
        let x = self.activate(2, self.conv3.forward(x, pass), pass);
        let x = pooling::max_pool2d(self.activate(3, self.conv4.forward(x, pass), pass), 2);
        let x = self.dense1.forward(x.linear(|x| x.reshape([batch, -1])), pass);
        let x = self.activate(4, x, pass);
        self.dense2.forward(self.dropout.forward(x, pass), pass)
    }

    fn kinks(&self) -> Vec<&'static str> {
        activation::kink(self.activation).into_iter().chain(["max-pool"]).collect()
    }
}
