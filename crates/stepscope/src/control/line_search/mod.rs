//! Learning rates from the loss along the step.

mod line_fit;
mod measured;
mod parabola;
mod probe;

pub use line_fit::LineFit;
pub use measured::MeasuredLearningRate;
pub use parabola::{Minimum, NoMinimum, Parabola, ParabolaError};
pub use probe::{MeasureError, measure};

pub(super) use probe::{is_repeated, losses_at};
