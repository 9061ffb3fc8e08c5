//! Numbers with a meaning: step, learning rate, momentum, batch size.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The number of updates already applied: a record at step `k` describes the weights before update `k`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Step(pub u64);

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number that is outside the range its unit allows.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{unit} must be {expected}, got {got}")]
pub struct InvalidUnit {
    /// Which unit refused the number.
    pub unit: &'static str,
    /// The range that would have been accepted.
    pub expected: &'static str,
    /// The number that was given.
    pub got: String,
}

/// η: the factor on the raw gradient, θ ← θ − ηv. Finite and above 0; values above 1 are allowed.
///
/// ```
/// use stepscope_types::LearningRate;
/// assert_eq!(LearningRate::new(0.1)?.get(), 0.1);
/// assert!(LearningRate::new(-0.1).is_err());
/// # Ok::<(), stepscope_types::InvalidUnit>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schemars(extend("exclusiveMinimum" = 0))]
pub struct LearningRate(f64);

/// β of heavy-ball momentum, v ← βv + g. Inside (−1, 1): negative momentum is meaningful
/// (`loss-prediction`, section 3) and 0 is plain SGD.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schemars(extend("exclusiveMinimum" = -1, "exclusiveMaximum" = 1))]
pub struct Momentum(f64);

/// B: examples per update. At least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u64", into = "u64")]
#[schemars(extend("minimum" = 1))]
pub struct BatchSize(u64);

macro_rules! checked_unit {
    ($unit:ident, $inner:ty, $name:literal, $expected:literal, $accepts:expr) => {
        impl $unit {
            #[doc = concat!("Accepts ", $expected, ".")]
            ///
            /// # Errors
            /// [`InvalidUnit`] names the range and the number for anything else.
            pub fn new(value: $inner) -> Result<Self, InvalidUnit> {
                let accepts: fn($inner) -> bool = $accepts;
                if accepts(value) {
                    Ok(Self(value))
                } else {
                    Err(InvalidUnit { unit: $name, expected: $expected, got: value.to_string() })
                }
            }

            /// The plain number.
            pub fn get(self) -> $inner {
                self.0
            }
        }

        impl TryFrom<$inner> for $unit {
            type Error = InvalidUnit;
            fn try_from(value: $inner) -> Result<Self, InvalidUnit> {
                Self::new(value)
            }
        }

        impl From<$unit> for $inner {
            fn from(value: $unit) -> $inner {
                value.0
            }
        }

        impl fmt::Display for $unit {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

checked_unit!(LearningRate, f64, "learning rate", "a finite number above 0", |v| v.is_finite() && v > 0.0);
checked_unit!(Momentum, f64, "momentum", "a number between -1 and 1, both excluded", |v| v.abs() < 1.0);
checked_unit!(BatchSize, u64, "batch size", "a whole number of at least 1", |v| v >= 1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_refuse_what_has_no_meaning() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(LearningRate::new(bad).is_err(), "{bad}");
        }
        for bad in [1.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Momentum::new(bad).is_err(), "{bad}");
        }
        assert!(BatchSize::new(0).is_err());
        assert!(Momentum::new(-0.5).is_ok(), "negative momentum is a setting, not a mistake");
        assert!(LearningRate::new(2.5).is_ok(), "rates above 1 are allowed");
    }

    #[test]
    fn the_message_says_what_was_got_and_what_was_expected() {
        let message = LearningRate::new(-0.5).unwrap_err().to_string();
        assert_eq!(message, "learning rate must be a finite number above 0, got -0.5");
    }

    #[test]
    fn serde_goes_through_the_check() {
        assert!(serde_json::from_str::<LearningRate>("0.1").is_ok());
        assert!(serde_json::from_str::<LearningRate>("-0.1").is_err());
        assert!(serde_json::from_str::<BatchSize>("0").is_err());
    }
}
