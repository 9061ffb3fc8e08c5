//! The time of a run.

use std::time::Instant;

use stepscope_types::Timing;

/// Seconds since the run began, over all its processes.
pub(super) struct Clock {
    pub(super) started: Instant,
    pub(super) earlier_seconds: f64,
}

impl Clock {
    pub(super) fn now(&self, cost_seconds: Option<f64>) -> Timing {
        Timing { wall_seconds: self.earlier_seconds + self.started.elapsed().as_secs_f64(), cost_seconds }
    }
}
