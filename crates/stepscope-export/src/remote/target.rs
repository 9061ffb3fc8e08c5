//! What a server must be able to do.

use std::sync::Arc;

use thiserror::Error;

/// A value on its way to a server.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Name of the quantity.
    pub name: Arc<str>,
    /// Updates applied before it was measured.
    pub step: u64,
    /// The value; always finite.
    pub value: f64,
    /// Milliseconds since 1970.
    pub unix_millis: i64,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Whether it took every step that it was asked for.
    pub succeeded: bool,
    /// Milliseconds since 1970.
    pub unix_millis: i64,
}

/// Why a request did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SendError {
    /// The server cannot be reached, or cannot answer now: it is asked again later.
    #[error("{0}")]
    Away(String),
    /// The server says no, and would say so again.
    #[error("{0}")]
    Refused(String),
}

/// A server that takes in the values of one run. Its methods may block: they are called on a thread of their own.
///
/// Any of them may be called again with the same arguments after [`SendError::Away`], also where the server did what was
/// asked and only its answer was lost: it must come out the same.
pub trait Target: Send + 'static {
    /// What is written to, for messages: `MLflow at http://127.0.0.1:5000`.
    fn name(&self) -> String;

    /// How many of the waiting values the next request takes, from the front; 0 to wait for more. `is_last` says that no
    /// more will come.
    fn batch_length(&self, waiting: &[Point], is_last: bool) -> usize;

    /// Finds or makes the run. Called until it succeeds once, before anything else.
    ///
    /// # Errors
    /// [`SendError`].
    fn open(&mut self) -> Result<(), SendError>;

    /// Sends values; no more than [`Target::batch_length`] said.
    ///
    /// # Errors
    /// [`SendError`].
    fn send(&mut self, points: &[Point]) -> Result<(), SendError>;

    /// Says that the run is over.
    ///
    /// # Errors
    /// [`SendError`].
    fn close(&mut self, end: &End) -> Result<(), SendError>;
}
