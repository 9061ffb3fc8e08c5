//! A small vision transformer.

use burn::Tensor;
use burn::module::{Module, Param};
use stepscope_types::spec::Activation;

use super::Style;
use crate::models::init::WeightInit;
use crate::models::layers::{Attention, Conv2d, Dropout, LayerNorm, Linear, activation};
use crate::models::{Dual, Network, Pass};

/// The sizes of a [`VisionTransformer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VisionTransformerConfig {
    /// Side of a patch; a remainder of rows or columns at the end is not seen.
    pub patch: usize,
    /// Features of a token.
    pub width: usize,
    /// Attention heads, which divide the width.
    pub heads: usize,
    /// Blocks.
    pub depth: usize,
}

impl VisionTransformerConfig {
    /// Width 64, 4 heads, 4 blocks; patches of 2x2 for images of up to 16 rows and of 4x4 for larger ones.
    pub fn small(rows: usize) -> Self {
        Self { patch: if rows <= 16 { 2 } else { 4 }, width: 64, heads: 4, depth: 4 }
    }
}

/// Patches as tokens with learned places, blocks of attention and of a two-layer network (twice the width) with layer
/// normalisation before each and a sum after, the mean over tokens, a dense layer.
///
/// Source: Dosovitskiy et al. 2020, with the mean over tokens for their class token.
#[derive(Module, Debug)]
pub struct VisionTransformer {
    patches: Conv2d,
    places: Param<Tensor<3>>,
    blocks: Vec<Block>,
    norm: LayerNorm,
    dense: Linear,
    dropout: Dropout,
    #[module(skip)]
    activation: Activation,
}

#[derive(Module, Debug)]
struct Block {
    norm1: LayerNorm,
    attention: Attention,
    norm2: LayerNorm,
    widen: Linear,
    narrow: Linear,
}

impl VisionTransformer {
    /// A network for `[channels, rows, columns]` images of at least one patch.
    pub fn new(
        [channels, rows, columns]: [usize; 3],
        classes: usize,
        config: &VisionTransformerConfig,
        style: impl Into<Style>,
        init: &mut WeightInit,
    ) -> Self {
        let style = &style.into();
        let VisionTransformerConfig { patch, width, heads, depth } = *config;
        let block = |init: &mut WeightInit| Block {
            norm1: LayerNorm::new(width, init),
            attention: Attention::new(width, heads, init),
            norm2: LayerNorm::new(width, init),
            widen: Linear::new(width, 2 * width, init),
            narrow: Linear::new(2 * width, width, init),
        };
        Self {
            patches: Conv2d::new([channels, width], patch, init).with_stride(patch),
            places: init.normal([1, (rows / patch) * (columns / patch), width], 0.02),
            blocks: (0..depth).map(|_| block(init)).collect(),
            norm: LayerNorm::new(width, init),
            dense: Linear::new(width, classes, init),
            dropout: Dropout::new(style.dropout, init),
            activation: style.activation,
        }
    }
}

impl Network for VisionTransformer {
    fn logits(&self, images: Dual<4>, pass: &Pass) -> Dual<2> {
        let patches = self.patches.forward(images, pass);
        let [batch, width, rows, columns] = patches.value.dims();
        let tokens = patches.linear(|x| x.reshape([batch, width, rows * columns]).swap_dims(1, 2));
        let mut x = tokens + pass.param(&self.places);
        for block in &self.blocks {
            let mixed = block.attention.forward(block.norm1.forward(x.clone(), pass), pass);
            x = x + mixed;
            let wide = block.widen.forward_tokens(block.norm2.forward(x.clone(), pass), pass);
            x = x + block.narrow.forward_tokens(activation::apply(self.activation, wide), pass);
        }
        let mean = self.norm.forward(x, pass).linear(|x| x.mean_dim(1).reshape([batch, width]));
        self.dense.forward(self.dropout.forward(mean, pass), pass)
    }

    fn kinks(&self) -> Vec<&'static str> {
        activation::kink(self.activation).into_iter().collect()
    }
}
