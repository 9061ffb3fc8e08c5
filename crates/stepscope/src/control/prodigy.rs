//! Prodigy: Adam with a learning rate that grows with the distance covered.

use burn::module::Module;
use stepscope_types::spec::AdamSpec;
use stepscope_types::{Estimate, Reading, Uncertainty, quantity};

use super::method::{Context, Method, Numbered, StepReport};
use super::transform::Clip;
use crate::checkpoint::{State, StateError, WeightState};
use crate::measure::{Measured, Motion};
use crate::models::{ParamLayout, ParamTensors};

/// Prodigy with Adam's scaling: d, an estimate from below of the distance to a minimum, is the learning rate.
///
/// With β₃ = √β₂, x₀ the weights at the start and γ a factor that is usually 1:
///
/// m ← β₁m + (1 − β₁) d g, v ← β₂v + (1 − β₂) d² g²,
/// r ← β₃r + (1 − β₃) γ d² ⟨g, x₀ − x⟩, s ← β₃s + (1 − β₃) γ d² g,
/// x ← x − γ d m/(√v + d ε) − γ d δ x, d ← max(d, min(c r/‖s‖₁, growth · d)).
///
/// d never shrinks. What users of other implementations run into is kept out: x₀, s, r and d are all part of the saved state, so
/// that d goes on growing after a resume; a gradient that is not finite changes nothing, and is recorded with its reason;
/// d and γ d are recorded, so that "learning rate 1" is never shown for a step of 10⁻⁴.
///
/// Cost: Adam's and four passes over the weights; four vectors in weight space. Source: Mishchenko and Defazio 2024,
/// Algorithm 4. The estimate is one from below for convex losses; on networks it is a heuristic.
#[derive(Debug, Clone)]
pub struct Prodigy {
    settings: ProdigySettings,
    distance: f64,
    progress: f64,
    start: Option<ParamTensors>,
    mean: ParamTensors,
    mean_square: ParamTensors,
    weighted: ParamTensors,
}

/// What Prodigy is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProdigySettings {
    /// γ, above 0; 1 is usual.
    pub learning_rate: f64,
    /// β₁, β₂ and ε.
    pub adam: AdamSpec,
    /// d at the start, above 0.
    pub initial_distance: f64,
    /// c, above 0: what is tuned where anything is.
    pub coefficient: f64,
    /// Most that d grows by in one update, above 1; infinite for no limit.
    pub max_growth: f64,
    /// δ, at least 0; decoupled.
    pub weight_decay: f64,
    /// Bounds on the gradient.
    pub clip: Clip,
}

impl Prodigy {
    /// At its start.
    pub fn new(settings: ProdigySettings) -> Self {
        Self {
            settings,
            distance: settings.initial_distance,
            progress: 0.0,
            start: None,
            mean: ParamTensors::default(),
            mean_square: ParamTensors::default(),
            weighted: ParamTensors::default(),
        }
    }

    /// d.
    pub fn distance(&self) -> f64 {
        self.distance
    }

    /// The way of the coming update over its learning rate, if its batch has this gradient; no way where it is not finite.
    pub(crate) fn direction(mut self, gradient: ParamTensors, values: &ParamTensors) -> ParamTensors {
        let rate = self.settings.learning_rate * self.distance;
        let gradient = self.settings.clip.apply(gradient);
        let step = self.step(gradient, values).unwrap_or_default();
        step.map(|_, part| part * (-1.0 / rate))
    }

    /// δ.
    pub(crate) fn weight_decay(&self) -> f64 {
        self.settings.weight_decay
    }

    /// β₁.
    pub(crate) fn beta1(&self) -> f64 {
        self.settings.adam.beta1
    }

    /// D of x ← x − γd D(m/d): 1/(√v/d + ε), with v as the last update left it; `None` before the first.
    pub(crate) fn scaling(&self) -> Option<ParamTensors> {
        let (distance, epsilon) = (self.distance, self.settings.adam.epsilon);
        let root = |part: burn::Tensor<1>| (part.sqrt() * (1.0 / distance) + epsilon).recip();
        (!self.mean_square.is_empty()).then(|| self.mean_square.clone().map(|_, part| root(part)))
    }

