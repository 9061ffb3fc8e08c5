//! `run.json`: what ran.

use serde::{Deserialize, Serialize};

use crate::{RunSpec, Seeds};

/// Everything needed to run it again and to know whether it is the same: written before the first step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this layout; a reader refuses a newer one.
    pub format: u32,
    /// The run's name, from the specification.
    pub name: String,
    /// `training`, or `theory` for predicted curves: both are runs with the same records.
    pub process: String,
    /// The specification with every default filled in.
    pub spec: RunSpec,
    /// The seeds of the streams, resolved.
    pub seeds: Seeds,
    /// The data, with its checksum.
    pub data: DataManifest,
    /// The network.
    pub model: ModelManifest,
    /// Versions of what ran it.
    pub software: Software,
    /// Seconds since 1970 when the run began.
    pub started_unix_seconds: u64,
}

/// Which data a run saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataManifest {
    /// Name of the data set.
    pub name: String,
    /// SHA-256 of the whole unpacked IDX files: training images, training labels, test images, test labels.
    pub sha256: String,
    /// Number of training examples.
    pub num_train_examples: u64,
    /// Number of test examples.
    pub num_test_examples: u64,
    /// Number of classes.
    pub num_classes: u64,
    /// Channels, rows, columns of an example.
    pub shape: [u64; 3],
}

/// Which network a run trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelManifest {
    /// The network in a line: `mlp 64-128-10 relu`.
    pub description: String,
    /// Number of trainable parameters.
    pub num_params: u64,
}

/// Versions and device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Software {
    /// Version of stepscope.
    pub stepscope: String,
    /// Version of Burn.
    pub burn: String,
    /// Device and precision: `cpu (flex), f32`.
    pub device: String,
    /// Threads the backend may use: with another number the last bits may differ.
    pub threads: u64,
}

impl Manifest {
    /// The layout this version writes.
    pub const FORMAT: u32 = 1;
}
