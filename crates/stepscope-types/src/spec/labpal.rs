//! How LABPAL measures and steps.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{InvalidSpec, require};
use crate::TrainingDuration;

/// LABPAL: the step length from a parabola of the loss over many mini-batches, measured every so many updates; only for the
/// methods `labpal-sgd` and `labpal-nsgd`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LabPalSpec {
    /// The formula of the minimum, and the defaults of what says "by the profile".
    pub profile: LabPalProfile,
    /// Updates between two measurements: a measured step serves for so many.
    #[schemars(range(min = 1))]
    pub updates_per_measurement: u64,
    /// Whether the first measurements are closer together: after 10, 20, 40, ... updates, up to updates_per_measurement, from the
    /// first that gave a step on. By the profile: exact does, reference does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_measurements: Option<bool>,
    /// Updates' worth of mini-batches over which the loss along the step is measured, the first of which gives the direction.
    #[schemars(range(min = 2))]
    pub approximation_batches: u64,
    /// Whether the batches that gave the direction are left out of the measured loss, along whose own update it falls too
    /// steeply. By the profile: exact leaves them out (where approximation_batches is 3 or more), reference does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude_direction_batches: Option<bool>,
    /// Factor on the measured minimum.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub update_step_adaptation: f64,
    /// The two distances along the step, beside 0, at which the loss is evaluated. Not set: 0.000177 and 0.01, and 0.1 and 0.3
    /// where the network's numbers have less than 24 bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe_points: Option<[f64; 2]>,
    /// No measured minimum lies further than this.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub max_step: f64,
    /// Whether max_step holds before or after the factor update_step_adaptation.
    pub cap: StepCap,
    /// No step length, learning rate or norm of a direction counts as less.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub min_step: f64,
    /// Updates until measured steps are averaged: the first steps are not trusted.
    pub untrusted_updates: u64,
    /// Number of latest measurements whose steps are averaged.
    #[schemars(range(min = 1))]
    pub history: u64,
    /// How they are averaged.
    pub history_average: HistoryAverage,
    /// A direction with a smaller norm is not measured along.
    pub min_direction_norm: f64,
    /// A direction with a larger norm is not measured along.
    pub max_direction_norm: f64,
    /// What is done then. By the profile: exact takes the last step again, reference none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outside_norms: Option<OutsideNorms>,
    /// Curvature and slope must be so many standard errors from 0. Not set: 0, and 2 where the network's numbers have less than
    /// 24 bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub significance: Option<f64>,
    /// The minimum may have this standard error at most, relative to itself, to serve for updates_per_measurement updates; where the
    /// next measurement is closer, the root of that ratio times as much. By the profile: 0.5 in exact, no limit in reference (0.5
    /// there, too, where the network's numbers have less than 24 bits).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_relative_error: Option<f64>,
    /// Factor on the mini-batches per update. Not set: 128 / batch size x training examples / 40000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_factor: Option<f64>,
    /// When the number of mini-batches per update changes; before the first of these it is 1, times the noise factor.
    pub schedule_at: Vec<TrainingDuration>,
    /// To what it changes then, times the noise factor.
    pub schedule_batches: Vec<u64>,
    /// Share of the training, at its end, in which steps shrink linearly to nothing. By the profile: 0.1 in exact; 0, they do not,
    /// in reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub landing: Option<f64>,
}

/// The formula of the minimum along a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LabPalProfile {
    /// That of the parabola.
    Exact,
    /// Twice that of the parabola, as the authors' code has it: to be compared with their figures.
    Reference,
}

/// Where the largest step holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StepCap {
    /// On the measured minimum: steps are as long as max_step times update_step_adaptation at most.
    BeforeAdaptation,
    /// On the step taken.
    AfterAdaptation,
}

/// How measured steps are averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HistoryAverage {
    /// Their mean.
    Mean,
    /// Their median: one measurement that went wrong does not count.
    Median,
    /// Their mean weighted by the curvature of each line: the minimum of the sum of the measured parabolas. A nearly flat line,
    /// whose minimum is far out and uncertain, hardly counts.
    Weighted,
}

/// What is done along a direction whose norm is outside the bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OutsideNorms {
    /// The last step is taken again.
    ReuseLast,
    /// No step is taken, and the next batch is measured again.
    TakeNone,
}

impl Default for LabPalSpec {
    fn default() -> Self {
        Self {
            profile: LabPalProfile::Exact,
            updates_per_measurement: 1000,
            early_measurements: None,
            approximation_batches: 10,
            exclude_direction_batches: None,
            update_step_adaptation: 1.8,
            probe_points: None,
            max_step: 1.0,
            cap: StepCap::BeforeAdaptation,
            min_step: 1e-6,
            untrusted_updates: 400,
            history: 25,
            history_average: HistoryAverage::Mean,
            min_direction_norm: 1e-3,
            max_direction_norm: 100.0,
            outside_norms: None,
            significance: None,
            max_relative_error: None,
            noise_factor: None,
            schedule_at: vec![TrainingDuration::Fraction(0.5), TrainingDuration::Fraction(0.75)],
            schedule_batches: vec![2, 4],
            landing: None,
        }
    }
}

impl LabPalSpec {
    /// Checks every key.
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
        at_least("labpal.updates_per_measurement", self.updates_per_measurement, 1)?;
        at_least("labpal.approximation_batches", self.approximation_batches, 2)?;
        let excludes = self.exclude_direction_batches == Some(true);
        require(!excludes || self.approximation_batches >= 3, "labpal.approximation_batches", || {
            format!("got {}, expected at least 3 where the first is left out", self.approximation_batches)
        })?;
        positive("labpal.update_step_adaptation", self.update_step_adaptation)?;
        if let Some([near, far]) = self.probe_points {
            require(near > 0.0 && far > near && far.is_finite(), "labpal.probe_points", || {
                format!("got [{near}, {far}], expected two finite distances above 0, the smaller one first")
            })?;
        }
        positive("labpal.max_step", self.max_step)?;
        positive("labpal.min_step", self.min_step)?;
        at_least("labpal.history", self.history, 1)?;
        let (low, high) = (self.min_direction_norm, self.max_direction_norm);
        require(low >= 0.0 && high > low, "labpal.max_direction_norm", || {
            format!("got {high}, expected more than labpal.min_direction_norm, {low}, which is at least 0")
        })?;
        let significance = self.significance.unwrap_or(0.0);
        require(significance >= 0.0 && significance.is_finite(), "labpal.significance", || {
            format!("got {significance}, expected a number of standard errors of at least 0")
        })?;
        if let Some(error) = self.max_relative_error {
            positive("labpal.max_relative_error", error)?;
        }
        if let Some(factor) = self.noise_factor {
            positive("labpal.noise_factor", factor)?;
        }
        let landing = self.landing.unwrap_or(0.0);
        require((0.0..1.0).contains(&landing), "labpal.landing", || {
            format!("got {landing}, expected a share of the training, at least 0 and below 1")
        })?;
        let (places, numbers) = (self.schedule_at.len(), self.schedule_batches.len());
        require(places == numbers, "labpal.schedule_batches", || {
            format!("got {numbers} numbers, expected one for each of the {places} places of labpal.schedule_at")
        })?;
        self.schedule_batches.iter().try_for_each(|&number| at_least("labpal.schedule_batches", number, 1))
    }
}
