//! Lanczos against dense twins, known spectra and operators that misbehave.

use std::convert::Infallible;

use crate::twin::{diagonal, dot, general, jacobi_eigenpairs, normal_matrix, outliers_and_bulk, residual};
use proptest::prelude::*;
use stepscope_spectral::random::RandomStream;
use stepscope_spectral::{
    ClosureOperator, Counted, DenseOperator, Lanczos, LanczosConfig, LanczosError, LanczosOutcome, LinearOperator,
    ProductError, StartVector, Which,
};
use stepscope_types::Uncertainty;

const TOP: LanczosConfig =
    LanczosConfig { num_eigenpairs: 1, which: Which::LargestAlgebraic, max_products: 30, tolerance: 1e-4 };

fn cold<O: LinearOperator>(config: LanczosConfig, operator: &mut O, seed: u64) -> LanczosOutcome {
    Lanczos::new(config).run(operator, StartVector::Random, &mut RandomStream::new(seed, 1)).unwrap()
}

fn with_eigenvalues(eigenvalues: &[f64], seed: u64) -> DenseOperator {
    DenseOperator::with_eigenvalues(eigenvalues, &mut RandomStream::new(seed, 2)).unwrap()
}

proptest! {
    #[test]
    fn a_full_run_finds_every_eigenpair_of_the_dense_twin(seed: u64, dim in 1_usize..16, smallest: bool) {
        let mut matrix = normal_matrix(dim, &mut RandomStream::new(seed, 0));
        let mut expected = jacobi_eigenpairs(&matrix, dim);
        let which = if smallest { Which::SmallestAlgebraic } else { Which::LargestAlgebraic };
        if smallest {
            expected.reverse();
        }
        let config = LanczosConfig { num_eigenpairs: dim, which, max_products: 100, tolerance: 1e-10 };
        let outcome = cold(config, &mut matrix, seed);
        prop_assert!(outcome.converged);
        prop_assert_eq!(outcome.num_products, dim as u64);
        for (pair, (eigenvalue, vector)) in outcome.eigenpairs.iter().zip(&expected) {
            prop_assert!((pair.eigenvalue - eigenvalue).abs() < 1e-12 * dim as f64);
            let gap = expected.iter().map(|e| (e.0 - eigenvalue).abs()).filter(|g| *g > 0.0).fold(1.0, f64::min);
            prop_assert!((dot(&pair.eigenvector, vector).abs() - 1.0).abs() < 1e-12 / gap.min(1.0));
        }
    }

    #[test]
    fn the_residual_is_that_of_the_returned_vector_and_an_eigenvalue_lies_within_it(
        seed: u64, dim in 2_usize..25, max_products in 2_usize..12, smallest: bool,
    ) {
        let mut matrix = normal_matrix(dim, &mut RandomStream::new(seed, 0));
        let which = if smallest { Which::SmallestAlgebraic } else { Which::LargestAlgebraic };
        let config = LanczosConfig { num_eigenpairs: 2, which, max_products, tolerance: 1e-6 };
        let outcome = cold(config, &mut matrix, seed);
        let eigenvalues = jacobi_eigenpairs(&matrix, dim);
        prop_assert_eq!(outcome.eigenpairs.len(), 2);
        for pair in &outcome.eigenpairs {
            prop_assert!((dot(&pair.eigenvector, &pair.eigenvector) - 1.0).abs() < 1e-13);
            let actual = residual(&matrix, pair.eigenvalue, &pair.eigenvector);
            prop_assert!((pair.residual - actual).abs() < 1e-12, "{} {}", pair.residual, actual);
            let distance = eigenvalues.iter().map(|e| (e.0 - pair.eigenvalue).abs()).fold(f64::MAX, f64::min);
            prop_assert!(distance <= pair.residual + 1e-12);
        }
        let accepted = outcome.eigenpairs.iter().all(|pair| pair.residual <= 1e-6 * pair.eigenvalue.abs() + 1e-12);
        prop_assert_eq!(outcome.converged, accepted);
    }
}

