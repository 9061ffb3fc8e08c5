//! The training that LABPAL is used in, and settings that do not fit it.

use stepscope_types::spec::InvalidSpec;
use thiserror::Error;

/// The training that LABPAL is used in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabPalTask {
    /// Examples of a mini-batch.
    pub batch_size: u64,
    /// Examples of the training set.
    pub num_examples: u64,
    /// Mini-batches of the whole training.
    pub num_batches: u64,
}

/// Settings that do not go together.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum LabPalError {
    /// A key is wrong.
    #[error(transparent)]
    Invalid(#[from] InvalidSpec),
    /// The line would be measured over more examples than there are.
    #[error(
        "labpal.approximation_batches: a line is measured over {approximation} examples ({batches} x {per_update} batches of \
         {batch_size}) and the training set has {num_examples}: lower it, or labpal.noise_factor, or train.batch_size"
    )]
    LargerThanData {
        /// Examples of a measurement, at the largest number of batches per update.
        approximation: u64,
        /// Updates' worth of batches.
        batches: u64,
        /// Batches per update.
        per_update: u64,
        /// Examples of a batch.
        batch_size: u64,
        /// Examples there are.
        num_examples: u64,
    },
}
