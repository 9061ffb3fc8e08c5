//! Labels that say nothing.

use std::num::NonZeroU64;

use stepscope_spectral::random::RandomStream;

/// Replaces the labels of round(`share` · n) of the n examples, every such set equally likely, by labels drawn uniformly
/// from all classes; the true one comes back with probability 1 / `num_classes`. Returns their places, ascending.
///
/// Source: `curvature`, section 1.3, experiment E7, after Arpit et al. 2017 and Zhang et al. 2017. The same labels, share and
/// seed give the same answer.
pub(super) fn randomise(labels: &mut [u8], num_classes: usize, share: f64, seed: u64) -> Vec<u32> {
    let (Ok(count), Some(classes)) = (u32::try_from(labels.len()), NonZeroU64::new(num_classes as u64)) else {
        return Vec::new();
    };
    let mut places: Vec<u32> = (0..count).collect();
    RandomStream::named(seed, "examples with random labels").shuffle(&mut places);
    places.truncate((share * f64::from(count)).round() as usize);
    places.sort_unstable();
    let mut draws = RandomStream::named(seed, "random labels");
    for &place in &places {
        labels[place as usize] = draws.u64_below(classes) as u8;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_asked_share_of_the_labels_is_drawn_uniformly_and_the_others_stay() {
        let old: Vec<u8> = (0..20_000_u32).map(|index| (index % 10) as u8).collect();
        let mut new = old.clone();
        let places = randomise(&mut new, 10, 0.25, 3);
        assert_eq!(places.len(), 5000);
        assert!(places.windows(2).all(|pair| pair[0] < pair[1]));
        let changed: Vec<u32> = (0..20_000).filter(|&place| new[place as usize] != old[place as usize]).collect();
        assert!(changed.iter().all(|place| places.binary_search(place).is_ok()));
        // Nine draws in ten change the label: 4500 of 5000, with a standard deviation of 21.
        assert!((changed.len() as f64 - 4500.0).abs() < 85.0, "{}", changed.len());
        let of_class = |class| places.iter().filter(|&&place| new[place as usize] == class).count() as f64;
        // 500 of each class, with a standard deviation of 21.
        assert!((0..10).all(|class| (of_class(class) - 500.0).abs() < 85.0));
    }

    #[test]
    fn the_seed_decides_and_the_ends_of_the_range_hold() {
        let with = |share, seed| {
            let mut labels = vec![0; 1000];
            (randomise(&mut labels, 4, share, seed), labels)
        };
        assert_eq!(with(0.5, 1), with(0.5, 1));
        assert_ne!(with(0.5, 1), with(0.5, 2));
        assert_eq!(with(0.0, 1), (Vec::new(), vec![0; 1000]));
        assert_eq!(with(1.0, 1).0.len(), 1000);
    }
}
