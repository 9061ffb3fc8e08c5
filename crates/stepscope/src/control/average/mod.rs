//! Averages of the weights, for any Burn module.
//!
//! | average | type | memory beside the network | cost a step |
//! |---|---|---|---|
//! | EMA, power-function EMA, SWA, tail and suffix means | [`AverageBank`] | one shadow each, f32 or better | one pass over what is due |
//! | window, strided window, LAWA | [`Ring`] | a copy a snapshot | none |
//! | two points | [`TwoPoint`], [`TwoPoints`] | one copy, or a file | none |
//! | any weights on stored points | [`combine()`] | the points | none |
//!
//! In theory an average is a learning-rate schedule: [`stepscope_theory::multipliers`] says which. How to choose one is in
//! `docs/averages.md`.

mod bank;
mod combine;
mod decay;
mod error;
mod ring;
mod shadow;
mod swap;
mod two_point;

pub use bank::{AverageBank, Rule, Running};
pub use combine::combine;
pub use decay::{Decay, WarmUp};
pub use error::AverageError;
pub use ring::Ring;
pub use shadow::ShadowPrecision;
pub use swap::{Swapped, swap_in};
pub use two_point::{TwoPoint, TwoPoints};
