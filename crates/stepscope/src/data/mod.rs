//! Data sets: where they come from, how they are normalised, and in which order a run sees them.
//!
//! [`Dataset::load`] reads an embedded data set, a fetched one or a folder; only [`fetch`] ever downloads. A file is
//! checked against its real length before memory is asked for, and every refusal names the file, what was
//! got, what was expected and what to do.

pub mod catalogue;
pub mod embedded;
pub mod fetch;

mod augment;
mod batch;
mod batch_plan;
mod cache;
mod cifar;
mod dataset;
mod error;
mod idx;
mod idx_folder;
mod imdb;
mod label_noise;
mod loader;
mod normalise;
mod probe_subset;
mod raw;
mod sampler;
mod split;
mod target;

pub use augment::Augmentation;
pub use batch::Batch;
pub use batch_plan::{BatchPlan, Place};
pub use cache::Cache;
pub use dataset::Dataset;
pub use error::DataError;
pub use idx::{IdxError, IdxFile, IdxKind};
pub use loader::Loader;
pub use normalise::Normalisation;
pub use probe_subset::probe_subset;
pub use sampler::{Sampler, SamplingError, WithReplacement, WithoutReplacement, planned_sampler, sampler};
pub use split::Split;
pub use target::Target;
