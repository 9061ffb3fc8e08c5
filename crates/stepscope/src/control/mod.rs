//! CONTROL: the step itself. Optimizer, learning rates, averages.

pub mod average;
mod learning_rate;
pub mod line_search;
mod sgd;

pub use learning_rate::{LearningRateSource, Line};
pub use sgd::Sgd;
