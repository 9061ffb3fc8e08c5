//! The `[model]` table: which network.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Activation, Initializer, ModelKind, Precision};

/// The network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSpec {
    /// The architecture.
    pub kind: ModelKind,
    /// Widths of the hidden layers; for `mlp` only, where the default is `[128, 64]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(inner(range(min = 1, max = 1048576)))]
    pub hidden: Option<Vec<u64>>,
    /// The nonlinearity after every hidden layer.
    pub activation: Activation,
    /// A safetensors file that the initial weights come from, with PyTorch's names and layouts; without one they are drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
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
            weights: None,
            init: Initializer::GlorotUniform,
            init_scale: 1.0,
            precision: Precision::F32,
        }
    }
}

impl ModelSpec {
    /// Widths of the MLP's hidden layers.
    pub fn hidden_widths(&self) -> Vec<u64> {
        self.hidden.clone().unwrap_or_else(|| vec![128, 64])
    }
}
