//! The networks that a specification can name.

mod conv_norm;
mod mlp;
mod mobilenet;
mod random_features;
mod recurrent;
mod resnet;
mod simple_cnn;
mod two_layer;
mod vgg;
mod vision_transformer;

use conv_norm::ConvNorm;
pub use mlp::Mlp;
pub use mobilenet::MobileNetV2;
pub use random_features::RandomFeatures;
pub use recurrent::{Recurrent, RecurrentConfig};
pub use resnet::{ResNet, ResNetConfig};
pub use simple_cnn::SimpleCnn;
use stepscope_types::spec::{Activation, ModelSpec, Normalisation};
pub use two_layer::TwoLayer;
pub use vgg::Vgg;
pub use vision_transformer::{VisionTransformer, VisionTransformerConfig};

/// What every network takes from the specification beside its architecture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Style {
    /// The nonlinearity.
    pub activation: Activation,
    /// What is normalised before it.
    pub normalisation: Normalisation,
    /// Share of the features before the last layer that is dropped in training.
    pub dropout: f64,
}

impl Style {
    /// Of that specification.
    pub fn of(spec: &ModelSpec) -> Self {
        Self { activation: spec.activation, normalisation: spec.normalisation(), dropout: spec.dropout }
    }
}

/// That nonlinearity, nothing normalised, nothing dropped.
impl From<Activation> for Style {
    fn from(activation: Activation) -> Self {
        Self { activation, normalisation: Normalisation::None, dropout: 0.0 }
    }
}
