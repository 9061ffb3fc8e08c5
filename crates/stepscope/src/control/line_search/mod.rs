//! Learning rates from the loss along the step.

mod measured;
mod parabola;

pub use measured::MeasuredLearningRate;
pub use parabola::{Minimum, NoMinimum, Parabola, ParabolaError};
