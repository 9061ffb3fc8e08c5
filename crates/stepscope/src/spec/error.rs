//! What is wrong with a specification, and where.

use std::fmt;

use thiserror::Error;

/// Where a key stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Somewhere in a file, or nowhere in it: a default, a missing key.
    File(String),
    /// A line of a file, from 1.
    Line(String, usize),
    /// An override, as it was given.
    Override(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => f.write_str(file),
            Self::Line(file, line) => write!(f, "{file}:{line}"),
            Self::Override(text) => write!(f, "--set {text}"),
        }
    }
}

/// What is wrong with a specification. Every message says where, which key, what was got or is missing, and what
/// was expected.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SpecError {
    /// The text is no TOML.
    #[error("{place}: is no TOML: {message}")]
    Syntax {
        /// The line at which reading stopped.
        place: Place,
        /// What the parser says.
        message: String,
    },
    /// A key that no specification has.
    #[error("{place}: {key}: unknown key: {}", advice(nearest.as_deref(), known))]
    UnknownKey {
        /// Where it stands.
        place: Place,
        /// The key, with dots.
        key: String,
        /// The known key that was probably meant, with dots.
        nearest: Option<String>,
        /// The known keys beside it.
        known: Vec<String>,
    },
    /// A key without a default that is not there.
    #[error("{place}: {key}: is missing, expected {expected}: add it, for instance with --set {key}=...")]
    Missing {
        /// The specification.
        place: Place,
        /// The key, with dots.
        key: String,
        /// What it takes.
        expected: Box<str>,
    },
    /// A value of the wrong type or outside its range.
    #[error(
        "{place}: {key}: got {got}, expected {expected}{hint}",
        hint = nearest.as_ref().map(|word| format!(": did you mean \"{word}\"?")).unwrap_or_default()
    )]
    Value {
        /// Where it stands.
        place: Place,
        /// The key, with dots.
        key: String,
        /// The value as it was written.
        got: String,
        /// What the key takes.
        expected: Box<str>,
        /// The word that was probably meant, for keys that take one of a few.
        nearest: Option<String>,
    },
    /// Keys that are each valid but do not go together.
    #[error("{place}: {key}: {message}")]
    Invalid {
        /// Where the key stands.
        place: Place,
        /// The key, with dots.
        key: String,
        /// What was got, what was expected, what to do.
        message: String,
    },
    /// An override that is none.
    #[error("--set {text}: {reason}")]
    Override {
        /// The override, as it was given.
        text: String,
        /// What is wrong with it, and what was expected.
        reason: String,
    },
}

fn advice(nearest: Option<&str>, known: &[String]) -> String {
    match nearest {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => format!("expected one of {}", known.join(", ")),
    }
}
