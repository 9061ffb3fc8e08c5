//! Smooth minimisation in a few dimensions: BFGS with backtracking.

/// Where a descent ended.
#[derive(Debug, Clone)]
pub(crate) struct Minimum {
    pub(crate) point: Vec<f64>,
    pub(crate) value: f64,
    pub(crate) evaluations: usize,
    /// Whether the gradient fell below the tolerance or the value stopped falling.
    pub(crate) converged: bool,
}

/// Most gradient evaluations.
const LONGEST: usize = 400;
/// Relative fall of the value over one step below which the descent ends.
const STALLED: f64 = 1e-12;

/// Descends from `start`; `f` gives value and gradient. Values that are not finite are walls. O(n²) a step beside `f`.
pub(crate) fn minimize(start: Vec<f64>, mut f: impl FnMut(&[f64]) -> (f64, Vec<f64>)) -> Minimum {
    let n = start.len();
    let (mut point, mut evaluations) = (start, 1);
    let (mut value, mut gradient) = f(&point);
    let mut inverse = identity(n, 1.0);
    let mut fresh = true;
    while evaluations < LONGEST {
        let mut direction: Vec<f64> = (0..n).map(|i| -dot(&inverse[i], &gradient)).collect();
        let mut slope = dot(&direction, &gradient);
        if slope.is_nan() || slope >= 0.0 {
            (inverse, fresh) = (identity(n, 1.0), true);
            direction = gradient.iter().map(|g| -g).collect();
            slope = dot(&direction, &gradient);
        }
        let longest = direction.iter().fold(0.0_f64, |m, d| m.max(d.abs()));
        if longest == 0.0 || !longest.is_finite() {
            return Minimum { point, value, evaluations, converged: longest == 0.0 };
        }
        // Parameters are logarithms or log-odds: steps longer than 1 leave the region the gradient knows.
        let mut step = (1.0 / longest).min(1.0);
        let accepted = loop {
            let trial: Vec<f64> = point.iter().zip(&direction).map(|(p, d)| p + step * d).collect();
            let (trial_value, trial_gradient) = f(&trial);
            evaluations += 1;
            if trial_value <= value + 1e-4 * step * slope {
                break Some((trial, trial_value, trial_gradient));
            }
            step *= 0.4;
            if step * longest < 1e-10 || evaluations >= LONGEST {
                break None;
            }
        };
        let Some((trial, trial_value, trial_gradient)) = accepted else {
            if fresh {
                return Minimum { point, value, evaluations, converged: evaluations < LONGEST };
            }
            (inverse, fresh) = (identity(n, 1.0), true);
            continue;
        };
        let moved: Vec<f64> = trial.iter().zip(&point).map(|(a, b)| a - b).collect();
        let turned: Vec<f64> = trial_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        let stalled = (value - trial_value).abs() <= STALLED * value.abs();
        (point, value, gradient) = (trial, trial_value, trial_gradient);
        if stalled {
            return Minimum { point, value, evaluations, converged: true };
        }
        update(&mut inverse, &moved, &turned, fresh);
        fresh = false;
    }
    Minimum { point, value, evaluations, converged: false }
}

fn identity(n: usize, scale: f64) -> Vec<Vec<f64>> {
    (0..n).map(|i| (0..n).map(|j| if i == j { scale } else { 0.0 }).collect()).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// The BFGS update of the inverse Hessian; skipped where the curvature along the step is not positive.
fn update(inverse: &mut Vec<Vec<f64>>, moved: &[f64], turned: &[f64], fresh: bool) {
    let curvature = dot(moved, turned);
    let size = dot(turned, turned);
    if curvature <= 1e-14 * dot(moved, moved).sqrt() * size.sqrt() {
        return;
    }
    if fresh {
        *inverse = identity(moved.len(), curvature / size);
    }
    let carried: Vec<f64> = inverse.iter().map(|row| dot(row, turned)).collect();
    let scale = (1.0 + dot(turned, &carried) / curvature) / curvature;
    for (i, row) in inverse.iter_mut().enumerate() {
        for (j, entry) in row.iter_mut().enumerate() {
            *entry += scale * moved[i] * moved[j] - (carried[i] * moved[j] + moved[i] * carried[j]) / curvature;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curved_valley_is_followed_to_its_end() {
        let rosenbrock = |p: &[f64]| {
            let (x, y) = (p[0], p[1]);
            let value = (1.0 - x).powi(2) + 100.0 * (y - x * x).powi(2);
            (value, vec![-2.0 * (1.0 - x) - 400.0 * x * (y - x * x), 200.0 * (y - x * x)])
        };
        let minimum = minimize(vec![-1.2, 1.0], rosenbrock);
        assert!(minimum.converged && minimum.value < 1e-18, "{minimum:?}");
        assert!((minimum.point[0] - 1.0).abs() < 1e-8 && minimum.evaluations < 120, "{minimum:?}");
    }
}
