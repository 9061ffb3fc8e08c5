//! What a run measures with, and what that may cost.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// A set of instruments with what they may cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MeasurePreset {
    /// Losses, sharpness with break-even meter, gradient noise with its tests, critical sharpness, distances; every reading
    /// taken.
    #[default]
    Standard,
    /// The same instruments within 5 % of the training's cost.
    Economy,
    /// Also batch sharpness, the gradient covariance, fixed batches, one-step floors, half-rate gauges and the two-point
    /// curve, within 25 %.
    Business,
    /// Every instrument, also the Hessian's spectrum; every reading taken.
    Full,
}

/// One instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Instrument {
    /// Loss and accuracy on training and test set.
    Loss,
    /// Top Hessian eigenvalue against the optimizer's threshold, gradient norm, alignment of the two.
    Sharpness,
    /// With each sharpness: spread of per-example curvature, largest stable learning rate, break-even step.
    BreakEven,
    /// Gradient noise scale with Cockpit's tests, batch alignment and the Gram spectrum of the batch gradients.
    GradientNoise,
    /// Critical learning rate of the step from forward passes.
    CriticalSharpness,
    /// Curvature of mini-batch losses along their own gradients.
    BatchSharpness,
    /// Distances from the start and since the last reading, weight norms, random projections.
    Distance,
    /// Top eigenvalue and trace of the per-example gradient covariance, by products.
    GradientCovariance,
    /// Fixed mini-batches along the trajectory: losses and convexity.
    FixedBatches,
    /// One gradient step on a batch: its best rate, its floor, how quadratic the way is.
    OneStep,
    /// Vertex of the held-out loss along one update and along the chord between readings.
    HalfRateGauge,
    /// Losses in the middle of chords: the two-point curve, the excess loss, what averages and a cooldown would gain.
    TwoPoint,
    /// Trace, Frobenius norm, bottom eigenvalue and negative mass of the Hessian.
    HessianSpectrum,
}

impl Instrument {
    /// Every instrument, in the order in which they measure.
    pub const ALL: [Self; 13] = [
        Self::Loss,
        Self::Sharpness,
        Self::BreakEven,
        Self::GradientNoise,
        Self::CriticalSharpness,
        Self::BatchSharpness,
        Self::Distance,
        Self::GradientCovariance,
        Self::FixedBatches,
        Self::OneStep,
        Self::HalfRateGauge,
        Self::TwoPoint,
        Self::HessianSpectrum,
    ];

    /// The word that specifications and flags use.
    pub fn word(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Sharpness => "sharpness",
            Self::BreakEven => "break-even",
            Self::GradientNoise => "gradient-noise",
            Self::CriticalSharpness => "critical-sharpness",
            Self::BatchSharpness => "batch-sharpness",
            Self::Distance => "distance",
            Self::GradientCovariance => "gradient-covariance",
            Self::FixedBatches => "fixed-batches",
            Self::OneStep => "one-step",
            Self::HalfRateGauge => "half-rate-gauge",
            Self::TwoPoint => "two-point",
            Self::HessianSpectrum => "hessian-spectrum",
        }
    }
}

impl MeasurePreset {
    /// The instruments of the preset.
    pub fn instruments(self) -> &'static [Instrument] {
        use Instrument as I;
        match self {
            Self::Standard | Self::Economy => {
                &[I::Loss, I::Sharpness, I::BreakEven, I::GradientNoise, I::CriticalSharpness, I::Distance]
            }
            Self::Business => &[
                I::Loss,
                I::Sharpness,
                I::BreakEven,
                I::GradientNoise,
                I::CriticalSharpness,
                I::BatchSharpness,
                I::Distance,
                I::GradientCovariance,
                I::FixedBatches,
                I::OneStep,
                I::HalfRateGauge,
                I::TwoPoint,
            ],
            Self::Full => &Instrument::ALL,
        }
    }

    /// What the preset may cost, where it has a limit.
    pub fn budget(self) -> Option<MeasureBudget> {
        match self {
            Self::Standard | Self::Full => None,
            Self::Economy => Some(MeasureBudget { share: 0.05 }),
            Self::Business => Some(MeasureBudget { share: 0.25 }),
        }
    }
}

/// What probes may cost, as a share of what the training costs: `"5%"`.
///
/// ```
/// use stepscope_types::spec::MeasureBudget;
/// assert_eq!("5%".parse::<MeasureBudget>()?.share(), 0.05);
/// assert!("5".parse::<MeasureBudget>().is_err());
/// # Ok::<(), stepscope_types::spec::ParseBudgetError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeasureBudget {
    share: f64,
}

/// A text that is no budget.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{got}' is not a budget: expected a percentage of the training's cost above 0 (\"5%\")")]
pub struct ParseBudgetError {
    got: String,
}

impl MeasureBudget {
    /// Cost of the probes over cost of the training: above 0.
    pub fn share(self) -> f64 {
        self.share
    }
}

impl FromStr for MeasureBudget {
    type Err = ParseBudgetError;

    fn from_str(text: &str) -> Result<Self, ParseBudgetError> {
        let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        match percent {
            Some(percent) if percent > 0.0 && percent <= 1e6 => Ok(Self { share: percent / 100.0 }),
            _ => Err(ParseBudgetError { got: text.to_owned() }),
        }
    }
}

impl fmt::Display for MeasureBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounded, because a hundredth of a percentage need not have a short decimal; the digits kept still read back.
        write!(f, "{}%", (self.share * 1e14).round() / 1e12)
    }
}

impl Serialize for MeasureBudget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MeasureBudget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for MeasureBudget {
    fn schema_name() -> Cow<'static, str> {
        "MeasureBudget".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^[0-9]+(\.[0-9]+)?%$",
            "description": "a percentage of the training's cost above 0 (\"5%\")",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_a_percentage_and_nothing_else() {
        for bad in ["", "5", "%", "0%", "-1%", "nan%", "inf%", "five%"] {
            assert!(bad.parse::<MeasureBudget>().is_err(), "{bad}");
        }
        for good in ["5%", "0.5%", "25%", "300%", "33.3%"] {
            let budget: MeasureBudget = good.parse().unwrap();
            assert_eq!(budget.to_string(), good);
            assert_eq!(budget.to_string().parse(), Ok(budget));
        }
    }

    #[test]
    fn the_word_of_an_instrument_is_the_one_in_specifications() {
        for instrument in Instrument::ALL {
            assert_eq!(serde_json::to_value(instrument).unwrap(), instrument.word());
        }
    }

    #[test]
    fn presets_grow_and_hold_no_instrument_twice() {
        for preset in [MeasurePreset::Standard, MeasurePreset::Economy, MeasurePreset::Business, MeasurePreset::Full] {
            let mut instruments = preset.instruments().to_vec();
            instruments.sort();
            instruments.dedup();
            assert_eq!(instruments.len(), preset.instruments().len());
            assert!(MeasurePreset::Economy.instruments().iter().all(|i| instruments.contains(i)), "{preset:?}");
        }
    }
}
