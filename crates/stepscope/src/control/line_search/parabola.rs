//! The parabola through paired losses at three points of a line, with standard errors.

use thiserror::Error;

/// ℓ(s) ≈ ℓ(0) + b s + a s² along a line, fitted to the mean of paired differences.
///
/// Every batch is evaluated at all three points s = 0, h, 2h, so that what batches differ by at s = 0 cancels. With
/// x̄, ȳ the means of xᵢ = ℓᵢ(h) − ℓᵢ(0) and yᵢ = ℓᵢ(2h) − ℓᵢ(0),
///
/// * a = (ȳ − 2x̄) / (2h²), half the curvature along the line,
/// * b = (4x̄ − ȳ) / (2h), the slope at 0,
/// * s* = −b / (2a), the minimum.
///
/// Standard errors follow from the covariance of (x, y) over batches, that of s* by the delta method.
///
/// ```
/// use stepscope::control::line_search::Parabola;
/// // ℓ(s) = 3 − 2s + 4s², the same for both batches: minimum at 1/4.
/// let losses = |s: f64| 3.0 - 2.0 * s + 4.0 * s * s;
/// let rows = [[losses(0.0), losses(0.1), losses(0.2)]; 2];
/// let fit = Parabola::fit(0.1, &rows)?;
/// assert!((fit.minimum - 0.25).abs() < 1e-12);
/// # Ok::<(), stepscope::control::line_search::ParabolaError>(())
/// ```
///
/// Source: `line-search`, section 2.4 (paired differences, exact fit).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parabola {
    /// b: slope of the loss at 0, negative where the line descends.
    pub slope: f64,
    /// Standard error of b.
    pub slope_error: f64,
    /// a: half the second derivative.
    pub half_curvature: f64,
    /// Standard error of a.
    pub half_curvature_error: f64,
    /// s*, in the unit of the spacing.
    pub minimum: f64,
    /// Standard error of s*.
    pub minimum_error: f64,
}

/// Why losses along a line have no minimum to go to.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ParabolaError {
    /// Nothing to fit.
    #[error("a parabola needs at least 2 batches and a spacing above 0, got {batches} batches and spacing {spacing}")]
    TooLittle {
        /// Batches given.
        batches: usize,
        /// Spacing given.
        spacing: f64,
    },
    /// A loss along the line is NaN or infinite.
    #[error("the loss along the step is not finite at spacing {spacing}: the spacing is too long")]
    NotFinite {
        /// The spacing of the three points.
        spacing: f64,
    },
    /// The loss bends down or is straight, so that nothing bounds the step.
    #[error("the loss along the step bends down (half curvature {half_curvature:.3e}): there is no minimum ahead")]
    Concave {
        /// The fitted half curvature.
        half_curvature: f64,
    },
    /// The loss rises along the step.
    #[error("the loss rises along the step (slope {slope:.3e}): the minimum lies behind")]
    Ascending {
        /// The fitted slope.
        slope: f64,
    },
}

impl Parabola {
    /// The fit to `losses`, one row `[ℓ(0), ℓ(h), ℓ(2h)]` a batch, with h = `spacing`.
    ///
    /// # Errors
    /// [`ParabolaError`] where there is no minimum ahead, with the reason.
    pub fn fit(spacing: f64, losses: &[[f64; 3]]) -> Result<Self, ParabolaError> {
        let h = spacing;
        if losses.len() < 2 || !(h.is_finite() && h > 0.0) {
            return Err(ParabolaError::TooLittle { batches: losses.len(), spacing });
        }
        if losses.iter().flatten().any(|loss| !loss.is_finite()) {
            return Err(ParabolaError::NotFinite { spacing });
        }
        let differences: Vec<(f64, f64)> = losses.iter().map(|[at0, at1, at2]| (at1 - at0, at2 - at0)).collect();
        let count = differences.len() as f64;
        let x = differences.iter().map(|d| d.0).sum::<f64>() / count;
        let y = differences.iter().map(|d| d.1).sum::<f64>() / count;
        let (half_curvature, slope) = ((y - 2.0 * x) / (2.0 * h * h), (4.0 * x - y) / (2.0 * h));
        if half_curvature <= 0.0 {
            return Err(ParabolaError::Concave { half_curvature });
        }
        if slope >= 0.0 {
            return Err(ParabolaError::Ascending { slope });
        }
        let minimum = -slope / (2.0 * half_curvature);
        // The variance of a mean of weights (u, v) on (x, y).
        let error = |u: f64, v: f64| {
            let variance = differences.iter().map(|d| (u * (d.0 - x) + v * (d.1 - y)).powi(2)).sum::<f64>();
            (variance / (count * (count - 1.0))).sqrt()
        };
        let (slope_x, slope_y) = (2.0 / h, -0.5 / h);
        let (curvature_x, curvature_y) = (-1.0 / (h * h), 0.5 / (h * h));
        let minimum_by = |slope_part: f64, curvature_part: f64| {
            -slope_part / (2.0 * half_curvature) - minimum / half_curvature * curvature_part
        };
        Ok(Self {
            slope,
            slope_error: error(slope_x, slope_y),
            half_curvature,
            half_curvature_error: error(curvature_x, curvature_y),
            minimum,
            minimum_error: error(minimum_by(slope_x, curvature_x), minimum_by(slope_y, curvature_y)),
        })
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
            let fit = Parabola::fit(h, &rows).unwrap();
            // Rounding of the losses, amplified by the differences.
            let rounding = 1e-14 * (10.0 + b.abs() * h + a * h * h) / (a * h * h);
            prop_assert!((fit.minimum + b / (2.0 * a)).abs() <= fit.minimum * rounding.max(1e-12) * 4.0 + h * rounding * 4.0);
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
            let fit = Parabola::fit(h, &rows).unwrap();
            minima.push(fit.minimum);
            stated.push(fit.minimum_error);
        }
        let mean = minima.iter().sum::<f64>() / repeats as f64;
        let spread = (minima.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / (repeats - 1) as f64).sqrt();
        let stated = stated.iter().sum::<f64>() / repeats as f64;
        // The spread of 500 draws is known to 3 %.
        assert!((stated / spread - 1.0).abs() < 0.12, "stated {stated}, seen {spread}");
    }

    #[test]
    fn lines_without_a_minimum_ahead_are_refused_with_the_reason() {
        let rows = |f: fn(f64) -> f64| [[f(0.0), f(0.1), f(0.2)]; 3];
        assert!(matches!(Parabola::fit(0.1, &rows(|s| -s - s * s)), Err(ParabolaError::Concave { .. })));
        assert!(matches!(Parabola::fit(0.1, &rows(|_| 1.0)), Err(ParabolaError::Concave { .. })));
        assert!(matches!(Parabola::fit(0.1, &rows(|s| s + s * s)), Err(ParabolaError::Ascending { .. })));
        assert!(matches!(Parabola::fit(0.1, &rows(|s| 1.0 / (0.2 - s))), Err(ParabolaError::NotFinite { .. })));
        assert!(matches!(Parabola::fit(0.1, &[[0.0; 3]]), Err(ParabolaError::TooLittle { .. })));
        assert!(matches!(Parabola::fit(0.0, &[[0.0; 3]; 2]), Err(ParabolaError::TooLittle { .. })));
    }
}
