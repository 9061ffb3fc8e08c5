//! The normalising layer that a specification names.

use burn::module::Module;
use stepscope_types::spec::{Activation, Normalisation};

use super::{BatchNorm, GroupNorm, activation};
use crate::models::init::WeightInit;
use crate::models::{Dual, Pass};

/// A normalising layer over channels, of the kind that was asked for.
#[derive(Module, Debug)]
pub enum Norm {
    /// Over the batch.
    Batch(BatchNorm),
    /// Over groups of channels of one example.
    Group(GroupNorm),
}

impl Norm {
    /// The layer over that many channels, or none.
    pub fn new(kind: Normalisation, channels: usize, init: &WeightInit) -> Option<Self> {
        match kind {
            Normalisation::None => None,
            Normalisation::Batch => Some(Self::Batch(BatchNorm::new(channels, init))),
            Normalisation::Group => Some(Self::Group(GroupNorm::new(8, channels, init))),
            Normalisation::Layer => Some(Self::Group(GroupNorm::new(1, channels, init))),
        }
    }

    /// The layer applied to `x`, `[batch, channels]` or `[batch, channels, rows, columns]`.
    pub fn forward<const D: usize>(&self, x: Dual<D>, pass: &Pass) -> Dual<D> {
        match self {
            Self::Batch(norm) => norm.forward(x, pass),
            Self::Group(norm) => norm.forward(x, pass),
        }
    }

    /// `x` through the layer, where there is one.
    pub fn apply<const D: usize>(norm: &Option<Self>, x: Dual<D>, pass: &Pass) -> Dual<D> {
        match norm {
            Some(norm) => norm.forward(x, pass),
            None => x,
        }
    }

    /// `x` through the layer, where there is one, and through the nonlinearity.
    pub fn activated<const D: usize>(norm: &Option<Self>, activation: Activation, x: Dual<D>, pass: &Pass) -> Dual<D> {
        match (norm, activation) {
            (Some(Self::Batch(norm)), Activation::Relu) => norm.forward_rectified(x, pass),
            _ => activation::apply(activation, Self::apply(norm, x, pass)),
        }
    }
}
