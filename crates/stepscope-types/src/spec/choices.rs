//! The keys of a specification that take one of a few words.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::LearningRate;

/// The architectures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ModelKind {
    /// Fully connected layers of any widths.
    Mlp,
    /// Four 3x3 convolutions (32, 32, 64, 64), two max-pools, one dense layer of 128: the network of
    /// *The Break-Even Point* (`curvature`, section 2.5).
    SimpleCnn,
}

/// The nonlinearities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// max(x, 0). Kinked: its Hessian exists almost everywhere, and differences of gradients miss it.
    Relu,
    /// tanh(x).
    Tanh,
    /// x Φ(x), with the exact normal distribution function.
    Gelu,
    /// log(1 + eˣ).
    Softplus,
}

/// The laws of the initial weights; biases start at 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Initializer {
    /// Uniform in ±√(6 / (fan_in + fan_out)) (Glorot and Bengio 2010).
    GlorotUniform,
    /// Uniform in ±√(6 / fan_in), variance 2 / fan_in (He et al. 2015).
    HeUniform,
}

/// Floating-point numbers of weights and activations. Inner products of probes are always f64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 24 bits of significand.
    F32,
    /// 53 bits of significand; about half as fast.
    F64,
}

/// How mini-batches are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// A new permutation every epoch; a last batch that is too small is left out. What most trainers do.
    WithoutReplacement,
    /// Every batch is drawn afresh from the whole set: what the theory assumes.
    WithReplacement,
}

/// A fixed learning rate, or one measured along the step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LearningRateSpec {
    /// The same at every step.
    Fixed(LearningRate),
    /// Measured from a parabola of the loss along the step, as `[line_search]` says.
    Measured,
}

const MEASURED: &str = "measured";
const EXPECTED: &str = "a number above 0, or \"measured\"";

impl Serialize for LearningRateSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fixed(learning_rate) => learning_rate.serialize(serializer),
            Self::Measured => serializer.serialize_str(MEASURED),
        }
    }
}

impl<'de> Deserialize<'de> for LearningRateSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrWord;
        impl de::Visitor<'_> for NumberOrWord {
            type Value = LearningRateSpec;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<LearningRateSpec, E> {
                LearningRate::new(number).map(LearningRateSpec::Fixed).map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<LearningRateSpec, E> {
                self.visit_f64(number as f64)
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<LearningRateSpec, E> {
                self.visit_f64(number as f64)
            }
            fn visit_str<E: de::Error>(self, word: &str) -> Result<LearningRateSpec, E> {
                if word == MEASURED {
                    Ok(LearningRateSpec::Measured)
                } else {
                    Err(E::custom(format!("got \"{word}\", expected {EXPECTED}")))
                }
            }
        }
        deserializer.deserialize_any(NumberOrWord)
    }
}

impl JsonSchema for LearningRateSpec {
    fn schema_name() -> Cow<'static, str> {
        "LearningRateSpec".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "oneOf": [{"type": "number", "exclusiveMinimum": 0}, {"const": MEASURED}],
            "description": "a number above 0, or \"measured\" to measure it along the step",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_learning_rate_is_a_number_or_the_word_measured() {
        let parse = serde_json::from_str::<LearningRateSpec>;
        assert_eq!(parse("\"measured\"").unwrap(), LearningRateSpec::Measured);
        assert_eq!(parse("1").unwrap(), parse("1.0").unwrap());
        for bad in ["-1", "0", "\"fast\"", "true", "1e400"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
