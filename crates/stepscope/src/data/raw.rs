//! Examples as the files hold them, whatever the format.

use sha2::{Digest, Sha256};

use super::error::DataError;

/// A data set before it is normalised and cut.
#[derive(Debug)]
pub(super) struct RawData {
    /// Channels, rows, columns of an example.
    pub(super) shape: [usize; 3],
    /// Labels are 0 to this, excluded.
    pub(super) num_classes: usize,
    pub(super) train: RawSplit,
    pub(super) test: RawSplit,
    /// SHA-256, in hexadecimal, of the unpacked files in the order that the format gives.
    pub(super) sha256: String,
}

/// The examples of a split, as many as there are labels.
#[derive(Debug)]
pub(super) struct RawSplit {
    pub(super) values: RawValues,
    pub(super) labels: Vec<u8>,
}

/// The numbers of the examples, one example after the other.
#[derive(Debug)]
pub(super) enum RawValues {
    Pixels(Vec<u8>),
    Tokens(Vec<u16>),
}

/// SHA-256 of the parts one after the other, in hexadecimal.
pub(super) fn sha256<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hex(&hasher.finalize())
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Refuses a label that is no class.
pub(super) fn check_labels(
    name: &str,
    split: &'static str,
    labels: &[u8],
    num_classes: usize,
) -> Result<(), DataError> {
    match labels.iter().enumerate().find(|(_, label)| usize::from(**label) >= num_classes) {
        Some((index, &label)) => Err(DataError::Label { name: name.to_owned(), split, index, label, num_classes }),
        None => Ok(()),
    }
}
