//! What a look along a step found.

use super::parabola::{Minimum, NoMinimum, Parabola, ParabolaError};
use crate::control::reduce::Reduce;

/// The parabola of the mean loss of several batches along θ − s v/‖v‖, through s = 0 and two points.
///
/// Lengths are Euclidean distances in weight space; a learning rate η is a length η‖v‖.
///
/// | field | symbol | unit |
/// |---|---|---|
/// | `points` | h, μ | length |
/// | `losses` | ℓ(0), ℓ(h), ℓ(μ) | nat |
/// | `parabola.slope` | b | nat / length |
/// | `parabola.half_curvature` | a | nat / length² |
/// | `norm` | ‖v‖ | length at learning rate 1 |
///
/// Source: `line-search`, sections 2.2 and 2.4.
#[derive(Debug, Clone, PartialEq)]
pub struct LineFit {
    /// The two points beside 0.
    pub points: [f64; 2],
    /// Mean losses at 0 and at the points.
    pub losses: [f64; 3],
    /// The fit to the batches' paired differences, with standard errors over batches.
    pub parabola: Parabola,
    /// ‖v‖.
    pub norm: f64,
    /// Batches in the means, on this rank.
    pub num_batches: u64,
    /// Batches left out because a loss of theirs was not finite, on this rank.
    pub num_dropped: u64,
}

impl LineFit {
    /// The fit to `rows`, one `[ℓ(0), ℓ(h), ℓ(μ)]` for each batch of this rank.
    ///
    /// A batch with a loss that is not finite is left out at all three points, so that the means stay means over the same
    /// batches.
    ///
    /// # Errors
    /// [`ParabolaError`] where fewer than two batches are left over all ranks; as not finite, where batches were left out.
    pub(crate) fn new(
        points: [f64; 2],
        rows: &[[f64; 3]],
        norm: f64,
        reduce: &mut dyn Reduce,
    ) -> Result<Self, ParabolaError> {
        let finite: Vec<[f64; 3]> =
            rows.iter().copied().filter(|row| row.iter().all(|loss| loss.is_finite())).collect();
        let num_dropped = (rows.len() - finite.len()) as u64;
        let column = |point: usize| finite.iter().map(|row| row[point]).sum::<f64>();
        let mut sums = [finite.len() as f64, column(0), column(1), column(2), num_dropped as f64];
        reduce.mean_over_ranks(&mut sums);
        let [count, at0, at1, at2, dropped] = sums;
        let parabola = Parabola::over_ranks(points, &finite, reduce).map_err(|error| match error {
            ParabolaError::TooLittle { .. } if dropped > 0.0 => ParabolaError::NotFinite { points },
            other => other,
        })?;
        let losses = [at0, at1, at2].map(|sum| sum / count);
        Ok(Self { points, losses, parabola, norm, num_batches: finite.len() as u64, num_dropped })
    }

    /// s* = −b / (2a), with its standard error.
    ///
    /// # Errors
    /// [`NoMinimum`] where the parabola bends down or rises.
    pub fn minimum(&self) -> Result<Minimum, NoMinimum> {
        self.parabola.minimum()
    }

    /// η* = s* / ‖v‖: the learning rate that leads to the minimum.
    ///
    /// # Errors
    /// As [`LineFit::minimum`].
    pub fn learning_rate(&self) -> Result<Minimum, NoMinimum> {
        let Minimum { position, standard_error } = self.minimum()?;
        Ok(Minimum { position: position / self.norm, standard_error: standard_error / self.norm })
    }

    /// What the authors' released code takes for the minimum: 2 s* − h, since it differentiates twice with one-sided ends
    /// and so halves the curvature.
    ///
    /// # Errors
    /// [`NoMinimum`] by its own two numbers.
    pub fn reference_minimum(&self) -> Result<f64, NoMinimum> {
        let ([h, far], [at0, at1, at2]) = (self.points, self.losses);
        let slope = (at1 - at0) / h;
        let (left, right) = (h, far - h);
        // The central difference at h over unequal intervals, as numerical libraries have it.
        let central = (left * left * at2 + (right * right - left * left) * at1 - right * right * at0)
            / (left * right * (left + right));
        let half_curvature = 0.5 * (central - slope) / h;
        match () {
            () if half_curvature <= 0.0 || half_curvature.is_nan() => Err(NoMinimum::Concave { half_curvature }),
            () if slope >= 0.0 => Err(NoMinimum::Ascending { slope }),
            () => Ok(-slope / (2.0 * half_curvature)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::reduce::OneRank;
    use proptest::prelude::*;

    fn fit(points: [f64; 2], rows: &[[f64; 3]]) -> Result<LineFit, ParabolaError> {
        LineFit::new(points, rows, 2.0, &mut OneRank)
    }

    proptest! {
        /// Claim T11 of `line-search`, section 4.
        #[test]
        fn the_reference_finds_twice_the_minimum_less_the_first_point_and_the_exact_fit_finds_it(
            half_curvature in 0.1f64..10.0, minimum in 0.05f64..5.0, h in 0.05f64..0.2, ratio in 2.0f64..9.0
        ) {
            let loss = |s: f64| half_curvature * s * (s - 2.0 * minimum);
            let points = [h, h * ratio];
            let fit = fit(points, &[[0.0, loss(points[0]), loss(points[1])]; 3]).unwrap();
            let exact = fit.minimum().unwrap().position;
            prop_assert!((exact / minimum - 1.0).abs() < 1e-9, "{exact} {minimum}");
            let expected = 2.0 * minimum - h;
            // Where it is negative the reference's slope is positive, and it refuses.
            match fit.reference_minimum() {
                Ok(found) => prop_assert!((found / expected - 1.0).abs() < 1e-9 || expected < 1e-6, "{found} {expected}"),
                Err(_) => prop_assert!(expected < 1e-9),
            }
        }
    }

    #[test]
    fn at_the_default_points_a_minimum_at_0_3_becomes_0_59982() {
        let loss = |s: f64| s * (s - 0.6);
        let points = [0.000_177, 0.01];
        let fit = fit(points, &[[0.0, loss(points[0]), loss(points[1])]; 2]).unwrap();
        assert!((fit.reference_minimum().unwrap() - 0.599_823).abs() < 1e-6);
        assert!((fit.learning_rate().unwrap().position - 0.15).abs() < 1e-9, "‖v‖ is 2");
    }

    #[test]
    fn a_batch_that_is_not_finite_somewhere_is_left_out_everywhere() {
        let loss = |offset: f64, s: f64| offset - s + s * s;
        let mut rows = [1.0, 2.0, 40.0].map(|offset| [0.0, 0.1, 0.2].map(|s| loss(offset, s)));
        rows[2][1] = f64::NAN;
        let fit = fit([0.1, 0.2], &rows).unwrap();
        assert_eq!((fit.num_batches, fit.num_dropped, fit.losses[0]), (2, 1, 1.5));
        assert!((fit.minimum().unwrap().position - 0.5).abs() < 1e-12);
        rows[1][2] = f64::INFINITY;
        assert!(matches!(
            super::LineFit::new([0.1, 0.2], &rows, 1.0, &mut OneRank),
            Err(ParabolaError::NotFinite { .. })
        ));
    }
}