#[test]
fn a_large_negative_eigenvalue_is_not_the_top_and_is_the_bottom() {
    let mut matrix = with_eigenvalues(&outliers_and_bulk(&[-50.0, 4.0, -20.0, 2.0], 80), 1);
    let top = cold(TOP, &mut matrix, 1);
    assert!(top.converged && (top.eigenpairs[0].eigenvalue - 4.0).abs() < 1e-6);
    let bottom = cold(LanczosConfig { which: Which::SmallestAlgebraic, ..TOP }, &mut matrix, 1);
    assert!(bottom.converged && (bottom.eigenpairs[0].eigenvalue + 50.0).abs() < 1e-5);
}

#[test]
fn a_negative_definite_operator_has_a_negative_top() {
    let outcome = cold(TOP, &mut with_eigenvalues(&[-1.0, -5.0, -6.0, -7.0, -9.0, -12.0], 2), 2);
    assert!(outcome.converged && (outcome.eigenpairs[0].eigenvalue + 1.0).abs() < 1e-6);
}

#[test]
fn eigenvalues_in_a_cluster_are_told_apart() {
    let cluster = [1.0, 1.0 - 1e-5, 1.0 - 2e-5];
    let mut matrix = with_eigenvalues(&outliers_and_bulk(&cluster, 60), 3);
    let config = LanczosConfig { num_eigenpairs: 3, max_products: 60, tolerance: 1e-8, ..TOP };
    let outcome = cold(config, &mut matrix, 3);
    assert!(outcome.converged);
    for (pair, expected) in outcome.eigenpairs.iter().zip(cluster) {
        assert!((pair.eigenvalue - expected).abs() < 1e-9, "{} {expected}", pair.eigenvalue);
    }
    for (i, a) in outcome.eigenpairs.iter().enumerate() {
        for b in &outcome.eigenpairs[..i] {
            assert!(dot(&a.eigenvector, &b.eigenvector).abs() < 1e-12);
        }
    }
}

