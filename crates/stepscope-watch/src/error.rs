//! Why a live view could not be shown.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;

/// Why a live view could not be shown.
#[derive(Debug, Error)]
pub enum WatchError {
    /// The address cannot be listened on.
    #[error("{address}: cannot listen ({source}); choose another with --port or --listen")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A token that a header cannot carry, or that can be guessed.
    #[error(
        "the token has {length} characters, or some that are neither letters, digits, - nor _: expected at least 16 of these"
    )]
    Token {
        /// Characters given.
        length: usize,
    },
    /// Serving ended.
    #[error("the live page ended: {0}")]
    Serve(#[source] io::Error),
    /// The terminal refused.
    #[error("the terminal cannot be drawn on ({0}); use stepscope watch without --terminal, or stepscope report")]
    Terminal(#[source] io::Error),
}
