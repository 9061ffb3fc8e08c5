//! Data sets: where they come from, how they are normalised, and in which order a run sees them.
//!
//! [`Dataset::load`] reads an embedded data set or a folder in MNIST's layout; nothing is downloaded. A file is
//! checked against its real length before memory is asked for, and every refusal names the file, what was
//! got, what was expected and what to do.

pub mod embedded;

mod batch;
mod dataset;
mod error;
mod idx;
mod normalise;
mod probe_subset;
mod sampler;

pub use batch::Batch;
pub use dataset::{Dataset, Split};
pub use error::DataError;
pub use idx::{IdxError, IdxFile, IdxKind};
pub use normalise::Normalisation;
pub use probe_subset::probe_subset;
pub use sampler::{Sampler, SamplingError, WithReplacement, WithoutReplacement, sampler};
