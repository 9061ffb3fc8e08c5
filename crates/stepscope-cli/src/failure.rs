//! How the program ends when it cannot do what it was asked.

use std::io::Write;
use std::process::ExitCode;

use stepscope::record::RecordError;

use crate::signals::{STATUS_TRY_AGAIN, say};

/// Why a command stopped.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The input is at fault: exit status 2. Nothing was written.
    BadInput(anyhow::Error),
    /// The input is in order and something went wrong: exit status 1. What was recorded so far is intact.
    Failed(anyhow::Error),
    /// Nothing is wrong, and the work is not done: the run was asked to stop, or another process is at it.
    Stopped {
        /// What was stopped, and how it goes on.
        message: String,
        /// The exit status.
        status: u8,
    },
}

impl Failure {
    /// Bad input from any error.
    pub(crate) fn bad_input(error: impl Into<anyhow::Error>) -> Self {
        Self::BadInput(error.into())
    }

    /// A failure from any error.
    pub(crate) fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self::Failed(error.into())
    }

    /// What a run folder's error asks for: another input, another time, or help.
    pub(crate) fn of_folder(error: RecordError) -> Self {
        match error {
            RecordError::Locked { .. } => Self::Stopped { message: error.to_string(), status: STATUS_TRY_AGAIN },
            error if error.is_bad_input() => Self::bad_input(error),
            error => Self::failed(error),
        }
    }

    /// A measurement that was made and shown, and could not be kept in the folder of its run.
    pub(crate) fn not_kept(error: RecordError) -> Self {
        Self::Failed(anyhow::Error::new(error).context("the measurement was not kept (--no-save does not try)"))
    }

    /// Says what is wrong on stderr, in one message, and gives the exit status.
    pub(crate) fn report(&self) -> ExitCode {
        let (error, status) = match self {
            Self::BadInput(error) => (error, 2),
            Self::Failed(error) => (error, 1),
            Self::Stopped { message, status } => {
                say(message);
                return ExitCode::from(*status);
            }
        };
        // A reader that went away (`stepscope ... | head`) is no failure of ours and wants no message.
        let pipe_closed = error
            .chain()
            .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
            .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe);
        if pipe_closed {
            return ExitCode::SUCCESS;
        }
        // Nothing is left to do where even stderr is gone.
        let _ = writeln!(std::io::stderr(), "error: {error:#}");
        ExitCode::from(status)
    }
}
