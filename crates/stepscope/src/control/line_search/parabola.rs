//! The parabola through paired losses at three points of a line, with standard errors.

use thiserror::Error;

use crate::control::reduce::{OneRank, Reduce};

/// ℓ(s) ≈ ℓ(0) + b s + a s² along a line, fitted to the mean of paired differences.
///
/// Every batch is evaluated at all three points s = 0, p, q, so that what batches differ by at s = 0 cancels. With
/// x̄, ȳ the means of xᵢ = ℓᵢ(p) − ℓᵢ(0) and yᵢ = ℓᵢ(q) − ℓᵢ(0),
///
/// * a = (ȳ/q − x̄/p) / (q − p), half the curvature along the line,
/// * b = x̄/p − a p, the slope at 0,
/// * s* = −b / (2a), the minimum.
///
/// Variances follow from those of x and y over batches, that of s* by the delta method. Parabolas of several lines
/// add up ([`Parabola::sum`]): the minimum of the sum is the one step length that serves all of them best.
///
/// ```
/// use stepscope::control::line_search::Parabola;
/// // ℓ(s) = 3 − 2s + 4s², the same for both batches: minimum at 1/4.
/// let losses = |s: f64| 3.0 - 2.0 * s + 4.0 * s * s;
/// let rows = [[losses(0.0), losses(0.1), losses(0.2)]; 2];
/// let minimum = Parabola::fit(0.1, &rows)?.minimum()?;
/// assert!((minimum.position - 0.25).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `line-search`, section 2.4 (paired differences, exact fit); pooling lines, ours.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Parabola {
    /// b: slope of the loss at 0, negative where the line descends.
    pub slope: f64,
    /// a: half the second derivative.
    pub half_curvature: f64,
    /// Variance of b.
    pub slope_variance: f64,
    /// Variance of a.
    pub half_curvature_variance: f64,
    /// Covariance of a and b.
    pub covariance: f64,
}

/// s* with its standard error, in the unit of the spacing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Minimum {
    /// s*.
    pub position: f64,
    /// Standard error of s*.
    pub standard_error: f64,
}

/// Losses that no parabola can be put through.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ParabolaError {
    /// Nothing to fit.
    #[error(
        "a parabola needs at least 2 batches and points above 0 in rising order, got {batches} batches and points {points:?}"
    )]
    TooLittle {
        /// Batches given.
        batches: usize,
        /// Points given.
        points: [f64; 2],
    },
    /// A loss along the line is NaN or infinite.
    #[error("the loss along the step is not finite at points {points:?}: they reach too far")]
    NotFinite {
        /// The two points beside 0.
        points: [f64; 2],
    },
}

/// Why a parabola has no minimum to go to.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum NoMinimum {
    /// The loss bends down or is straight, so that nothing bounds the step.
    #[error("the loss along the step bends down (half curvature {half_curvature:.3e}): there is no minimum ahead")]
    Concave {
        /// a.
        half_curvature: f64,
    },
    /// The loss rises along the step.
    #[error("the loss rises along the step (slope {slope:.3e}): the minimum lies behind")]
    Ascending {
        /// b.
        slope: f64,
    },
}

impl Parabola {
    /// The fit to `losses`, one row `[ℓ(0), ℓ(h), ℓ(2h)]` a batch, with h = `spacing`.
    ///
    /// # Errors
    /// As [`Parabola::through`].
    pub fn fit(spacing: f64, losses: &[[f64; 3]]) -> Result<Self, ParabolaError> {
        Self::through([spacing, 2.0 * spacing], losses)
    }

    /// The fit to `losses`, one row `[ℓ(0), ℓ(p), ℓ(q)]` a batch, with `points` p and q.
    ///
    /// # Errors
    /// [`ParabolaError`] for fewer than two batches, points that are not 0 < p < q, losses that are not finite.
    pub fn through(points: [f64; 2], losses: &[[f64; 3]]) -> Result<Self, ParabolaError> {
        if losses.iter().flatten().any(|loss| !loss.is_finite()) {
            return Err(ParabolaError::NotFinite { points });
        }
        Self::over_ranks(points, losses, &mut OneRank)
    }

