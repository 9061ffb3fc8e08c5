//! What an average cannot be asked for.

use thiserror::Error;

/// Settings of an average that mean nothing, or that would silently do nothing.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum AverageError {
    /// A decay that forgets everything, nothing, or more than everything.
    #[error(
        "decay {got}: expected a number between 0 and 1, both excluded: 0.999 halves the weight of an iterate in 693 steps"
    )]
    Decay {
        /// The decay asked for.
        got: f64,
    },
    /// A half-life that is none.
    #[error("half-life of {got} steps: expected a finite number above 0")]
    HalfLife {
        /// The half-life asked for, in steps.
        got: f64,
    },
    /// A number of steps or snapshots that must not be 0.
    #[error("{what}: got 0, expected at least 1")]
    Zero {
        /// What was counted.
        what: &'static str,
    },
    /// A warm-up or a profile whose numbers mean nothing.
    #[error("{what}: got {got}, expected {expected}")]
    Number {
        /// Which number.
        what: &'static str,
        /// The number.
        got: f64,
        /// What it may be.
        expected: &'static str,
    },
    /// A shadow too coarse for its updates.
    #[error(
        "a bf16 shadow of {average}: an update takes in {intake:.1e} of the difference, and what is below half a last \
         place, 2^-9, vanishes: it would freeze. Use an f32 shadow, or an update share of at least 2^-8 (a shorter \
         half-life, or updates every so many steps)"
    )]
    Vanishes {
        /// The average in words.
        average: String,
        /// The smallest share of an update.
        intake: f64,
    },
}
