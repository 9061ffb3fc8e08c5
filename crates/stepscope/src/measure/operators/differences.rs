//! Tangents of networks that have none: central differences, at a distance that is measured.

use super::error::ProductError;
use super::loss::Parts;
use super::vector::norm;
use crate::models::{Dual, ParamLayout};

/// How an operator follows a direction in weight space.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tangents {
    /// By the network's own tangent rules, to rounding.
    Exact,
    /// By central differences.
    Differences(Calibration),
}

/// The distance at which central differences are taken, and what they are worth there.
///
/// The difference D(h) = (f(θ + hv̂) − f(θ − hv̂)) / 2h errs by O(h²) from truncation and O(u‖f‖/h) from rounding, so its error
/// has a least value at an h that depends on network and direction. D is evaluated along a geometric ladder of h
/// relative to ‖θ‖, and the rung is taken at which it changes least. Source: `curvature`, sections 4.2 and 4.3.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    /// h = ‖displacement‖ in weight space.
    pub distance: f64,
    /// ‖D(h) − D(h′)‖ / ‖D(h)‖ with the neighbouring rung h′: an upper guess of the relative error of D(h), because the better of the
    /// two errs by less than they differ.
    pub relative_change: f64,
}

/// Rungs of the ladder, each a quarter of the one before.
const RUNGS: i32 = 5;

impl Calibration {
    /// The top rung, relative to ‖θ‖.
    pub(super) fn top(layout: &ParamLayout) -> f64 {
        if layout.is_narrow() { 1e-2 } else { 1e-4 }
    }

    /// The best rung for `difference`, which gets h and returns D(h).
    ///
    /// `scale` is ‖θ‖, or 1 at the origin.
    pub(super) fn of(
        layout: &ParamLayout,
        scale: f64,
        mut difference: impl FnMut(f64) -> Result<Vec<f64>, ProductError>,
    ) -> Result<Self, ProductError> {
        let top = scale * Self::top(layout);
        let mut best = Self { distance: top, relative_change: f64::INFINITY };
        let mut above = difference(top)?;
        for rung in 1..RUNGS {
            let distance = top * 0.25_f64.powi(rung);
            let here = difference(distance)?;
            let change: Vec<f64> = above.iter().zip(&here).map(|(above, here)| above - here).collect();
            let (change, size) = (norm(&change), norm(&here));
            let relative_change = if change == 0.0 { 0.0 } else { change / size };
            if relative_change < best.relative_change {
                best = Self { distance, relative_change };
            }
            above = here;
        }
        Ok(best)
    }
}

/// The parts of a loss at θ with tangents (`plus` − `minus`) · `inverse_width`.
pub(super) fn with_tangents(base: Parts, plus: Parts, minus: Parts, inverse_width: f64) -> Parts {
    let per_example = differenced(base.per_example, plus.per_example, minus.per_example, inverse_width);
    let outputs = match (base.outputs, plus.outputs, minus.outputs) {
        (Some(mut base), Some(plus), Some(minus)) => {
            base.values = differenced(base.values, plus.values, minus.values, inverse_width);
            Some(base)
        }
        (base, ..) => base,
    };
    Parts { per_example, outputs }
}

fn differenced<const D: usize>(base: Dual<D>, plus: Dual<D>, minus: Dual<D>, inverse_width: f64) -> Dual<D> {
    Dual { value: base.value, tangent: Some((plus.value - minus.value) * inverse_width) }
}
