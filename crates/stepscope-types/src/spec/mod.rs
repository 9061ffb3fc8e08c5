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
mod direction;
mod instruments;
mod labpal;
mod line_search;
mod measure;
mod measure_mode;
mod model;
mod relatives;
mod schedules;
mod sweep;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use average::{AverageSpec, EmaWarmUp, ShadowKind};
pub use checkpoint::CheckpointSpec;
pub use choices::{
    Activation, DeviceKind, Initializer, LearningRateSpec, ModelKind, Normalisation, OptimizerMethod, Precision,
    ResidualForm, Sampling, TargetKind,
};
pub use data::{AugmentSpec, DataSpec};
pub use direction::{AdamSpec, DirectionRule, ParamGroupSpec, WeightDecayForm};
pub use instruments::{Instrument, MeasureBudget, MeasurePreset, ParseBudgetError};
pub use labpal::{HistoryAverage, LabPalProfile, LabPalSpec, OutsideNorms, StepCap};
pub use line_search::LineSearchSpec;
pub use measure::MeasureSpec;
pub use measure_mode::MeasureMode;
pub use model::ModelSpec;
pub use relatives::{PalSpec, PolyakSpec, PonosSpec, ProdigySpec, ScheduleFreeSpec, SearchStart, SlsSpec, SvagSpec};
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
    #[serde(default)]
    pub optimizer: OptimizerSpec,
    /// Which settings change along the run, and how.
    #[serde(default, skip_serializing_if = "SchedulesSpec::is_empty")]
    pub schedule: SchedulesSpec,
    /// How a measured learning rate is measured; only for `optimizer.learning_rate = "measured"`.
    #[serde(default)]
    pub line_search: LineSearchSpec,
    /// How LABPAL measures and steps; only for the methods `labpal-sgd` and `labpal-nsgd`.
    #[serde(default)]
    pub labpal: LabPalSpec,
    /// What Schedule-Free SGD is told; only for the method `schedule-free`.
    #[serde(default)]
    pub schedule_free: ScheduleFreeSpec,
    /// What SVAG is told; only for the method `svag`.
    #[serde(default)]
    pub svag: SvagSpec,
    /// What Prodigy is told; only for the method `prodigy`.
    #[serde(default)]
    pub prodigy: ProdigySpec,
    /// What Polyak's step is told; only for the methods `sps` and `momo`.
    #[serde(default)]
    pub polyak: PolyakSpec,
    /// What PAL is told, lengths as distances in weight space; only for the methods `pal` and `fbpal`.
    #[serde(default)]
    pub pal: PalSpec,
    /// What SLS is told; only for the method `sls`.
    #[serde(default)]
    pub sls: SlsSpec,
    /// What PoNoS is told; only for the method `ponos`.
    #[serde(default)]
    pub ponos: PonosSpec,
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
    /// Examples per pass through the network, to save memory: the gradients of a batch's parts are averaged. Without the key the
    /// whole batch. Batch normalisation sees each part by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micro_batch_size: Option<BatchSize>,
    /// How batches are drawn.
    pub sampling: Sampling,
    /// What the run computes on.
    pub device: DeviceKind,
}

/// Which way steps go, and how far: θ ← θ − η·direction with η as the method says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerSpec {
    /// What turns gradients into steps.
    pub method: OptimizerMethod,
    /// A number, or `"measured"` to measure it along the step; for the methods that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<LearningRateSpec>,
    /// How gradients become the direction of a step.
    pub direction: DirectionRule,
    /// Momentum, between −1 and 1; 0 is plain SGD.
    pub momentum: Momentum,
    /// Weight decay; 0 for none.
    #[schemars(range(min = 0))]
    pub weight_decay: f64,
    /// Where weight decay enters; without the key decoupled for "adam" and coupled for the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay_form: Option<WeightDecayForm>,
    /// Longest gradient: a longer one is shortened to this norm before it is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub clip_norm: Option<f64>,
    /// Largest entry of a gradient by magnitude: larger ones are set to it, before the norm is clipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub clip_value: Option<f64>,
    /// Parameters with a learning rate of their own, or without weight decay.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<ParamGroupSpec>,
    /// The numbers of optimizer.direction = "adam".
    pub adam: AdamSpec,
}

