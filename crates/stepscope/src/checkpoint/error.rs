//! Why a checkpoint cannot be written or used.

use std::io;

use thiserror::Error;

/// Why a checkpoint cannot be written or used. Every message begins with the file.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// The system refused.
    #[error("{file}: cannot {action} ({source}): check the permissions and the free space")]
    Refused {
        /// The file or folder.
        file: String,
        /// What was to be done.
        action: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The state cannot be brought into a file.
    #[error("{file}: the state cannot be written down ({reason})")]
    Unwritable {
        /// The file.
        file: String,
        /// What the writer says.
        reason: String,
    },
    /// The file was cut off, or is no checkpoint at all.
    #[error("{file}: is cut off or no checkpoint ({num_bytes} bytes): use an earlier one")]
    Cut {
        /// The file.
        file: String,
        /// Its length.
        num_bytes: usize,
    },
    /// The file has the right length and other contents than were written.
    #[error("{file}: is damaged ({reason}): use an earlier one, or copy it again from where it came from")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A later version wrote it.
    #[error(
        "{file}: has format {got}, and this stepscope reads formats up to {known}: use the version that wrote it, or a newer one"
    )]
    Newer {
        /// The file.
        file: String,
        /// Its format.
        got: u64,
        /// The newest format that is known.
        known: u64,
    },
    /// It belongs to a run of another specification.
    #[error(
        "{file}: belongs to another run (specification {got}, expected {expected}): a checkpoint goes on with the specification it was saved under"
    )]
    OtherSpec {
        /// The file.
        file: String,
        /// First characters of the hash of its specification.
        got: String,
        /// Those of the run's.
        expected: String,
    },
    /// Its network is another one.
    #[error("{file}: was saved from a network of another architecture: {reason}")]
    Architecture {
        /// The file.
        file: String,
        /// The first difference.
        reason: String,
    },
    /// There is no checkpoint of that step.
    #[error("{folder}: holds no checkpoint of step {step}; it has {available}")]
    NoSuchStep {
        /// The folder.
        folder: String,
        /// The step asked for.
        step: u64,
        /// The steps that there are, in words.
        available: String,
    },
}

impl CheckpointError {
    /// Whether the file itself is broken, so that an earlier checkpoint may serve in its place.
    pub fn is_broken_file(&self) -> bool {
        matches!(self, Self::Cut { .. } | Self::Damaged { .. })
    }
}
