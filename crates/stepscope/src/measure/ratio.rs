//! A ratio of two uncertain numbers, with an interval that knows when there is none.

use super::statistics::mean_and_deviation;
use super::student::student_quantile_95;

/// Covariance of the estimates of numerator and denominator.
#[derive(Debug, Clone, Copy)]
pub(super) struct Covariance {
    pub(super) xx: f64,
    pub(super) xy: f64,
    pub(super) yy: f64,
}

/// x / y with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ratio {
    pub(super) value: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Covariance {
    /// The jackknife covariance of two estimates from their leave-one-out values.
    pub(super) fn jackknife(left_out: &[(f64, f64)]) -> Self {
        let count = left_out.len() as f64;
        let spread = Self::sums(left_out);
        spread.times((count - 1.0) / count)
    }

    /// The covariance of two means over the same samples.
    fn of_means(samples: &[(f64, f64)]) -> Self {
        let count = samples.len() as f64;
        Self::sums(samples).times(1.0 / (count * (count - 1.0)))
    }

    fn sums(samples: &[(f64, f64)]) -> Self {
        let (x, y): (Vec<f64>, Vec<f64>) = samples.iter().copied().unzip();
        let (mean_x, mean_y) = (mean_and_deviation(&x).0, mean_and_deviation(&y).0);
        let sum =
            |term: &dyn Fn(f64, f64) -> f64| samples.iter().map(|&(x, y)| term(x - mean_x, y - mean_y)).sum::<f64>();
        Self { xx: sum(&|x, _| x * x), xy: sum(&|x, y| x * y), yy: sum(&|_, y| y * y) }
    }

    fn times(self, factor: f64) -> Self {
        Self { xx: factor * self.xx, xy: factor * self.xy, yy: factor * self.yy }
    }
}

impl Ratio {
    /// Fieller's interval of x / y: all R with (x − R y)² ≤ q² Var(x − R y), q the quantile of Student's t with that many degrees of
    /// freedom. `None` where y is not resolved from 0, or not above it.
    pub(super) fn fieller(x: f64, y: f64, covariance: &Covariance, freedom: f64) -> Option<Self> {
        let q2 = student_quantile_95(freedom).powi(2);
        let a = y * y - q2 * covariance.yy;
        let b = x * y - q2 * covariance.xy;
        let Covariance { xx, xy, yy } = *covariance;
        // b² − (x² − q² xx) a, multiplied out so that it is exactly 0 where nothing varies.
        let discriminant = q2 * (x * x * yy - 2.0 * x * y * xy + y * y * xx) + q2 * q2 * (xy * xy - xx * yy);
        let resolved = y > 0.0 && a > 0.0 && discriminant >= 0.0;
        resolved.then(|| {
            let root = discriminant.sqrt();
            Self { value: x / y, low: (b - root) / a, high: (b + root) / a }
        })
    }

    /// The ratio of the means of paired samples.
    pub(super) fn of_means(samples: &[(f64, f64)]) -> Option<Self> {
        let count = samples.len() as f64;
        let sum = |part: fn(&(f64, f64)) -> f64| samples.iter().map(part).sum::<f64>() / count;
        Self::fieller(sum(|s| s.0), sum(|s| s.1), &Covariance::of_means(samples), count - 1.0)
    }
}

/// The jackknife standard error of an estimate from its leave-one-out values.
pub(super) fn jackknife_error(left_out: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = left_out.collect();
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    ((count - 1.0) / count * values.iter().map(|v| (v - mean).powi(2)).sum::<f64>()).sqrt()
}
