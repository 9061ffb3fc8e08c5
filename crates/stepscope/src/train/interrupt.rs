//! A request to stop a run that is not an end of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A handle with which another thread asks a run to stop: it finishes its step, saves its state and returns
/// [`TrainError::Interrupted`](super::TrainError::Interrupted). Copies share one request.
///
/// ```
/// use stepscope::train::Interrupt;
/// let interrupt = Interrupt::default();
/// let handle = interrupt.clone();
/// handle.request();
/// assert!(interrupt.is_requested());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    requested: Arc<AtomicBool>,
}

impl Interrupt {
    /// Asks the run to stop after the step it is in.
    pub fn request(&self) {
        self.requested.store(true, Ordering::Relaxed);
    }

    /// Whether the run was asked to stop.
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }
}
