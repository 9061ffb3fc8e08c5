//! The numbers of the methods that find their own learning rate, beside LABPAL's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::labpal::HistoryAverage;
use super::{InvalidSpec, require};
use crate::TrainingDuration;

/// Schedule-Free SGD: gradients between a walker and its running mean, which is the model; only for optimizer.method =
/// "schedule-free".
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleFreeSpec {
    /// Share of the mean in the point at which gradients are taken.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub interpolation: f64,
    /// Time over which the learning rate grows from 0.
    pub warmup: TrainingDuration,
}

/// SVAG: whether the continuous limit describes a run; only for optimizer.method = "svag".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SvagSpec {
    /// Steps in place of one of SGD, each of learning_rate / l and two batches: a run takes 2 l times as many batches for the same
    /// distance. 1 is SGD that leaves out every other batch; 2, 4 and 8 are compared with it.
    #[schemars(range(min = 1))]
    pub l: u64,
}

/// Prodigy: Adam whose learning rate grows with the distance covered; only for optimizer.method = "prodigy". Its other numbers
/// are those of optimizer.adam.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProdigySpec {
    /// Factor on the estimated distance, which makes the learning rate: 1 unless training is unstable.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub learning_rate_factor: f64,
    /// Estimated distance to a minimum at the start; the first steps are of this order.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub initial_distance: f64,
    /// Factor on the estimate itself: what is tuned where anything is.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub coefficient: f64,
    /// Most that the estimate grows by in one update; no limit where the key is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub max_growth: Option<f64>,
}

/// Polyak's step: SPS, and MoMo with momentum; only for optimizer.method = "sps" and "momo".
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PolyakSpec {
    /// No learning rate exceeds this.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub max_learning_rate: f64,
    /// A loss that no batch goes below.
    pub lower_bound: f64,
    /// SPS divides the step by this.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub c: f64,
    /// Factor by which the bound of SPS may grow in an epoch.
    #[schemars(range(min = 1))]
    pub growth: f64,
    /// Rate from which the bound of SPS starts.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub initial_learning_rate: f64,
    /// Weight of what is remembered by MoMo.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub beta: f64,
}

/// PAL: a parabola through the loss of the step's own batch, every update anew, and its full-batch form; only for
/// optimizer.method = "pal" and "fbpal". Lengths are distances in weight space.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PalSpec {
    /// Length at which the loss is looked at. Not set: 1 for "pal", 0.1 for "fbpal".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe_length: Option<f64>,
    /// Factor on the parabola's minimum.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub update_step_adaptation: f64,
    /// Longest step.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub max_step_length: f64,
    /// Updates between two measurements of "fbpal", each of which passes over the training set three times.
    #[schemars(range(min = 1))]
    pub updates_per_measurement: u64,
    /// Whether the first measurements of "fbpal" are closer together: after 10, 20, 40, ... updates, up to
    /// updates_per_measurement.
    pub early_measurements: bool,
    /// Number of latest measurements of "fbpal" whose rates are averaged, once they are updates_per_measurement apart.
    #[schemars(range(min = 1))]
    pub history: u64,
    /// How they are averaged.
    pub history_average: HistoryAverage,
}

/// Where a search of SLS starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SearchStart {
    /// At the last rate accepted: rates only shrink.
    Last,
    /// At the last rate accepted, grown so that it may rise by the factor growth in an epoch.
    #[default]
    Grown,
    /// At initial_learning_rate.
    Initial,
}

/// SLS: an Armijo search on the step's own batch; only for optimizer.method = "sls".
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SlsSpec {
    /// Rate of the first try of all.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub initial_learning_rate: f64,
    /// No try exceeds this.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub max_learning_rate: f64,
    /// Share of the slope's promise that a step has to keep.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub c: f64,
    /// Factor from one try to the next.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub shrink: f64,
    /// Factor by which rates may rise in an epoch.
    #[schemars(range(min = 1))]
    pub growth: f64,
    /// Where a search starts.
    pub start: SearchStart,
}

/// PoNoS: an Armijo search from Polyak's step that may rise up to a mean of earlier losses; only for optimizer.method =
/// "ponos".
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PonosSpec {
    /// Share of the slope's promise that a step has to keep.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub c: f64,
    /// The first try is the loss over this and the squared gradient.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub polyak_c: f64,
    /// Factor from one try to the next.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub shrink: f64,
    /// 1: steps may rise to the mean of all losses so far; 0: they may not rise.
    #[schemars(range(min = 0, max = 1))]
    pub memory: f64,
    /// A loss that no batch goes below.
    pub lower_bound: f64,
    /// Smallest first try.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub min_learning_rate: f64,
    /// Largest first try.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub max_learning_rate: f64,
}

impl Default for ScheduleFreeSpec {
    fn default() -> Self {
        Self { interpolation: 0.9, warmup: TrainingDuration::Fraction(0.02) }
    }
}

impl Default for SvagSpec {
    fn default() -> Self {
        Self { l: 4 }
    }
}

impl Default for ProdigySpec {
    fn default() -> Self {
        Self { learning_rate_factor: 1.0, initial_distance: 1e-6, coefficient: 1.0, max_growth: None }
    }
}

