//! A parabola through more than three points.

/// c₀ + c₁x + c₂x² by least squares, with R².
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ParabolaFit {
    pub(super) slope: f64,
    pub(super) curvature: f64,
    /// Standard error of the curvature, by the residuals; 0 for three points, which any parabola fits.
    pub(super) curvature_error: f64,
    /// 1 − (squared residuals)/(squared deviations from the mean).
    pub(super) r_squared: f64,
}

impl ParabolaFit {
    /// At least three different positions. `curvature` is the second derivative, 2c₂; `slope` is that at x = 0.
    pub(super) fn of(positions: &[f64], values: &[f64]) -> Self {
        let count = positions.len() as f64;
        let mean =
            |of: &dyn Fn(f64, f64) -> f64| positions.iter().zip(values).map(|(&x, &y)| of(x, y)).sum::<f64>() / count;
        let (center, level) = (mean(&|x, _| x), mean(&|_, y| y));
        // Orthogonal polynomials of the centred positions: 1, t, t² − (⟨t³⟩/⟨t²⟩)t − ⟨t²⟩.
        let (second, third) = (mean(&|x, _| (x - center).powi(2)), mean(&|x, _| (x - center).powi(3)));
        let bend = |x: f64| (x - center).powi(2) - third / second * (x - center) - second;
        let linear = mean(&|x, y| (x - center) * y) / second;
        let quadratic = mean(&|x, y| bend(x) * y) / mean(&|x, _| bend(x).powi(2));
        let fitted = |x: f64| level + linear * (x - center) + quadratic * bend(x);
        let (residual, total) = (mean(&|x, y| (y - fitted(x)).powi(2)), mean(&|_, y| (y - level).powi(2)));
        let free = (count - 3.0).max(1.0);
        let quadratic_error = (residual / (free * mean(&|x, _| bend(x).powi(2)))).sqrt();
        Self {
            slope: linear - quadratic * (2.0 * center + third / second),
            curvature: 2.0 * quadratic,
            curvature_error: 2.0 * quadratic_error,
            r_squared: 1.0 - residual / total,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parabola_is_fitted_exactly_and_a_cubic_is_not() {
        let positions = [0.0, 0.5, 1.0, 2.0, 2.5];
        let parabola = positions.map(|x: f64| 3.0 - 2.0 * x + 0.75 * x * x);
        let fit = ParabolaFit::of(&positions, &parabola);
        assert!((fit.slope + 2.0).abs() < 1e-12 && (fit.curvature - 1.5).abs() < 1e-12, "{fit:?}");
        assert!((fit.r_squared - 1.0).abs() < 1e-12);
        let cubic = ParabolaFit::of(&positions, &positions.map(|x: f64| x.powi(3) - 2.0 * x));
        assert!(cubic.r_squared < 0.999, "{cubic:?}");
    }

    #[test]
    fn the_error_of_the_curvature_is_its_spread_over_noise() {
        let positions: Vec<f64> = (0..9).map(|k| 0.25 * f64::from(k) - 0.7).collect();
        let mut random = stepscope_spectral::random::RandomStream::named(1, "noise");
        let (mut squares, mut errors) = (0.0, 0.0);
        for _ in 0..2000 {
            let values: Vec<f64> = positions.iter().map(|x| 1.0 - x + 2.0 * x * x + 0.1 * random.normal()).collect();
            let fit = ParabolaFit::of(&positions, &values);
            squares += (fit.curvature - 4.0).powi(2) / 2000.0;
            errors += fit.curvature_error.powi(2) / 2000.0;
        }
        // Both estimate one variance, each to about 3 %.
        assert!((squares / errors - 1.0).abs() < 0.15, "{squares} {errors}");
    }

    #[test]
    fn the_fit_is_the_least_of_its_neighbours() {
        let positions = [0.0, 0.3, 1.1, 1.9, 3.0];
        let values = [1.0, 0.2, -0.4, 0.3, 2.0];
        let fit = ParabolaFit::of(&positions, &values);
        let level = |slope: f64, curvature: f64| {
            // The best level for given slope and curvature, then the squares.
            let rest: Vec<f64> =
                positions.iter().zip(values).map(|(x, y)| y - slope * x - 0.5 * curvature * x * x).collect();
            let mean = rest.iter().sum::<f64>() / 5.0;
            rest.iter().map(|r| (r - mean).powi(2)).sum::<f64>()
        };
        let best = level(fit.slope, fit.curvature);
        for (a, b) in [(1e-3, 0.0), (-1e-3, 0.0), (0.0, 1e-3), (0.0, -1e-3)] {
            assert!(level(fit.slope + a, fit.curvature + b) > best);
        }
    }
}
