//! The `[measure]` table: what is measured along a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batch_size;
use crate::{BatchSize, TrainingDuration};

/// What is measured along the run, and how often.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MeasureSpec {
    /// Whether anything beside the mini-batch loss is measured.
    pub enabled: bool,
    /// Time between two readings.
    pub every: TrainingDuration,
    /// Training examples that curvature is measured on: a fixed subset, drawn once.
    #[schemars(range(min = 1))]
    pub examples: u64,
    /// Most Hessian products a reading may spend.
    #[schemars(range(min = 2))]
    pub max_products: u64,
    /// Residual, relative to the eigenvalue, at which a reading stops.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub tolerance: f64,
    /// Mini-batch gradients that the noise scale is estimated from.
    #[schemars(range(min = 8))]
    pub noise_batches: u64,
    /// Size of those mini-batches, whatever the training batch size is.
    pub noise_batch_size: BatchSize,
}

impl Default for MeasureSpec {
    fn default() -> Self {
        Self {
            enabled: true,
            every: TrainingDuration::Fraction(0.05),
            examples: 1024,
            max_products: 20,
            tolerance: 0.01,
            noise_batches: 64,
            noise_batch_size: batch_size(32),
        }
    }
}
