//! CONTROL: the step itself. Methods that turn batches into updates, learning rates from the loss along the step,
//! schedules, averages.
//!
//! | seam | is |
//! |---|---|
//! | [`LossOracle`] | what a method may ask about a batch: loss, loss and gradient |
//! | [`Method`] | what a training loop hands its batches to |
//! | [`Direction`], [`StepLength`] | the two halves of a method that takes an update a batch, [`Stepwise`]; momentum, Adam and decay are in [`transform`] |
//! | [`Line`] | the loss along a coming update |
//! | [`Reduce`] | the mean over the ranks of a data-parallel training |

pub mod average;
mod direction;
mod from_spec;
mod halt;
mod labpal;
pub mod line_search;
mod method;
mod momo;
mod oracle;
mod prodigy;
mod reduce;
pub mod schedule;
mod schedule_free;
mod scheduled;
mod statistics;
mod step_length;
mod stepwise;
mod svag;
pub mod transform;

pub use direction::Direction;
pub use from_spec::{MethodError, method};
pub use halt::Halt;
pub use labpal::{LabPal, LabPalError, LabPalMode, LabPalTask, Refusal};
pub(crate) use method::pass_seed;
pub use method::{Context, Evaluated, Method, Numbered, Passes, Phase, StepReport};
pub use momo::{Momo, MomoSettings};
pub use oracle::{LossOracle, NetworkOracle};
pub use prodigy::{Prodigy, ProdigySettings};
pub use reduce::{OneRank, Reduce};
pub use schedule_free::{ScheduleFree, ScheduleFreeSettings};
pub use statistics::Statistics;
pub use step_length::{Chosen, Fixed, Line, StepLength};
pub use stepwise::Stepwise;
pub use svag::{Svag, SvagError, SvagMethod};
