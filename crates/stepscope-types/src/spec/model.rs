//! The `[model]` table: which network.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Activation, Initializer, InvalidSpec, ModelKind, Normalisation, Precision, ResidualForm, require};

/// The network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSpec {
    /// The architecture.
    pub kind: ModelKind,
    /// Widths of the hidden layers: of `mlp`, where the default is `[128, 64]`, and of `random-features` and `ntk`, which have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(inner(range(min = 1, max = 1048576)))]
    pub hidden: Option<Vec<u64>>,
    /// The nonlinearity after every hidden layer.
    pub activation: Activation,
    /// What is normalised before it. By default `batch` for simple-cnn-bn, the residual networks and mobilenet-v2, and
    /// `none` for the others; vit normalises by layer in its own places.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalisation: Option<Normalisation>,
    /// Order of the residual blocks, for the residual networks.
    pub residual: ResidualForm,
    /// Share of the features before the last layer that is dropped in training.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub dropout: f64,
    /// Number of different tokens, for `lstm`: larger token numbers are read as the last one.
    #[schemars(range(min = 1, max = 16777216))]
    pub vocabulary: u64,
    /// A safetensors file that the initial weights come from, with PyTorch's names and layouts; without one they are drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
    /// Train the network's tangent in its place, which is linear in the weights: outputs f₀ + J (θ − θ₀), with value and
    /// Jacobian taken at the initial weights.
    pub linearised: bool,
    /// The law of the initial weights.
    pub init: Initializer,
    /// Factor on the initial weights. Below 1 lowers the initial sharpness.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub init_scale: f64,
    /// Floating-point numbers of weights and activations.
    pub precision: Precision,
}

impl Default for ModelSpec {
    fn default() -> Self {
        Self {
            kind: ModelKind::Mlp,
            hidden: None,
            activation: Activation::Relu,
            normalisation: None,
            residual: ResidualForm::Classic,
            dropout: 0.0,
            vocabulary: 20_000,
            weights: None,
            linearised: false,
            init: Initializer::GlorotUniform,
            init_scale: 1.0,
            precision: Precision::F32,
        }
    }
}

impl ModelSpec {
    /// Widths of the hidden layers of the kinds that let them be chosen; empty for the others.
    pub fn hidden_widths(&self) -> Vec<u64> {
        let default = match self.kind {
            ModelKind::Mlp => vec![128, 64],
            ModelKind::RandomFeatures => vec![1024],
            ModelKind::Ntk => vec![1000],
            _ => Vec::new(),
        };
        self.hidden.clone().unwrap_or(default)
    }

    /// What is normalised between a layer and its nonlinearity.
    pub fn normalisation(&self) -> Normalisation {
        use ModelKind::{MobileNetV2, ResNet8, ResNet18, ResNet20, ResNet32, ResNet56, SimpleCnnBn};
        self.normalisation.unwrap_or(match self.kind {
            SimpleCnnBn | ResNet8 | ResNet20 | ResNet32 | ResNet56 | ResNet18 | MobileNetV2 => Normalisation::Batch,
            _ => Normalisation::None,
        })
    }

    /// Checks what a single key cannot.
    pub(super) fn validate(&self) -> Result<(), InvalidSpec> {
        use ModelKind::{Linear, Lstm, Mlp, Ntk, RandomFeatures, VisionTransformer};
        require(self.init_scale.is_finite() && self.init_scale > 0.0, "model.init_scale", || {
            format!("got {}, expected a finite number above 0", self.init_scale)
        })?;
        require((0.0..1.0).contains(&self.dropout), "model.dropout", || {
            format!("got {}, expected a share of at least 0 and below 1", self.dropout)
        })?;
        require((1..=1 << 24).contains(&self.vocabulary), "model.vocabulary", || {
            format!("got {}, expected between 1 and 16777216", self.vocabulary)
        })?;
        if let Some(hidden) = &self.hidden {
            require(matches!(self.kind, Mlp | RandomFeatures | Ntk), "model.hidden", || {
                "widths apply to kind = \"mlp\", \"random-features\" and \"ntk\" only: remove the key, or change model.kind"
                    .to_owned()
            })?;
            require(self.kind == Mlp || hidden.len() == 1, "model.hidden", || {
                format!("got {hidden:?}, expected one width: this kind has one hidden layer")
            })?;
            require(hidden.iter().all(|&width| (1..=1 << 20).contains(&width)), "model.hidden", || {
                format!("got {hidden:?}, expected widths between 1 and 1048576")
            })?;
        }
        let has_no_place = matches!(self.kind, Linear | RandomFeatures | VisionTransformer | Lstm | Ntk);
        let asked =
            matches!(self.normalisation, Some(Normalisation::Batch | Normalisation::Group | Normalisation::Layer));
        require(!(has_no_place && asked), "model.normalisation", || {
            "this kind of network has no place for it: remove the key, or change model.kind".to_owned()
        })?;
        let is_fixed = self.normalisation() != Normalisation::Batch && self.dropout == 0.0;
        require(!self.linearised || is_fixed, "model.linearised", || {
            "a tangent is that of one fixed function: set model.normalisation to \"none\", \"group\" or \"layer\" and \
             model.dropout to 0"
                .to_owned()
        })
    }
}
