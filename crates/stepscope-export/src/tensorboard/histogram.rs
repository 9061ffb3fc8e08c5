//! A spectrum as a histogram: the one shape in which TensorBoard shows a distribution over time.

use stepscope_types::Spectrum;

use super::protobuf::Message;

/// Spectra with more values are gathered into as many bins of equal width. TensorBoard draws 30 bins, so nothing that it
/// shows is lost, and a Hessian's ten thousand eigenvalues are not written at every reading.
const MOST_BUCKETS: usize = 1000;

/// `HistogramProto`: buckets `i` from `limits[i-1]` (at first `min`) to `limits[i]`, with `weights[i]` in each.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Histogram {
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) total_weight: f64,
    pub(super) sum: f64,
    pub(super) sum_squares: f64,
    pub(super) limits: Vec<f64>,
    pub(super) weights: Vec<f64>,
}

impl Histogram {
    /// Up to [`MOST_BUCKETS`] eigenvalues have a bucket each, with its ends half-way to the neighbours: no weight moves.
    /// The outer ends are the smallest and the largest eigenvalue, which is what TensorBoard puts there anyway.
    pub(super) fn of(spectrum: &Spectrum) -> Self {
        let mut pairs: Vec<(f64, f64)> = spectrum.pairs().collect();
        pairs.reverse();
        let (min, max) = (pairs[0].0, pairs[pairs.len() - 1].0);
        let (limits, weights) =
            if pairs.len() <= MOST_BUCKETS { one_bucket_each(&pairs, max) } else { equal_widths(&pairs, min, max) };
        Self {
            min,
            max,
            total_weight: pairs.iter().map(|(_, weight)| weight).sum(),
            sum: pairs.iter().map(|(value, weight)| weight * value).sum(),
            sum_squares: pairs.iter().map(|(value, weight)| weight * value * value).sum(),
            limits,
            weights,
        }
    }

    pub(super) fn message(&self) -> Message {
        Message::new()
            .double(1, self.min)
            .double(2, self.max)
            .double(3, self.total_weight)
            .double(4, self.sum)
            .double(5, self.sum_squares)
            .packed_doubles(6, &self.limits)
            .packed_doubles(7, &self.weights)
    }
}

fn one_bucket_each(pairs: &[(f64, f64)], max: f64) -> (Vec<f64>, Vec<f64>) {
    // Halved before they are added: the sum of two large numbers may overflow.
    let between = pairs.windows(2).map(|two| two[0].0 / 2.0 + two[1].0 / 2.0);
    (between.chain([max]).collect(), pairs.iter().map(|(_, weight)| *weight).collect())
}

fn equal_widths(pairs: &[(f64, f64)], min: f64, max: f64) -> (Vec<f64>, Vec<f64>) {
    let width = max / MOST_BUCKETS as f64 - min / MOST_BUCKETS as f64;
    let mut limits: Vec<f64> = (1..MOST_BUCKETS).map(|bucket| min + width * bucket as f64).collect();
    limits.push(max);
    let mut weights = vec![0.0; MOST_BUCKETS];
    for (value, weight) in pairs {
        let bucket = limits.partition_point(|limit| limit <= value).min(MOST_BUCKETS - 1);
        weights[bucket] += weight;
    }
    (limits, weights)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_eigenvalue_has_its_bucket_and_the_moments_are_those_of_the_spectrum() {
        let spectrum = Spectrum::new(vec![4.0, -1.0, 1.0], vec![0.25, 0.5, 0.125]).unwrap();
        let histogram = Histogram::of(&spectrum);
        assert_eq!((histogram.min, histogram.max), (-1.0, 4.0));
        assert_eq!(histogram.limits, [0.0, 2.5, 4.0]);
        assert_eq!(histogram.weights, [0.5, 0.125, 0.25]);
        assert_eq!((histogram.total_weight, histogram.sum, histogram.sum_squares), (0.875, 0.625, 4.625));
    }

    proptest! {
        #[test]
        fn weight_is_kept_and_stays_within_a_bucket_of_its_place(
            pairs in prop::collection::vec((-1e3..1e3_f64, 0.0..1.0_f64), 1..3000)
        ) {
            let (values, weights): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let spectrum = Spectrum::new(values.clone(), weights.clone()).unwrap();
            let histogram = Histogram::of(&spectrum);
            prop_assert!(histogram.limits.len() <= MOST_BUCKETS && histogram.limits.len() == histogram.weights.len());
            prop_assert!(histogram.limits.is_sorted());
            let total: f64 = weights.iter().sum();
            prop_assert!((histogram.weights.iter().sum::<f64>() - total).abs() <= 1e-9 * total.max(1.0));
            // Brute force: below every limit lies the weight of the eigenvalues below it.
            for (bucket, limit) in histogram.limits.iter().enumerate().step_by(97) {
                let below: f64 = histogram.weights[..=bucket].iter().sum();
                let twin: f64 = values.iter().zip(&weights).filter(|(value, _)| *value < limit).map(|(_, w)| w).sum();
                let at_limit: f64 =
                    values.iter().zip(&weights).filter(|(value, _)| *value == limit).map(|(_, w)| w).sum();
                prop_assert!(below >= twin - 1e-9 && below <= twin + at_limit + 1e-9, "{below} {twin} {at_limit}");
            }
        }
    }
}
