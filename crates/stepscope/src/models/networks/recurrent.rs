//! A classifier of token sequences.

use burn::module::Module;

use super::Style;
use crate::models::init::WeightInit;
use crate::models::layers::{Dropout, Embedding, Linear, Lstm};
use crate::models::{Dual, Network, Pass};

/// The sizes of a [`Recurrent`] network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecurrentConfig {
    /// Different tokens.
    pub vocabulary: usize,
    /// Width of a token's vector.
    pub embedding: usize,
    /// Width of the LSTM's state.
    pub width: usize,
}

/// Embedding, one LSTM layer, dense layer on its last state.
///
/// An example is a row of token numbers, stored as an "image" `[1, 1, length]`; what is shorter is padded in front, so that
/// the last state has read its end. *The Break-Even Point* used such a network on IMDB without saying its sizes
/// (`curvature`, section 2.5); ours are those of the Keras example that it names. Token vectors start uniform in ±0.05.
#[derive(Module, Debug)]
pub struct Recurrent {
    embedding: Embedding,
    lstm: Lstm,
    dense: Linear,
    dropout: Dropout,
}

impl Recurrent {
    /// A network of these sizes.
    pub fn new(classes: usize, config: &RecurrentConfig, style: impl Into<Style>, init: &mut WeightInit) -> Self {
        let style = &style.into();
        Self {
            embedding: Embedding { weight: init.uniform([config.vocabulary, config.embedding], 0.05) },
            lstm: Lstm::new(config.embedding, config.width, init),
            dense: Linear::new(config.width, classes, init),
            dropout: Dropout::new(style.dropout, init),
        }
    }
}

impl Network for Recurrent {
    fn logits(&self, images: Dual<4>, pass: &Pass) -> Dual<2> {
        let tokens = self.embedding.tokens_of(images.value);
        let state = self.lstm.forward(self.embedding.forward(tokens, pass), pass);
        self.dense.forward(self.dropout.forward(state, pass), pass)
    }
}
