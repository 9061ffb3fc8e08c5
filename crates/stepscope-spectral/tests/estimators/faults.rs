//! Faults that widely used curvature tools had: each is a test here (`style.md`, section 2.8).
//!
//! | fault | test |
//! |---|---|
//! | eigenvalues are returned at the limit of products without a word | here, the first |
//! | a trace stops when two running means agree, and has no error | here, the second |
//! | lengths are divided by the norm plus 10⁻⁶ | here, the third |
//! | vectors of the caller are changed; no seed | here, the fourth |
//! | a symmetric tridiagonal matrix goes to a general eigensolver | here, the last |
//! | one fixed name for what is written; a device by default that may not be there | `stepscope-cli/tests/measure.rs`: `results_have_names_of_their_own_and_the_device_is_the_one_that_is_there` |
//!
//! And of others: weights of a density from whole eigenvectors instead of first components: `density.rs`, the first two tests.
//! The largest magnitude taken for the top: `lanczos.rs` and `eigensolver.rs`, "a large negative eigenvalue".

use crate::twin::{dot, normal_matrix, outliers_and_bulk, standard_error};
use stepscope_spectral::random::RandomStream;
use stepscope_spectral::{
    DenseOperator, Eigensolver, EigensolverConfig, Lanczos, LanczosConfig, LinearOperator, StartBlock, StartVector,
    TraceConfig, Tridiagonal, estimate_trace,
};

#[test]
fn a_solver_that_ran_out_of_products_does_not_return_as_if_it_had_converged() {
    let mut matrix = normal_matrix(100, &mut RandomStream::new(1, 0));
    let config = LanczosConfig { max_products: 6, ..LanczosConfig::default() };
    let one = Lanczos::new(config).run(&mut matrix, StartVector::Random, &mut RandomStream::new(1, 1)).unwrap();
    let config = EigensolverConfig { max_products: 6, ..EigensolverConfig::default() };
    let many = Eigensolver::new(config).run(&mut matrix, StartBlock::Random(1), &mut RandomStream::new(1, 1)).unwrap();
    assert!(!one.converged && one.eigenpairs[0].residual > 0.1);
    assert!(!many.converged && many.largest[0].residual > 0.1);
}

#[test]
fn two_equal_running_means_do_not_stop_a_trace() {
    // Every sample is 2 + 1.9 or 2 − 1.9 with equal chance: the first two agree half of the time.
    let mut matrix = DenseOperator::new(2, vec![1.0, 0.95, 0.95, 1.0]).unwrap();
    let config = TraceConfig { max_products: 29, relative_error: 1e-3, max_memory: u64::MAX };
    for seed in 0..200 {
        let trace = estimate_trace(&mut matrix, config, "1", &mut RandomStream::new(seed, 0)).unwrap().trace;
        assert!(trace.num_products >= 10);
        // All of the first ten agree once in 512 runs.
        let by_luck = standard_error(&trace) == 0.0;
        assert!(trace.num_products == 29 || by_luck, "stopped at {}", trace.num_products);
        assert!((trace.value - 2.0).abs() < 6.0 * standard_error(&trace) || by_luck);
    }
}

#[test]
fn vectors_are_of_unit_length_and_eigenvalues_unspoilt_however_small_the_operator() {
    let eigenvalues = outliers_and_bulk(&[1.0, 0.5], 40);
    let matrix = DenseOperator::with_eigenvalues(&eigenvalues, &mut RandomStream::new(2, 0)).unwrap();
    for scale in [1e-6, 1e-12, 1e-100] {
        let entries = matrix.entries().iter().map(|x| x * scale).collect();
        let mut small = DenseOperator::new(40, entries).unwrap();
        let config = LanczosConfig { tolerance: 1e-9, ..LanczosConfig::default() };
        let outcome = Lanczos::new(config).run(&mut small, StartVector::Random, &mut RandomStream::new(2, 1)).unwrap();
        let pair = &outcome.eigenpairs[0];
        assert!((pair.eigenvalue / scale - 1.0).abs() < 1e-12);
        assert!((dot(&pair.eigenvector, &pair.eigenvector) - 1.0).abs() < 1e-14);
    }
}

#[test]
fn start_vectors_are_not_touched_and_a_seed_fixes_every_bit() {
    let mut matrix = normal_matrix(50, &mut RandomStream::new(3, 0));
    let vectors = vec![vec![1.0; 50], (0..50).map(f64::from).collect()];
    let kept = vectors.clone();
    let mut image = vec![7.0; 50];
    matrix.clone().apply(&vectors[1], &mut image).unwrap();
    assert_eq!(vectors[1], kept[1], "a product only writes where it is to");
    let mut run = |seed: u64| {
        let random = &mut RandomStream::new(seed, 1);
        Eigensolver::new(EigensolverConfig::default()).run(&mut matrix, StartBlock::Warm(&vectors), random).unwrap()
    };
    let (first, again, other) = (run(1), run(1), run(2));
    assert_eq!(first, again);
    assert_ne!(first, other);
    assert_eq!(vectors, kept);
}

#[test]
fn nodes_of_a_defective_looking_tridiagonal_matrix_are_real_ordered_and_keep_trace_and_squares() {
    // Wilkinson's: pairs of eigenvalues closer than rounding, of which a general eigensolver makes complex ones.
    let diagonal: Vec<f64> = (-10..=10).map(|i| f64::from(i).abs()).collect();
    let matrix = Tridiagonal::new(diagonal.clone(), vec![1.0; 20]).unwrap();
    let nodes = matrix.eigenvalues().unwrap();
    assert!(nodes.windows(2).all(|pair| pair[0] >= pair[1]), "{nodes:?}");
    assert!((nodes[0] - nodes[1]).abs() < 1e-13 && (nodes[0] - 10.746_194_182_903_39).abs() < 1e-13, "{nodes:?}");
    let (trace, squares): (f64, f64) = (nodes.iter().sum(), nodes.iter().map(|node| node * node).sum());
    assert!((trace - diagonal.iter().sum::<f64>()).abs() < 1e-12, "{trace}");
    assert!((squares - diagonal.iter().map(|x| x * x).sum::<f64>() - 40.0).abs() < 1e-11, "{squares}");
}
