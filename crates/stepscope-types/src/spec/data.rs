//! The `[data]` table: which examples, and how they are changed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{InvalidSpec, TargetKind, require};

/// The data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DataSpec {
    /// An embedded data set (`optdigits`, `fashion14`), a fetched one (`mnist`, `fashion-mnist`, `cifar10`, `cifar100`,
    /// `imdb`), or a folder with IDX, CIFAR or IMDB files.
    pub name: String,
    /// Use only the first so many training examples.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub train_examples: Option<u64>,
    /// Use only the first so many test examples.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub test_examples: Option<u64>,
    /// What the network's outputs are compared with, which makes the loss.
    pub targets: TargetKind,
    /// Share of the training examples whose label is replaced by one drawn uniformly from all classes.
    #[schemars(range(min = 0, max = 1))]
    pub random_labels: f64,
    /// Seed of these draws: apart from the seeds of the run, so that runs with other weights see the same labels.
    pub random_labels_seed: u64,
    /// Different words of a text that are told apart, with padding and unknown; for `imdb` only.
    #[schemars(range(min = 3, max = 65535))]
    pub vocabulary: u64,
    /// Words of a text that are kept, counted from its end; for `imdb` only.
    #[schemars(range(min = 1, max = 65535))]
    pub sequence_length: u64,
    /// Random changes of the training images, drawn anew in every epoch.
    pub augment: AugmentSpec,
}

/// Random changes of training images; none by default. Measurements see the images unchanged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentSpec {
    /// Pad so many black pixels on every side and cut an image of the old size out at random; 4 is usual for CIFAR.
    #[schemars(range(max = 64))]
    pub pad_crop: u64,
    /// Mirror left and right with probability 1/2.
    pub flip: bool,
    /// Move by up to so many pixels in both directions, repeating the pixels of the edge.
    #[schemars(range(max = 64))]
    pub shift: u64,
}

impl Default for DataSpec {
    fn default() -> Self {
        Self {
            name: "optdigits".to_owned(),
            train_examples: None,
            test_examples: None,
            targets: TargetKind::Class,
            random_labels: 0.0,
            random_labels_seed: 0,
            vocabulary: 20_000,
            sequence_length: 80,
            augment: AugmentSpec::default(),
        }
    }
}

impl DataSpec {
    /// Numbers that a network puts out for these targets, where there are so many classes.
    pub fn num_outputs(&self, num_classes: usize) -> usize {
        if self.targets == TargetKind::Number { 1 } else { num_classes }
    }

    pub(super) fn validate(&self) -> Result<(), InvalidSpec> {
        let between = |key, value: u64, least: u64, most: u64| {
            require((least..=most).contains(&value), key, || format!("got {value}, expected {least} to {most}"))
        };
        for (key, count) in [("data.train_examples", self.train_examples), ("data.test_examples", self.test_examples)] {
            require(count != Some(0), key, || "got 0, expected at least 1".to_owned())?;
        }
        require((0.0..=1.0).contains(&self.random_labels), "data.random_labels", || {
            format!("got {}, expected a share from 0 to 1", self.random_labels)
        })?;
        between("data.vocabulary", self.vocabulary, 3, 65_535)?;
        between("data.sequence_length", self.sequence_length, 1, 65_535)?;
        between("data.augment.pad_crop", self.augment.pad_crop, 0, 64)?;
        between("data.augment.shift", self.augment.shift, 0, 64)
    }
}
