//! What to run: the specification that a TOML file holds.
//!
//! Every key has a default except the learning rate, so the shortest useful file is
//!
//! ```toml
//! [optimizer]
//! learning_rate = 0.1
//! ```
//!
//! Reading a file, and refusing an unknown key with the nearest known one, is `stepscope::spec`'s work.

mod average;
mod checkpoint;
mod choices;
mod data;
mod instruments;
mod measure;
mod measure_mode;
mod model;
mod schedules;
mod sweep;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use average::{AverageSpec, EmaWarmUp, ShadowKind};
pub use checkpoint::CheckpointSpec;
pub use choices::{
    Activation, Initializer, LearningRateSpec, ModelKind, Normalisation, Precision, ResidualForm, Sampling,
};
pub use data::{AugmentSpec, DataSpec};
pub use instruments::{Instrument, MeasureBudget, MeasurePreset, ParseBudgetError};
pub use measure::MeasureSpec;
pub use measure_mode::MeasureMode;
pub use model::ModelSpec;
pub use schedules::SchedulesSpec;
pub use sweep::{SweepRange, SweepSeeds, SweepSpec};

use crate::{BatchSize, LearningRate, Momentum, Seeds, TrainingDuration};

/// One training run: data, model, steps, optimizer, measurements, averages, seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunSpec {
    /// Name of the run, shown in tables and on pages.
    #[serde(default = "default_name")]
    pub name: String,
    /// Which data.
    #[serde(default)]
    pub data: DataSpec,
    /// Which network.
    #[serde(default)]
    pub model: ModelSpec,
    /// How long, in which batches.
    #[serde(default)]
    pub train: TrainSpec,
    /// Which steps.
    pub optimizer: OptimizerSpec,
    /// Which settings change along the run, and how.
    #[serde(default, skip_serializing_if = "SchedulesSpec::is_empty")]
    pub schedule: SchedulesSpec,
    /// How a measured learning rate is measured; only for `optimizer.learning_rate = "measured"`.
    #[serde(default)]
    pub line_search: LineSearchSpec,
    /// What is measured along the run.
    #[serde(default)]
    pub measure: MeasureSpec,
    /// Which weights are averaged.
    #[serde(default)]
    pub average: AverageSpec,
    /// What is saved along the run, so that it can go on after its process is gone.
    #[serde(default)]
    pub checkpoint: CheckpointSpec,
    /// The random streams.
    #[serde(default)]
    pub seeds: Seeds,
}

/// Length and batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrainSpec {
    /// Length of the run, in epochs or steps.
    pub duration: TrainingDuration,
    /// Examples per update.
    pub batch_size: BatchSize,
    /// How batches are drawn.
    pub sampling: Sampling,
}

/// SGD with heavy-ball momentum: v ← momentum·v + g, θ ← θ − learning_rate·v.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OptimizerSpec {
    /// A number, or `"measured"` to measure it along the step.
    pub learning_rate: LearningRateSpec,
    /// Momentum, between −1 and 1; 0 is plain SGD.
    #[serde(default)]
    pub momentum: Momentum,
}

/// How a measured learning rate is measured: a parabola through the loss of held-out batches along the step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LineSearchSpec {
    /// Time between two measurements.
    pub every: TrainingDuration,
    /// Held-out mini-batches whose mean loss is evaluated along the step.
    #[schemars(range(min = 2))]
    pub num_batches: u64,
    /// Factor on the parabola's minimum.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub update_step_adaptation: f64,
    /// Number of latest minima that are averaged.
    #[schemars(range(min = 1))]
    pub history: u64,
    /// Learning rate until the first accepted measurement, and the length of the first probing step.
    pub initial_learning_rate: LearningRate,
    /// No measured learning rate exceeds this.
    pub max_learning_rate: LearningRate,
}

/// A specification whose keys are each valid but do not go together.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{key}: {message}")]
pub struct InvalidSpec {
    /// The key, with dots.
    pub key: &'static str,
    /// What was got, what was expected, what to do.
    pub message: String,
}

fn default_name() -> String {
    "run".to_owned()
}

/// The literals below are checked by the test `defaults_are_valid`.
fn batch_size(value: u64) -> BatchSize {
    BatchSize::new(value).unwrap_or_else(|_| unreachable!("a literal above 0"))
}

fn learning_rate(value: f64) -> LearningRate {
    LearningRate::new(value).unwrap_or_else(|_| unreachable!("a literal above 0"))
}

