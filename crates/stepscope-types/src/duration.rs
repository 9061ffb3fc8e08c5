//! Lengths of training as typed literals: `"10ep"`, `"300st"`, `"0.5dur"`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// A length of training: epochs, steps, or a fraction of the whole run.
///
/// | literal | meaning |
/// |---|---|
/// | `"10ep"` | 10 passes over the training set; fractions allowed |
/// | `"300st"` | 300 updates |
/// | `"0.5dur"` | half of the run |
///
/// ```
/// use stepscope_types::TrainingDuration;
/// let duration: TrainingDuration = "10ep".parse()?;
/// // 1000 examples in batches of 32 are 31.25 steps an epoch.
/// assert_eq!(duration.steps(31.25, None), Some(313));
/// # Ok::<(), stepscope_types::ParseDurationError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TrainingDuration {
    /// Passes over the training set.
    Epochs(f64),
    /// Updates.
    Steps(u64),
    /// A fraction, between 0 and 1, of the whole run.
    Fraction(f64),
}

/// A literal that is no length of training.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "'{got}' is not a duration: expected epochs (\"10ep\"), steps (\"300st\") or a fraction of the run (\"0.5dur\")"
)]
pub struct ParseDurationError {
    got: String,
}

impl TrainingDuration {
    /// The length in steps, rounded up.
    ///
    /// `steps_per_epoch` is examples over batch size; `run_steps` is the length of the whole run, which only
    /// [`TrainingDuration::Fraction`] needs: without it a fraction has no length and the answer is `None`.
    pub fn steps(self, steps_per_epoch: f64, run_steps: Option<u64>) -> Option<u64> {
        match self {
            Self::Epochs(epochs) => Some((epochs * steps_per_epoch).ceil() as u64),
            Self::Steps(steps) => Some(steps),
            Self::Fraction(fraction) => run_steps.map(|steps| (fraction * steps as f64).ceil() as u64),
        }
    }
}

impl FromStr for TrainingDuration {
    type Err = ParseDurationError;

    fn from_str(literal: &str) -> Result<Self, ParseDurationError> {
        let refused = || ParseDurationError { got: literal.to_owned() };
        let number = |suffix: &str| literal.strip_suffix(suffix).map(str::trim);
        // An f64 holds counts up to 2^53 exactly; nobody trains longer than that.
        let positive = |text: &str, limit: f64| {
            text.parse::<f64>().ok().filter(|v| v.is_finite() && *v > 0.0 && *v <= limit).ok_or_else(refused)
        };
        if let Some(text) = number("ep") {
            return Ok(Self::Epochs(positive(text, 1e9)?));
        }
        if let Some(text) = number("st") {
            let steps = text.parse::<u64>().map_err(|_| refused())?;
            return if (1..=1 << 53).contains(&steps) { Ok(Self::Steps(steps)) } else { Err(refused()) };
        }
        if let Some(text) = number("dur") {
            return Ok(Self::Fraction(positive(text, 1.0)?));
        }
        Err(refused())
    }
}

impl fmt::Display for TrainingDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Epochs(epochs) => write!(f, "{epochs}ep"),
            Self::Steps(steps) => write!(f, "{steps}st"),
            Self::Fraction(fraction) => write!(f, "{fraction}dur"),
        }
    }
}

impl Serialize for TrainingDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TrainingDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Literal;
        impl de::Visitor<'_> for Literal {
            type Value = TrainingDuration;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"10ep\", \"300st\" or \"0.5dur\"")
            }
            fn visit_str<E: de::Error>(self, literal: &str) -> Result<TrainingDuration, E> {
                literal.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Literal)
    }
}

impl JsonSchema for TrainingDuration {
    fn schema_name() -> Cow<'static, str> {
        "TrainingDuration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^[0-9]+(\.[0-9]+)?(ep|dur)$|^[0-9]+st$",
            "description": "a length of training: epochs (\"10ep\"), steps (\"300st\") or a fraction of the run (\"0.5dur\")",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn literals_mean_what_they_say() {
        assert_eq!("10ep".parse(), Ok(TrainingDuration::Epochs(10.0)));
        assert_eq!("300st".parse(), Ok(TrainingDuration::Steps(300)));
        assert_eq!("0.5dur".parse(), Ok(TrainingDuration::Fraction(0.5)));
        assert_eq!(TrainingDuration::Fraction(0.5).steps(10.0, Some(301)), Some(151));
        assert_eq!(TrainingDuration::Fraction(0.5).steps(10.0, None), None);
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for bad in [
            "",
            "10",
            "ep",
            "-1ep",
            "0st",
            "1.5st",
            "2dur",
            "0dur",
            "nanep",
            "infep",
            "10 epochs",
            "99999999999999999999st",
        ] {
            let message = bad.parse::<TrainingDuration>().unwrap_err().to_string();
            assert!(message.contains(&format!("'{bad}'")), "{message}");
        }
    }

    proptest! {
        #[test]
        fn displaying_and_parsing_are_inverse(epochs in 1e-3f64..1e6, steps in 1u64..1 << 53, fraction in 1e-6f64..1.0) {
            for duration in [TrainingDuration::Epochs(epochs), TrainingDuration::Steps(steps), TrainingDuration::Fraction(fraction)] {
                prop_assert_eq!(duration.to_string().parse::<TrainingDuration>(), Ok(duration));
            }
        }
    }
}
