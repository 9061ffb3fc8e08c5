//! The curvature that mini-batches feel along their own gradients.

use stepscope_spectral::LinearOperator;
use stepscope_types::quantity;
use stepscope_types::{Estimate, Reading, Uncertainty};

use super::batches::BatchSource;
use super::cost::Cost;
use super::motion::Scaling;
use super::operators::{BatchLoss, Curvature, CurvatureOperator, Kinks, ProductError};
use super::probe::{Measured, Probe, ProbeError, ProbePoint};
use super::statistics::{dot, mean_and_error};
use super::student::student_quantile_95;
use crate::checkpoint::{State, StateError, Stateful};
use crate::data::Batch;

/// E_B[g_Bᵀ H_B g_B / ‖g_B‖²] over batches of the training's size: the expectation of the ratio, with exact Hessian products.
///
/// Batches are drawn until the 95 % interval is narrower than `tolerance` to either side, between 8 and `max_batches` of
/// them; a stop by that rule makes the interval too narrow by a few percent of its width. Mini-batch SGD settles where learning
/// rate times batch sharpness is the optimizer's threshold, as gradient descent does with the sharpness.
///
/// Cost: 3.7 gradients a batch. Source: `curvature`, section 4.6 (Andreyev and Beneventano 2024).
#[derive(Debug)]
pub struct BatchSharpnessProbe<'a, B = Batch> {
    batches: BatchSource<'a, B>,
    curvature: Curvature,
    max_batches: usize,
    tolerance: f64,
    cost: Cost,
}

impl<'a, B> BatchSharpnessProbe<'a, B> {
    /// Batches drawn at least.
    pub const MIN_BATCHES: usize = 8;

    /// A probe of `batches`, that stops at a half interval of `tolerance` times the value.
    pub fn new(batches: BatchSource<'a, B>, max_batches: usize, tolerance: f64) -> Self {
        let max_batches = max_batches.max(Self::MIN_BATCHES);
        let num_expected = if is_full(&batches) { 1 } else { max_batches.min(2 * Self::MIN_BATCHES) };
        let cost = Self::cost_of_one(&batches) * num_expected as f64;
        Self { batches, curvature: Curvature::Hessian, max_batches, tolerance, cost }
    }

    /// The same with differences of gradients in place of exact products, for a smooth module without tangent rules.
    pub fn by_differences(mut self, kinks: Kinks) -> Self {
        self.curvature = Curvature::HessianByDifferences { kinks };
        self
    }

    fn cost_of_one(batches: &BatchSource<'_, B>) -> Cost {
        Self::cost_of_batch(batches.batch_size())
    }

    /// What one batch costs.
    pub(crate) fn cost_of_batch(batch_size: usize) -> Cost {
        Cost::gradients(batch_size) + Cost::hessian_products(batch_size) + Cost::passes(5)
    }

    /// gᵀHg/‖g‖² of one fresh batch.
    fn sample<N: BatchLoss<B>>(&mut self, at: &ProbePoint<'_, N>) -> Result<f64, ProductError> {
        let indices = self.batches.draw();
        let batch = self.batches.objective(&indices);
        let (_, gradient) = batch.loss_and_gradient(at.network, at.layout)?;
        let mut image = vec![0.0; gradient.len()];
        CurvatureOperator::new(at.network, &batch, at.layout, self.curvature).apply(&gradient, &mut image)?;
        Ok(dot(&gradient, &image) / dot(&gradient, &gradient))
    }
}

/// Whether every batch is all examples, and so always the same one.
fn is_full<B>(batches: &BatchSource<'_, B>) -> bool {
    batches.batch_size() >= batches.num_examples()
}

impl<N: BatchLoss<B>, B> Probe<N> for BatchSharpnessProbe<'_, B> {
    fn name(&self) -> &'static str {
        "batch-sharpness"
    }

    fn cost(&self) -> Cost {
        self.cost
    }

    fn measure(&mut self, at: &ProbePoint<'_, N>) -> Result<Vec<Measured>, ProbeError> {
        self.batches.resize(at.batch_size);
        let (mut samples, is_full) = (Vec::new(), is_full(&self.batches));
        let max_batches = if is_full { 1 } else { self.max_batches };
        while samples.len() < max_batches {
            samples.push(self.sample(at)?);
            let (mean, error) = mean_and_error(&samples);
            let half = student_quantile_95(samples.len() as f64 - 1.0) * error;
            if samples.len() >= Self::MIN_BATCHES && half <= self.tolerance * mean.abs() {
                break;
            }
        }
        let (mean, error) = mean_and_error(&samples);
        self.cost = Self::cost_of_one(&self.batches) * samples.len() as f64;
        let error = if is_full { Uncertainty::Exact } else { Uncertainty::StandardError(error) };
        let sharpness = Estimate::new(mean, quantity::BATCH_SHARPNESS.unit, error)
            .over_examples((samples.len() * self.batches.batch_size()) as u64)
            .with_products(samples.len() as u64)
            .in_mode(at.mode);
        let felt = Estimate { value: sharpness.value + at.motion.coupled_decay(), ..sharpness.clone() };
        let position = match at.motion.scaling(at.network) {
            Scaling::None => at.at_rate(|rate| {
                let factor = rate / at.motion.stability_threshold(rate);
                felt.with_products(0).scaled(factor, quantity::BATCH_STABILITY_POSITION.unit)
            }),
            Scaling::Diagonal(_) | Scaling::Unknown => Reading::Unresolved {
                reason:
                    "the optimizer scales every parameter on its own, and this curvature is along the plain gradient: \
                         look at stability/sharpness_over_threshold"
                        .to_owned(),
                num_examples: 0,
            },
        };
        Ok(vec![
            Measured::new(&quantity::BATCH_SHARPNESS, sharpness),
            Measured::new(&quantity::BATCH_STABILITY_POSITION, position),
        ])
    }
}

impl<B> Stateful for BatchSharpnessProbe<'_, B> {
    fn save_state(&self, state: &mut State) {
        state.nest("batches", &self.batches);
        state.put("cost", &self.cost);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        state.restore("batches", &mut self.batches)?;
        self.cost = state.get("cost")?;
        Ok(())
    }
}
