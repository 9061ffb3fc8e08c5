//! What cannot be averaged afterwards.

use stepscope_theory::TheoryError;
use thiserror::Error;

use crate::checkpoint::{CheckpointError, StateError};
use crate::data::{DataError, SamplingError};

/// Why the snapshots of a run do not give what was asked for.
#[derive(Debug, Error)]
pub enum PosthocError {
    /// A snapshot cannot be read, is cut off, or belongs to another network.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Averages that were tracked along the run cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// There is nothing to average.
    #[error(
        "{folder}: holds {count} snapshots, and an average needs two at least: train with checkpoint.keep_every = \"0.02dur\", \
         which keeps one every fiftieth of the run"
    )]
    TooFew {
        /// The folder of the run.
        folder: String,
        /// Snapshots there are.
        count: usize,
    },
    /// An average that reaches farther back than the snapshots that were kept.
    #[error("{average}: needs {needs}, and the snapshots kept are those of steps {kept}: {advice}")]
    Snapshots {
        /// The average in words.
        average: String,
        /// What it needs.
        needs: String,
        /// The steps there are, shortened.
        kept: String,
        /// What to do.
        advice: &'static str,
    },
    /// A power-function average of a width that cannot be made.
    #[error("{average}: {source}")]
    Width {
        /// The average in words.
        average: String,
        /// Why not.
        source: TheoryError,
    },
    /// Held-out examples cannot be had.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Held-out examples cannot be drawn.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
}
