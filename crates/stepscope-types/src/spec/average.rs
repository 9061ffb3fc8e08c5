//! The `[average]` table: which weights are averaged along a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{InvalidSpec, require};
use crate::TrainingDuration;
use crate::quantity::{EMA_BANK, POWER_BANK};

/// Averages of the weights over the last part of the run, evaluated on the test set at its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AverageSpec {
    /// Whether weights are averaged.
    pub enabled: bool,
    /// When averaging begins.
    pub start: TrainingDuration,
    /// Half-life of the exponential moving average.
    pub ema_half_life: TrainingDuration,
    /// Half-lives of further EMAs, kept in the same pass over memory; at most seven.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub more_ema_half_lives: Vec<TrainingDuration>,
    /// Time between two updates of the EMAs; a half-life means the same whatever it is.
    pub ema_every: TrainingDuration,
    /// How the EMAs begin.
    pub ema_warm_up: EmaWarmUp,
    /// The numbers that EMAs, SWA and power-function averages are kept in.
    pub shadow: ShadowKind,
    /// Distance of the two points of the two-point average.
    pub two_point_gap: TrainingDuration,
    /// Length of the window whose iterates are averaged; a copy of the weights a stride.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TrainingDuration")]
    pub window: Option<TrainingDuration>,
    /// Time between two iterates of the window [default: a tenth of it].
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TrainingDuration")]
    pub window_stride: Option<TrainingDuration>,
    /// LAWA: how many of the latest snapshots, one an epoch, are averaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 1000))]
    pub lawa_epochs: Option<u64>,
    /// SWA: time between two iterates of the mean over everything since the start of averaging.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TrainingDuration")]
    pub swa_every: Option<TrainingDuration>,
    /// Relative widths of power-function averages over the whole run, such as [0.05, 0.1]: with two of them and
    /// checkpoint.keep_every, `stepscope average` makes any other width afterwards; at most four.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub power_widths: Vec<f64>,
    /// Time between two evaluations along the run, beside that at its end; each costs a pass over the test set an average.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TrainingDuration")]
    pub evaluate_every: Option<TrainingDuration>,
    /// Training examples from which running statistics of an average are estimated anew, at most.
    #[schemars(range(min = 1))]
    pub statistics_examples: u64,
}

/// How an exponential moving average begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EmaWarmUp {
    /// With the first iterate in full, as in PyTorch.
    #[default]
    None,
    /// A decay of at most (1 + t)/(10 + t) at step t.
    Ramp,
    /// A decay of at most 1 − (1 + t)^(−2/3) at step t, as in timm and ema-pytorch.
    Power,
    /// Weights over their sum: an average of what was seen at every moment.
    Unbiased,
}

/// Numbers of a shadow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ShadowKind {
    /// f32, and f64 for a network in f64.
    #[default]
    Full,
    /// 16 bits, 8 of them significant: refused where updates would vanish in it.
    Bf16,
}

impl Default for AverageSpec {
    fn default() -> Self {
        Self {
            enabled: true,
            start: TrainingDuration::Fraction(0.5),
            ema_half_life: TrainingDuration::Fraction(0.05),
            more_ema_half_lives: Vec::new(),
            ema_every: TrainingDuration::Steps(1),
            ema_warm_up: EmaWarmUp::None,
            shadow: ShadowKind::Full,
            two_point_gap: TrainingDuration::Fraction(0.2),
            window: None,
            window_stride: None,
            lawa_epochs: None,
            swa_every: None,
            power_widths: Vec::new(),
            evaluate_every: None,
            statistics_examples: 2048,
        }
    }
}

impl AverageSpec {
    pub(super) fn validate(&self) -> Result<(), InvalidSpec> {
        let at_most = |key, got: usize, most: usize| {
            require(got <= most, key, || format!("got {got} of them, expected at most {most}"))
        };
        at_most("average.more_ema_half_lives", self.more_ema_half_lives.len(), EMA_BANK.len())?;
        at_most("average.power_widths", self.power_widths.len(), POWER_BANK.len())?;
        for width in &self.power_widths {
            require((0.001..=0.2886).contains(width), "average.power_widths", || {
                format!("got {width}, expected widths between 0.001 and 0.2886, the width of the mean of the whole run")
            })?;
        }
        require(self.lawa_epochs.is_none_or(|epochs| (2..=1000).contains(&epochs)), "average.lawa_epochs", || {
            format!("got {}, expected 2 to 1000", self.lawa_epochs.unwrap_or_default())
        })?;
        require(self.window.is_some() || self.window_stride.is_none(), "average.window_stride", || {
            "got a stride without a window: give average.window as well".to_owned()
        })?;
        require(self.statistics_examples > 0, "average.statistics_examples", || {
            "got 0, expected at least 1".to_owned()
        })?;
        // A slowly changing mean or profile takes in less and less.
        let takes_in_less = self.swa_every.is_some() || !self.power_widths.is_empty();
        require(self.shadow == ShadowKind::Full || !takes_in_less, "average.shadow", || {
            "got \"bf16\" for a mean or a power-function average, whose updates grow smaller and would vanish in it: use \"full\""
                .to_owned()
        })
    }
}
