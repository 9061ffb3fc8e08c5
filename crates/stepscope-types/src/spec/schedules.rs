//! The `[schedule]` table: settings that change along a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schedule::ScheduleSpec;

/// Settings that change along the run; without a schedule a setting stays as its own key has it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SchedulesSpec {
    /// The learning rate, starting from `optimizer.learning_rate`; `"gauged"` keeps it while it pays and cools down when measured
    /// gains say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<ScheduleSpec>,
    /// Examples per update, starting from `train.batch_size` and rounded to whole numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<ScheduleSpec>,
    /// The momentum, starting from `optimizer.momentum`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<ScheduleSpec>,
}

impl SchedulesSpec {
    /// Whether nothing changes along the run.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
