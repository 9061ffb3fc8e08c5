//! Roots and minima on an interval.

/// A root of `f`, which changes sign on [`low`, `high`], to the last digits: inverse quadratic and secant steps, guarded by
/// bisection (Brent 1973, chapter 4).
pub(crate) fn root(low: f64, high: f64, mut f: impl FnMut(f64) -> f64) -> f64 {
    let (mut other, mut best) = (low, high);
    let (mut at_other, mut at_best) = (f(low), f(high));
    let (mut previous, mut at_previous) = (other, at_other);
    let (mut step, mut step_before) = (best - other, best - other);
    for _ in 0..200 {
        if (at_best > 0.0) == (at_previous > 0.0) {
            (previous, at_previous) = (other, at_other);
            step = best - other;
            step_before = step;
        }
        if at_previous.abs() < at_best.abs() {
            (other, best, previous) = (best, previous, best);
            (at_other, at_best, at_previous) = (at_best, at_previous, at_best);
        }
        let tolerance = 2.0 * f64::EPSILON * best.abs() + f64::MIN_POSITIVE;
        let half = 0.5 * (previous - best);
        if half.abs() <= tolerance || at_best == 0.0 {
            break;
        }
        let inside = interpolate([other, best, previous], [at_other, at_best, at_previous], half)
            .filter(|trial| trial.abs() < 1.5 * half.abs() && trial.abs() < 0.5 * step_before.abs());
        (step_before, step) = (step, inside.unwrap_or(half));
        if inside.is_none() {
            step_before = half;
        }
        (other, at_other) = (best, at_best);
        best += if step.abs() > tolerance { step } else { tolerance.copysign(half) };
        at_best = f(best);
    }
    best
}

/// The step from `points[1]` to the zero of the inverse parabola (or chord) through the three points, if it goes the way of
/// `half`.
fn interpolate(points: [f64; 3], values: [f64; 3], half: f64) -> Option<f64> {
    let [other, best, previous] = points;
    let [at_other, at_best, at_previous] = values;
    if at_other.abs() <= at_best.abs() {
        return None;
    }
    let s = at_best / at_other;
    let (p, q) = if other == previous {
        (2.0 * half * s, 1.0 - s)
    } else {
        let (r, q) = (at_best / at_previous, at_other / at_previous);
        (s * (2.0 * half * q * (q - r) - (best - other) * (r - 1.0)), (q - 1.0) * (r - 1.0) * (s - 1.0))
    };
    let trial = -p / q;
    (trial.is_finite() && trial * half > 0.0).then_some(trial)
}

/// The boundary between `false` at `low` and `true` at `high`, to the last digit.
pub(crate) fn boundary(mut low: f64, mut high: f64, mut beyond: impl FnMut(f64) -> bool) -> f64 {
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if beyond(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    0.5 * (low + high)
}

/// The minimum of a function with one valley on [`low`, `high`], by golden sections, to `tolerance` in the argument.
pub(crate) fn valley(mut low: f64, mut high: f64, tolerance: f64, mut f: impl FnMut(f64) -> f64) -> (f64, f64) {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let (mut left, mut right) = (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
    let (mut at_left, mut at_right) = (f(left), f(right));
    while high - low > tolerance {
        // What is not finite is high ground on the right: rates too large are what overflows.
        if at_left < at_right || !at_right.is_finite() {
            (high, right, at_right) = (right, left, at_left);
            left = high - GOLDEN * (high - low);
            at_left = f(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + GOLDEN * (high - low);
            at_right = f(right);
        }
        if left <= low || right >= high {
            break;
        }
    }
    if at_left < at_right { (left, at_left) } else { (right, at_right) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_boundaries_and_valleys_are_found() {
        let mut calls = 0;
        let r = root(0.0, 10.0, |x| {
            calls += 1;
            x.exp() - 100.0
        });
        assert!((r - 100_f64.ln()).abs() < 1e-14 && calls < 20, "{r} after {calls}");
        assert!((boundary(0.0, 4.0, |x| x * x > 2.0) - 2_f64.sqrt()).abs() < 1e-15);
        let (x, y) = valley(0.0, 10.0, 1e-9, |x| (x - 3.0) * (x - 3.0) + 1.0);
        assert!((x - 3.0).abs() < 1e-7 && (y - 1.0).abs() < 1e-14);
    }
}
