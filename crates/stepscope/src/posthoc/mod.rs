//! Averages of a run after it ended, from the snapshots that it kept: what each gains on held-out examples, which is best, and
//! what learning-rate schedule it equals.
//!
//! `stepscope average DIR` is this on the command line; `docs/averages.md` says how to choose. Source: `averaging`, sections
//! 2.5, 2.6 and 5.

mod candidate;
mod comparison;
mod equivalent;
mod error;
mod held_out;
mod snapshots;

pub use candidate::Candidate;
pub use comparison::{At, Comparison, Row, WithError, compare};
pub use equivalent::{Stretch, effective_rate_ratio, schedule_words, stretches};
pub use error::PosthocError;
pub use held_out::HeldOut;
pub use snapshots::Snapshots;
