//! Advice that travels with an answer: where the number is right but easily misread.

use std::fmt;

/// Something to know about an answer before using it.
#[derive(Debug, Clone, PartialEq)]
pub enum Warning {
    /// Directions of negative curvature: their share of the loss falls without bound.
    NegativeCurvature {
        /// How many eigenvalues are negative.
        num_modes: usize,
        /// The most negative one.
        smallest: f64,
        /// Factor by which the squared displacement along it grows each step (heavy ball: for long times).
        growth_per_step: f64,
    },
    /// Eigenvalues that are zero: the weights along them drift, the loss does not feel it.
    ZeroCurvature {
        /// How many.
        num_modes: usize,
    },
    /// Parts of a measured spectrum at or below zero that were left out: no step reaches a minimum along them.
    WithoutMinimum {
        /// Share of the eigenvalues.
        of_eigenvalues: f64,
        /// Share of the squared gradient along them.
        of_gradient: f64,
    },
    /// The learning rate is above what a single mode allows, noise or not.
    ModeUnstable {
        /// The learning rate asked for.
        learning_rate: f64,
        /// The limit that the largest eigenvalue sets.
        limit: f64,
    },
    /// U(1) >= 1: the mean loss grows exponentially.
    Unstable {
        /// U(1).
        noise_gain: f64,
    },
    /// U(1) close to 1: the mean loss is finite but carried by rare runs.
    NearThreshold {
        /// U(1).
        noise_gain: f64,
    },
    /// The loss left the range of floating point and is reported as infinite from this step on.
    Overflow {
        /// First step with an infinite loss.
        step: u64,
    },
    /// The contour was not to be trusted at a time; the recursion answered.
    TalbotReplaced {
        /// The time.
        time: u64,
        /// Why.
        reason: TalbotRefusal,
    },
    /// Batches of finite data are taken as independent draws, which shuffled epochs are not.
    IndependentBatches,
    /// γτ2 above 1: outside the range in which the stability conditions are proved.
    ClosureOutsideProof {
        /// γτ2.
        gamma_tau2: f64,
    },
}

/// Why the contour was not used at some time (`loss-prediction`, section 2, pitfalls).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TalbotRefusal {
    /// t(1 − |b|) < 40: complex and negative roots, which the contour leaves out, still matter.
    TooEarly,
    /// U(1) ≥ 1: a pole lies inside the contour.
    Unstable,
    /// Two contours disagree: the loss is too small beside its own past, as after the end of a finite spectrum.
    ContoursDisagree,
    /// Modes of negative curvature grow: their poles lie inside the contour.
    NegativeCurvature,
}

impl fmt::Display for TalbotRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooEarly => "t(1 - |momentum|) is below 40",
            Self::Unstable => "the settings are unstable",
            Self::ContoursDisagree => "two contours disagree: the loss is too small beside its own past",
            Self::NegativeCurvature => "modes of negative curvature grow",
        })
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NegativeCurvature { num_modes, smallest, growth_per_step } => write!(
                f,
                "{num_modes} eigenvalues are negative (down to {smallest}): along them the quadratic has no minimum and the \
                 predicted loss falls without bound, by a factor {growth_per_step} a step at worst; trust the curve only \
                 for as long as their share stays small"
            ),
            Self::ZeroCurvature { num_modes } => {
                write!(f, "{num_modes} eigenvalues are zero: these directions add nothing to the loss and are left out")
            }
            Self::WithoutMinimum { of_eigenvalues, of_gradient } => write!(
                f,
                "{:.2} % of the eigenvalues are at or below zero and are left out, and with them {:.2} % of the squared \
                 gradient: what training does along them is not predicted",
                100.0 * of_eigenvalues,
                100.0 * of_gradient
            ),
            Self::ModeUnstable { learning_rate, limit } => write!(
                f,
                "learning rate {learning_rate} is above {limit}, the limit of the largest eigenvalue: full-batch descent \
                 diverges too; lower the learning rate or raise the momentum"
            ),
            Self::Unstable { noise_gain } => write!(
                f,
                "U(1) = {noise_gain} >= 1: gradient noise feeds on itself and the mean loss grows exponentially; lower the \
                 learning rate or raise the batch size"
            ),
            Self::NearThreshold { noise_gain } => write!(
                f,
                "U(1) = {noise_gain}: close to the threshold 1 the mean loss is carried by rare runs, a typical run lies \
                 below it"
            ),
            Self::Overflow { step } => {
                write!(
                    f,
                    "the loss left the range of floating point at step {step}: it is reported as infinite from there"
                )
            }
            Self::TalbotReplaced { time, reason } => {
                write!(f, "at t = {time} the contour is not to be trusted ({reason}): the recursion answered")
            }
            Self::IndependentBatches => f.write_str(
                "every batch is taken as an independent draw; training in shuffled epochs ends 5-14 % lower far from the \
                 stability threshold and 5-16 % higher close to it",
            ),
            Self::ClosureOutsideProof { gamma_tau2 } => write!(
                f,
                "gamma * tau2 = {gamma_tau2} is above 1: the stability conditions are proved for 0 <= gamma * tau2 <= 1 only"
            ),
        }
    }
}
