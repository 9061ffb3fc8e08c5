//! What a run needs to go on after its process is gone.
//!
//! [`State`] holds everything that the next step depends on, under names; whatever has some implements [`Stateful`]. A
//! [`Checkpoint`] is a state with its place in the run, and a file that is whole or not there ([`Checkpoints`]).

mod error;
mod format;
mod network;
mod saved_tensor;
mod state;
mod store;
mod weights;
mod writer;

pub use error::CheckpointError;
pub(crate) use format::NETWORK;
pub use format::{Checkpoint, FORMAT, RecordsMark, spec_hash};
pub use network::{named_tensors, with_tensors};
pub use saved_tensor::SavedTensor;
pub use state::{State, StateError, Stateful, WeightState};
pub use store::{Checkpoints, Retention};
pub use weights::{WeightsError, export_weights, import_weights, load_weights};
pub use writer::CheckpointWriter;
