//! The `[measure]` table: what is measured along a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::choices::Precision;
use super::instruments::{Instrument, MeasureBudget, MeasurePreset};
use super::measure_mode::MeasureMode;
use super::{InvalidSpec, ModelSpec, Normalisation, batch_size, require};
use crate::{BatchSize, TrainingDuration};

/// What is measured along the run, and how often.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MeasureSpec {
    /// Whether anything beside the mini-batch loss is measured.
    pub enabled: bool,
    /// Which instruments measure, and what they may cost.
    pub preset: MeasurePreset,
    /// The instruments by name, instead of the preset's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instruments: Option<Vec<Instrument>>,
    /// Most that all readings together may cost, instead of the preset's limit: readings beyond it are left out, by
    /// counted gradients and not by the clock, so that a run can be repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<MeasureBudget>,
    /// Where batch normalisation takes its statistics from while measuring.
    pub mode: MeasureMode,
    /// Whether features are dropped while measuring, by one mask that stays the same along the run.
    pub dropout: bool,
    /// Time between two readings; cheap instruments also read in between.
    pub every: TrainingDuration,
    /// Training examples that curvature is measured on: a fixed subset, drawn once.
    #[schemars(range(min = 1))]
    pub examples: u64,
    /// Eigenvalues of the Hessian that are followed, the largest first.
    #[schemars(range(min = 1, max = 5))]
    pub eigenvalues: u64,
    /// Most Hessian products a reading may spend.
    #[schemars(range(min = 2))]
    pub max_products: u64,
    /// Most memory in MiB that products at one point keep for each other beside what each of them needs: with less of it they take
    /// longer, and give the same results.
    pub shared_mebibytes: u64,
    /// Residual, relative to the eigenvalue, at which a reading stops.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub tolerance: f64,
    /// Mini-batch gradients that the noise scale is estimated from.
    #[schemars(range(min = 8))]
    pub noise_batches: u64,
    /// Size of those mini-batches, whatever the training batch size is.
    pub noise_batch_size: BatchSize,
    /// Floating-point numbers of what is measured, `f32` or `f64`, if not those of the weights: `f64` beside a training in
    /// `f32` takes rounding out of curvature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,
}

impl Default for MeasureSpec {
    fn default() -> Self {
        Self {
            enabled: true,
            preset: MeasurePreset::Standard,
            instruments: None,
            budget: None,
            mode: MeasureMode::Eval,
            dropout: false,
            every: TrainingDuration::Fraction(0.05),
            examples: 1024,
            eigenvalues: 1,
            max_products: 20,
            shared_mebibytes: 192,
            tolerance: 0.01,
            noise_batches: 64,
            noise_batch_size: batch_size(32),
            precision: None,
        }
    }
}

impl MeasureSpec {
    /// The instruments that measure, in the order in which they do; none where nothing is measured.
    pub fn chosen_instruments(&self) -> Vec<Instrument> {
        let chosen = self.instruments.as_deref().unwrap_or_else(|| self.preset.instruments());
        Instrument::ALL.into_iter().filter(|instrument| self.enabled && chosen.contains(instrument)).collect()
    }

    /// Whether everything that measures exists in the mode that it is measured in, and its numbers are fine enough.
    pub(super) fn validate_mode(&self, model: &ModelSpec) -> Result<(), InvalidSpec> {
        require(self.precision != Some(Precision::Bf16), "measure.precision", || {
            "got \"bf16\", expected \"f32\" or \"f64\": in 8 bits the differences and products that probes live on would drown"
                .to_owned()
        })?;
        let chosen = self.chosen_instruments();
        let (allowed, refused): (Vec<Instrument>, Vec<Instrument>) =
            chosen.into_iter().partition(|&instrument| self.mode.allows(instrument));
        let is_fine = refused.is_empty() || model.normalisation() != Normalisation::Batch;
        require(is_fine, "measure.mode", || {
            let names = |instruments: &[Instrument]| instruments.iter().map(|i| i.word()).collect::<Vec<_>>();
            format!(
                "got \"train-batch\", where examples see each other through the statistics of their batch, so that what {} \
                 takes from examples one by one does not exist: use \"eval\" or \"frozen-full\", or \
                 measure.instruments = {:?}",
                names(&refused).join(", "),
                names(&allowed)
            )
        })
    }

    /// The numbers that are measured with, where the network is of that precision.
    pub fn chosen_precision(&self, model: Precision) -> Precision {
        let of_weights = if model == Precision::Bf16 { Precision::F32 } else { model };
        self.precision.unwrap_or(of_weights)
    }

    /// What the readings may cost, where there is a limit.
    pub fn chosen_budget(&self) -> Option<MeasureBudget> {
        self.budget.or_else(|| self.preset.budget())
    }
}
