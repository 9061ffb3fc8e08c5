//! A line that is being measured: its direction, the batches seen so far, and the fit at the end.

use burn::module::Module;
use stepscope_types::spec::{LabPalProfile, LabPalSpec, StepCap};

use super::refusal::Refusal;
use crate::control::line_search::{LineFit, losses_at};
use crate::control::method::Context;
use crate::models::{ParamLayout, ParamTensors};

/// A batch that is kept until the loss has been evaluated at all three points.
#[derive(Debug, Clone)]
pub(super) struct Held<B> {
    pub(super) number: u64,
    /// Its loss at θ.
    pub(super) loss: f64,
    /// `None` between loading a state and getting the batch back.
    pub(super) batch: Option<B>,
}

/// A measurement under way.
#[derive(Debug, Clone)]
pub(super) struct Measurement<B> {
    /// v with its norm, once its batches have been seen.
    pub(super) direction: Option<(ParamTensors, f64)>,
    pub(super) held: Vec<Held<B>>,
}

impl<B> Measurement<B> {
    pub(super) fn new() -> Self {
        Self { direction: None, held: Vec::new() }
    }

    /// Evaluates the loss at the two points and fits. The first `num_excluded` batches are left out.
    ///
    /// 2 (n − `num_excluded`) forward passes of n batches.
    pub(super) fn fit<M: Module>(
        &self,
        model: &M,
        points: [f64; 2],
        num_excluded: usize,
        context: &mut Context<'_, M, B>,
    ) -> Result<LineFit, Refusal> {
        let Some((direction, norm)) = &self.direction else {
            return Err(Refusal::Ascent { slope: f64::NAN });
        };
        let held = &self.held[num_excluded.min(self.held.len())..];
        let seeded: Vec<(&B, u64)> = held
            .iter()
            .filter_map(|held| held.batch.as_ref().map(|batch| (batch, context.seed_of(held.number, 0))))
            .collect();
        let [near, far] = points.map(|point| losses_at(context, model, direction, point / norm, &seeded));
        let rows: Vec<[f64; 3]> =
            held.iter().zip(near.into_iter().zip(far)).map(|(held, (near, far))| [held.loss, near, far]).collect();
        Ok(LineFit::new(points, &rows, *norm, context.reduce())?)
    }
}

/// What a fit is judged by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judge {
    pub(super) points: [f64; 2],
    profile: LabPalProfile,
    significance: f64,
    max_relative_error: f64,
    adaptation: f64,
    max_step: f64,
    cap: StepCap,
}

impl Judge {
    /// Points of the paper's code, and those for numbers with less than 24 bits: 0.01 spreads over the coordinates to changes
    /// that such numbers do not hold (`line-search`, section 6.4).
    const POINTS: [f64; 2] = [0.000_177, 0.01];
    const WIDE_POINTS: [f64; 2] = [0.1, 0.3];

    /// `is_short`: whether losses are computed in numbers of less than 24 bits, even if the weights of `model` are not. `serves`: for how
    /// many updates what is measured will serve.
    pub(super) fn new<M: Module>(spec: &LabPalSpec, model: &M, is_short: bool, serves: u64) -> Self {
        let is_short = is_short || ParamLayout::of(model).has_short_numbers();
        // Where rounding makes the loss at the near point, slope and curvature come out large together and their quotient, the
        // minimum, looks certain: only their own errors tell.
        let (points, significance) = if is_short { (Self::WIDE_POINTS, 2.0) } else { (Self::POINTS, 0.0) };
        // A minimum that is known to within more than its half sends the step anywhere, and a thousand updates follow it.
        let is_judged = is_short || spec.profile == LabPalProfile::Exact;
        let max_error = spec.max_relative_error.unwrap_or(if is_judged { 0.5 } else { f64::INFINITY });
        // What serves for ten of them is soon corrected; refused, it would leave a step in use that is known to be of another time.
        let patience = (spec.updates_per_measurement as f64 / serves.max(1) as f64).sqrt();
        Self {
            points: spec.probe_points.unwrap_or(points),
            profile: spec.profile,
            significance: spec.significance.unwrap_or(significance),
            max_relative_error: max_error * patience,
            adaptation: spec.update_step_adaptation,
            max_step: spec.max_step,
            cap: spec.cap,
        }
    }

    /// The length of the step that a fit asks for.
    pub(super) fn step_length(&self, fit: &LineFit) -> Result<f64, Refusal> {
        let exact = fit.minimum();
        let minimum = match self.profile {
            LabPalProfile::Exact => exact.clone()?.position,
            LabPalProfile::Reference => fit.reference_minimum()?,
        };
        let parabola = &fit.parabola;
        let significance = self.significance;
        for (what, value, variance) in [
            ("slope", parabola.slope, parabola.slope_variance),
            ("half curvature", parabola.half_curvature, parabola.half_curvature_variance),
        ] {
            if value.abs() < significance * variance.sqrt() {
                return Err(Refusal::NotSignificant { what, value, significance });
            }
        }
        if let Ok(exact) = exact {
            let (position, standard_error, limit) = (exact.position, exact.standard_error, self.max_relative_error);
            if standard_error > limit * position {
                return Err(Refusal::Imprecise { position, standard_error, limit });
            }
        }
        Ok(match self.cap {
            StepCap::BeforeAdaptation => self.adaptation * minimum.min(self.max_step),
            StepCap::AfterAdaptation => (self.adaptation * minimum).min(self.max_step),
        })
    }
}
