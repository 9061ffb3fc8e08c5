//! Why something cannot be exported.

use std::io;
use std::path::Path;

use thiserror::Error;

/// Why something cannot be exported. Every message begins with the file, the folder or the server.
#[derive(Debug, Error)]
pub enum ExportError {
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
    /// The Parquet library refused.
    #[error("{path}: the table cannot be written ({source}): check the free space")]
    Parquet {
        /// The file.
        path: String,
        /// What the library says.
        source: parquet::errors::ParquetError,
    },
    /// An event file does not hold what its layout asks for.
    #[error("{path}: byte {offset}: {what}: the file was changed, or is no event file; export the run again")]
    EventFile {
        /// The file.
        path: String,
        /// Where the record begins.
        offset: u64,
        /// What is wrong with it.
        what: String,
    },
    /// The address of a server cannot be used.
    #[error("{url}: {reason}: give an address like {example}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
        /// One that works.
        example: &'static str,
    },
}

impl ExportError {
    /// The system refused to do `action` ("be created") with `path`.
    pub(crate) fn refused(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Refused { path, action, source }
    }

    /// Whether what was asked for is at fault, and not something that happened while writing.
    pub fn is_bad_input(&self) -> bool {
        matches!(self, Self::Url { .. })
    }
}
