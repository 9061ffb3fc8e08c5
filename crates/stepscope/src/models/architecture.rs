//! The table of networks that a specification can name.

use burn::module::Module;
use stepscope_types::spec::{ModelKind, ModelSpec, Normalisation};
use thiserror::Error;

use super::init::WeightInit;
use super::networks::{
    Mlp, MobileNetV2, RandomFeatures, Recurrent, RecurrentConfig, ResNet, ResNetConfig, SimpleCnn, Style, TwoLayer,
    Vgg, VisionTransformer, VisionTransformerConfig,
};
use super::{Dual, Network, Pass};

/// A network of a specification, as it is built.
// One network lives a whole run: its own size does not matter, and boxing it would cost every layer an indirection.
#[allow(clippy::large_enum_variant)]
#[derive(Module, Debug)]
pub enum Architecture {
    /// Fully connected; linear, where it has no hidden layer.
    Mlp(Mlp),
    /// Linear over fixed random features.
    RandomFeatures(RandomFeatures),
    /// Small and convolutional.
    SimpleCnn(SimpleCnn),
    /// Stages of convolutions.
    Vgg(Vgg),
    /// Residual.
    ResNet(ResNet),
    /// Inverted residuals.
    MobileNetV2(MobileNetV2),
    /// Attention over patches.
    VisionTransformer(VisionTransformer),
    /// An LSTM over tokens.
    Recurrent(Recurrent),
    /// Two dense layers in the scaling of the neural tangent kernel.
    TwoLayer(TwoLayer),
}

/// A network that cannot be built for these images.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ModelError {
    /// The images are too small for the convolutions.
    #[error(
        "model.kind: {kind} needs images of at least {least}x{least}, these are {rows}x{columns}: \
         use model.kind = \"mlp\" or larger images"
    )]
    ImagesTooSmall {
        /// The network asked for.
        kind: String,
        /// Rows of the images.
        rows: usize,
        /// Columns of the images.
        columns: usize,
        /// Smallest side that works.
        least: usize,
    },
}

impl Architecture {
    /// The network of `spec` for images `[channels, rows, columns]` and that many outputs, with initial weights from
    /// `init`.
    ///
    /// # Errors
    /// [`ModelError`] where the images do not fit the architecture.
    pub fn new(spec: &ModelSpec, shape: [usize; 3], outputs: usize, init: &mut WeightInit) -> Result<Self, ModelError> {
        check_size(spec.kind, shape)?;
        let style = Style::of(spec);
        let [channels, rows, _] = shape;
        let inputs = shape.iter().product();
        let hidden: Vec<usize> = spec.hidden_widths().into_iter().map(|width| width as usize).collect();
        let width = hidden.first().copied().unwrap_or(1);
        let small_images = |blocks| ResNetConfig::small_images(blocks, spec.residual);
        let resnet = |config: &ResNetConfig, init: &mut WeightInit| {
            Self::ResNet(ResNet::new(channels, outputs, config, style, init))
        };
        Ok(match spec.kind {
            ModelKind::Linear | ModelKind::Mlp => Self::Mlp(Mlp::new(inputs, &hidden, outputs, style, init)),
            ModelKind::RandomFeatures => Self::RandomFeatures(RandomFeatures::new(inputs, width, outputs, style, init)),
            ModelKind::Ntk => Self::TwoLayer(TwoLayer::new(inputs, width, outputs, style, init)),
            ModelKind::SimpleCnn | ModelKind::SimpleCnnBn => {
                Self::SimpleCnn(SimpleCnn::new(shape, outputs, style, init))
            }
            ModelKind::Vgg11 => Self::Vgg(Vgg::new(shape, outputs, &Vgg::VGG_11, style, init)),
            ModelKind::ResNet8 => resnet(&small_images(1), init),
            ModelKind::ResNet20 => resnet(&small_images(3), init),
            ModelKind::ResNet32 => resnet(&small_images(5), init),
            ModelKind::ResNet56 => resnet(&small_images(9), init),
            ModelKind::ResNet18 => resnet(&ResNetConfig::resnet_18(spec.residual), init),
            ModelKind::MobileNetV2 => Self::MobileNetV2(MobileNetV2::new(channels, outputs, 1, style, init)),
            ModelKind::VisionTransformer => {
                let config = VisionTransformerConfig::small(rows);
                Self::VisionTransformer(VisionTransformer::new(shape, outputs, &config, style, init))
            }
            ModelKind::Lstm => {
                let config = RecurrentConfig { vocabulary: spec.vocabulary as usize, embedding: 128, width: 128 };
                Self::Recurrent(Recurrent::new(outputs, &config, style, init))
            }
        })
    }
}

