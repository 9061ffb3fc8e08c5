//! What the probes of one step tell each other.

use std::cell::RefCell;
use std::rc::Rc;

use stepscope_types::Estimate;

/// Results that later probes of the same step can use instead of measuring them again.
///
/// Made new for every step, so nothing in it outlives the point that it was measured at.
#[derive(Debug, Default)]
pub struct SharedReadings {
    sharpest_direction: RefCell<Option<Rc<[f64]>>>,
    noise_trace: RefCell<Option<Estimate>>,
}

impl SharedReadings {
    /// Leaves the unit top eigenvector of the Hessian over the probe examples.
    pub fn set_sharpest_direction(&self, direction: &[f64]) {
        *self.sharpest_direction.borrow_mut() = Some(direction.into());
    }

    /// The unit top eigenvector of the Hessian, where it was measured at this step.
    pub fn sharpest_direction(&self) -> Option<Rc<[f64]>> {
        self.sharpest_direction.borrow().clone()
    }

    /// Leaves tr Σ, the trace of one example's gradient covariance.
    pub fn set_noise_trace(&self, trace: &Estimate) {
        *self.noise_trace.borrow_mut() = Some(trace.clone());
    }

    /// tr Σ, where it was measured at this step.
    pub fn noise_trace(&self) -> Option<Estimate> {
        self.noise_trace.borrow().clone()
    }
}
