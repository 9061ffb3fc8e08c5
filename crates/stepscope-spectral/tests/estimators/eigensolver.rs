//! Restarted block Lanczos against dense twins, repeated and clustered eigenvalues, crossings.

use crate::twin::{diagonal, dot, general, jacobi_eigenpairs, normal_matrix, outliers_and_bulk, residual};
use proptest::prelude::*;
use stepscope_spectral::random::RandomStream;
use stepscope_spectral::{
    Counted, DenseOperator, EigenOutcome, Eigensolver, EigensolverConfig, Lanczos, LanczosConfig, LanczosError,
    LinearOperator, StartBlock, StartVector, TopEigenpair,
};
use stepscope_types::Uncertainty;

const BOTH: EigensolverConfig =
    EigensolverConfig { num_largest: 3, num_smallest: 2, max_products: 300, max_basis: 40, tolerance: 1e-6 };

fn cold<O: LinearOperator>(config: EigensolverConfig, operator: &mut O, block: usize, seed: u64) -> EigenOutcome {
    Eigensolver::new(config).run(operator, StartBlock::Random(block), &mut RandomStream::new(seed, 1)).unwrap()
}

fn with_eigenvalues(eigenvalues: &[f64], seed: u64) -> DenseOperator {
    DenseOperator::with_eigenvalues(eigenvalues, &mut RandomStream::new(seed, 2)).unwrap()
}

fn pairs(outcome: &EigenOutcome) -> Vec<&TopEigenpair> {
    outcome.largest.iter().chain(&outcome.smallest).collect()
}

fn values(pairs: &[TopEigenpair]) -> Vec<f64> {
    pairs.iter().map(|pair| pair.eigenvalue).collect()
}