impl OptimizerSpec {
    fn validate(&self) -> Result<(), InvalidSpec> {
        const KEY: &str = "optimizer.learning_rate";
        match (self.method.has_learning_rate(), &self.learning_rate) {
            (true, None) => require(false, KEY, || {
                format!(
                    "is missing, expected a finite number above 0 or \"measured\": add it, for instance with --set {KEY}=..."
                )
            }),
            (false, Some(_)) => require(false, KEY, || {
                format!("got one, expected none: the method {} finds its own, take the key out", self.method)
            }),
            _ => Ok(()),
        }
    }
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
            micro_batch_size: None,
            sampling: Sampling::WithoutReplacement,
            device: DeviceKind::Cpu,
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
            optimizer: OptimizerSpec { learning_rate: Some(learning_rate), ..OptimizerSpec::default() },
            schedule: SchedulesSpec::default(),
            line_search: LineSearchSpec::default(),
            labpal: LabPalSpec::default(),
            schedule_free: ScheduleFreeSpec::default(),
            svag: SvagSpec::default(),
            prodigy: ProdigySpec::default(),
            polyak: PolyakSpec::default(),
            pal: PalSpec::default(),
            sls: SlsSpec::default(),
            ponos: PonosSpec::default(),
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
        self.optimizer.validate()?;
        self.labpal.validate()?;
        self.schedule_free.validate()?;
        self.svag.validate()?;
        self.prodigy.validate()?;
        self.polyak.validate()?;
        self.pal.validate()?;
        self.sls.validate()?;
        self.ponos.validate()?;
        self.optimizer.validate_direction()?;
        positive("line_search.update_step_adaptation", self.line_search.update_step_adaptation)?;
        at_least("line_search.num_batches", self.line_search.num_batches, 2)?;
        at_least("line_search.history", self.line_search.history, 1)?;
        positive("measure.tolerance", self.measure.tolerance)?;
        at_least("measure.examples", self.measure.examples, 1)?;
        at_least("measure.max_products", self.measure.max_products, 2)?;
        let eigenvalues = self.measure.eigenvalues;
        require((1..=5).contains(&eigenvalues), "measure.eigenvalues", || {
            format!("got {eigenvalues}, expected from 1 to 5")
        })?;
        at_least("checkpoint.keep", self.checkpoint.keep, 2)?;
        at_least("measure.noise_batches", self.measure.noise_batches, 8)?;
        self.measure.validate_mode(&self.model)?;
        let is_number = matches!(self.optimizer.learning_rate, Some(LearningRateSpec::Fixed(_)));
        self.optimizer.validate_schedules(&self.schedule)?;
        require(self.schedule.learning_rate.is_none() || is_number, "schedule.learning_rate", || {
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
        case("model.linearised", |s| (s.model.linearised, s.model.normalisation) = (true, Some(Normalisation::Batch)));
        case("model.linearised", |s| (s.model.linearised, s.model.dropout) = (true, 0.1));
        case("model.hidden", |s| (s.model.kind, s.model.hidden) = (ModelKind::Ntk, Some(vec![8, 8])));
        case("model.normalisation", |s| {
            (s.model.kind, s.model.normalisation) = (ModelKind::Ntk, Some(Normalisation::Layer));
        });
        case("train.duration", |s| s.train.duration = TrainingDuration::Fraction(0.5));
        case("schedule.learning_rate", |s| {
            s.optimizer.learning_rate = Some(LearningRateSpec::Measured);
            s.schedule.learning_rate = Some("cosine".parse().unwrap());
        });
        case("schedule.learning_rate", |s| {
            s.measure.enabled = false;
            s.schedule.learning_rate = Some("gauged".parse().unwrap());
        });
        case("schedule.learning_rate", |s| {
            (s.optimizer.method, s.optimizer.learning_rate) = (OptimizerMethod::LabPalSgd, None);
            s.schedule.learning_rate = Some("cosine".parse().unwrap());
        });
        case("optimizer.learning_rate", |s| s.optimizer.learning_rate = None);
        case("optimizer.learning_rate", |s| s.optimizer.method = OptimizerMethod::LabPalSgd);
        case("labpal.probe_points", |s| s.labpal.probe_points = Some([0.01, 0.001]));
        case("labpal.probe_points", |s| s.labpal.probe_points = Some([0.0, 0.001]));
        case("labpal.update_step_adaptation", |s| s.labpal.update_step_adaptation = 0.0);
        case("labpal.updates_per_measurement", |s| s.labpal.updates_per_measurement = 0);
        case("labpal.approximation_batches", |s| s.labpal.approximation_batches = 1);
        case("labpal.approximation_batches", |s| {
            (s.labpal.approximation_batches, s.labpal.exclude_direction_batches) = (2, Some(true));
        });
        case("labpal.max_direction_norm", |s| s.labpal.max_direction_norm = 1e-3);
        case("labpal.schedule_batches", |s| s.labpal.schedule_batches = vec![2]);
        case("labpal.noise_factor", |s| s.labpal.noise_factor = Some(-1.0));
        case("labpal.landing", |s| s.labpal.landing = Some(1.0));
        case("optimizer.learning_rate", |s| {
            (s.optimizer.method, s.optimizer.learning_rate) =
                (OptimizerMethod::ScheduleFree, Some(LearningRateSpec::Measured));
        });
        case("optimizer.momentum", |s| {
            (s.optimizer.method, s.optimizer.momentum) = (OptimizerMethod::ScheduleFree, Momentum::new(0.9).unwrap());
        });
        case("optimizer.direction", |s| {
            s.optimizer = OptimizerSpec {
                method: OptimizerMethod::Prodigy,
                direction: DirectionRule::Adam,
                ..OptimizerSpec::default()
            };
        });
        case("optimizer.weight_decay", |s| {
            let method = OptimizerMethod::Momo;
            s.optimizer = OptimizerSpec { method, weight_decay: 0.1, ..OptimizerSpec::default() };
        });
        case("svag.l", |s| s.svag.l = 0);
        case("optimizer.clip_norm and optimizer.clip_value", |s| {
            (s.optimizer.method, s.optimizer.clip_norm) = (OptimizerMethod::Svag, Some(1.0));
        });
        case("optimizer.momentum", |s| {
            (s.optimizer.method, s.optimizer.momentum) = (OptimizerMethod::Svag, Momentum::new(0.9).unwrap());
        });
        case("schedule_free.interpolation", |s| s.schedule_free.interpolation = 1.0);
        case("prodigy.learning_rate_factor", |s| s.prodigy.learning_rate_factor = 0.0);
        case("prodigy.initial_distance", |s| s.prodigy.initial_distance = 0.0);
        case("prodigy.coefficient", |s| s.prodigy.coefficient = f64::NAN);
        case("prodigy.max_growth", |s| s.prodigy.max_growth = Some(1.0));
        case("polyak.lower_bound", |s| s.polyak.lower_bound = f64::INFINITY);
        case("polyak.c", |s| s.polyak.c = 0.0);
        case("polyak.growth", |s| s.polyak.growth = 0.5);
        case("polyak.beta", |s| s.polyak.beta = -0.1);
        case("polyak.max_learning_rate", |s| s.polyak.max_learning_rate = 0.0);
        case("pal.probe_length", |s| s.pal.probe_length = Some(0.0));
        case("pal.update_step_adaptation", |s| s.pal.update_step_adaptation = -1.0);
        case("pal.updates_per_measurement", |s| s.pal.updates_per_measurement = 0);
        case("pal.history", |s| s.pal.history = 0);
        case("sls.c", |s| s.sls.c = 1.0);
        case("sls.shrink", |s| s.sls.shrink = 1.0);
        case("sls.growth", |s| s.sls.growth = 0.9);
        case("ponos.memory", |s| s.ponos.memory = 1.1);
        case("ponos.max_learning_rate", |s| s.ponos.max_learning_rate = 1e-9);
        case("optimizer.weight_decay", |s| s.optimizer.weight_decay = -0.1);
        case("optimizer.adam.beta2", |s| s.optimizer.adam.beta2 = 1.0);
        case("optimizer.adam.epsilon", |s| s.optimizer.adam.epsilon = 0.0);
        case("optimizer.clip_norm", |s| s.optimizer.clip_norm = Some(0.0));
        case("optimizer.clip_value", |s| s.optimizer.clip_value = Some(f64::NAN));
        case("optimizer.momentum", |s| s.optimizer.direction = DirectionRule::Nesterov);
        case("optimizer.momentum", |s| {
            (s.optimizer.direction, s.optimizer.momentum) = (DirectionRule::Adam, Momentum::new(0.9).unwrap());
        });
        case("optimizer.groups", |s| {
            let group = ParamGroupSpec { names: "*".into(), learning_rate_factor: 0.0, weight_decay: true };
            s.optimizer.groups = vec![group];
        });
        case("line_search.num_batches", |s| s.line_search.num_batches = 1);
        case("line_search.update_step_adaptation", |s| s.line_search.update_step_adaptation = f64::INFINITY);
        case("measure.examples", |s| s.measure.examples = 0);
        case("measure.noise_batches", |s| s.measure.noise_batches = 2);
        case("measure.eigenvalues", |s| s.measure.eigenvalues = 6);
        case("measure.mode", |s| {
            (s.model.kind, s.measure.mode) = (ModelKind::SimpleCnnBn, MeasureMode::TrainBatch);
        });
        case("measure.precision", |s| s.measure.precision = Some(Precision::Bf16));
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
        case("data.random_labels", |s| s.data.random_labels = 1.5);
        case("data.random_labels", |s| s.data.random_labels = f64::NAN);
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
