//! The estimators that a comparison of runs needs: small samples, paired by seed, no normal quantiles.

use stepscope_types::{Estimate, Uncertainty};

/// Mean of paired differences a_i − b_i with its standard error s / √n, s² the sample variance (divisor n − 1).
///
/// Pairing by seed removes what both runs share: initial weights and order of the data. `unit` is that of the numbers;
/// `num_examples` of the answer is the number of pairs. `None` for fewer than two pairs or unequal lengths: one pair
/// has no spread to judge it by. Pairs must be independent of each other; the error assumes no distribution, but with
/// few pairs it is itself uncertain by about 1 / √(2(n − 1)) of its size.
///
/// ```
/// use stepscope_report::statistics::paired_difference;
/// use stepscope_types::Uncertainty;
/// let difference = paired_difference(&[3.0, 5.0], &[1.0, 1.0], "nat").unwrap();
/// assert_eq!((difference.value, difference.error), (3.0, Uncertainty::StandardError(1.0)));
/// ```
pub fn paired_difference(a: &[f64], b: &[f64], unit: &str) -> Option<Estimate> {
    if a.len() != b.len() || a.len() < 2 {
        return None;
    }
    let num_pairs = a.len() as f64;
    let differences = || a.iter().zip(b).map(|(a, b)| a - b);
    let mean = differences().sum::<f64>() / num_pairs;
    let variance = differences().map(|difference| (difference - mean).powi(2)).sum::<f64>() / (num_pairs - 1.0);
    let error = Uncertainty::StandardError((variance / num_pairs).sqrt());
    Some(Estimate::new(mean, unit, error).over_examples(a.len() as u64))
}

/// The two-sided 95 % quantile of Student's t with that many degrees of freedom: the number of standard errors within
/// which a mean of `degrees + 1` normal values lies from the truth 19 times in 20.
///
/// Exact for one and two degrees of freedom; from three on the expansion in 1 / degrees (Abramowitz and Stegun,
/// 26.7.5), off by less than 0.3 %. `degrees` of 0 says nothing: infinite.
///
/// ```
/// use stepscope_report::statistics::student_95;
/// assert!((student_95(4) - 2.776).abs() < 0.005);
/// ```
pub fn student_95(degrees: u64) -> f64 {
    const NORMAL: f64 = 1.959_963_985;
    let (n, z) = (degrees as f64, NORMAL);
    match degrees {
        0 => f64::INFINITY,
        1 => 1.0 / (0.025 * std::f64::consts::PI).tan(),
        2 => 0.95 * (2.0 / (4.0 * 0.975 * 0.025f64)).sqrt(),
        _ => {
            let first = (z.powi(3) + z) / 4.0;
            let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
            let third = (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0;
            let fourth =
                (79.0 * z.powi(9) + 776.0 * z.powi(7) + 1482.0 * z.powi(5) - 1920.0 * z.powi(3) - 945.0 * z) / 92_160.0;
            z + first / n + second / n.powi(2) + third / n.powi(3) + fourth / n.powi(4)
        }
    }
}

/// The middle of the sorted values, or the mean of the two middle ones; `None` for no values.
///
/// ```
/// assert_eq!(stepscope_report::statistics::median(&[3.0, 1.0, 2.0, 10.0]), Some(2.5));
/// ```
pub fn median(values: &[f64]) -> Option<f64> {
    let sorted = sorted(values);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 { upper } else { f64::midpoint(sorted[middle - 1], upper) })
}

