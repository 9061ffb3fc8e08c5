//! Why a measurement gave no step.

use thiserror::Error;

use crate::control::line_search::{NoMinimum, ParabolaError};

/// Why a line was not measured, or what was measured was not used. The last step serves on.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum Refusal {
    /// The line has no minimum ahead.
    #[error(transparent)]
    NoMinimum(#[from] NoMinimum),
    /// No parabola goes through the losses.
    #[error(transparent)]
    Parabola(#[from] ParabolaError),
    /// Slope or curvature cannot be told from 0.
    #[error("the {what} of the loss along the step, {value:.3e}, is within {significance} standard errors of 0")]
    NotSignificant {
        /// `slope` or `half curvature`.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The number of standard errors asked for.
        significance: f64,
    },
    /// The minimum could be anywhere.
    #[error(
        "the minimum along the step is {position:.3e} with a standard error of {standard_error:.3e}: at most {limit} of it is allowed"
    )]
    Imprecise {
        /// s*.
        position: f64,
        /// Its standard error.
        standard_error: f64,
        /// Largest error allowed, relative to s*.
        limit: f64,
    },
    /// The direction is too short or too long to be measured along.
    #[error("the direction's norm is {norm:.3e}, outside {low} to {high}: nothing was measured")]
    Norm {
        /// ‖v‖.
        norm: f64,
        /// Smallest norm measured along.
        low: f64,
        /// Largest norm measured along.
        high: f64,
    },
    /// The direction does not descend on its own batch, which momentum may bring about.
    #[error("the direction rises on its own batch (slope {slope:.3e}): nothing was measured")]
    Ascent {
        /// Directional derivative along the unit direction.
        slope: f64,
    },
    /// The number of batches per update changed while measuring.
    #[error("the number of batches per update changed while measuring")]
    Rescheduled,
    /// The loss exploded; the weights are again those of the last measurement.
    #[error("the loss is {loss:.3e} and was {before:.3e} at the last measurement: its weights were put back")]
    RolledBack {
        /// Now.
        loss: f64,
        /// Then.
        before: f64,
    },
}
