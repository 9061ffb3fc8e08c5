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
