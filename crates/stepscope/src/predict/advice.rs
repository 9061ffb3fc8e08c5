//! What there is to know about a prediction from files, beside the theory's own warnings.

use std::fmt;

/// Something to know before using a prediction.
#[derive(Debug, Clone, PartialEq)]
pub enum PredictAdvice {
    /// Bins that reach the asked accuracy would take too long.
    BinsTooCoarse {
        /// Relative error that was reached.
        relative_error: f64,
        /// Relative accuracy that was asked for.
        asked: f64,
    },
    /// The spectrum ends, and the loss falls faster than its power law.
    SpectrumEnds {
        /// From where on this shows: a twentieth of `last_decay`.
        step: f64,
        /// 1/(2 α_eff λ_min).
        last_decay: f64,
    },
    /// The endless law has no finite U(1); only the end of the spectrum keeps it stable.
    OnlyTheEndIsStable {
        /// ν.
        eigenvalue_exponent: f64,
    },
    /// Where the two laws meet is not well determined.
    TransitionUnreliable {
        /// α_eff · t_trans.
        flow_time: f64,
    },
    /// A schedule is judged by its strongest settings.
    JudgedByPeak {
        /// The learning rate there.
        learning_rate: f64,
    },
    /// Nothing was said about the batch.
    FullBatch,
    /// (τ1, τ2) were fitted to the data.
    ClosureFitted {
        /// τ1 that was used.
        tau1: f64,
        /// τ2 that was used.
        tau2: f64,
        /// τ2 before it was lowered to τ1, which keeps every variance positive.
        fitted_tau2: f64,
    },
    /// The power law was fitted to the spectrum.
    LawFitted {
        /// ν.
        eigenvalue_exponent: f64,
        /// ϰ.
        target_exponent: f64,
    },
    /// Only the head of the spectrum was measured.
    TailAssumed {
        /// ν of the tail.
        eigenvalue_exponent: f64,
        /// ϰ of the tail.
        target_exponent: f64,
    },
}

impl fmt::Display for PredictAdvice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BinsTooCoarse { relative_error, asked } => write!(
                f,
                "bins fine enough for a relative error of {asked} would take too long: the stated error is {relative_error:.1e}; \
                 ask for fewer steps or single times"
            ),
            Self::SpectrumEnds { step, last_decay } => write!(
                f,
                "the spectrum is finite: from about step {step:.0} on the loss falls below its power laws, and from about step \
                 {last_decay:.0} on, where the last mode decays, exponentially"
            ),
            Self::OnlyTheEndIsStable { eigenvalue_exponent } => write!(
                f,
                "with an eigenvalue exponent of {eigenvalue_exponent} (at most 1) U(1) grows without bound as modes are added: \
                 stability here is that of this many modes only"
            ),
            Self::TransitionUnreliable { flow_time } => write!(
                f,
                "the transition step is rough: effective learning rate times transition step is {flow_time:.0}, and it is \
                 reliable above about 3000"
            ),
            Self::JudgedByPeak { learning_rate } => write!(
                f,
                "stability, regime and limits are those of constant settings at the schedule's largest learning rate, {learning_rate}, \
                 with the largest momentum and the smallest batch size where those change as well"
            ),
            Self::FullBatch => f.write_str(
                "no batch size was given: this is full-batch descent without gradient noise; add --batch-size for mini-batch SGD",
            ),
            Self::ClosureFitted { tau1, tau2, fitted_tau2 } => {
                write!(f, "tau = ({tau1:.4}, {tau2:.4}) was fitted to the data")?;
                if fitted_tau2 > tau2 {
                    write!(f, " ({fitted_tau2:.4} lowered to tau1, which keeps the noise variance positive)")?;
                }
                f.write_str("; the stability threshold of real data lies up to 8 % below the predicted one: keep a margin")
            }
            Self::LawFitted { eigenvalue_exponent, target_exponent } => write!(
                f,
                "regime, exponents and constants are those of a power law fitted to the spectrum, nu = {eigenvalue_exponent:.3}, \
                 kappa = {target_exponent:.3}: the constants are good to some ten percent; the curve does not depend on the fit"
            ),
            Self::TailAssumed { eigenvalue_exponent, target_exponent } => write!(
                f,
                "the unmeasured tail is taken as a power law with nu = {eigenvalue_exponent:.3}, kappa = {target_exponent:.3} that \
                 carries what trace and loss leave over: a few percent off where that was tested"
            ),
        }
    }
}