impl Default for PolyakSpec {
    fn default() -> Self {
        Self { max_learning_rate: 1.0, lower_bound: 0.0, c: 0.5, growth: 2.0, initial_learning_rate: 1.0, beta: 0.9 }
    }
}

impl Default for PalSpec {
    fn default() -> Self {
        Self {
            probe_length: None,
            update_step_adaptation: 1.66,
            max_step_length: 3.16,
            updates_per_measurement: 100,
            early_measurements: true,
            history: 15,
            history_average: HistoryAverage::Weighted,
        }
    }
}

impl Default for SlsSpec {
    fn default() -> Self {
        Self {
            initial_learning_rate: 1.0,
            max_learning_rate: 10.0,
            c: 0.1,
            shrink: 0.9,
            growth: 2.0,
            start: SearchStart::Grown,
        }
    }
}

impl Default for PonosSpec {
    fn default() -> Self {
        Self {
            c: 0.5,
            polyak_c: 0.1,
            shrink: 0.5,
            memory: 1.0,
            lower_bound: 0.0,
            min_learning_rate: 1e-6,
            max_learning_rate: 10.0,
        }
    }
}

fn positive(key: &'static str, value: f64) -> Result<(), InvalidSpec> {
    require(value.is_finite() && value > 0.0, key, || format!("got {value}, expected a finite number above 0"))
}

fn share(key: &'static str, value: f64) -> Result<(), InvalidSpec> {
    let expected = "a number of at least 0 and below 1";
    require((0.0..1.0).contains(&value), key, || format!("got {value}, expected {expected}"))
}

fn between(key: &'static str, value: f64) -> Result<(), InvalidSpec> {
    require(value > 0.0 && value < 1.0, key, || {
        format!("got {value}, expected a number between 0 and 1, both excluded")
    })
}

fn factor(key: &'static str, value: f64) -> Result<(), InvalidSpec> {
    require(value.is_finite() && value >= 1.0, key, || format!("got {value}, expected a finite number of at least 1"))
}

fn finite(key: &'static str, value: f64) -> Result<(), InvalidSpec> {
    require(value.is_finite(), key, || format!("got {value}, expected a finite number"))
}

impl ScheduleFreeSpec {
    pub(super) fn validate(&self) -> Result<(), InvalidSpec> {
        share("schedule_free.interpolation", self.interpolation)
    }
}

impl SvagSpec {
    pub(super) fn validate(&self) -> Result<(), InvalidSpec> {
        require(self.l >= 1, "svag.l", || {
            "got 0, expected a whole number of at least 1: 1 is SGD, and 2, 4, 8 are usual".to_owned()
        })
    }
}

impl ProdigySpec {
    pub(super) fn validate(&self) -> Result<(), InvalidSpec> {
        positive("prodigy.learning_rate_factor", self.learning_rate_factor)?;
        positive("prodigy.initial_distance", self.initial_distance)?;
        positive("prodigy.coefficient", self.coefficient)?;
        let growth = self.max_growth.unwrap_or(2.0);
        require(growth.is_finite() && growth > 1.0, "prodigy.max_growth", || {
            format!("got {growth}, expected a finite number above 1, or no key for no limit")
        })
    }
}

impl PolyakSpec {
    pub(super) fn validate(&self) -> Result<(), InvalidSpec> {
        positive("polyak.max_learning_rate", self.max_learning_rate)?;
        finite("polyak.lower_bound", self.lower_bound)?;
        positive("polyak.c", self.c)?;
        factor("polyak.growth", self.growth)?;
        positive("polyak.initial_learning_rate", self.initial_learning_rate)?;
        share("polyak.beta", self.beta)
    }
}

impl PalSpec {
    pub(super) fn validate(&self) -> Result<(), InvalidSpec> {
        positive("pal.probe_length", self.probe_length.unwrap_or(1.0))?;
        positive("pal.update_step_adaptation", self.update_step_adaptation)?;
        positive("pal.max_step_length", self.max_step_length)?;
        let at_least_one = |key, value: u64| require(value >= 1, key, || format!("got {value}, expected at least 1"));
        at_least_one("pal.updates_per_measurement", self.updates_per_measurement)?;
        at_least_one("pal.history", self.history)
    }
}

impl SlsSpec {
    pub(super) fn validate(&self) -> Result<(), InvalidSpec> {
        positive("sls.initial_learning_rate", self.initial_learning_rate)?;
        positive("sls.max_learning_rate", self.max_learning_rate)?;
        between("sls.c", self.c)?;
        between("sls.shrink", self.shrink)?;
        factor("sls.growth", self.growth)
    }
}

impl PonosSpec {
    pub(super) fn validate(&self) -> Result<(), InvalidSpec> {
        between("ponos.c", self.c)?;
        positive("ponos.polyak_c", self.polyak_c)?;
        between("ponos.shrink", self.shrink)?;
        require((0.0..=1.0).contains(&self.memory), "ponos.memory", || {
            format!("got {}, expected a number from 0 to 1", self.memory)
        })?;
        finite("ponos.lower_bound", self.lower_bound)?;
        positive("ponos.min_learning_rate", self.min_learning_rate)?;
        let (low, high) = (self.min_learning_rate, self.max_learning_rate);
        require(high.is_finite() && high >= low, "ponos.max_learning_rate", || {
            format!("got {high}, expected a finite number of at least ponos.min_learning_rate, {low}")
        })
    }
}
