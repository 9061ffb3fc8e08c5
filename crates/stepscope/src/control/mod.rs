//! CONTROL: the step itself. Optimizer, learning rates, schedules, averages.

pub mod average;
mod learning_rate;
pub mod line_search;
pub mod schedule;
mod sgd;

pub use learning_rate::{LearningRateSource, Line};
pub use sgd::Sgd;
