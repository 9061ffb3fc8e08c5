//! Why the folder of a sweep cannot be used.

use std::io;
use std::path::Path;

use thiserror::Error;

/// Why the folder of a sweep cannot be used. Every message begins with the file or folder.
#[derive(Debug, Error)]
pub enum SweepError {
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
    /// A single run stands where the sweep should be.
    #[error("{folder}: holds a single run, expected a folder of a sweep or a name that is free: choose another folder")]
    SingleRun {
        /// The folder.
        folder: String,
    },
    /// A run's folder does not hold what its name says.
    #[error(
        "{folder}: is not the finished run that its name says ({reason}): move it away and run again, or choose another folder"
    )]
    AnotherRun {
        /// The folder.
        folder: String,
        /// What was found.
        reason: String,
    },
    /// The list of runs cannot be read.
    #[error("{file}: is no list of a sweep's runs ({reason}): start the sweep again, which writes it anew")]
    List {
        /// The file.
        file: String,
        /// What the parser says.
        reason: String,
    },
}

impl SweepError {
    /// Whether the path given is at fault, and not something that happened while writing.
    pub fn is_bad_input(&self) -> bool {
        !matches!(self, Self::Refused { .. })
    }

    pub(super) fn refused(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Refused { path, action, source }
    }
}
