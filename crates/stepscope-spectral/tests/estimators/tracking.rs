//! Tracking along a run: warm starts, cold restarts, saved state.

use crate::twin::{diagonal, outliers_and_bulk};
use stepscope_spectral::random::RandomStream;
use stepscope_spectral::{EigenTracker, EigensolverConfig};

const CONFIG: EigensolverConfig =
    EigensolverConfig { num_largest: 2, num_smallest: 1, max_products: 100, max_basis: 40, tolerance: 1e-2 };

/// Follows a third outlier that comes from below and overtakes the first at step 27 of 60, with a cold start at 50:
/// measurements that missed the top by 1 %, products of warm and of cold starts.
fn follow(num_largest: usize) -> (usize, u64, u64) {
    let mut tracker = EigenTracker::new(EigensolverConfig { num_largest, ..CONFIG }, 50);
    let mut random = RandomStream::new(1, 0);
    let (mut late, mut warm, mut cold) = (0, 0, 0);
    for step in 0..60 {
        let drift = f64::from(step) / 100.0;
        let outliers = [1.0 + 0.1 * drift, 0.9, 0.6 + 1.6 * drift, -0.5];
        let mut operator = diagonal(outliers_and_bulk(&outliers, 300));
        let outcome = tracker.measure(&mut operator, &mut random).unwrap();
        let truth = outliers[0].max(outliers[2]);
        late += usize::from((outcome.largest[0].eigenvalue / truth - 1.0).abs() > 1e-2);
        assert!((outcome.smallest[0].eigenvalue + 0.5).abs() < 1e-2);
        if tracker.num_since_cold() == 1 {
            cold += outcome.num_products;
            assert!([0, 50].contains(&step), "cold at {step}");
        } else {
            warm += outcome.num_products;
        }
    }
    (late, warm, cold)
}

#[test]
fn an_eigenvalue_that_overtakes_is_found_and_at_once_where_one_more_than_needed_is_tracked() {
    let (late, warm, cold) = follow(2);
    assert!((1..=10).contains(&late), "{late} measurements missed the top");
    assert!(warm / 58 < cold / 2, "{warm} {cold}");
    let (late, ..) = follow(3);
    assert_eq!(late, 0);
}

#[test]
fn a_restored_tracker_goes_on_bit_for_bit() {
    let operator = || diagonal(outliers_and_bulk(&[1.0, 0.8, -0.3], 100));
    let (mut tracker, mut random) = (EigenTracker::new(CONFIG, 3), RandomStream::new(2, 0));
    for _ in 0..2 {
        tracker.measure(&mut operator(), &mut random).unwrap();
    }
    let mut other = EigenTracker::new(CONFIG, 3);
    other.restore(tracker.vectors().to_vec(), tracker.num_since_cold());
    let mut replayed = RandomStream::new(2, 0);
    replayed.set_position(random.position());
    for _ in 0..3 {
        let expected = tracker.measure(&mut operator(), &mut random).unwrap();
        assert_eq!(other.measure(&mut operator(), &mut replayed).unwrap(), expected);
    }
    other.restore(vec![vec![1.0; 7]], 1);
    assert!(other.measure(&mut operator(), &mut replayed).unwrap().converged, "vectors of another network: cold");
    assert_eq!(other.num_since_cold(), 1);
}

#[test]
fn a_scouted_cold_start_needs_few_products_and_finds_the_top_where_a_random_one_misses_it() {
    // Two outliers close to each other; the scout's matrix has the same eigenvectors, turned and rescaled a little.
    let eigenvalues = outliers_and_bulk(&[1.0, 0.93], 2000);
    let mut products = Vec::new();
    for seed in 0..10 {
        let mut random = RandomStream::new(seed, 0);
        let config = EigensolverConfig { num_largest: 1, num_smallest: 0, ..CONFIG };
        let mut scout = diagonal(eigenvalues.iter().map(|x| x * 1.1 + 0.01).collect());
        let mut tracker = EigenTracker::new(config, 0);
        let found = tracker.measure_scouted(&mut diagonal(eigenvalues.clone()), &mut scout, &mut random).unwrap();
        assert!((found.outcome.largest[0].eigenvalue - 1.0).abs() < 1e-3, "{seed}");
        assert!(found.num_scout_products > 0);
        products.push(found.outcome.num_products);
        let again = tracker.measure_scouted(&mut diagonal(eigenvalues.clone()), &mut scout, &mut random).unwrap();
        assert_eq!(again.num_scout_products, 0, "warm");
    }
    assert!(products.iter().all(|&products| products <= 3), "{products:?}");
}

#[test]
fn a_scout_in_which_the_two_largest_stand_in_another_order_does_not_hide_the_top() {
    for (in_scout, products) in [([0.95, 1.05], 2), ([1.05, 0.95], 2), ([1.05, 0.6], 1)] {
        for seed in 0..10 {
            let mut random = RandomStream::new(seed, 0);
            let config = EigensolverConfig { num_largest: 1, num_smallest: 0, ..CONFIG };
            let mut scout = diagonal(outliers_and_bulk(&in_scout, 2000));
            let mut all = diagonal(outliers_and_bulk(&[1.0, 0.93], 2000));
            let found = EigenTracker::new(config, 0).measure_scouted(&mut all, &mut scout, &mut random).unwrap();
            let value = found.outcome.largest[0].eigenvalue;
            assert!((value - 1.0).abs() < 1e-3, "{in_scout:?}, {seed}: {value}");
            // What cannot be on top is not multiplied.
            assert_eq!(found.outcome.num_products, products, "{in_scout:?}, {seed}");
        }
    }
}

#[test]
fn warm_measurements_stop_at_their_own_limit_and_keep_what_they_have() {
    let mut random = RandomStream::new(4, 0);
    let config = EigensolverConfig { num_largest: 1, num_smallest: 0, tolerance: 1e-6, ..CONFIG };
    let mut tracker = EigenTracker::new(config, 0).with_warm_products(2).kept_up_to(0.5);
    let first = tracker.measure(&mut diagonal(outliers_and_bulk(&[1.0, 0.8], 100)), &mut random).unwrap();
    assert!(first.converged && first.num_products > 4);
    for drift in 1..6 {
        let top = 1.0 + 0.02 * f64::from(drift);
        let found = tracker.measure(&mut diagonal(outliers_and_bulk(&[top, 0.8], 100)), &mut random).unwrap();
        assert_eq!(found.num_products, 2);
        assert!((found.largest[0].eigenvalue - top).abs() <= found.largest[0].residual + 1e-9);
        assert_eq!(tracker.num_since_cold(), u64::try_from(drift).unwrap() + 1);
    }
}
