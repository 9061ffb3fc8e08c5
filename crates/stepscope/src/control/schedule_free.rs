//! Schedule-Free SGD.

use burn::module::Module;

use super::method::{Context, Method, Numbered, StepReport};
use super::transform::Clip;
use crate::checkpoint::{State, StateError, WeightState};
use crate::measure::Motion;
use crate::models::{ParamLayout, ParamTensors};

/// Schedule-Free SGD: gradients are taken at y, z walks along them, and x, the mean of z, is the model.
///
/// y = β x + (1 − β) z, z ← z − γ_t (∇ℓ(y) + δ y), x ← (1 − c) x + c z,
///
/// with γ_t = γ min(1, (t + 1)/w) during a warm-up of w updates, and c = γ_max²/Σ γ_max², 1/(t + 1) without one.
///
/// The model that goes in and comes out is x. Probes, averages, checkpoints and exported weights therefore see x without
/// knowing of the method, and there is no mode to switch; z is the state, y lives as long as a gradient takes. Running
/// statistics are collected at y: for an evaluation at x they have to be computed anew, which
/// [`Method::trains_elsewhere`] says.
///
/// On a quadratic, once x moves slowly, z is stable while γλ < 2/(1 − β): twenty instead of two at β = 0.9.
///
/// Cost: SGD's, one vector in weight space of state and one while a gradient is taken. Source: Defazio et al. 2024, Algorithm 1,
/// with the weights of their code; there is no schedule to anneal, so the rate is usually larger than SGD's.
#[derive(Debug, Clone)]
pub struct ScheduleFree {
    settings: ScheduleFreeSettings,
    walker: Option<ParamTensors>,
    num_updates: u64,
    largest_rate: f64,
    total_weight: f64,
}

/// What Schedule-Free SGD is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScheduleFreeSettings {
    /// γ, above 0.
    pub learning_rate: f64,
    /// β: how near to x gradients are taken; at least 0 and below 1.
    pub interpolation: f64,
    /// w: updates over which γ grows from 0; 0 for none.
    pub warmup: u64,
    /// δ, at least 0; acts at y.
    pub weight_decay: f64,
    /// Bounds on the gradient.
    pub clip: Clip,
}

impl ScheduleFree {
    /// At its start, where x = y = z.
    pub fn new(settings: ScheduleFreeSettings) -> Self {
        Self { settings, walker: None, num_updates: 0, largest_rate: 0.0, total_weight: 0.0 }
    }

    /// γ_t of the coming update.
    fn rate(&self) -> f64 {
        let ScheduleFreeSettings { learning_rate, warmup, .. } = self.settings;
        if self.num_updates < warmup {
            learning_rate * (self.num_updates + 1) as f64 / warmup as f64
        } else {
            learning_rate
        }
    }
}

impl<M: Module, B> Method<M, B> for ScheduleFree {
    fn take(&mut self, model: M, batch: Numbered<B>, context: &mut Context<'_, M, B>) -> (M, StepReport) {
        let before = context.passes();
        let beta = self.settings.interpolation;
        let mut mean = ParamTensors::values(&model);
        let mut middle = mean.clone();
        if let Some(walker) = &self.walker {
            middle.scale_and_add(beta, 1.0 - beta, walker);
        }
        let there = middle.assign_to(model.clone());
        let (loss, gradient) = context.loss_and_gradient(&there, &batch.batch, context.seed_of(batch.number, 0));
        let mut report = StepReport { loss, batches_per_update: 1, ..StepReport::default() };
        let mut model = model;
        if let Some(gradient) = gradient {
            let mut gradient = self.settings.clip.apply(gradient);
            let rate = self.rate();
            if self.settings.weight_decay > 0.0 {
                gradient.scale_and_add(1.0, self.settings.weight_decay, &middle);
            }
            let mut walker = self.walker.take().unwrap_or_else(|| mean.clone());
            walker.scale_and_add(1.0, -rate, &gradient);
            self.largest_rate = self.largest_rate.max(rate);
            let weight = self.largest_rate.powi(2);
            self.total_weight += weight;
            let share = weight / self.total_weight;
            mean.scale_and_add(1.0 - share, share, &walker);
            model = mean.assign_to(model);
            self.walker = Some(walker);
            self.num_updates += 1;
            report.updated = true;
            report.learning_rate = Some(rate);
        }
        report.passes = context.passes() - before;
        (model, report)
    }

    fn learning_rate(&self) -> Option<f64> {
        Some(self.rate())
    }

    /// It has none that could be set: specifications refuse a schedule.
    fn set_momentum(&mut self, _momentum: f64) {}

    fn motion(&self) -> Motion<'_> {
        Motion::of_schedule_free(self.settings.interpolation)
    }

    fn trains_elsewhere(&self) -> bool {
        true
    }
}

impl WeightState for ScheduleFree {
    fn save_weights(&self, state: &mut State, layout: &ParamLayout) {
        state.put("num_updates", &self.num_updates);
        state.put_vector("weights", vec![self.largest_rate, self.total_weight]);
        if let Some(walker) = &self.walker {
            state.put_params("walker", walker, layout);
        }
    }

    fn load_weights(&mut self, state: &State, layout: &ParamLayout) -> Result<(), StateError> {
        self.num_updates = state.get("num_updates")?;
        let weights = state.vector("weights", 2)?;
        (self.largest_rate, self.total_weight) = (weights[0], weights[1]);
        self.walker = state.contains("walker").then(|| state.params("walker", layout)).transpose()?;
        Ok(())
    }
}
