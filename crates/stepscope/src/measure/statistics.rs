//! Means with their errors: what probes do with samples.

/// Mean and its standard error; the error is infinite below two samples.
pub(super) fn mean_and_error(samples: &[f64]) -> (f64, f64) {
    let (mean, deviation) = mean_and_deviation(samples);
    (mean, if samples.len() < 2 { f64::INFINITY } else { deviation / (samples.len() as f64).sqrt() })
}

/// Mean and sample standard deviation (divisor one less than the number).
pub(super) fn mean_and_deviation(samples: &[f64]) -> (f64, f64) {
    let count = samples.len() as f64;
    let mean = samples.iter().sum::<f64>() / count.max(1.0);
    let squares: f64 = samples.iter().map(|x| (x - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0).max(1.0)).sqrt())
}

/// Wilson's 95 % interval of a share of `count` of `total`, above 0: never empty, also where all or none count.
pub(super) fn wilson_95(count: u64, total: u64) -> (f64, f64) {
    const Z2: f64 = 1.959_963_985 * 1.959_963_985;
    let (n, p) = (total as f64, count as f64 / total as f64);
    let center = (p + Z2 / (2.0 * n)) / (1.0 + Z2 / n);
    let half = (Z2 * (p * (1.0 - p) / n + Z2 / (4.0 * n * n))).sqrt() / (1.0 + Z2 / n);
    ((center - half).max(0.0), (center + half).min(1.0))
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub(super) fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

pub(super) fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}