proptest! {
    #[test]
    fn both_ends_of_the_dense_twin_are_found_from_any_block_and_with_any_memory(
        seed: u64, dim in 5_usize..40, block in 1_usize..4, max_basis in 20_usize..45,
    ) {
        let mut matrix = normal_matrix(dim, &mut RandomStream::new(seed, 0));
        let expected = jacobi_eigenpairs(&matrix, dim);
        let config = EigensolverConfig { max_basis, max_products: 2000, ..BOTH };
        let mut counted = Counted::new(&mut matrix);
        let outcome = cold(config, &mut counted, block, seed);
        prop_assert_eq!(counted.num_products(), outcome.num_products);
        prop_assert!(outcome.converged, "{} products, {} restarts", outcome.num_products, outcome.num_restarts);
        prop_assert!(outcome.symmetry_defect < 1e-12);
        let truth = expected[..3].iter().chain(expected.iter().rev().take(2));
        for (pair, (eigenvalue, _)) in pairs(&outcome).into_iter().zip(truth) {
            prop_assert!((pair.eigenvalue - eigenvalue).abs() <= pair.residual + 1e-11, "{} {eigenvalue}", pair.eigenvalue);
            let actual = residual(&matrix, pair.eigenvalue, &pair.eigenvector);
            prop_assert!((pair.residual - actual).abs() < 1e-11, "{} {actual}", pair.residual);
            prop_assert!(pair.residual <= 1e-6 * pair.eigenvalue.abs() + 1e-11);
        }
        for (i, a) in pairs(&outcome).iter().enumerate() {
            for (j, b) in pairs(&outcome).iter().enumerate() {
                let expected = if i == j { 1.0 } else { 0.0 };
                prop_assert!((dot(&a.eigenvector, &b.eigenvector) - expected).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn residuals_hold_after_restarts_also_where_the_operator_is_not_symmetric(seed: u64, max_products in 5_usize..80) {
        let dim = 60;
        let mut random = RandomStream::new(seed, 0);
        let mut entries = normal_matrix(dim, &mut random).entries().to_vec();
        entries.iter_mut().for_each(|x| *x += 1e-3 * random.normal());
        let config = EigensolverConfig { max_basis: 20, max_products, ..BOTH };
        let outcome = cold(config, &mut general(dim, entries.clone()), 2, seed);
        prop_assert!(outcome.symmetry_defect > 1e-5);
        for pair in pairs(&outcome) {
            let rows = entries.chunks(dim).zip(&pair.eigenvector);
            let squares = rows.map(|(row, x)| (dot(row, &pair.eigenvector) - pair.eigenvalue * x).powi(2));
            let actual = squares.sum::<f64>().sqrt();
            prop_assert!(actual <= pair.residual * (1.0 + 1e-10), "{actual} {}", pair.residual);
            prop_assert!(pair.residual <= actual + 0.2, "{actual} {}", pair.residual);
        }
    }
}

#[test]
fn from_one_start_vector_it_spends_the_products_of_lanczos_and_finds_the_same() {
    for seed in 0..20 {
        let mut matrix = with_eigenvalues(&outliers_and_bulk(&[1.0, 0.8, 0.5, -0.9], 100), seed);
        let config = EigensolverConfig { num_largest: 1, num_smallest: 0, tolerance: 1e-4, ..BOTH };
        let block = cold(config, &mut matrix, 1, seed);
        let single = Lanczos::new(LanczosConfig { max_products: 300, ..LanczosConfig::default() })
            .run(&mut matrix, StartVector::Random, &mut RandomStream::new(seed, 1))
            .unwrap();
        assert_eq!(block.num_products, single.num_products);
        assert!((block.largest[0].eigenvalue - single.eigenpairs[0].eigenvalue).abs() < 1e-13);
        assert!(dot(&block.largest[0].eigenvector, &single.eigenpairs[0].eigenvector).abs() > 1.0 - 1e-12);
    }
}

#[test]
fn a_small_memory_costs_less_than_half_as_many_products_again() {
    let (mut unbounded, mut bounded) = (0, 0);
    for seed in 0..10 {
        let mut matrix = normal_matrix(300, &mut RandomStream::new(seed, 0));
        let wide = cold(EigensolverConfig { max_basis: 300, ..BOTH }, &mut matrix, 1, seed);
        let narrow = cold(EigensolverConfig { max_basis: 30, ..BOTH }, &mut matrix, 1, seed);
        assert!(wide.converged && wide.num_restarts == 0);
        assert!(narrow.converged && narrow.num_restarts > 1);
        for (a, b) in pairs(&wide).into_iter().zip(pairs(&narrow)) {
            assert!((a.eigenvalue - b.eigenvalue).abs() < 1e-8);
        }
        (unbounded, bounded) = (unbounded + wide.num_products, bounded + narrow.num_products);
    }
    assert!(bounded * 2 < unbounded * 3, "{unbounded} {bounded}");
}

#[test]
fn a_large_negative_eigenvalue_is_never_taken_for_the_top() {
    let mut matrix = with_eigenvalues(&outliers_and_bulk(&[-50.0, 4.0, -20.0, 2.0], 80), 1);
    let outcome = cold(EigensolverConfig { num_largest: 2, ..BOTH }, &mut matrix, 1, 1);
    assert!(outcome.converged);
    for (value, expected) in values(&outcome.largest).into_iter().zip([4.0, 2.0]) {
        assert!((value - expected).abs() < 1e-6);
    }
    for (value, expected) in values(&outcome.smallest).into_iter().zip([-50.0, -20.0]) {
        assert!((value - expected).abs() < 1e-5);
    }
}

#[test]
fn copies_of_a_repeated_eigenvalue_are_all_found_from_a_block_of_as_many() {
    for seed in 0..10 {
        let mut matrix = with_eigenvalues(&outliers_and_bulk(&[1.0, 1.0, 1.0, 0.9], 150), seed);
        let config = EigensolverConfig { num_largest: 4, num_smallest: 0, ..BOTH };
        let outcome = cold(config, &mut matrix, 3, seed);
        assert!(outcome.converged);
        for (value, expected) in values(&outcome.largest).into_iter().zip([1.0, 1.0, 1.0, 0.9]) {
            assert!((value - expected).abs() < 1e-9, "seed {seed}: {:?}", values(&outcome.largest));
        }
    }
}

#[test]
fn copies_are_found_from_one_vector_too_once_the_space_is_invariant() {
    for eigenvalues in [vec![3.0, 3.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], vec![3.0; 9]] {
        for seed in 0..5 {
            let config = EigensolverConfig { num_largest: 2, num_smallest: 0, max_basis: 10, ..BOTH };
            let outcome = cold(config, &mut with_eigenvalues(&eigenvalues, seed), 1, seed);
            assert!(outcome.converged);
            assert!(values(&outcome.largest).iter().all(|value| (value - 3.0).abs() < 1e-12));
        }
    }
    let bulk = [0.5, 0.4, 0.3, 0.2, 0.0].into_iter().flat_map(|value| [value; 100]);
    let eigenvalues: Vec<f64> = [1.0, 1.0].into_iter().chain(bulk).collect();
    let config = EigensolverConfig { num_largest: 2, num_smallest: 0, ..BOTH };
    let outcome = cold(config, &mut diagonal(eigenvalues), 1, 3);
    assert!(outcome.converged && values(&outcome.largest).iter().all(|value| (value - 1.0).abs() < 1e-6));
}

#[test]
fn eigenvalues_in_a_cluster_are_told_apart_with_orthogonal_vectors() {
    let cluster = [1.0, 1.0 - 1e-5, 1.0 - 2e-5];
    let mut matrix = with_eigenvalues(&outliers_and_bulk(&cluster, 60), 3);
    let config = EigensolverConfig { num_smallest: 0, tolerance: 1e-8, max_basis: 20, ..BOTH };
    let outcome = cold(config, &mut matrix, 3, 3);
    assert!(outcome.converged);
    for (pair, expected) in outcome.largest.iter().zip(cluster) {
        assert!((pair.eigenvalue - expected).abs() < 1e-9, "{} {expected}", pair.eigenvalue);
    }
}

#[test]
fn a_warm_block_needs_fewer_products_than_a_cold_one_and_keeps_signs() {
    let config = EigensolverConfig { num_smallest: 0, tolerance: 1e-3, ..BOTH };
    let (mut warm_products, mut cold_products) = (0, 0);
    for seed in 0..20 {
        let eigenvalues = outliers_and_bulk(&[1.0, 0.97, 0.95], 120);
        let mut old = with_eigenvalues(&eigenvalues, seed);
        let noise = normal_matrix(120, &mut RandomStream::new(seed, 3));
        let drifted: Vec<f64> = old.entries().iter().zip(noise.entries()).map(|(a, e)| a + 1e-5 * e).collect();
        let mut new = DenseOperator::new(120, drifted).unwrap();
        let before = cold(config, &mut old, 1, seed);
        let vectors = before.eigenvectors();
        let random = &mut RandomStream::new(seed, 4);
        let warm = Eigensolver::new(config).run(&mut new, StartBlock::Warm(&vectors), random).unwrap();
        let fresh = cold(config, &mut new, 1, seed);
        assert!(warm.converged && fresh.converged);
        for (a, b) in warm.largest.iter().zip(&fresh.largest) {
            assert!((a.eigenvalue - b.eigenvalue).abs() < 1e-5);
        }
        for (a, b) in warm.largest.iter().zip(&before.largest) {
            assert!(dot(&a.eigenvector, &b.eigenvector) > 0.9, "order and sign are kept");
        }
        (warm_products, cold_products) = (warm_products + warm.num_products, cold_products + fresh.num_products);
    }
    assert!(warm_products * 3 < cold_products * 2, "{warm_products} {cold_products}");
}

#[test]
fn an_eigenvalue_that_overtakes_all_tracked_ones_is_found_within_four_measurements_on_average() {
    let config = EigensolverConfig { num_largest: 2, num_smallest: 0, tolerance: 1e-2, ..BOTH };
    let mut num_measurements = 0;
    for seed in 0..20 {
        // Along random directions, as curvature lies: the random part of a start has signs, which weigh coordinates alike.
        let before = outliers_and_bulk(&[1.0, 0.9, 0.1, 0.6], 400);
        let mut vectors = cold(config, &mut with_eigenvalues(&before, seed), 1, seed).eigenvectors();
        let mut operator = with_eigenvalues(&outliers_and_bulk(&[1.0, 0.9, 1.2, 0.6], 400), seed);
        let mut random = RandomStream::new(seed, 5);
        let mut measure = || {
            let start = StartBlock::Warm(&vectors);
            let outcome = Eigensolver::new(config).run(&mut operator, start, &mut random).unwrap();
            vectors = outcome.eigenvectors();
            outcome.largest[0].eigenvalue
        };
        num_measurements += 1 + (0..100).take_while(|_| (measure() - 1.2).abs() > 0.01).count();
    }
    assert!(num_measurements <= 20 * 4, "{num_measurements} for 20 seeds");
}

#[test]
fn running_out_of_products_is_a_value_and_says_so() {
    let mut matrix = normal_matrix(100, &mut RandomStream::new(6, 0));
    for max_products in [1, 2, 5, 9] {
        let outcome = cold(EigensolverConfig { max_products, ..BOTH }, &mut matrix, 2, 6);
        assert!(!outcome.converged);
        assert_eq!(outcome.num_products, max_products as u64);
        assert_eq!(pairs(&outcome).len(), max_products.min(5));
        assert!(pairs(&outcome).iter().any(|pair| pair.residual > 0.1));
        let estimate = outcome.largest_estimate(0, "1/learning-rate").unwrap();
        assert_eq!(estimate.error, Uncertainty::Residual(outcome.largest[0].residual));
        assert_eq!(estimate.num_products, max_products as u64);
        assert_eq!(outcome.smallest_estimate(2, "1"), None);
    }
}

#[test]
fn scaling_by_a_power_of_two_scales_every_bit_and_equal_streams_give_equal_bits() {
    let matrix = with_eigenvalues(&outliers_and_bulk(&[1.0, 0.9, -2.0], 50), 8);
    let config = EigensolverConfig { max_basis: 24, ..BOTH };
    let expected = cold(config, &mut matrix.clone(), 2, 8);
    assert_eq!(cold(config, &mut matrix.clone(), 2, 8), expected);
    for factor in [2_f64.powi(-300), 2_f64.powi(-40), 2_f64.powi(300)] {
        let entries = matrix.entries().iter().map(|x| x * factor).collect();
        let outcome = cold(config, &mut DenseOperator::new(50, entries).unwrap(), 2, 8);
        assert_eq!((outcome.num_products, outcome.num_restarts), (expected.num_products, expected.num_restarts));
        for (a, b) in pairs(&outcome).into_iter().zip(pairs(&expected)) {
            assert_eq!(a.eigenvalue, b.eigenvalue * factor);
            assert_eq!(a.eigenvector, b.eigenvector);
        }
    }
}

#[test]
fn settings_and_start_vectors_out_of_range_are_refused_with_what_was_got() {
    let run = |config: EigensolverConfig, dim: usize, start: StartBlock<'_>| {
        let result = Eigensolver::new(config).run(&mut diagonal(vec![1.0; dim]), start, &mut RandomStream::new(0, 0));
        result.err().unwrap_or_else(|| panic!("accepted {config:?}"))
    };
    let setting = |config, start| match run(config, 9, start) {
        LanczosError::Setting { setting, .. } => setting,
        other => panic!("{other}"),
    };
    let one = StartBlock::Random(1);
    assert_eq!(run(BOTH, 0, one), LanczosError::EmptyOperator);
    let wanted = "num_largest + num_smallest";
    assert_eq!(setting(EigensolverConfig { num_largest: 0, num_smallest: 0, ..BOTH }, one), wanted);
    assert_eq!(setting(EigensolverConfig { num_largest: 8, ..BOTH }, one), wanted);
    assert_eq!(setting(EigensolverConfig { num_largest: usize::MAX, ..BOTH }, one), wanted);
    assert_eq!(setting(EigensolverConfig { max_products: 0, ..BOTH }, one), "max_products");
    assert_eq!(setting(EigensolverConfig { max_basis: 9, ..BOTH }, one), "max_basis");
    assert_eq!(setting(EigensolverConfig { tolerance: f64::NAN, ..BOTH }, one), "tolerance");
    assert_eq!(setting(BOTH, StartBlock::Random(0)), "start vectors");
    assert_eq!(setting(BOTH, StartBlock::Warm(&[])), "start vectors");
    let short = [vec![1.0]];
    assert_eq!(run(BOTH, 9, StartBlock::Warm(&short)), LanczosError::StartLength { got: 1, expected: 9 });
    assert_eq!(run(BOTH, 9, StartBlock::Warm(&[vec![0.0; 9]])), LanczosError::StartNorm { norm: 0.0 });
    assert_eq!(Eigensolver::new(BOTH).memory_bytes(1000), (40 + 5 + 1) * 8000);
}
