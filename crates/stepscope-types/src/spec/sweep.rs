//! The `[sweep]` table: many runs from one specification.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Many runs from one specification: every combination of grid, lists, draws and seeds is a run.
///
/// Beside the keys here, the table holds `grid`, `list` and `random`, whose keys are those of the specification itself:
/// what they may be is read from [`RunSpec`](crate::RunSpec), not said again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SweepSpec {
    /// Seeds that every combination is run with: a count (3 means the seeds 0, 1, 2) or the seeds themselves. They set
    /// `seeds.root`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SweepSeeds")]
    pub seeds: Option<SweepSeeds>,
    /// Number of draws from the ranges of `sweep.random`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub draws: Option<u64>,
    /// Seed of those draws. With more draws the first ones stay the same.
    pub draw_seed: u64,
}

/// The seeds of a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SweepSeeds {
    /// So many: 0, 1, 2 and on.
    Count(u64),
    /// These.
    List(Vec<u64>),
}

impl SweepSeeds {
    /// How many seeds there are.
    pub fn count(&self) -> u64 {
        match self {
            Self::Count(count) => *count,
            Self::List(seeds) => seeds.len() as u64,
        }
    }

    /// The seeds, in order.
    pub fn iter(&self) -> Box<dyn Iterator<Item = u64> + '_> {
        match self {
            Self::Count(count) => Box::new(0..*count),
            Self::List(seeds) => Box::new(seeds.iter().copied()),
        }
    }
}

impl JsonSchema for SweepSeeds {
    fn schema_name() -> Cow<'static, str> {
        "SweepSeeds".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "oneOf": [
                {"type": "integer", "minimum": 1},
                {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1},
            ],
        })
    }
}

/// A range that values are drawn from, its lower end below its upper.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum SweepRange {
    /// Every value between the two ends is equally likely.
    Uniform([f64; 2]),
    /// The logarithm of the value is uniform: every factor is equally likely. Both ends are above 0.
    LogUniform([f64; 2]),
}

impl SweepRange {
    /// The value at `position` in [0, 1) of the range: low + (high − low) position, or low (high / low)^position.
    ///
    /// `None` where the ends are not finite, not in order, or not above 0 for a logarithm. The answer is rounded to six significant
    /// digits: that reads well, and hides the last bits in which mathematical libraries differ, so that a draw is the same run on
    /// every machine.
    ///
    /// ```
    /// use stepscope_types::spec::SweepRange;
    /// assert_eq!(SweepRange::LogUniform([0.01, 1.0]).at(0.5), Some(0.1));
    /// assert_eq!(SweepRange::LogUniform([0.0, 1.0]).at(0.5), None);
    /// ```
    pub fn at(self, position: f64) -> Option<f64> {
        let ([low, high], floor) = match self {
            Self::Uniform(ends) => (ends, f64::NEG_INFINITY),
            Self::LogUniform(ends) => (ends, 0.0),
        };
        let in_order = low.is_finite() && high.is_finite() && floor < low && low < high;
        let value = match self {
            Self::Uniform(_) => low + (high - low) * position,
            Self::LogUniform(_) => (low.ln() + (high.ln() - low.ln()) * position).exp(),
        };
        in_order.then(|| format!("{value:.5e}").parse().ok()).flatten().filter(|value: &f64| value.is_finite())
    }
}

impl JsonSchema for SweepRange {
    fn schema_name() -> Cow<'static, str> {
        "SweepRange".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let ends = json_schema!({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2});
        let range = |key: &str| {
            json_schema!({
                "type": "object",
                "title": format!("{{ {key} = [low, high] }}"),
                "properties": {key: ends},
                "required": [key],
                "additionalProperties": false,
            })
        };
        json_schema!({"oneOf": [range("uniform"), range("log_uniform")]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_count_or_a_list() {
        let parse = |json: &str| serde_json::from_str::<SweepSeeds>(json);
        assert_eq!(parse("3").unwrap().iter().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(parse("[7, 5]").unwrap().iter().collect::<Vec<_>>(), [7, 5]);
        assert_eq!(parse("[7, 5]").unwrap().count(), 2);
        assert!(["-1", "[0.5]", "\"3\""].iter().all(|bad| parse(bad).is_err()));
    }

    #[test]
    fn ranges_reach_from_end_to_end_and_nonsense_has_no_value() {
        assert_eq!(SweepRange::Uniform([-1.0, 3.0]).at(0.0), Some(-1.0));
        assert_eq!(SweepRange::Uniform([-1.0, 3.0]).at(0.25), Some(0.0));
        let log = SweepRange::LogUniform([1e-4, 1e2]);
        assert_eq!((log.at(0.0), log.at(1.0 / 3.0), log.at(1.0)), (Some(1e-4), Some(0.01), Some(100.0)));
        for ends in [[1.0, 1.0], [2.0, 1.0], [f64::NAN, 1.0], [0.0, f64::INFINITY]] {
            assert_eq!(SweepRange::Uniform(ends).at(0.5), None, "{ends:?}");
            assert_eq!(SweepRange::LogUniform(ends).at(0.5), None, "{ends:?}");
        }
        assert_eq!(SweepRange::Uniform([-f64::MAX, f64::MAX]).at(0.5), None, "the width is not finite");
    }

    #[test]
    fn a_range_is_written_as_a_table_with_one_key() {
        let parse = |json: &str| serde_json::from_str::<SweepRange>(json);
        assert_eq!(parse(r#"{"log_uniform": [1, 2.5]}"#).unwrap(), SweepRange::LogUniform([1.0, 2.5]));
        for bad in [r#"{"normal": [0, 1]}"#, r#"{"uniform": [0, 1], "log_uniform": [1, 2]}"#, r#"{"uniform": [0]}"#] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
