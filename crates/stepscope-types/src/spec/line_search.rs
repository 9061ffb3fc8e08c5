//! The `[line_search]` table: how a measured learning rate is measured.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::learning_rate;
use crate::{LearningRate, TrainingDuration};

/// How a measured learning rate is measured: a parabola through the loss of held-out batches along the step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LineSearchSpec {
    /// Time between two measurements.
    pub every: TrainingDuration,
    /// Held-out mini-batches whose mean loss is evaluated along the step.
    #[schemars(range(min = 2))]
    pub num_batches: u64,
    /// Factor on the parabola's minimum.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub update_step_adaptation: f64,
    /// Number of latest minima that are averaged.
    #[schemars(range(min = 1))]
    pub history: u64,
    /// Learning rate until the first accepted measurement, and the length of the first probing step.
    pub initial_learning_rate: LearningRate,
    /// No measured learning rate exceeds this.
    pub max_learning_rate: LearningRate,
}

impl Default for LineSearchSpec {
    fn default() -> Self {
        Self {
            every: TrainingDuration::Steps(25),
            num_batches: 16,
            update_step_adaptation: 1.8,
            history: 20,
            initial_learning_rate: learning_rate(0.01),
            max_learning_rate: learning_rate(10.0),
        }
    }
}
