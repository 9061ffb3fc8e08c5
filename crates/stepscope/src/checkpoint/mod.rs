//! What a run needs to go on after its process is gone.

mod state;

pub use state::{State, StateError, Stateful, WeightState};