impl Default for TrainSpec {
    fn default() -> Self {
        Self {
            duration: TrainingDuration::Epochs(10.0),
            batch_size: batch_size(32),
            sampling: Sampling::WithoutReplacement,
        }
    }
}

impl Default for LineSearchSpec {
    fn default() -> Self {
        Self {
            every: TrainingDuration::Steps(25),
            num_batches: 16,
            update_step_adaptation: 1.8,
            history: 20,
            initial_learning_rate: learning_rate(0.01),
            max_learning_rate: learning_rate(10.0),
        }
    }
}

impl RunSpec {
    /// A run of that learning rate with every other key at its default.
    pub fn with_learning_rate(learning_rate: LearningRateSpec) -> Self {
        Self {
            name: default_name(),
            data: DataSpec::default(),
            model: ModelSpec::default(),
            train: TrainSpec::default(),
            optimizer: OptimizerSpec { learning_rate, momentum: Momentum::default() },
            schedule: SchedulesSpec::default(),
            line_search: LineSearchSpec::default(),
            measure: MeasureSpec::default(),
            average: AverageSpec::default(),
            checkpoint: CheckpointSpec::default(),
            seeds: Seeds::default(),
        }
    }

    /// Checks what a single key cannot: ranges of plain numbers and keys that do not go together.
    ///
    /// # Errors
    /// [`InvalidSpec`] names the first key that is wrong.
    pub fn validate(&self) -> Result<(), InvalidSpec> {
        let positive = |key, value: f64| {
            require(value.is_finite() && value > 0.0, key, || format!("got {value}, expected a finite number above 0"))
        };
        let at_least = |key, value: u64, least: u64| {
            require(value >= least, key, || format!("got {value}, expected at least {least}"))
        };
        let no_fraction = |key, duration: TrainingDuration| {
            require(!matches!(duration, TrainingDuration::Fraction(_)), key, || {
                format!(
                    "got \"{duration}\", which is a fraction of the run: give epochs (\"10ep\") or steps (\"300st\")"
                )
            })
        };
        require(!self.name.trim().is_empty(), "name", || "got an empty name, expected some text".to_owned())?;
        self.model.validate()?;
        no_fraction("train.duration", self.train.duration)?;
        positive("line_search.update_step_adaptation", self.line_search.update_step_adaptation)?;
        at_least("line_search.num_batches", self.line_search.num_batches, 2)?;
        at_least("line_search.history", self.line_search.history, 1)?;
        positive("measure.tolerance", self.measure.tolerance)?;
        at_least("measure.examples", self.measure.examples, 1)?;
        at_least("measure.max_products", self.measure.max_products, 2)?;
        at_least("checkpoint.keep", self.checkpoint.keep, 2)?;
        at_least("measure.noise_batches", self.measure.noise_batches, 8)?;
        self.measure.validate_mode(&self.model)?;
        let is_measured = self.optimizer.learning_rate == LearningRateSpec::Measured;
        require(self.schedule.learning_rate.is_none() || !is_measured, "schedule.learning_rate", || {
            "the learning rate is measured along the step and follows no schedule: give optimizer.learning_rate a number, or take the schedule out".to_owned()
        })?;
        let is_gauged = self.schedule.learning_rate.as_ref().is_some_and(|schedule| schedule.gauged().is_some());
        require(!is_gauged || self.measure.enabled, "schedule.learning_rate", || {
            "\"gauged\" decides on what is measured, and measure.enabled is false: set it to true".to_owned()
        })?;
        self.data.validate()?;
        self.average.validate()?;
        let (words, rows) = (self.data.vocabulary, self.model.vocabulary);
        require(self.model.kind != ModelKind::Lstm || rows >= words, "model.vocabulary", || {
            format!("got {rows}, expected at least data.vocabulary, {words}: words beyond it would be read as one")
        })?;
        Ok(())
    }
}

