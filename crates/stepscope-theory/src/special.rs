//! Special functions of the closed forms.

use std::f64::consts::PI;

/// Γ(x) for x > 0 by Lanczos' series (g = 7, 9 terms): relative error below 1e-14.
pub(crate) fn gamma(x: f64) -> f64 {
    const SERIES: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    if x < 0.5 {
        return PI / ((PI * x).sin() * gamma(1.0 - x));
    }
    let shifted = x - 1.0;
    let base = shifted + 7.5;
    let tail: f64 = SERIES.iter().zip(0..).skip(1).map(|(c, k)| c / (shifted + f64::from(k))).sum();
    (2.0 * PI).sqrt() * base.powf(shifted + 0.5) * (-base).exp() * (SERIES[0] + tail)
}

/// Σ k^−s over first ≤ k < end for whole numbers given as f64, `end` may be infinite for s > 1; Euler-Maclaurin from k = 30
/// on, so that the cost does not grow with `end`.
pub(crate) fn power_sum(s: f64, first: f64, end: f64) -> f64 {
    let mut sum = 0.0;
    let mut k = first;
    while k < 30.0 && k < end {
        sum += k.powf(-s);
        k += 1.0;
    }
    if k >= end {
        return sum;
    }
    let correction = |k: f64| {
        if k.is_infinite() {
            return 0.0;
        }
        let third = s * (s + 1.0) * (s + 2.0) / 720.0 * k.powf(-s - 3.0);
        let fifth = s * (s + 1.0) * (s + 2.0) * (s + 3.0) * (s + 4.0) / 30_240.0 * k.powf(-s - 5.0);
        0.5 * k.powf(-s) + s / 12.0 * k.powf(-s - 1.0) - third + fifth
    };
    sum + power_integral(s, k, end) + correction(k) - correction(end)
}

/// ∫ k^−s dk, without cancellation where the ends are close or s is near 1.
fn power_integral(s: f64, low: f64, high: f64) -> f64 {
    if high.is_infinite() {
        return if s > 1.0 { low.powf(1.0 - s) / (s - 1.0) } else { f64::INFINITY };
    }
    let exponent = (1.0 - s) * (high / low).ln();
    let mean = if exponent == 0.0 { 1.0 } else { exponent.exp_m1() / exponent };
    low.powf(1.0 - s) * (high / low).ln() * mean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gamma_agrees_with_factorials_and_reflection() {
        for (x, expected) in
            [(1.0, 1.0), (5.0, 24.0), (0.5, PI.sqrt()), (1.5, 0.5 * PI.sqrt()), (0.25, 3.625_609_908_221_908)]
        {
            assert!((gamma(x) / expected - 1.0).abs() < 1e-13, "{x}: {}", gamma(x));
        }
    }

    #[test]
    fn sums_of_powers_agree_with_adding_them_up() {
        for s in [0.4, 1.0, 1.5, 3.0] {
            for (first, end) in [(1, 5), (1, 1000), (40, 41), (700, 90_000)] {
                let direct: f64 = (first..end).map(|k| f64::from(k).powf(-s)).sum();
                let quick = power_sum(s, f64::from(first), f64::from(end));
                assert!((quick / direct - 1.0).abs() < 1e-12, "{s} {first} {end}: {quick} {direct}");
            }
        }
        assert!((power_sum(2.0, 1.0, f64::INFINITY) - PI * PI / 6.0).abs() < 1e-13);
    }
}
