//! Why a run cannot be written or read.

use std::io;

use thiserror::Error;

use crate::checkpoint::CheckpointError;

/// Why a run cannot be written or read. Every message begins with the file or folder.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The folder holds a run already.
    #[error("{folder}: holds a run already ({found} is there): choose another folder, or replace the run with --force")]
    HoldsARun {
        /// The folder.
        folder: String,
        /// The file that was found in it.
        found: &'static str,
    },
    /// Another process writes into the folder.
    #[error("{folder}: is being written by {holder}: wait until it is done, or stop it")]
    Locked {
        /// The folder.
        folder: String,
        /// The process and its machine, as far as they are known.
        holder: String,
    },
    /// There is nothing to go on with.
    #[error("{folder}: holds no run ({file} is missing): start one with `stepscope train SPEC --out {folder}`")]
    NoRun {
        /// The folder.
        folder: String,
        /// The file that is missing.
        file: &'static str,
    },
    /// The manifest cannot be understood.
    #[error("{file}: is no manifest of a run ({reason}): the file was changed, or written by another version")]
    Manifest {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A file stands where the folder should be.
    #[error("{folder}: is a file, expected a folder or a name that is free: choose another folder")]
    NotAFolder {
        /// The path given.
        folder: String,
    },
    /// The system refused.
    #[error("{path}: cannot {action} ({source}): check the permissions and the free space")]
    Refused {
        /// File or folder.
        path: String,
        /// What was to be done.
        action: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// Records could not be appended; what was recorded before is intact.
    #[error(
        "{file}: cannot append records ({source}): the file holds whole lines up to byte {length}, {num_written} of the {num_records} new records among them; free some space and run again"
    )]
    Append {
        /// The record file.
        file: String,
        /// What the system says.
        source: io::Error,
        /// Length of the file in bytes after it was cut back to whole lines.
        length: u64,
        /// Records of this batch that are in the file.
        num_written: usize,
        /// Records of this batch.
        num_records: usize,
    },
    /// A checkpoint cannot be written or used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A line is no record.
    #[error("{file}:{line}: is no record ({reason}): the file was changed, or written by another version")]
    Line {
        /// The record file.
        file: String,
        /// Line, from 1.
        line: usize,
        /// What the parser says.
        reason: String,
    },
}

impl RecordError {
    /// Whether the path given is at fault, and not something that happened while writing.
    pub fn is_bad_input(&self) -> bool {
        matches!(self, Self::HoldsARun { .. } | Self::NotAFolder { .. } | Self::NoRun { .. } | Self::Manifest { .. })
    }
}
