//! Residual networks for small images.

use burn::Tensor;
use burn::module::Module;
use burn::tensor::s;
use stepscope_types::spec::{Activation, ResidualForm};

use super::{ConvNorm, Style};
use crate::models::init::WeightInit;
use crate::models::layers::{Conv2d, Dropout, Linear, Norm, activation, pooling};
use crate::models::{Dual, Network, Pass};

/// The architecture of a [`ResNet`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResNetConfig {
    /// Channels of every stage.
    pub channels: Vec<usize>,
    /// Blocks a stage.
    pub blocks: usize,
    /// Whether a shortcut that changes shape is a 1x1 convolution; else it takes every other pixel and pads with zero channels.
    pub projection: bool,
    /// Order of a block.
    pub form: ResidualForm,
}

impl ResNetConfig {
    /// ResNet-(6n + 2) of He et al. 2015, section 4.2, with n = `blocks` and parameter-free shortcuts: 75,290 parameters for
    /// n = 1, 269,722 for 3 (ResNet-20), 464,154 for 5 (32), 853,018 for 9 (56), with 3 channels, 10 classes and batch
    /// normalisation. The form
    /// with full pre-activation has as many.
    pub fn small_images(blocks: usize, form: ResidualForm) -> Self {
        Self { channels: vec![16, 32, 64], blocks, projection: false, form }
    }

    /// ResNet-18 with a first 3x3 convolution of stride 1 and no pooling, 11,173,962 parameters.
    pub fn resnet_18(form: ResidualForm) -> Self {
        Self { channels: vec![64, 128, 256, 512], blocks: 2, projection: true, form }
    }
}

/// A first convolution, stages of residual blocks of which each but the first halves rows and columns, the mean over
/// pixels, a dense layer.
#[derive(Module, Debug)]
pub struct ResNet {
    stem: Conv2d,
    stem_norm: Option<Norm>,
    blocks: Vec<Block>,
    last_norm: Option<Norm>,
    dense: Linear,
    dropout: Dropout,
    #[module(skip)]
    form: ResidualForm,
    #[module(skip)]
    activation: Activation,
}

#[derive(Module, Debug)]
struct Block {
    conv1: Conv2d,
    norm1: Option<Norm>,
    conv2: Conv2d,
    norm2: Option<Norm>,
    projection: Option<ConvNorm>,
    stride: usize,
}

impl ResNet {
    /// A network for images of that many channels.
    pub fn new(
        channels: usize,
        classes: usize,
        config: &ResNetConfig,
        style: impl Into<Style>,
        init: &mut WeightInit,
    ) -> Self {
        let style = &style.into();
        let first = config.channels.first().copied().unwrap_or(1);
        let last = config.channels.last().copied().unwrap_or(1);
        let (stem, stem_norm) = conv_and_norm([channels, first], 1, first, style, init);
        let mut blocks = Vec::new();
        let mut from = first;
        for (stage, &to) in config.channels.iter().enumerate() {
            for block in 0..config.blocks {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                blocks.push(Block::new([from, to], stride, config, style, init));
                from = to;
            }
        }
        let classic = config.form == ResidualForm::Classic;
        Self {
            stem,
            // Full pre-activation normalises at the head of a block, and once after the last.
            stem_norm: stem_norm.filter(|_| classic),
            blocks,
            last_norm: Norm::new(style.normalisation, last, init).filter(|_| !classic),
            dense: Linear::new(last, classes, init),
            dropout: Dropout::new(style.dropout, init),
            form: config.form,
            activation: style.activation,
        }
    }
}

impl Network for ResNet {
    fn logits(&self, images: Dual<4>, pass: &Pass) -> Dual<2> {
        let act = |norm: &Option<Norm>, x: Dual<4>| Norm::activated(norm, self.activation, x, pass);
        let mut x = self.stem.forward(images, pass);
        match self.form {
            ResidualForm::Classic => {
                x = act(&self.stem_norm, x);
                for block in &self.blocks {
                    let y = block.conv2.forward(act(&block.norm1, block.conv1.forward(x.clone(), pass)), pass);
                    let y = Norm::apply(&block.norm2, y, pass);
                    x = activation::apply_to_sum(self.activation, y, block.shortcut(x, pass));
                }
            }
            ResidualForm::PreActivation => {
                for block in &self.blocks {
                    let y = block.conv1.forward(act(&block.norm1, x.clone()), pass);
                    x = block.conv2.forward(act(&block.norm2, y), pass) + block.shortcut(x, pass);
                }
                x = act(&self.last_norm, x);
            }
        }
        self.dense.forward(self.dropout.forward(pooling::global_avg_pool2d(x), pass), pass)
    }

    fn kinks(&self) -> Vec<&'static str> {
        activation::kink(self.activation).into_iter().collect()
    }
}

impl Block {
    fn new([from, to]: [usize; 2], stride: usize, config: &ResNetConfig, style: &Style, init: &mut WeightInit) -> Self {
        // What a norm is over follows from whether it stands before or after its convolution.
        let norm_of = |before, after| if config.form == ResidualForm::Classic { after } else { before };
        let (conv1, norm1) = conv_and_norm([from, to], stride, norm_of(from, to), style, init);
        let (conv2, norm2) = conv_and_norm([to, to], 1, to, style, init);
        let projection = (config.projection && (stride > 1 || from != to))
            .then(|| ConvNorm::new(Conv2d::new([from, to], 1, init).with_stride(stride), style, init));
        Self { conv1, norm1, conv2, norm2, projection, stride }
    }

    /// x in the shape of the block's output.
    fn shortcut(&self, x: Dual<4>, pass: &Pass) -> Dual<4> {
        if let Some(projection) = &self.projection {
            return projection.forward(x, pass);
        }
        let [out_channels, in_channels, ..] = self.conv1.weight.shape().dims::<4>();
        x.linear(|x| {
            let x = if self.stride > 1 { every_other_pixel(x) } else { x };
            if out_channels > in_channels { pad_channels(x, out_channels - in_channels) } else { x }
        })
    }
}

/// A 3x3 convolution that keeps rows and columns (or halves them), without bias where a normalisation over
/// `normalised` channels goes with it.
fn conv_and_norm(
    channels: [usize; 2],
    stride: usize,
    normalised: usize,
    style: &Style,
    init: &mut WeightInit,
) -> (Conv2d, Option<Norm>) {
    let conv = Conv2d::new(channels, 3, init).with_padding(1).with_stride(stride);
    match Norm::new(style.normalisation, normalised, init) {
        Some(norm) => (conv.without_bias(), Some(norm)),
        None => (conv, None),
    }
}

fn every_other_pixel(x: Tensor<4>) -> Tensor<4> {
    x.slice(s![.., .., ..;2, ..;2])
}

/// Half of the zeros in front, as the paper's own code has it.
fn pad_channels(x: Tensor<4>, more: usize) -> Tensor<4> {
    let [batch, _, rows, columns] = x.dims();
    let zeros = |count: usize| Tensor::zeros([batch, count, rows, columns], (&x.device(), x.dtype()));
    let (front, back) = (zeros(more / 2), zeros(more - more / 2));
    Tensor::cat(vec![front, x, back], 1)
}
