//! What a probe measures: a value together with its doubt.

use serde::{Deserialize, Serialize};

/// A measured number with everything needed to judge it.
///
/// A float with no doubt attached is not a measurement: the error, the number of examples it rests on, the
/// number of matrix-vector products it cost and the mode of the network travel with the value.
///
/// ```
/// use stepscope_types::{Estimate, Mode, Uncertainty};
/// let sharpness = Estimate::new(12.5, "1/learning-rate", Uncertainty::Residual(0.02))
///     .over_examples(1024).with_products(10).in_mode(Mode::Eval);
/// assert_eq!(sharpness.interval(), (12.48, 12.52));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The value, in [`Estimate::unit`].
    pub value: f64,
    /// The unit: `nat`, `1`, `examples`, `1/learning-rate`, ...
    pub unit: String,
    /// How far the value may be from what it estimates.
    pub error: Uncertainty,
    /// Examples that entered the value.
    pub num_examples: u64,
    /// Matrix-vector products (Hessian, Gauss-Newton, ...) spent on it.
    pub num_products: u64,
    /// How the network was evaluated.
    pub mode: Mode,
}

/// The error attached to an [`Estimate`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Uncertainty {
    /// Nothing was sampled: the value is what its definition says, to rounding.
    Exact,
    /// One standard error of a mean over a sample.
    StandardError(f64),
    /// ‖Av − λv‖ of an eigenpair: a true eigenvalue lies within this distance of the value.
    Residual(f64),
    /// A confidence interval; `level` is its coverage, e.g. 0.95.
    Interval {
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
        /// Coverage, between 0 and 1.
        level: f64,
    },
}

/// How the network was evaluated while measuring: where batch normalisation took its statistics from, and whether
/// features were dropped (`curvature`, section 4.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Running statistics, no dropout: deterministic, examples independent of each other.
    Eval,
    /// Running statistics, dropout by a fixed mask.
    EvalWithDropout,
    /// Statistics of the measured examples at these weights, held constant; no dropout.
    FrozenFull,
    /// Statistics of the measured examples at these weights, held constant; dropout by a fixed mask.
    FrozenFullWithDropout,
    /// The statistics of each measured batch, differentiated through; no dropout. Depends on the size of the batches.
    TrainBatch,
    /// As in a training step: batch statistics, dropout on.
    Train,
    /// No network was involved (theory, bookkeeping).
    None,
}

impl Mode {
    /// The word in records and tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Eval => "eval",
            Self::EvalWithDropout => "eval-with-dropout",
            Self::FrozenFull => "frozen-full",
            Self::FrozenFullWithDropout => "frozen-full-with-dropout",
            Self::TrainBatch => "train-batch",
            Self::Train => "train",
            Self::None => "none",
        }
    }
}

/// A probe's answer: a value, or the reason why there is none.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// The quantity was measured.
    Value(Estimate),
    /// The quantity could not be resolved; `reason` says why and what to try.
    Unresolved {
        /// The cause and the advice, in a sentence.
        reason: String,
        /// What was spent on finding out.
        num_examples: u64,
    },
}

impl Estimate {
    /// An estimate over no examples, with no products, in mode [`Mode::None`]; set what applies.
    pub fn new(value: f64, unit: impl Into<String>, error: Uncertainty) -> Self {
        Self { value, unit: unit.into(), error, num_examples: 0, num_products: 0, mode: Mode::None }
    }

    /// Sets the number of examples that entered the value.
    pub fn over_examples(mut self, num_examples: u64) -> Self {
        self.num_examples = num_examples;
        self
    }

    /// Sets the number of matrix-vector products spent.
    pub fn with_products(mut self, num_products: u64) -> Self {
        self.num_products = num_products;
        self
    }

    /// Sets the mode of the network.
    pub fn in_mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Lower and upper end of the error: the interval where one is given, otherwise one standard error or
    /// residual to either side.
    pub fn interval(&self) -> (f64, f64) {
        match self.error {
            Uncertainty::Exact => (self.value, self.value),
            Uncertainty::StandardError(error) | Uncertainty::Residual(error) => {
                (self.value - error, self.value + error)
            }
            Uncertainty::Interval { low, high, .. } => (low, high),
        }
    }

    /// The same measurement on another scale: value and error are multiplied by `factor`.
    ///
    /// `factor` may be negative; an interval's ends are kept in order.
    pub fn scaled(mut self, factor: f64, unit: impl Into<String>) -> Self {
        self.value *= factor;
        self.unit = unit.into();
        self.error = match self.error {
            Uncertainty::Exact => Uncertainty::Exact,
            Uncertainty::StandardError(error) => Uncertainty::StandardError(error * factor.abs()),
            Uncertainty::Residual(error) => Uncertainty::Residual(error * factor.abs()),
            Uncertainty::Interval { low, high, level } => {
                let (a, b) = (low * factor, high * factor);
                Uncertainty::Interval { low: a.min(b), high: a.max(b), level }
            }
        };
        self
    }
}

impl Uncertainty {
    /// Whether every number in it is finite.
    pub fn is_finite(&self) -> bool {
        match *self {
            Self::Exact => true,
            Self::StandardError(error) | Self::Residual(error) => error.is_finite(),
            Self::Interval { low, high, .. } => low.is_finite() && high.is_finite(),
        }
    }
}

impl Reading {
    /// The estimate, if the quantity was resolved.
    pub fn estimate(&self) -> Option<&Estimate> {
        match self {
            Self::Value(estimate) => Some(estimate),
            Self::Unresolved { .. } => None,
        }
    }
}

impl From<Estimate> for Reading {
    fn from(estimate: Estimate) -> Self {
        Self::Value(estimate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaling_by_a_negative_factor_keeps_the_interval_in_order() {
        let interval = Uncertainty::Interval { low: 1.0, high: 3.0, level: 0.95 };
        let scaled = Estimate::new(2.0, "1", interval).scaled(-2.0, "1");
        assert_eq!(scaled.interval(), (-6.0, -2.0));
        assert_eq!(scaled.value, -4.0);
    }

    #[test]
    fn the_word_of_a_mode_is_the_one_in_records() {
        let dropped = [Mode::EvalWithDropout, Mode::FrozenFullWithDropout, Mode::Train];
        for mode in [Mode::Eval, Mode::FrozenFull, Mode::TrainBatch, Mode::None].into_iter().chain(dropped) {
            assert_eq!(serde_json::to_value(mode).unwrap(), mode.word());
        }
    }

    #[test]
    fn an_estimate_survives_json() {
        let estimate =
            Estimate::new(0.1, "nat", Uncertainty::StandardError(0.01)).over_examples(64).in_mode(Mode::Eval);
        let json = serde_json::to_string(&estimate).unwrap();
        assert_eq!(serde_json::from_str::<Estimate>(&json).unwrap(), estimate);
    }
}