    /// The fit to the batches of all ranks; `losses` are those of this rank, and finite.
    ///
    /// # Errors
    /// [`ParabolaError`] as above, the same on every rank.
    pub fn over_ranks(points: [f64; 2], losses: &[[f64; 3]], reduce: &mut dyn Reduce) -> Result<Self, ParabolaError> {
        let [p, q] = points;
        // Slope and half curvature of every batch's own parabola: both are linear in its differences.
        let fits: Vec<(f64, f64)> = losses
            .iter()
            .map(|[at0, at1, at2]| {
                let (x, y) = ((at1 - at0) / p, (at2 - at0) / q);
                let half_curvature = (y - x) / (q - p);
                (x - half_curvature * p, half_curvature)
            })
            .collect();
        let sum = |term: &dyn Fn(f64, f64) -> f64| fits.iter().map(|&(b, a)| term(b, a)).sum::<f64>();
        let mut sums = [fits.len() as f64, sum(&|b, _| b), sum(&|_, a| a)];
        reduce.mean_over_ranks(&mut sums);
        let [per_rank, slope, half_curvature] = sums;
        let (slope, half_curvature) = (slope / per_rank, half_curvature / per_rank);
        let (of_b, of_a) = (|b: f64| b - slope, |a: f64| a - half_curvature);
        let mut squares = [sum(&|b, _| of_b(b).powi(2)), sum(&|_, a| of_a(a).powi(2)), sum(&|b, a| of_b(b) * of_a(a))];
        reduce.mean_over_ranks(&mut squares);
        let count = per_rank * reduce.num_ranks() as f64;
        if count < 2.0 || !(p > 0.0 && q > p && q.is_finite()) {
            return Err(ParabolaError::TooLittle { batches: count as usize, points });
        }
        let [slope_variance, half_curvature_variance, covariance] = squares.map(|sum| sum / per_rank / (count - 1.0));
        Ok(Self { slope, half_curvature, slope_variance, half_curvature_variance, covariance })
    }