#[test]
fn copies_of_a_repeated_eigenvalue_are_found_beyond_the_invariant_subspace() {
    for eigenvalues in [
        [3.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [3.0, 3.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0],
    ] {
        for seed in 0..10 {
            let config = LanczosConfig { num_eigenpairs: 2, ..TOP };
            let outcome = cold(config, &mut with_eigenvalues(&eigenvalues, seed), seed);
            assert!(outcome.converged);
            let found: Vec<f64> = outcome.eigenpairs.iter().map(|pair| pair.eigenvalue).collect();
            assert!(found.iter().all(|value| (value - 3.0).abs() < 1e-12), "{eigenvalues:?} {found:?}");
            assert!(dot(&outcome.eigenpairs[0].eigenvector, &outcome.eigenpairs[1].eigenvector).abs() < 1e-12);
        }
    }
}

#[test]
fn a_second_copy_is_found_although_the_first_subspace_holds_better_eigenvalues_than_the_second_shows_at_once() {
    let bulk = [0.5, 0.4, 0.3, 0.2, 0.0].into_iter().flat_map(|value| [value; 100]);
    let eigenvalues: Vec<f64> = [1.0, 1.0].into_iter().chain(bulk).collect();
    for seed in 0..10 {
        let outcome = cold(LanczosConfig { num_eigenpairs: 2, ..TOP }, &mut diagonal(eigenvalues.clone()), seed);
        assert!(outcome.converged);
        assert!(outcome.eigenpairs.iter().all(|pair| (pair.eigenvalue - 1.0).abs() < 1e-6), "seed {seed}");
    }
}

#[test]
fn an_eigenvalue_that_is_zero_to_rounding_converges_although_no_relative_residual_can_be_small() {
    let mut matrix = with_eigenvalues(&[0.0, 1.0, 2.0, 3.0, 5.0, 8.0], 16);
    let outcome = cold(LanczosConfig { which: Which::SmallestAlgebraic, ..TOP }, &mut matrix, 16);
    let pair = &outcome.eigenpairs[0];
    assert!(pair.eigenvalue.abs() < 1e-14 && pair.residual > TOP.tolerance * pair.eigenvalue.abs());
    assert!(outcome.converged);
}

#[test]
fn the_zero_operator_and_the_identity_are_answered_with_one_product_an_eigenpair() {
    for value in [0.0, 1.0] {
        let outcome = cold(TOP, &mut diagonal(vec![value; 50]), 4);
        assert!(outcome.converged);
        assert_eq!(outcome.num_products, 1);
        assert!((outcome.eigenpairs[0].eigenvalue - value).abs() < 1e-14);
        let outcome = cold(LanczosConfig { num_eigenpairs: 3, ..TOP }, &mut diagonal(vec![value; 50]), 4);
        assert!(outcome.converged);
        assert_eq!(outcome.num_products, 3);
        assert_eq!(outcome.eigenpairs.len(), 3);
    }
}

#[test]
fn one_row_needs_one_product() {
    let mut matrix = DenseOperator::new(1, vec![-2.5]).unwrap();
    for which in [Which::LargestAlgebraic, Which::SmallestAlgebraic] {
        let outcome = cold(LanczosConfig { which, ..TOP }, &mut matrix, 5);
        assert!(outcome.converged);
        assert_eq!((outcome.num_products, outcome.eigenpairs[0].eigenvalue), (1, -2.5));
        assert_eq!(outcome.ritz_values, [-2.5]);
    }
}

#[test]
fn a_run_out_of_products_says_so_and_its_residual_is_honest() {
    let mut matrix = normal_matrix(200, &mut RandomStream::new(6, 0));
    for max_products in [1, 2, 3, 5, 8] {
        let outcome = cold(LanczosConfig { max_products, ..TOP }, &mut matrix, 6);
        assert!(!outcome.converged);
        assert_eq!(outcome.num_products, max_products as u64);
        let pair = &outcome.eigenpairs[0];
        assert!(pair.residual > TOP.tolerance * pair.eigenvalue.abs());
        let actual = residual(&matrix, pair.eigenvalue, &pair.eigenvector);
        assert!((actual / pair.residual - 1.0).abs() < 1e-12);
    }
}

#[test]
fn a_tighter_tolerance_costs_more_products_and_gives_a_smaller_error() {
    let mut matrix = with_eigenvalues(&outliers_and_bulk(&[1.0, 0.8, 0.5], 100), 7);
    let runs: Vec<LanczosOutcome> =
        [1e-2, 1e-5, 1e-8].map(|tolerance| cold(LanczosConfig { tolerance, ..TOP }, &mut matrix, 7)).into();
    for pair in runs.windows(2) {
        assert!(pair[0].num_products < pair[1].num_products);
        assert!(pair[0].eigenpairs[0].residual > pair[1].eigenpairs[0].residual);
    }
    // The error of the eigenvalue is at most residual² / gap.
    for run in &runs {
        let pair = &run.eigenpairs[0];
        assert!(run.converged && (pair.eigenvalue - 1.0).abs() <= pair.residual.powi(2) / 0.1 + 1e-14);
    }
}

#[test]
fn a_warm_start_needs_fewer_products_than_a_cold_one() {
    let (mut warm_products, mut cold_products) = (0, 0);
    for seed in 0..20 {
        let eigenvalues = outliers_and_bulk(&[1.0, 0.7, 0.5], 120);
        let old = with_eigenvalues(&eigenvalues, seed);
        let noise = normal_matrix(120, &mut RandomStream::new(seed, 3));
        let drifted: Vec<f64> = old.entries().iter().zip(noise.entries()).map(|(a, e)| a + 1e-4 * e).collect();
        let mut new = DenseOperator::new(120, drifted).unwrap();
        let before = cold(TOP, &mut old.clone(), seed);
        let start = StartVector::Warm(&before.eigenpairs[0].eigenvector);
        let warm = Lanczos::new(TOP).run(&mut new, start, &mut RandomStream::new(seed, 4)).unwrap();
        let cold = cold(TOP, &mut new, seed);
        assert!(warm.converged && cold.converged);
        assert!((warm.eigenpairs[0].eigenvalue - cold.eigenpairs[0].eigenvalue).abs() < 1e-6);
        assert!(dot(&warm.eigenpairs[0].eigenvector, &before.eigenpairs[0].eigenvector) > 0.99, "the sign is kept");
        warm_products += warm.num_products;
        cold_products += cold.num_products;
    }
    assert!(warm_products * 3 < cold_products * 2, "{warm_products} {cold_products}");
}

#[test]
fn an_eigenvalue_that_overtakes_is_found_within_four_warm_measurements_on_average() {
    let config = LanczosConfig { tolerance: 1e-2, ..TOP };
    let mut num_measurements = 0;
    for seed in 0..20 {
        let mut operator = diagonal(outliers_and_bulk(&[1.0, 1.2, 0.6], 400));
        let mut vector = vec![0.0; 400];
        vector[0] = 1.0;
        let mut random = RandomStream::new(seed, 5);
        let mut measure = || {
            let outcome = Lanczos::new(config).run(&mut operator, StartVector::Warm(&vector), &mut random).unwrap();
            vector.clone_from(&outcome.eigenpairs[0].eigenvector);
            outcome.eigenpairs[0].eigenvalue
        };
        num_measurements += 1 + (0..100).take_while(|_| (measure() - 1.2).abs() > 0.01).count();
    }
    assert!(num_measurements <= 20 * 4, "{num_measurements} for 20 seeds");
}

#[test]
fn scaling_the_operator_by_a_power_of_two_scales_every_bit_of_the_result() {
    let matrix = with_eigenvalues(&outliers_and_bulk(&[1.0, 0.9, -2.0], 50), 8);
    let expected = cold(TOP, &mut matrix.clone(), 8);
    for factor in [2_f64.powi(-300), 2_f64.powi(-40), 2_f64.powi(40), 2_f64.powi(300)] {
        let entries = matrix.entries().iter().map(|x| x * factor).collect();
        let outcome = cold(TOP, &mut DenseOperator::new(50, entries).unwrap(), 8);
        assert_eq!(outcome.num_products, expected.num_products);
        assert_eq!(outcome.eigenpairs[0].eigenvalue, expected.eigenpairs[0].eigenvalue * factor);
        assert_eq!(outcome.eigenpairs[0].eigenvector, expected.eigenpairs[0].eigenvector);
        assert_eq!(outcome.eigenpairs[0].residual, expected.eigenpairs[0].residual * factor);
    }
}

#[test]
fn the_length_of_a_warm_start_vector_does_not_matter_and_equal_streams_give_equal_bits() {
    let mut matrix = with_eigenvalues(&outliers_and_bulk(&[1.0, 0.9], 50), 9);
    let vector = vec![1.0; 50];
    let mut run = |factor: f64| {
        let scaled: Vec<f64> = vector.iter().map(|x| x * factor).collect();
        let mut random = RandomStream::new(9, 0);
        Lanczos::new(TOP).run(&mut matrix, StartVector::Warm(&scaled), &mut random).unwrap()
    };
    let expected = run(1.0);
    assert_eq!(run(1.0), expected);
    assert_eq!(run(2_f64.powi(-200)), expected);
    assert_eq!(run(2_f64.powi(200)), expected);
}

#[test]
fn products_are_counted_as_the_operator_sees_them() {
    let mut counted = Counted::new(with_eigenvalues(&outliers_and_bulk(&[1.0, 0.9], 50), 10));
    let outcome = cold(TOP, &mut counted, 10);
    assert_eq!(outcome.num_products, counted.num_products());
    let estimate = outcome.eigenvalue_estimate(0, "1/learning-rate").unwrap();
    assert_eq!(estimate.num_products, counted.num_products());
    assert_eq!(estimate.error, Uncertainty::Residual(outcome.eigenpairs[0].residual));
    assert_eq!(outcome.eigenvalue_estimate(1, "1"), None);
}

#[test]
fn ritz_values_are_the_eigenvalues_of_the_tridiagonal_matrix_and_lie_inside_the_spectrum() {
    let outcome = cold(TOP, &mut with_eigenvalues(&outliers_and_bulk(&[1.0, 0.9, -1.0], 50), 11), 11);
    assert_eq!(outcome.ritz_values, outcome.tridiagonal.eigenvalues().unwrap());
    assert_eq!(outcome.tridiagonal.dim() as u64, outcome.num_products);
    assert!(outcome.ritz_values.iter().all(|value| (-1.0 - 1e-12..=1.0 + 1e-12).contains(value)));
}

/// A dense product rounded to `f32`, as a network's would be.
fn single_precision(matrix: DenseOperator) -> impl LinearOperator<Error = Infallible> {
    let dim = matrix.dim();
    let entries: Vec<f32> = matrix.entries().iter().map(|x| *x as f32).collect();
    ClosureOperator::new(dim, move |input: &[f64], output: &mut [f64]| {
        for (out, row) in output.iter_mut().zip(entries.chunks(dim)) {
            *out = f64::from(row.iter().zip(input).map(|(a, x)| a * *x as f32).sum::<f32>());
        }
        Ok(())
    })
}

#[test]
fn single_precision_products_converge_to_their_precision_and_no_further() {
    let matrix = with_eigenvalues(&outliers_and_bulk(&[1.0, 0.8], 100), 12);
    let outcome = cold(TOP, &mut single_precision(matrix.clone()), 12);
    assert!(outcome.converged && (outcome.eigenpairs[0].eigenvalue - 1.0).abs() < 1e-6);
    assert!((1e-9..1e-5).contains(&outcome.symmetry_defect), "{}", outcome.symmetry_defect);
    let greedy = cold(LanczosConfig { tolerance: 1e-12, ..TOP }, &mut single_precision(matrix.clone()), 12);
    assert!(!greedy.converged, "the residual counts the rounding of the products");
    assert!((1e-9..1e-5).contains(&greedy.eigenpairs[0].residual), "{}", greedy.eigenpairs[0].residual);
    assert!(cold(TOP, &mut matrix.clone(), 12).symmetry_defect < 1e-13);
}

#[test]
fn the_residual_holds_for_an_operator_that_is_not_symmetric() {
    let dim = 30;
    let mut random = RandomStream::new(13, 0);
    let mut entries = normal_matrix(dim, &mut random).entries().to_vec();
    entries.iter_mut().for_each(|x| *x += 0.05 * random.normal());
    let mut operator = general(dim, entries.clone());
    let outcome = cold(LanczosConfig { max_products: 25, ..TOP }, &mut operator, 13);
    assert!(outcome.symmetry_defect > 0.01 && !outcome.converged);
    let pair = &outcome.eigenpairs[0];
    let squares = entries.chunks(dim).zip(&pair.eigenvector);
    let actual = squares.map(|(row, x)| (dot(row, &pair.eigenvector) - pair.eigenvalue * x).powi(2)).sum::<f64>();
    assert!((actual.sqrt() / pair.residual - 1.0).abs() < 1e-10);
}

#[test]
fn the_symmetry_defect_of_a_full_run_is_the_relative_asymmetry() {
    let (dim, mut random) = (6, RandomStream::new(17, 0));
    let mut entries = vec![0.0; dim * dim];
    random.fill_normal(&mut entries);
    let asymmetry: f64 = (0..dim * dim).map(|k| (entries[k] - entries[k % dim * dim + k / dim]).powi(2)).sum();
    let expected = (asymmetry / dot(&entries, &entries)).sqrt();
    let outcome = cold(TOP, &mut general(dim, entries), 17);
    assert_eq!(outcome.num_products, dim as u64);
    assert!((outcome.symmetry_defect / expected - 1.0).abs() < 1e-12, "{} {expected}", outcome.symmetry_defect);
}

#[test]
fn an_operator_that_changes_between_products_is_noticed() {
    let mut random = RandomStream::new(14, 0);
    let mut operator = ClosureOperator::new(60, move |input: &[f64], output: &mut [f64]| {
        for (index, (out, x)) in output.iter_mut().zip(input).enumerate() {
            let kept = if random.uniform() < 0.9 { 1.0 } else { 0.0 };
            *out = kept * index as f64 * x;
        }
        Ok::<(), Infallible>(())
    });
    assert!(cold(LanczosConfig { tolerance: 1e-3, ..TOP }, &mut operator, 14).symmetry_defect > 0.01);
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("the batch is empty")]
struct EmptyBatch;

#[test]
fn failing_and_infinite_products_are_errors_that_name_the_product() {
    let run = |value: Result<f64, EmptyBatch>| {
        let mut value = Some(value);
        let mut calls = 0;
        let mut operator = ClosureOperator::new(9, move |input: &[f64], output: &mut [f64]| {
            calls += 1;
            output.iter_mut().zip(input).enumerate().for_each(|(index, (out, x))| *out = index as f64 * x);
            if calls == 3 {
                output[4] = value.take().unwrap_or(Ok(0.0))?;
            }
            Ok(())
        });
        Lanczos::new(TOP).run(&mut operator, StartVector::Random, &mut RandomStream::new(15, 0)).unwrap_err()
    };
    assert_eq!(run(Err(EmptyBatch)), LanczosError::Product(ProductError::Operator { product: 3, source: EmptyBatch }));
    for bad in [f64::NAN, f64::INFINITY] {
        assert!(matches!(
            run(Ok(bad)),
            LanczosError::Product(ProductError::NotFinite { product: 3, index: 4, value }) if !value.is_finite()
        ));
    }
    assert!(run(Ok(f64::NAN)).to_string().contains("product 3 returned NaN at index 4"));
}

#[test]
fn settings_and_start_vectors_out_of_range_are_refused_with_what_was_got() {
    let run = |config: LanczosConfig, dim: usize, start: StartVector<'_>| {
        let result = Lanczos::new(config).run(&mut diagonal(vec![1.0; dim]), start, &mut RandomStream::new(0, 0));
        result.err().unwrap_or_else(|| panic!("accepted {config:?}"))
    };
    let setting = |config| match run(config, 3, StartVector::Random) {
        LanczosError::Setting { setting, .. } => setting,
        other => panic!("{other}"),
    };
    assert_eq!(run(TOP, 0, StartVector::Random), LanczosError::EmptyOperator);
    assert_eq!(setting(LanczosConfig { num_eigenpairs: 0, ..TOP }), "num_eigenpairs");
    assert_eq!(setting(LanczosConfig { num_eigenpairs: 4, ..TOP }), "num_eigenpairs");
    assert_eq!(setting(LanczosConfig { max_products: 0, ..TOP }), "max_products");
    assert_eq!(setting(LanczosConfig { num_eigenpairs: 2, max_products: 1, ..TOP }), "max_products");
    assert_eq!(setting(LanczosConfig { tolerance: -1.0, ..TOP }), "tolerance");
    assert_eq!(setting(LanczosConfig { tolerance: f64::NAN, ..TOP }), "tolerance");
    assert_eq!(run(TOP, 3, StartVector::Warm(&[1.0])), LanczosError::StartLength { got: 1, expected: 3 });
    assert_eq!(run(TOP, 2, StartVector::Warm(&[0.0; 2])), LanczosError::StartNorm { norm: 0.0 });
    assert!(matches!(run(TOP, 2, StartVector::Warm(&[f64::NAN, 1.0])), LanczosError::StartNorm { .. }));
}

#[test]
fn the_memory_is_that_of_the_basis_the_candidate_and_the_eigenvectors() {
    assert_eq!(Lanczos::new(TOP).memory_bytes(1_000_000), 32 * 8_000_000);
    assert_eq!(Lanczos::new(TOP).memory_bytes(10), 12 * 80);
}
