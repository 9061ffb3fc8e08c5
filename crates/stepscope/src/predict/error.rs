//! Files and texts that hold no spectrum, features or settings: where, what was got, what was expected, what to do.

use std::path::{Path, PathBuf};

use stepscope_theory::TheoryError;
use thiserror::Error;

/// Longest piece of someone else's text that a message repeats.
const SHOWN_CHARACTERS: usize = 40;

/// Input that cannot be taken.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The file system refused.
    #[error("{}: cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Its reason.
        source: std::io::Error,
    },
    /// A place in a text file.
    #[error("{}:{line}:{column}: got {got}, expected {expected}: {advice}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What stands there.
        got: String,
        /// What would have been accepted.
        expected: &'static str,
        /// What to do.
        advice: String,
    },
    /// A file as a whole.
    #[error("{}: got {got}, expected {expected}: {advice}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What it is.
        got: String,
        /// What would have been accepted.
        expected: String,
        /// What to do.
        advice: String,
    },
    /// A text given on the command line or by a caller.
    #[error("got {got}, expected {expected}: {advice}")]
    Literal {
        /// The piece that is wrong.
        got: String,
        /// What would have been accepted.
        expected: String,
        /// What to do.
        advice: String,
    },
    /// The numbers were read, and the theory refused them.
    #[error("{}", path.display())]
    Theory {
        /// The file they came from.
        path: PathBuf,
        /// The refusal.
        source: TheoryError,
    },
}

impl SourceError {
    /// A reading error on `path`.
    pub(super) fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        |source| Self::Read { path: path.to_owned(), source }
    }

    /// A file that is wrong as a whole.
    pub(super) fn file(
        path: &Path,
        got: impl Into<String>,
        expected: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::File { path: path.to_owned(), got: got.into(), expected: expected.into(), advice: advice.into() }
    }

    /// A literal that is wrong.
    pub(super) fn literal(got: &str, expected: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::Literal { got: shown(got), expected: expected.into(), advice: advice.into() }
    }
}

/// A place in a text file, for the errors that come from it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) path: &'a Path,
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Place<'_> {
    /// The same line at another column.
    pub(super) fn at_column(self, column: usize) -> Self {
        Self { column, ..self }
    }

    pub(super) fn error(
        self,
        got: impl Into<String>,
        expected: &'static str,
        advice: impl Into<String>,
    ) -> SourceError {
        let (got, advice) = (got.into(), advice.into());
        SourceError::Text { path: self.path.to_owned(), line: self.line, column: self.column, got, expected, advice }
    }
}

/// Someone else's text for a message: quoted, control characters escaped, cut.
pub(super) fn shown(text: &str) -> String {
    let short: String = text.chars().take(SHOWN_CHARACTERS).collect();
    if short.len() < text.len() { format!("{short:?}...") } else { format!("{short:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_cut_and_cannot_reach_the_terminal_raw() {
        assert_eq!(shown("a\u{1b}[31m"), r#""a\u{1b}[31m""#);
        assert_eq!(shown(&"x".repeat(100)).len(), SHOWN_CHARACTERS + 5);
    }
}
