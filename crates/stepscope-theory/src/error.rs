//! What is refused, and why.

use thiserror::Error;

use crate::warning::TalbotRefusal;

/// A question that has no answer as it was put. Every variant carries what was got and what was expected.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum TheoryError {
    /// A number lies outside the range in which it has a meaning.
    #[error("{name} must be {expected}, got {got}")]
    Number {
        /// Which argument.
        name: &'static str,
        /// The range that would have been accepted.
        expected: &'static str,
        /// The number given.
        got: f64,
    },
    /// A batch cannot hold more examples than there are.
    #[error(
        "batch size {batch_size} is larger than the {num_examples} examples it is drawn from: \
         lower the batch size, or sample from a stream"
    )]
    BatchTooLarge {
        /// Examples asked for in a batch.
        batch_size: u64,
        /// Examples there are.
        num_examples: u64,
    },
    /// (τ1, τ2) for which the gradient noise would have a negative variance.
    #[error(
        "tau1 = {tau1}, tau2 = {tau2} give a negative noise variance: the pair needs tau1 >= 0 and tau2 <= tau1 \
         ((1, 1) for interpolating kernels, (1, -1) for Gaussian features)"
    )]
    Closure {
        /// τ1 given.
        tau1: f64,
        /// τ2 given.
        tau2: f64,
    },
    /// The spectrum has no positive eigenvalue, so nothing is being minimised.
    #[error("no eigenvalue is positive (the largest is {largest}): the loss has no curvature to descend")]
    NoPositiveEigenvalue {
        /// The largest eigenvalue given.
        largest: f64,
    },
    /// The noise factor is that of no whole batch size.
    #[error(
        "noise factor {noise_factor} at step {step} is that of batch size {batch_size}, which is no whole number: \
         explicit data needs whole batches"
    )]
    NoWholeBatch {
        /// γ given.
        noise_factor: f64,
        /// At which step.
        step: u64,
        /// B that would have this γ.
        batch_size: f64,
    },
    /// The question needs single modes, and the model holds bins or modes of higher multiplicity.
    #[error("{what} needs single modes, but node {node} holds {multiplicity}")]
    NotSingleModes {
        /// What was asked for.
        what: &'static str,
        /// First node with more than one mode.
        node: usize,
        /// How many modes it holds.
        multiplicity: f64,
    },
    /// A time that no rung reaches: the contour refused it and stepping there would take too long.
    #[error(
        "t = {time} is out of reach: the contour is not to be trusted ({reason}) and stepping {num_nodes} nodes that far \
         would take too long; bin the spectrum or ask for an earlier time"
    )]
    OutOfReach {
        /// The time asked for.
        time: u64,
        /// Why the contour was not used.
        reason: TalbotRefusal,
        /// Nodes that would have to be stepped.
        num_nodes: usize,
    },
    /// A method was asked for what it cannot do.
    #[error("{method} needs {needs}: {advice}")]
    Unsuited {
        /// The method.
        method: &'static str,
        /// What it needs and did not get.
        needs: &'static str,
        /// What to do instead.
        advice: &'static str,
    },
    /// An eigenvalue decomposition did not converge.
    #[error("the eigenvalue decomposition of the {size} x {size} kernel did not converge: check the features for NaN")]
    NoDecomposition {
        /// Rows of the kernel.
        size: usize,
    },
    /// Two lists that must have equal length do not.
    #[error("{what} need {expected} entries, got {got}")]
    Length {
        /// What was being read.
        what: &'static str,
        /// Entries needed.
        expected: usize,
        /// Entries given.
        got: usize,
    },
}

/// Refuses a number outside its range.
pub(crate) fn check(name: &'static str, expected: &'static str, got: f64, accepted: bool) -> Result<(), TheoryError> {
    if accepted { Ok(()) } else { Err(TheoryError::Number { name, expected, got }) }
}