/// The median with the narrowest interval of order statistics that covers the true median with at least `level`.
///
/// [x_(k), x_(n+1−k)] misses the median when fewer than k of n values fall on one side of it, so its coverage is
/// 1 − 2 P(Bin(n, ½) < k) for every continuous distribution (for others it is at least that). The answer carries the
/// coverage reached. `None` where even the whole range falls short: 95 % needs 6 values. `level` lies in (0, 1).
pub fn median_with_interval(values: &[f64], level: f64, unit: &str) -> Option<Estimate> {
    let value = median(values)?;
    let sorted = sorted(values);
    let num_values = sorted.len();
    // P(Bin(n, 1/2) = 0), and from it the next ones: the tail grows until another value from each end would cost too
    // much. In logarithms, since 2^-n is 0 in floating point from 1075 values on.
    let mut log_probability = -(num_values as f64) * std::f64::consts::LN_2;
    let (mut tail, mut dropped) = (log_probability.exp(), 0);
    if 1.0 - 2.0 * tail < level {
        return None;
    }
    loop {
        log_probability += ((num_values - dropped) as f64 / (dropped + 1) as f64).ln();
        let next = tail + log_probability.exp();
        if 1.0 - 2.0 * next < level || 2 * (dropped + 1) >= num_values {
            break;
        }
        (tail, dropped) = (next, dropped + 1);
    }
    let (low, high) = (sorted[dropped], sorted[num_values - 1 - dropped]);
    let error = Uncertainty::Interval { low, high, level: 1.0 - 2.0 * tail };
    Some(Estimate::new(value, unit, error).over_examples(num_values as u64))
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P(Bin(n, 1/2) < k) by listing all 2^n outcomes.
    fn tail_by_brute_force(num_values: u32, k: u32) -> f64 {
        let few = (0..1u32 << num_values).filter(|outcome| outcome.count_ones() < k).count();
        few as f64 / f64::from(1u32 << num_values)
    }

    #[test]
    fn the_interval_of_the_median_is_the_narrowest_that_brute_force_allows() {
        for num_values in 6..16u32 {
            let values: Vec<f64> = (1..=num_values).rev().map(f64::from).collect();
            let k =
                (1..=num_values / 2).rev().find(|&k| 1.0 - 2.0 * tail_by_brute_force(num_values, k) >= 0.95).unwrap();
            let estimate = median_with_interval(&values, 0.95, "1").unwrap();
            assert_eq!(estimate.interval(), (f64::from(k), f64::from(num_values + 1 - k)));
            let Uncertainty::Interval { level, .. } = estimate.error else { panic!("{estimate:?}") };
            assert!((level - (1.0 - 2.0 * tail_by_brute_force(num_values, k))).abs() < 1e-12);
        }
    }

    #[test]
    fn many_values_give_an_interval_about_as_wide_as_the_normal_law_says() {
        let values: Vec<f64> = (0..5000).map(f64::from).collect();
        let (low, high) = median_with_interval(&values, 0.95, "1").unwrap().interval();
        // The count below the median has standard deviation √n / 2, and 1.96 of them to either side cover 95 %.
        let expected = 1.96 * 5000f64.sqrt();
        assert!(((high - low) / expected - 1.0).abs() < 0.02, "{low} {high}");
    }

    #[test]
    fn too_few_values_have_no_interval_and_no_difference() {
        assert_eq!(median_with_interval(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.95, "1"), None);
        assert_eq!(median_with_interval(&[], 0.5, "1"), None);
        assert_eq!(median(&[]), None);
        assert_eq!(paired_difference(&[1.0], &[0.0], "1"), None);
        assert_eq!(paired_difference(&[1.0, 2.0], &[0.0], "1"), None);
    }

    #[test]
    fn the_quantile_of_student_cuts_off_5_percent_of_the_density() {
        for degrees in [1u64, 2, 3, 4, 5, 8, 15, 60] {
            let n = degrees as f64;
            let density = |t: f64| (1.0 + t * t / n).powf(-0.5 * (n + 1.0));
            // The midpoint rule over t = tan(u), under which the whole line is finite.
            let mass = |from: f64, to: f64| -> f64 {
                let (from, width) = (from.atan(), (to.atan() - from.atan()) / 2e5);
                let at = |index: u32| from + (f64::from(index) + 0.5) * width;
                (0..200_000).map(|index| density(at(index).tan()) / at(index).cos().powi(2) * width).sum()
            };
            let outside = mass(student_95(degrees), f64::INFINITY) / mass(0.0, f64::INFINITY);
            assert!((outside - 0.05).abs() < 3e-4, "{degrees}: {outside}");
        }
    }

    #[test]
    fn what_pairs_share_does_not_enter_the_error() {
        let shared = [10.0, -20.0, 5.0, 0.0];
        let with = shared.map(|value| value + 1.0);
        let difference = paired_difference(&with, &shared, "nat").unwrap();
        assert_eq!((difference.value, difference.error), (1.0, Uncertainty::StandardError(0.0)));
        assert_eq!(difference.num_examples, 4);
    }
}
