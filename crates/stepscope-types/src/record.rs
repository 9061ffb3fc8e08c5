//! The lines of `metrics.jsonl`: one measurement or one event each.

use serde::{Deserialize, Serialize};

use crate::spec::MeasureBudget;
use crate::{Estimate, Mode, Reading, Step, Uncertainty, Verdict};

/// One line of a run's record file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum Record {
    /// A quantity at a step.
    Measurement(Measurement),
    /// Something that happened.
    Event(EventRecord),
}

/// A quantity at a step, with its error and what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Updates applied before the measurement.
    pub step: Step,
    /// Examples seen over training examples.
    pub epoch: f64,
    /// A name from [`crate::quantity`], with slashes: `curvature/hessian_top_eigenvalue`.
    pub name: String,
    /// The value; `null` where the quantity is unresolved or not finite.
    pub value: Option<f64>,
    /// The unit of value and error.
    pub unit: String,
    /// The error; absent where there is no value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Uncertainty>,
    /// Why there is no value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unresolved: Option<String>,
    /// Examples that entered the value.
    pub num_examples: u64,
    /// Matrix-vector products spent.
    pub num_products: u64,
    /// How the network was evaluated.
    pub mode: Mode,
    /// Times; left out of every comparison of two runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
}

/// Something that happened at a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventRecord {
    /// Updates applied before it happened.
    pub step: Step,
    /// Examples seen over training examples.
    pub epoch: f64,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
    /// Times; left out of every comparison of two runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
}

/// What can happen to a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventKind {
    /// The first record of a run.
    RunStarted,
    /// A budget did not allow all readings.
    ReadingsLeftOut {
        /// What the readings were allowed to cost.
        budget: MeasureBudget,
        /// The probes concerned.
        left_out: Vec<LeftOut>,
    },
    /// A controller changed its mind about the learning rate.
    Decided {
        /// What is done from here on.
        verdict: Verdict,
        /// The numbers behind it, in words.
        because: String,
    },
    /// The last record of a run that came to an end.
    RunEnded {
        /// Why it ended.
        #[serde(flatten)]
        reason: StopReason,
    },
}

/// A probe whose readings a budget did not all allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Name of the probe.
    pub probe: String,
    /// Readings that its schedule asked for.
    pub num_due: u64,
    /// Readings taken.
    pub num_taken: u64,
}

/// Why a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum StopReason {
    /// The asked number of steps was done.
    Finished,
    /// The loss was not finite, or far above where it began, for too long.
    Diverged {
        /// The last step whose loss was in order.
        last_good_step: Step,
        /// What was seen, and what to try.
        message: String,
    },
}

/// Times of a record. They differ from run to run and are never compared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Seconds since the run began.
    pub wall_seconds: f64,
    /// Seconds that this measurement took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_seconds: Option<f64>,
}

impl Measurement {
    /// A measurement from a probe's reading. Values that are not finite, which JSON cannot hold, become
    /// unresolved with the value named.
    pub fn new(step: Step, epoch: f64, name: impl Into<String>, reading: Reading) -> Self {
        let blank = Self {
            step,
            epoch,
            name: name.into(),
            value: None,
            unit: String::new(),
            error: None,
            unresolved: None,
            num_examples: 0,
            num_products: 0,
            mode: Mode::None,
            timing: None,
        };
        match reading {
            Reading::Value(Estimate { value, unit, error, num_examples, num_products, mode }) => {
                let finite = value.is_finite() && error.is_finite();
                Self {
                    value: finite.then_some(value),
                    unit,
                    error: finite.then_some(error),
                    unresolved: (!finite).then(|| match value.is_finite() {
                        true => format!("the error of {value} is not a number"),
                        false => format!("the value is {value}"),
                    }),
                    num_examples,
                    num_products,
                    mode,
                    ..blank
                }
            }
            Reading::Unresolved { reason, num_examples } => Self { unresolved: Some(reason), num_examples, ..blank },
        }
    }

    /// Lower and upper end of the error, where there is a value.
    pub fn interval(&self) -> Option<(f64, f64)> {
        let estimate = Estimate::new(self.value?, "", self.error?);
        Some(estimate.interval())
    }
}

impl Record {
    /// The step of the record.
    pub fn step(&self) -> Step {
        match self {
            Self::Measurement(measurement) => measurement.step,
            Self::Event(event) => event.step,
        }
    }

    /// The same record without its times: two runs of one spec agree in it to the byte.
    pub fn without_timing(mut self) -> Self {
        *self.timing_mut() = None;
        self
    }

    /// The record's times.
    pub fn timing_mut(&mut self) -> &mut Option<Timing> {
        match self {
            Self::Measurement(measurement) => &mut measurement.timing,
            Self::Event(event) => &mut event.timing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_is_one_flat_line() {
        let estimate = Estimate::new(0.5, "nat", Uncertainty::StandardError(0.1)).over_examples(8).in_mode(Mode::Eval);
        let record = Record::Measurement(Measurement::new(Step(3), 0.25, "train/loss", estimate.into()));
        assert_eq!(
            serde_json::to_string(&record).unwrap(),
            r#"{"record":"measurement","step":3,"epoch":0.25,"name":"train/loss","value":0.5,"unit":"nat","error":{"standard_error":0.1},"num_examples":8,"num_products":0,"mode":"eval"}"#
        );
    }

    #[test]
    fn events_are_flat_too_and_survive_the_round_trip() {
        let reason = StopReason::Diverged { last_good_step: Step(6), message: "loss is NaN".into() };
        let event = EventRecord { step: Step(7), epoch: 0.5, kind: EventKind::RunEnded { reason }, timing: None };
        let json = serde_json::to_string(&Record::Event(event.clone())).unwrap();
        assert_eq!(
            json,
            r#"{"record":"event","step":7,"epoch":0.5,"event":"run-ended","reason":"diverged","last_good_step":6,"message":"loss is NaN"}"#
        );
        assert_eq!(serde_json::from_str::<Record>(&json).unwrap(), Record::Event(event));
    }

    #[test]
    fn a_value_that_is_not_finite_is_unresolved_and_says_so() {
        let measurement = Measurement::new(
            Step(0),
            0.0,
            "train/loss",
            Estimate::new(f64::INFINITY, "nat", Uncertainty::Exact).into(),
        );
        assert_eq!(measurement.value, None);
        assert_eq!(measurement.unresolved.as_deref(), Some("the value is inf"));
        assert!(serde_json::to_string(&measurement).is_ok());
        // JSON has no word for such an error either, and the line could not be read again.
        let error = Uncertainty::Interval { low: 0.0, high: f64::INFINITY, level: 0.95 };
        let measurement = Measurement::new(Step(0), 0.0, "train/loss", Estimate::new(1.0, "nat", error).into());
        assert_eq!((measurement.value, measurement.error), (None, None));
        assert_eq!(measurement.unresolved.as_deref(), Some("the error of 1 is not a number"));
    }
}
