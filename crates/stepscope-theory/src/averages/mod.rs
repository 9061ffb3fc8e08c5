//! Averages of the weights: their loss inside the recursion, their stationary variance, and what schedule they equal.

mod curve;
mod epochs;
mod equivalence;
mod power_profile;
mod spectrometer;
mod stationary;
mod two_point_curve;

pub use curve::ChordPrediction;
pub use epochs::EpochSampling;
pub use equivalence::{
    ema_for_reduction, ema_heavy_ball, ema_mean, loss_effective_rate, matched_ema, matched_window, multipliers,
    pathwise_schedule, pathwise_weights, poisson_binomial_schedule, poisson_binomial_weights, weights_from_multipliers,
};
pub use power_profile::{PowerProfile, Synthesis};
pub use spectrometer::ExcessSpectrum;
pub use stationary::StationaryMode;
pub use two_point_curve::{TwoPointCurve, quantile_interval};

use crate::error::{TheoryError, check};

/// An average of the weights along a run, read at time T.
///
/// | average | weights on x_{T−j}, j = 0, 1, ... |
/// |---|---|
/// | `Last` | 1 on x_T |
/// | `Ema` | α(1 − α)^j, and (1 − α)^T on the start x_0 |
/// | `PowerFunction` | ∝ differences of (t/T)^{γ+1}: longer memory as the run goes on |
/// | `Tail` | equal on x_{from}, ..., x_T |
/// | `Window` | equal on the last N (fewer while T + 1 < N) |
/// | `TwoPoint` | ½ on x_T and x_{T−gap} (all on x_T while T < gap) |
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Average {
    /// The last iterate: no average.
    Last,
    /// y ← (1 − α)y + αx, started at x_0.
    Ema {
        /// α = 1 − decay, in (0, 1].
        rate: f64,
    },
    /// y ← (1 − d)y + d·x with d = 1 − (1 − 1/t)^{γ+1} at step t.
    PowerFunction {
        /// γ ≥ 0; 0 is the mean of all iterates after x_0.
        exponent: f64,
    },
    /// The mean of all iterates from a step on; before it, the last iterate.
    Tail {
        /// First step in the mean.
        from: u64,
    },
    /// The mean of the last N iterates.
    Window {
        /// N ≥ 1.
        length: u64,
    },
    /// The midpoint of two iterates.
    TwoPoint {
        /// Steps between them.
        gap: u64,
    },
}

impl Average {
    /// Itself, if its parameters mean something.
    pub(crate) fn checked(self) -> Result<Self, TheoryError> {
        match self {
            Self::Ema { rate } => check("EMA rate", "above 0 and at most 1", rate, rate > 0.0 && rate <= 1.0)?,
            Self::PowerFunction { exponent } => {
                check(
                    "power-function exponent",
                    "finite and not negative",
                    exponent,
                    exponent.is_finite() && exponent >= 0.0,
                )?;
            }
            Self::Window { length } => check("window length", "at least 1", length as f64, length >= 1)?,
            _ => {}
        }
        Ok(self)
    }

    /// d of the update y ← (1 − d)y + d·x at time t ≥ 1, when the average is to be read at time `read`.
    ///
    /// For [`Average::TwoPoint`] the y is the older point.
    pub(crate) fn intake(self, time: u64, read: u64) -> f64 {
        let since = |from: u64| if time <= from { 1.0 } else { 1.0 / (time - from + 1) as f64 };
        match self {
            Self::Last => 1.0,
            Self::Ema { rate } => rate,
            Self::PowerFunction { exponent } => 1.0 - (1.0 - 1.0 / time as f64).powf(exponent + 1.0),
            Self::Tail { from } => since(from),
            Self::Window { length } => since((read + 1).saturating_sub(length)),
            Self::TwoPoint { gap } if gap > read => 1.0,
            Self::TwoPoint { gap } => f64::from(u8::from(time <= read - gap)),
        }
    }

    /// Var of the average over Var of an iterate on a stationary direction, after so long a run that its start is forgotten.
    ///
    /// # Errors
    /// [`TheoryError::Number`] for parameters without a meaning; [`TheoryError::Unsuited`] for averages whose memory grows with the run.
    pub fn stationary_ratio(self, mode: &StationaryMode) -> Result<f64, TheoryError> {
        match self.checked()? {
            Self::Last => Ok(1.0),
            Self::Ema { rate } => mode.ema_ratio(rate),
            Self::Window { length } => mode.window_ratio(length),
            Self::TwoPoint { gap } => Ok(mode.two_point_ratio(gap)),
            Self::PowerFunction { .. } | Self::Tail { .. } => Err(TheoryError::Unsuited {
                method: "a stationary variance",
                needs: "an average of fixed memory",
                advice: "give an EMA, a window or two points",
            }),
        }
    }

    /// The weights on x_T, x_{T−1}, ..., x_0; they sum to 1.
    ///
    /// ```
    /// use stepscope_theory::Average;
    /// assert_eq!(Average::TwoPoint { gap: 2 }.weights(3)?, [0.5, 0.0, 0.5, 0.0]);
    /// assert_eq!(Average::Ema { rate: 0.5 }.weights(2)?, [0.5, 0.25, 0.25]);
    /// # Ok::<(), stepscope_theory::TheoryError>(())
    /// ```
    ///
    /// # Errors
    /// [`TheoryError::Number`] for a rate, exponent or length without a meaning.
    pub fn weights(self, time: u64) -> Result<Vec<f64>, TheoryError> {
        self.checked()?;
        let mut kept = 1.0;
        let mut weights: Vec<f64> = (1..=time)
            .rev()
            .map(|t| {
                let intake = self.intake(t, time);
                let weight = kept * intake;
                kept *= 1.0 - intake;
                weight
            })
            .collect();
        weights.push(kept);
        if let Self::TwoPoint { .. } = self {
            weights.iter_mut().for_each(|weight| *weight *= 0.5);
            weights[0] += 0.5;
        }
        Ok(weights)
    }
}