fn require(holds: bool, key: &'static str, message: impl FnOnce() -> String) -> Result<(), InvalidSpec> {
    if holds { Ok(()) } else { Err(InvalidSpec { key, message: message() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> RunSpec {
        RunSpec::with_learning_rate(LearningRateSpec::Fixed(learning_rate(0.1)))
    }

    #[test]
    fn defaults_are_valid() {
        assert_eq!(good().validate(), Ok(()));
    }

    #[test]
    fn what_does_not_go_together_is_refused_by_key() {
        let mut cases: Vec<(&str, RunSpec)> = Vec::new();
        let mut case = |key, change: fn(&mut RunSpec)| {
            let mut spec = good();
            change(&mut spec);
            cases.push((key, spec));
        };
        case("name", |s| s.name = " ".into());
        case("model.init_scale", |s| s.model.init_scale = f64::NAN);
        case("model.hidden", |s| s.model.hidden = Some(vec![0]));
        case("model.hidden", |s| (s.model.kind, s.model.hidden) = (ModelKind::SimpleCnn, Some(vec![8])));
        case("model.hidden", |s| (s.model.kind, s.model.hidden) = (ModelKind::RandomFeatures, Some(vec![8, 8])));
        case("model.dropout", |s| s.model.dropout = 1.0);
        case("model.dropout", |s| s.model.dropout = f64::NAN);
        case("model.vocabulary", |s| s.model.vocabulary = 0);
        case("model.vocabulary", |s| (s.model.kind, s.model.vocabulary) = (ModelKind::Lstm, 10));
        case("model.normalisation", |s| {
            (s.model.kind, s.model.normalisation) = (ModelKind::Lstm, Some(Normalisation::Batch));
        });
        case("train.duration", |s| s.train.duration = TrainingDuration::Fraction(0.5));
        case("schedule.learning_rate", |s| {
            s.optimizer.learning_rate = LearningRateSpec::Measured;
            s.schedule.learning_rate = Some("cosine".parse().unwrap());
        });
        case("schedule.learning_rate", |s| {
            s.measure.enabled = false;
            s.schedule.learning_rate = Some("gauged".parse().unwrap());
        });
        case("line_search.num_batches", |s| s.line_search.num_batches = 1);
        case("line_search.update_step_adaptation", |s| s.line_search.update_step_adaptation = f64::INFINITY);
        case("measure.examples", |s| s.measure.examples = 0);
        case("measure.noise_batches", |s| s.measure.noise_batches = 2);
        case("measure.mode", |s| {
            (s.model.kind, s.measure.mode) = (ModelKind::SimpleCnnBn, MeasureMode::TrainBatch);
        });
        case("checkpoint.keep", |s| s.checkpoint.keep = 1);
        case("average.power_widths", |s| s.average.power_widths = vec![0.05, 0.5]);
        case("average.more_ema_half_lives", |s| s.average.more_ema_half_lives = vec![TrainingDuration::Steps(9); 8]);
        case("average.window_stride", |s| s.average.window_stride = Some(TrainingDuration::Steps(2)));
        case("average.lawa_epochs", |s| s.average.lawa_epochs = Some(1));
        case("average.statistics_examples", |s| s.average.statistics_examples = 0);
        case("average.shadow", |s| {
            (s.average.shadow, s.average.power_widths) = (ShadowKind::Bf16, vec![0.1]);
        });
        case("data.train_examples", |s| s.data.train_examples = Some(0));
        case("data.vocabulary", |s| s.data.vocabulary = 2);
        case("data.sequence_length", |s| s.data.sequence_length = 0);
        case("data.augment.pad_crop", |s| s.data.augment.pad_crop = 1000);
        for (key, spec) in cases {
            assert_eq!(spec.validate().unwrap_err().key, key);
        }
    }

    #[test]
    fn a_mode_is_refused_for_what_it_cannot_measure_with_the_line_that_helps() {
        let mut spec = good();
        (spec.model.normalisation, spec.measure.mode) = (Some(Normalisation::Batch), MeasureMode::TrainBatch);
        let message = spec.validate().unwrap_err().message;
        assert!(message.contains("break-even, gradient-noise"), "{message}");
        let advice = "measure.instruments = [\"loss\", \"sharpness\", \"critical-sharpness\", \"distance\"]";
        assert!(message.contains(advice), "{message}");
        spec.measure.instruments = Some(vec![Instrument::Loss, Instrument::BatchSharpness]);
        assert_eq!(spec.validate(), Ok(()));
        (spec.measure.instruments, spec.measure.mode) = (None, MeasureMode::FrozenFull);
        assert_eq!(spec.validate(), Ok(()));
        (spec.model.normalisation, spec.measure.mode) = (Some(Normalisation::Layer), MeasureMode::TrainBatch);
        assert_eq!(spec.validate(), Ok(()), "without batch normalisation modes do not differ");
    }

    #[test]
    fn json_round_trip_keeps_every_key() {
        let json = serde_json::to_string(&good()).unwrap();
        assert_eq!(serde_json::from_str::<RunSpec>(&json).unwrap(), good());
    }
}
