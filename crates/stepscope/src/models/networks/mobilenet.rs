//! MobileNetV2 for small images.

use burn::module::Module;
use stepscope_types::spec::Activation;

use super::{ConvNorm, Style};
use crate::models::init::WeightInit;
use crate::models::layers::{Conv2d, Dropout, Linear, activation, pooling};
use crate::models::{Dual, Network, Pass};

/// Inverted residuals: a 1x1 convolution that widens, a depthwise 3x3 one, a 1x1 one that narrows without nonlinearity.
///
/// Table 2 of Sandler et al. 2018 with stride 1 in the first convolution and the first two stages, as is usual for 32x32
/// images: 2,236,682 parameters for 3 channels, 10 classes and batch normalisation. The nonlinearity is the
/// specification's, where the paper has min(max(x, 0), 6).
#[derive(Module, Debug)]
pub struct MobileNetV2 {
    stem: ConvNorm,
    blocks: Vec<InvertedResidual>,
    last: ConvNorm,
    dense: Linear,
    dropout: Dropout,
    #[module(skip)]
    activation: Activation,
}

#[derive(Module, Debug)]
struct InvertedResidual {
    expand: Option<ConvNorm>,
    depthwise: ConvNorm,
    project: ConvNorm,
    is_residual: bool,
}

/// Factor of widening, channels out, blocks, stride of the first.
type Stage = [usize; 4];

const STAGES: [Stage; 7] =
    [[1, 16, 1, 1], [6, 24, 2, 1], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1]];

impl MobileNetV2 {
    /// A network for images of that many channels, with every width of the published one divided by `narrower` (1 for the
    /// published network; 2, 4 or 8 for smaller ones).
    pub fn new(
        channels: usize,
        classes: usize,
        narrower: usize,
        style: impl Into<Style>,
        init: &mut WeightInit,
    ) -> Self {
        let style = &style.into();
        let narrow = |width: usize| (width / narrower.max(1)).max(1);
        let stem = ConvNorm::new(Conv2d::new([channels, narrow(32)], 3, init).with_padding(1), style, init);
        let mut blocks = Vec::new();
        let mut from = narrow(32);
        for [factor, to, count, stride] in STAGES {
            for block in 0..count {
                let stride = if block == 0 { stride } else { 1 };
                blocks.push(InvertedResidual::new([from, narrow(to)], factor, stride, style, init));
                from = narrow(to);
            }
        }
        let last = ConvNorm::new(Conv2d::new([from, narrow(1280)], 1, init), style, init);
        let dense = Linear::new(narrow(1280), classes, init);
        Self { stem, blocks, last, dense, dropout: Dropout::new(style.dropout, init), activation: style.activation }
    }
}

impl Network for MobileNetV2 {
    fn logits(&self, images: Dual<4>, pass: &Pass) -> Dual<2> {
        let activated = |layer: &ConvNorm, x: Dual<4>| layer.activated(self.activation, x, pass);
        let mut x = activated(&self.stem, images);
        for block in &self.blocks {
            let wide = match &block.expand {
                Some(expand) => activated(expand, x.clone()),
                None => x.clone(),
            };
            let y = block.project.forward(activated(&block.depthwise, wide), pass);
            x = if block.is_residual { x + y } else { y };
        }
        let features = pooling::global_avg_pool2d(activated(&self.last, x));
        self.dense.forward(self.dropout.forward(features, pass), pass)
    }

    fn kinks(&self) -> Vec<&'static str> {
        activation::kink(self.activation).into_iter().collect()
    }
}

impl InvertedResidual {
    fn new([from, to]: [usize; 2], factor: usize, stride: usize, style: &Style, init: &mut WeightInit) -> Self {
        let wide = factor * from;
        let expand = (factor > 1).then(|| ConvNorm::new(Conv2d::new([from, wide], 1, init), style, init));
        let depthwise = Conv2d::grouped([wide, wide], 3, wide, init).with_padding(1).with_stride(stride);
        Self {
            expand,
            depthwise: ConvNorm::new(depthwise, style, init),
            project: ConvNorm::new(Conv2d::new([wide, to], 1, init), style, init),
            is_residual: stride == 1 && from == to,
        }
    }
}
