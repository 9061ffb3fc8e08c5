//! The training examples that probes look at.

use stepscope_spectral::random::RandomStream;

use super::sampler::SamplingError;

/// `size` different examples of 0..`num_examples`, in ascending order, every such set equally likely.
///
/// A probe that looks at the same examples throughout a run measures the loss's change and not the choice's. Of the
/// same seed, a smaller subset lies within a larger one. `seed` is [`stepscope_types::Seeds::probe_seed`].
///
/// Cost: a permutation of `num_examples` numbers.
///
/// # Errors
/// [`SamplingError`] for a size of 0 or above the number of examples.
///
/// ```
/// let subset = stepscope::data::probe_subset(100, 10, 7)?;
/// assert_eq!(subset.len(), 10);
/// assert_eq!(subset, stepscope::data::probe_subset(100, 10, 7)?);
/// # Ok::<(), stepscope::data::SamplingError>(())
/// ```
pub fn probe_subset(num_examples: usize, size: u64, seed: u64) -> Result<Vec<u32>, SamplingError> {
    let count = u32::try_from(num_examples).map_err(|_| SamplingError::TooManyExamples { num_examples })?;
    let length = usize::try_from(size)
        .ok()
        .filter(|length| (1..=num_examples).contains(length))
        .ok_or(SamplingError::Subset { size, num_examples })?;
    let mut order: Vec<u32> = (0..count).collect();
    RandomStream::named(seed, "probe subset").shuffle(&mut order);
    order.truncate(length);
    order.sort_unstable();
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn every_subset_is_equally_likely() {
        let mut counts = BTreeMap::new();
        for seed in 0..30_000 {
            *counts.entry(probe_subset(6, 3, seed).unwrap()).or_insert(0_u32) += 1;
        }
        assert_eq!(counts.len(), 20);
        let chi_square: f64 = counts.values().map(|&count| (f64::from(count) - 1_500.0).powi(2) / 1_500.0).sum();
        // The 0.999 quantile of chi-square with 19 degrees of freedom is 43.8.
        assert!(chi_square < 43.8, "{counts:?}");
    }

    #[test]
    fn subsets_of_a_seed_are_nested_and_end_in_the_whole_set() {
        let subsets: Vec<Vec<u32>> = (1..=20).map(|size| probe_subset(20, size, 9).unwrap()).collect();
        for pair in subsets.windows(2) {
            assert!(pair[0].iter().all(|example| pair[1].contains(example)), "{pair:?}");
            assert!(pair[1].is_sorted_by(|a, b| a < b), "{pair:?}");
        }
        assert_eq!(subsets[19], (0..20).collect::<Vec<u32>>());
    }

    #[test]
    fn a_subset_that_cannot_be_is_refused_with_both_numbers() {
        for size in [0, 21, u64::MAX] {
            assert_eq!(probe_subset(20, size, 0), Err(SamplingError::Subset { size, num_examples: 20 }));
        }
        assert!(matches!(probe_subset(usize::MAX, 1, 0), Err(SamplingError::TooManyExamples { .. })));
    }
}
