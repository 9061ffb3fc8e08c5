//! VGG for small images.

use burn::module::Module;
use stepscope_types::spec::Activation;

use super::Style;
use crate::models::init::WeightInit;
use crate::models::layers::{Conv2d, Dropout, Linear, Norm, activation, pooling};
use crate::models::{Dual, Network, Pass};

/// Stages of 3x3 convolutions, each convolution with a nonlinearity after it and each stage with a max-pool of 2; then one
/// dense layer.
///
/// VGG-11 (Simonyan and Zisserman 2014, configuration A) in the form usual for 32x32 images, without its two dense layers of
/// 4096: 9,225,610 parameters for 3 channels and 10 classes, 9,231,114 with batch normalisation (biases kept).
#[derive(Module, Debug)]
pub struct Vgg {
    convolutions: Vec<Conv2d>,
    norms: Vec<Option<Norm>>,
    dense: Linear,
    dropout: Dropout,
    #[module(skip)]
    pooled_after: Vec<bool>,
    #[module(skip)]
    activation: Activation,
}

impl Vgg {
    /// Channels of VGG-11, stage by stage.
    pub const VGG_11: [&'static [usize]; 5] = [&[64], &[128], &[256, 256], &[512, 512], &[512, 512]];

    /// A network for `[channels, rows, columns]` images whose sides are at least 2 to the number of stages;
    /// [`Model::new`](crate::models::Model::new) checks.
    pub fn new(
        [channels, rows, columns]: [usize; 3],
        classes: usize,
        stages: &[&[usize]],
        style: impl Into<Style>,
        init: &mut WeightInit,
    ) -> Self {
        let style = &style.into();
        let (mut convolutions, mut norms, mut pooled_after) = (Vec::new(), Vec::new(), Vec::new());
        let mut from = channels;
        for stage in stages {
            for (index, &to) in stage.iter().enumerate() {
                convolutions.push(Conv2d::new([from, to], 3, init).with_padding(1));
                norms.push(Norm::new(style.normalisation, to, init));
                pooled_after.push(index + 1 == stage.len());
                from = to;
            }
        }
        let features = from * (rows >> stages.len()) * (columns >> stages.len());
        let dense = Linear::new(features, classes, init);
        let dropout = Dropout::new(style.dropout, init);
        Self { convolutions, norms, dense, dropout, pooled_after, activation: style.activation }
    }
}

impl Network for Vgg {
    fn logits(&self, images: Dual<4>, pass: &Pass) -> Dual<2> {
        let batch = images.value.dims()[0] as i32;
        let mut x = images;
        for ((convolution, norm), &pooled) in self.convolutions.iter().zip(&self.norms).zip(&self.pooled_after) {
            x = Norm::activated(norm, self.activation, convolution.forward(x, pass), pass);
            if pooled {
                x = pooling::max_pool2d(x, 2);
            }
        }
        let features = self.dropout.forward(x.linear(|x| x.reshape([batch, -1])), pass);
        self.dense.forward(features, pass)
    }

    fn kinks(&self) -> Vec<&'static str> {
        activation::kink(self.activation).into_iter().chain(["max-pool"]).collect()
    }
}
