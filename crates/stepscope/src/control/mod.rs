//! CONTROL: the step itself. Methods that turn batches into updates, learning rates from the loss along the step,
//! schedules, averages.
//!
//! | seam | is |
//! |---|---|
//! | [`LossOracle`] | what a method may ask about a batch: loss, loss and gradient |
//! | [`Method`] | what a training loop hands its batches to |
//! | [`Direction`], [`StepLength`] | the two halves of a method that takes an update a batch, [`Stepwise`] |
//! | [`Line`] | the loss along a coming update |
//! | [`Reduce`] | the mean over the ranks of a data-parallel training |

pub mod average;
mod direction;
mod from_spec;
mod halt;
mod labpal;
pub mod line_search;
mod method;
mod oracle;
mod reduce;
pub mod schedule;
mod scheduled;
mod statistics;
mod step_length;
mod stepwise;

pub use direction::{Direction, HeavyBall};
pub use from_spec::method;
pub use halt::Halt;
pub use labpal::{LabPal, LabPalError, LabPalMode, LabPalTask, Refusal};
pub use method::{Context, Evaluated, Method, Numbered, Passes, Phase, StepReport};
pub use oracle::{LossOracle, NetworkOracle};
pub use reduce::{OneRank, Reduce};
pub use statistics::Statistics;
pub use step_length::{Chosen, Fixed, Line, StepLength};
pub use stepwise::Stepwise;