    /// The parabola of the summed loss of several lines, measured independently.
    pub fn sum<'a>(lines: impl IntoIterator<Item = &'a Self>) -> Self {
        lines.into_iter().fold(Self::default(), |sum, line| Self {
            slope: sum.slope + line.slope,
            half_curvature: sum.half_curvature + line.half_curvature,
            slope_variance: sum.slope_variance + line.slope_variance,
            half_curvature_variance: sum.half_curvature_variance + line.half_curvature_variance,
            covariance: sum.covariance + line.covariance,
        })
    }

    /// The minimum of the summed loss of several lines, with the error that both the batches of a line and the choice of
    /// lines bring.
    ///
    /// s* = −Σb / 2Σa. The scatter of the lines about it, r_i = b_i + 2 s* a_i, adds n/(n − 1) Σr_i² / (2Σa)² to the
    /// variance: where one line dominates the sum, s* is uncertain however well that line was measured.
    ///
    /// # Errors
    /// [`NoMinimum`] as for [`Parabola::minimum`].
    pub fn pooled_minimum<'a>(lines: impl IntoIterator<Item = &'a Self> + Clone) -> Result<Minimum, NoMinimum> {
        let sum = Self::sum(lines.clone());
        let minimum = sum.minimum()?;
        let scatter: Vec<f64> =
            lines.into_iter().map(|line| (line.slope + 2.0 * minimum.position * line.half_curvature).powi(2)).collect();
        let count = scatter.len() as f64;
        let between = if count > 1.0 { count / (count - 1.0) * scatter.iter().sum::<f64>() } else { 0.0 };
        let between = between.sqrt() / (2.0 * sum.half_curvature);
        Ok(Minimum { standard_error: minimum.standard_error.hypot(between), ..minimum })
    }

    /// s*, where it lies ahead.
    ///
    /// # Errors
    /// [`NoMinimum`] where the parabola bends down or rises, with its coefficients.
    pub fn minimum(&self) -> Result<Minimum, NoMinimum> {
        let Self { slope, half_curvature, .. } = *self;
        if half_curvature <= 0.0 {
            return Err(NoMinimum::Concave { half_curvature });
        }
        if slope >= 0.0 {
            return Err(NoMinimum::Ascending { slope });
        }
        let position = -slope / (2.0 * half_curvature);
        // ds* = −(db + 2 s* da) / 2a.
        let variance =
            self.slope_variance + 4.0 * position * (self.covariance + position * self.half_curvature_variance);
        Ok(Minimum { position, standard_error: variance.max(0.0).sqrt() / (2.0 * half_curvature) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use stepscope_spectral::random::RandomStream;

    proptest! {
        #[test]
        fn an_exact_parabola_is_found_whatever_the_offsets_of_the_batches(
            a in 1e-3f64..1e3, b in -1e3f64..-1e-3, h in 1e-3f64..1.0, offsets in proptest::collection::vec(-10.0f64..10.0, 2..8)
        ) {
            let rows: Vec<[f64; 3]> = offsets.iter().map(|c| [0.0, h, 2.0 * h].map(|s| c + b * s + a * s * s)).collect();
            let fit = Parabola::fit(h, &rows).unwrap().minimum().unwrap();
            // Rounding of the losses, amplified by the differences.
            let rounding = 1e-14 * (10.0 + b.abs() * h + a * h * h) / (a * h * h);
            prop_assert!((fit.position + b / (2.0 * a)).abs() <= fit.position * rounding.max(1e-12) * 4.0 + h * rounding * 4.0);
        }
    }

    #[test]
    fn standard_errors_match_the_spread_over_repetitions() {
        let (a, b, h, batches, repeats) = (2.0, -1.0, 0.1, 64, 500);
        let mut random = RandomStream::new(5, 0);
        let (mut minima, mut stated) = (Vec::new(), Vec::new());
        for _ in 0..repeats {
            let rows: Vec<[f64; 3]> = (0..batches)
                .map(|_| {
                    let (a, b) = (a + 0.3 * random.normal(), b + 0.2 * random.normal());
                    [0.0, h, 2.0 * h].map(|s| b * s + a * s * s)
                })
                .collect();
            let fit = Parabola::fit(h, &rows).unwrap().minimum().unwrap();
            minima.push(fit.position);
            stated.push(fit.standard_error);
        }
        let mean = minima.iter().sum::<f64>() / repeats as f64;
        let spread = (minima.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / (repeats - 1) as f64).sqrt();
        let stated = stated.iter().sum::<f64>() / repeats as f64;
        // The spread of 500 draws is known to 3 %.
        assert!((stated / spread - 1.0).abs() < 0.12, "stated {stated}, seen {spread}");
    }

    #[test]
    fn lines_without_a_minimum_ahead_are_refused_with_the_reason() {
        let fit = |f: fn(f64) -> f64| Parabola::fit(0.1, &[[f(0.0), f(0.1), f(0.2)]; 3]);
        let minimum = |f| fit(f).unwrap().minimum();
        assert!(matches!(minimum(|s| -s - s * s), Err(NoMinimum::Concave { .. })));
        assert!(matches!(minimum(|_| 1.0), Err(NoMinimum::Concave { .. })));
        assert!(matches!(minimum(|s| s + s * s), Err(NoMinimum::Ascending { .. })));
        assert!(matches!(fit(|s| 1.0 / (0.2 - s)), Err(ParabolaError::NotFinite { .. })));
        assert!(matches!(Parabola::fit(0.1, &[[0.0; 3]]), Err(ParabolaError::TooLittle { .. })));
        assert!(matches!(Parabola::fit(0.0, &[[0.0; 3]; 2]), Err(ParabolaError::TooLittle { .. })));
    }

    #[test]
    fn the_minimum_of_a_sum_is_that_of_the_summed_losses() {
        let line = |b: f64, a: f64| Parabola::fit(0.1, &[[0.0, 0.1, 0.2].map(|s| b * s + a * s * s); 2]).unwrap();
        // −3s + 2s² and, rising, +1s + 3s²: together −2s + 5s².
        let sum = Parabola::sum(&[line(-3.0, 2.0), line(1.0, 3.0)]);
        assert!((sum.minimum().unwrap().position - 0.2).abs() < 1e-12);
    }
}
