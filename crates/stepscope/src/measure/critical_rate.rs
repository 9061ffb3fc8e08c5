//! Where the search for a batch's critical learning rate starts.

use serde::{Deserialize, Serialize};

use super::crossing::{Crossing, NoCrossing};

/// Searches for the critical learning rates of one batch after another.
///
/// A batch's η_c is sought from u L_B/gᵀv, with L_B its loss, gᵀv the descent per unit of the rate and u the geometric mean of the latest
/// answers in that unit, which is Polyak's step: a batch whose gradient is large for its loss is a sharp one. On an MLP that
/// is trained on MNIST half of all starts are within a factor of 1.3 of the answer; at the mean of the latest η_c they were within 1.7, which
/// took one evaluation more (docs/performance.md). For a loss that is not above 0 the search starts at twice the learning rate.
///
/// Source: ours.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct CriticalRate {
    /// Ratio of the ends of a bracket, above 1.
    ratio: f64,
    /// η_c gᵀv/L_B, the geometric mean of the latest.
    in_units: Option<f64>,
}

impl CriticalRate {
    /// Weight of the last answer in where the next search starts.
    const NEWEST: f64 = 0.2;

    pub(super) fn new(ratio: f64) -> Self {
        Self { ratio, in_units: None }
    }

    /// The same with brackets of another ratio.
    pub(super) fn with_ratio(self, ratio: f64) -> Self {
        Self { ratio, ..self }
    }

    /// η_c of a batch whose loss is `level` and falls by `descent`, from twice `rate` at first.
    ///
    /// # Errors
    /// Those of `loss`.
    pub(super) fn search<E>(
        &mut self,
        rate: f64,
        descent: f64,
        level: f64,
        loss: impl FnMut(f64) -> Result<f64, E>,
    ) -> Result<Result<Crossing, NoCrossing>, E> {
        let unit = Some(level / descent).filter(|unit| unit.is_finite() && *unit > 0.0);
        let start = unit.zip(self.in_units).map_or(2.0 * rate, |(unit, in_units)| in_units * unit);
        let found = Crossing::of_descent(start, descent, level, self.ratio, loss)?;
        if let (Ok(found), Some(unit)) = (found, unit) {
            let newest = found.middle() / unit;
            let before = self.in_units.unwrap_or(newest);
            self.in_units = Some(before.powf(1.0 - Self::NEWEST) * newest.powf(Self::NEWEST));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn a_batch_of_any_curvature_and_gradient_takes_two_evaluations_once_one_was_searched() {
        let mut rate = CriticalRate::new(1.5);
        let batches = [(1.0, 1.0), (100.0, 1.0), (0.01, 3.0), (5.0, 0.1), (1e4, 20.0)];
        for (index, (curvature, gradient)) in batches.into_iter().enumerate() {
            // ½ h (s g − g/h)², whose minimum is 0: η_c is 2/h.
            let loss = |s: f64| Ok::<_, Infallible>(0.5 * curvature * (gradient / curvature - s * gradient).powi(2));
            let (descent, level) = (gradient * gradient, 0.5 * gradient * gradient / curvature);
            let Ok(found) = rate.search(0.3, descent, level, loss);
            let found = found.unwrap();
            let truth = 2.0 / curvature;
            assert!(found.low <= truth * 1.000_001 && truth <= found.high * 1.000_001, "{found:?} {truth}");
            assert!(index == 0 || found.num_evaluations == 2, "{curvature} {gradient}: {found:?}");
        }
    }

    #[test]
    fn a_loss_that_is_not_above_zero_is_searched_from_the_learning_rate_and_teaches_nothing() {
        let mut rate = CriticalRate::new(1.1);
        let loss = |s: f64| Ok::<_, Infallible>(-3.0 - s + 0.5 * s * s);
        let Ok(found) = rate.search(0.95, 1.0, -3.0, loss);
        assert!(found.is_ok_and(|found| found.low <= 2.0 && 2.0 <= found.high && found.num_evaluations <= 2));
        assert_eq!(rate, CriticalRate::new(1.1));
    }
}
