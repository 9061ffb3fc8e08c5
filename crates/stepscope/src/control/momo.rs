//! MoMo: Polyak's step for SGD with momentum.

use burn::module::Module;
use stepscope_types::{Reading, quantity};

use super::method::{Context, Method, Numbered, StepReport};
use super::transform::Clip;
use crate::checkpoint::{State, StateError, WeightState};
use crate::measure::{Measured, Motion};
use crate::models::{ParamLayout, ParamTensors};

/// MoMo: the step that minimises a model of the loss, the mean of the tangents of earlier batches cut off at a lower bound f*.
///
/// With running means of weight β, which start at their first value, of the gradient, d, the loss, f̄, and ⟨g, x⟩, γ̄:
///
/// x ← x − τ d, τ = min(α, max(f̄ + ⟨d, x⟩ − γ̄ − f*, 0)/‖d‖²).
///
/// α is an upper bound, not a learning rate to be tuned: above the best rate of SGD with momentum it hardly matters.
/// Without momentum and with c = 1 this is [`PolyakStep`](super::line_search::PolyakStep).
///
/// Cost: two inner products and a norm over the weights, one vector in weight space; no extra pass. Source: Schaipp et al. 2024,
/// Algorithm 1. Invalid where the loss of a batch can be below f*: with f* too high steps stop.
#[derive(Debug, Clone)]
pub struct Momo {
    settings: MomoSettings,
    means: Option<Means>,
    latest: f64,
}

/// What MoMo is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MomoSettings {
    /// α, above 0.
    pub max_learning_rate: f64,
    /// β, at least 0 and below 1.
    pub beta: f64,
    /// f*, finite.
    pub lower_bound: f64,
    /// Bounds on the gradient.
    pub clip: Clip,
}

#[derive(Debug, Clone)]
struct Means {
    gradient: ParamTensors,
    loss: f64,
    product: f64,
}

impl Momo {
    /// At its start.
    pub fn new(settings: MomoSettings) -> Self {
        Self { settings, means: None, latest: settings.max_learning_rate }
    }

    /// d, once there is one.
    pub(crate) fn mean_gradient(&self) -> Option<&ParamTensors> {
        self.means.as_ref().map(|means| &means.gradient)
    }

    /// d after one more gradient.
    pub(crate) fn direction(self, gradient: ParamTensors) -> ParamTensors {
        let beta = self.settings.beta;
        let Some(means) = self.means else { return gradient };
        let mut mean = means.gradient;
        mean.scale_and_add(beta, 1.0 - beta, &gradient);
        mean
    }

    /// β.
    pub(crate) fn beta(&self) -> f64 {
        self.settings.beta
    }

    /// τ, with the running means moved on; the reason where there is none.
    fn next(&mut self, loss: f64, gradient: ParamTensors, values: &ParamTensors) -> Result<f64, String> {
        let MomoSettings { max_learning_rate, beta, lower_bound, .. } = self.settings;
        let product = gradient.dot(values);
        if !product.is_finite() {
            return Err("the gradient is not finite: the update was left out".to_owned());
        }
        match &mut self.means {
            None => self.means = Some(Means { gradient, loss, product }),
            Some(means) => {
                means.gradient.scale_and_add(beta, 1.0 - beta, &gradient);
                means.loss = beta * means.loss + (1.0 - beta) * loss;
                means.product = beta * means.product + (1.0 - beta) * product;
            }
        }
        let Some(means) = &self.means else { return Ok(0.0) };
        let height = means.loss + means.gradient.dot(values) - means.product - lower_bound;
        let squared = means.gradient.dot(&means.gradient);
        if squared == 0.0 {
            return Err("the mean gradient is zero: there is no way to go".to_owned());
        }
        Ok(max_learning_rate.min(height.max(0.0) / squared))
    }
}

impl<M: Module, B> Method<M, B> for Momo {
    fn take(&mut self, model: M, batch: Numbered<B>, context: &mut Context<'_, M, B>) -> (M, StepReport) {
        let before = context.passes();
        let (loss, gradient) = context.loss_and_gradient(&model, &batch.batch, context.seed_of(batch.number, 0));
        let mut report = StepReport { loss, batches_per_update: 1, ..StepReport::default() };
        let mut model = model;
        if let Some(gradient) = gradient {
            match self.next(loss, self.settings.clip.apply(gradient), &ParamTensors::values(&model)) {
                Ok(rate) => {
                    if let Some(direction) = self.mean_gradient() {
                        model = direction.displace(model, -rate);
                    }
                    self.latest = rate;
                    report.updated = true;
                    report.learning_rate = Some(rate);
                }
                Err(reason) => {
                    let reading = Reading::Unresolved { reason, num_examples: 0 };
                    report.measured.push(Measured::new(&quantity::LINE_MINIMUM, reading));
                }
            }
        }
        report.passes = context.passes() - before;
        (model, report)
    }

    fn learning_rate(&self) -> Option<f64> {
        Some(self.latest)
    }

    /// It has none that could be set: specifications refuse a schedule.
    fn set_momentum(&mut self, _momentum: f64) {}

    fn motion(&self) -> Motion<'_> {
        Motion::of_momo(self)
    }
}

impl WeightState for Momo {
    fn save_weights(&self, state: &mut State, layout: &ParamLayout) {
        state.put_vector("latest", vec![self.latest]);
        state.put("started", &self.means.is_some());
        if let Some(means) = &self.means {
            state.put_vector("loss_and_product", vec![means.loss, means.product]);
            state.put_params("gradient", &means.gradient, layout);
        }
    }

    fn load_weights(&mut self, state: &State, layout: &ParamLayout) -> Result<(), StateError> {
        self.latest = state.vector("latest", 1)?[0];
        self.means = None;
        if state.get("started")? {
            let numbers = state.vector("loss_and_product", 2)?;
            let gradient = state.params("gradient", layout)?;
            self.means = Some(Means { gradient, loss: numbers[0], product: numbers[1] });
        }
        Ok(())
    }
}
