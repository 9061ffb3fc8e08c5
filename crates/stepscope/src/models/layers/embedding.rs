//! The table of token vectors.

use burn::Tensor;
use burn::module::{Module, Param};
use burn::tensor::Int;

use crate::models::init::WeightInit;
use crate::models::{Dual, Pass};

/// `y = E[t]`: a row of E `[vocabulary, features]` for every token.
///
/// Tangent: `ẏ = Ė[t]`.
#[derive(Module, Debug)]
pub struct Embedding {
    /// E, `[vocabulary, features]`.
    pub weight: Param<Tensor<2>>,
}

impl Embedding {
    /// A table of normal numbers of that standard deviation.
    pub fn new(vocabulary: usize, features: usize, deviation: f64, init: &mut WeightInit) -> Self {
        Self { weight: init.normal([vocabulary, features], deviation) }
    }

    /// The vectors `[batch, tokens, features]` of `tokens` `[batch, tokens]`, whose numbers are below the vocabulary.
    pub fn forward(&self, tokens: Tensor<2, Int>, pass: &Pass) -> Dual<3> {
        let [batch, length] = tokens.dims();
        let flat = tokens.reshape([batch * length]);
        let features = self.weight.shape().dims::<2>()[1];
        pass.param(&self.weight).linear(|table| table.select(0, flat.clone()).reshape([batch, length, features]))
    }

    /// The tokens of examples whose "images" `[batch, 1, 1, tokens]` hold token numbers: rounded, negative ones read as 0
    /// and those beyond the vocabulary as its last one, which data sets keep for unknown words.
    pub fn tokens_of(&self, images: Tensor<4>) -> Tensor<2, Int> {
        let [batch, channels, rows, columns] = images.dims();
        let last = self.weight.shape().dims::<2>()[0] - 1;
        images.reshape([batch, channels * rows * columns]).round().clamp(0.0, last as f64).int()
    }
}
