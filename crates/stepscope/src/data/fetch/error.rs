//! Why a data set could not be fetched.

use std::io;

use thiserror::Error;

/// Why a data set could not be fetched. Every message says where, what was got, what to do.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The cache cannot be written.
    #[error(
        "{path}: the cache cannot be written ({source}): make room or give another folder with --cache or STEPSCOPE_DATA"
    )]
    Cache {
        /// The folder or file.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// Another process fetches the same file.
    #[error("{path}: another process is fetching this file: wait until it is done")]
    Busy {
        /// The part.
        path: String,
    },
    /// The address does not answer, or not with the file.
    #[error(
        "{url}: {reason} ({attempts} attempts): what has arrived is kept and continued by the next call; --mirror gives another address"
    )]
    Unreachable {
        /// The address.
        url: String,
        /// What happened last.
        reason: String,
        /// Attempts in a row that brought nothing.
        attempts: u32,
    },
    /// The server says that there is no such file.
    #[error("{url}: the server answers with status {status}: check the address, or give another with --mirror")]
    Status {
        /// The address.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// More arrived than the file has.
    #[error("{url}: got more than {limit} bytes, which the published file does not have: check the mirror")]
    TooLong {
        /// The address.
        url: String,
        /// Most bytes that are taken.
        limit: u64,
    },
    /// Other bytes than were published.
    #[error(
        "{url}: got {bytes} bytes with SHA-256 {got}, expected {expected}: the copy there is damaged or another version; it was removed here"
    )]
    Checksum {
        /// The address, or the file.
        url: String,
        /// Length of what arrived.
        bytes: u64,
        /// Its checksum.
        got: String,
        /// The published checksum.
        expected: String,
    },
    /// An archive without one of its files.
    #[error("{url}: the archive holds no whole {member}: the copy there is damaged or another version")]
    Member {
        /// The address, or the file.
        url: String,
        /// The file that is missing.
        member: String,
    },
}

impl FetchError {
    /// The same error, with the address that the bytes came from.
    pub(super) fn at(self, address: &str) -> Self {
        match self {
            Self::Checksum { bytes, got, expected, .. } => {
                Self::Checksum { url: address.to_owned(), bytes, got, expected }
            }
            Self::Member { member, .. } => Self::Member { url: address.to_owned(), member },
            other => other,
        }
    }
}