    /// The step x_new − x, and d afterwards; the reason where the gradient allows none.
    fn step(&mut self, gradient: ParamTensors, values: &ParamTensors) -> Result<ParamTensors, String> {
        let ProdigySettings { learning_rate, adam: AdamSpec { beta1, beta2, epsilon }, .. } = self.settings;
        let (beta3, d) = (beta2.sqrt(), self.distance);
        let start = self.start.get_or_insert_with(|| values.clone());
        let mut way = start.clone();
        way.scale_and_add(1.0, -1.0, values);
        let (covered, norm) = (gradient.dot(&way), gradient.norm());
        if !(covered.is_finite() && norm.is_finite()) {
            return Err(format!("the norm of the gradient is {norm}: the update was left out and d stays {d:.3e}"));
        }
        let share = (1.0 - beta3) * learning_rate * d * d;
        let squares = gradient.clone().map(|_, part| part.square() * ((1.0 - beta2) * d * d));
        self.mean.scale_and_add(beta1, (1.0 - beta1) * d, &gradient);
        self.mean_square.scale_and_add(beta2, 1.0, &squares);
        self.progress = beta3 * self.progress + share * covered;
        self.weighted.scale_and_add(beta3, share, &gradient);
        let mut step = self.mean.clone().zip(&self.mean_square, |mean, square| mean / (square.sqrt() + d * epsilon));
        step = step.map(|_, part| part * (-learning_rate * d));
        if self.settings.weight_decay > 0.0 {
            step.scale_and_add(1.0, -learning_rate * d * self.settings.weight_decay, values);
        }
        let total = self.weighted.l1_norm();
        let estimate = self.settings.coefficient * self.progress / total;
        // All gradients 0, or an estimate lost to rounding: d stays.
        if total > 0.0 && estimate.is_finite() {
            self.distance = d.max(estimate.min(self.settings.max_growth * d));
        }
        Ok(step)
    }
}

impl<M: Module, B> Method<M, B> for Prodigy {
    fn take(&mut self, model: M, batch: Numbered<B>, context: &mut Context<'_, M, B>) -> (M, StepReport) {
        let before = context.passes();
        let (loss, gradient) = context.loss_and_gradient(&model, &batch.batch, context.seed_of(batch.number, 0));
        let mut report = StepReport { loss, batches_per_update: 1, ..StepReport::default() };
        let mut model = model;
        if let Some(gradient) = gradient {
            let (rate, d) = (self.settings.learning_rate * self.distance, self.distance);
            let quantity = &quantity::DISTANCE_ESTIMATE;
            match self.step(self.settings.clip.apply(gradient), &ParamTensors::values(&model)) {
                Ok(step) => {
                    model = step.displace(model, 1.0);
                    report.updated = true;
                    report.learning_rate = Some(rate);
                    if self.distance != d {
                        let estimate = Estimate::new(self.distance, quantity.unit, Uncertainty::Exact);
                        report.measured.push(Measured::new(quantity, estimate));
                    }
                }
                Err(reason) => {
                    report.measured.push(Measured::new(quantity, Reading::Unresolved { reason, num_examples: 0 }));
                }
            }
        }
        report.passes = context.passes() - before;
        (model, report)
    }

    fn learning_rate(&self) -> Option<f64> {
        Some(self.settings.learning_rate * self.distance)
    }

    /// It has none that could be set: specifications refuse a schedule.
    fn set_momentum(&mut self, _momentum: f64) {}

    fn motion(&self) -> Motion<'_> {
        Motion::of_prodigy(self)
    }
}

impl WeightState for Prodigy {
    fn save_weights(&self, state: &mut State, layout: &ParamLayout) {
        state.put_vector("distance_and_progress", vec![self.distance, self.progress]);
        state.put("started", &self.start.is_some());
        if let Some(start) = &self.start {
            state.put_params("start", start, layout);
            state.put_params("mean", &self.mean, layout);
            state.put_params("mean_square", &self.mean_square, layout);
            state.put_params("weighted", &self.weighted, layout);
        }
    }

    fn load_weights(&mut self, state: &State, layout: &ParamLayout) -> Result<(), StateError> {
        let numbers = state.vector("distance_and_progress", 2)?;
        (self.distance, self.progress) = (numbers[0], numbers[1]);
        if state.get("started")? {
            self.start = Some(state.params("start", layout)?);
            self.mean = state.params("mean", layout)?;
            self.mean_square = state.params("mean_square", layout)?;
            self.weighted = state.params("weighted", layout)?;
        }
        Ok(())
    }
}
