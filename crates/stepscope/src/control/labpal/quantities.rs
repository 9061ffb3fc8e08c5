//! A measurement as recorded quantities.

use stepscope_types::{Estimate, Mode, Reading, Uncertainty, quantity};

use crate::control::method::StepReport;
use crate::measure::Measured;

/// The measurement that ended with this report: slope, curvature and minimum with their errors, and how many were refused so far.
pub(super) fn measured(report: &StepReport, num_refusals: u64) -> Vec<Measured> {
    let mut measured = Vec::new();
    let Some(fit) = &report.fit else {
        let reason = report.refusal.as_ref().map_or_else(String::new, ToString::to_string);
        measured.push(Measured::new(&quantity::LINE_MINIMUM, Reading::Unresolved { reason, num_examples: 0 }));
        return measured;
    };
    let estimate = |value: f64, unit, variance: f64| {
        Estimate::new(value, unit, Uncertainty::StandardError(variance.max(0.0).sqrt())).in_mode(Mode::Train)
    };
    let parabola = &fit.parabola;
    let (slope, curvature) = (&quantity::LINE_SLOPE, &quantity::LINE_CURVATURE);
    measured.push(Measured::new(slope, estimate(parabola.slope, slope.unit, parabola.slope_variance)));
    let value = 2.0 * parabola.half_curvature;
    let variance = 4.0 * parabola.half_curvature_variance;
    measured.push(Measured::new(curvature, estimate(value, curvature.unit, variance)));
    let minimum: Reading = match (&report.refusal, fit.learning_rate()) {
        (None, Ok(minimum)) => {
            estimate(minimum.position, quantity::LINE_MINIMUM.unit, minimum.standard_error.powi(2)).into()
        }
        (Some(refusal), _) => Reading::Unresolved { reason: refusal.to_string(), num_examples: 0 },
        (None, Err(reason)) => Reading::Unresolved { reason: reason.to_string(), num_examples: 0 },
    };
    measured.push(Measured::new(&quantity::LINE_MINIMUM, minimum));
    let refusals = Estimate::new(num_refusals as f64, quantity::REFUSALS.unit, Uncertainty::Exact);
    measured.push(Measured::new(&quantity::REFUSALS, refusals));
    measured
}