fn check_size(kind: ModelKind, [_, rows, columns]: [usize; 3]) -> Result<(), ModelError> {
    let least = match kind {
        ModelKind::SimpleCnn | ModelKind::SimpleCnnBn => SimpleCnn::SMALLEST_SIDE,
        ModelKind::Vgg11 => 1 << Vgg::VGG_11.len(),
        ModelKind::VisionTransformer => VisionTransformerConfig::small(rows).patch,
        _ => 1,
    };
    if rows < least || columns < least {
        return Err(ModelError::ImagesTooSmall { kind: word(&kind), rows, columns, least });
    }
    Ok(())
}

/// The network of a specification in a line: `mlp 64-128-64-10 relu`, `resnet-20 3x32x32-10 relu batch`.
pub fn describe(spec: &ModelSpec, shape: [usize; 3], outputs: usize) -> String {
    let widths = match spec.kind {
        ModelKind::Linear | ModelKind::Mlp | ModelKind::RandomFeatures | ModelKind::Ntk => {
            let hidden: Vec<String> = spec.hidden_widths().iter().map(|width| format!("{width}-")).collect();
            format!("{}-{}{outputs}", shape.iter().product::<usize>(), hidden.concat())
        }
        _ => format!("{}x{}x{}-{outputs}", shape[0], shape[1], shape[2]),
    };
    let mut words = vec![word(&spec.kind), widths];
    if !matches!(spec.kind, ModelKind::Linear | ModelKind::Lstm) {
        words.push(word(&spec.activation));
    }
    if spec.normalisation() != Normalisation::None {
        words.push(word(&spec.normalisation()));
    }
    if spec.dropout > 0.0 {
        words.push(format!("dropout {}", spec.dropout));
    }
    if spec.linearised {
        words.push("linearised".to_owned());
    }
    words.join(" ")
}

/// The word that a specification uses for a choice.
fn word<T: serde::Serialize>(choice: &T) -> String {
    serde_json::to_value(choice).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

impl Network for Architecture {
    fn logits(&self, images: Dual<4>, pass: &Pass) -> Dual<2> {
        match self {
            Self::Mlp(network) => network.logits(images, pass),
            Self::RandomFeatures(network) => network.logits(images, pass),
            Self::SimpleCnn(network) => network.logits(images, pass),
            Self::Vgg(network) => network.logits(images, pass),
            Self::ResNet(network) => network.logits(images, pass),
            Self::MobileNetV2(network) => network.logits(images, pass),
            Self::VisionTransformer(network) => network.logits(images, pass),
            Self::Recurrent(network) => network.logits(images, pass),
            Self::TwoLayer(network) => network.logits(images, pass),
        }
    }

    fn kinks(&self) -> Vec<&'static str> {
        match self {
            Self::Mlp(network) => network.kinks(),
            Self::RandomFeatures(network) => network.kinks(),
            Self::SimpleCnn(network) => network.kinks(),
            Self::Vgg(network) => network.kinks(),
            Self::ResNet(network) => network.kinks(),
            Self::MobileNetV2(network) => network.kinks(),
            Self::VisionTransformer(network) => network.kinks(),
            Self::Recurrent(network) => network.kinks(),
            Self::TwoLayer(network) => network.kinks(),
        }
    }
}
