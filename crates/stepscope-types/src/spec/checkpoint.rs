//! The `[checkpoint]` table: what is saved along a run, so that it can go on after its process is gone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::TrainingDuration;

/// Whole states of the run, from which `resume` goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointSpec {
    /// Whether the state is saved along the run and at its end.
    pub enabled: bool,
    /// Time between two checkpoints.
    pub every: TrainingDuration,
    /// How many of the newest ones stay; two at least, because the newest may already be past the last good step.
    #[schemars(range(min = 2))]
    pub keep: u64,
    /// A checkpoint at every multiple of this, which stays for good, whatever `every` and `keep` say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TrainingDuration")]
    pub keep_every: Option<TrainingDuration>,
}

impl Default for CheckpointSpec {
    fn default() -> Self {
        Self { enabled: true, every: TrainingDuration::Fraction(0.1), keep: 2, keep_every: None }
    }
}
