//! Why a method cannot go on.

use thiserror::Error;

/// Why a method cannot go on.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum Halt {
    /// The oracle does not give the same loss twice.
    #[error(
        "the loss of a batch is {first} and, evaluated again at the same weights with the same seed, {second}: an oracle must \
         draw everything random from its seed and leave the model as it is"
    )]
    NotRepeatable {
        /// The first time.
        first: f64,
        /// The second time.
        second: f64,
    },
    /// No update in a long time.
    #[error("no update in the last {batches} batches: {reason}")]
    Stalled {
        /// Batches since the last update.
        batches: u64,
        /// The latest refusal.
        reason: String,
    },
    /// A method that was restored has not got back the batches that it held.
    #[error(
        "{missing} batches of a measurement that was under way were not given back: call Method::restore_held after loading"
    )]
    BatchesMissing {
        /// Number of batches.
        missing: usize,
    },
}
