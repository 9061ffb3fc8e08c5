//! Sketching estimators of trace, norm and diagonal against dense truth, the definition, and each other.

use std::convert::Infallible;

use crate::twin::{dot, normal_matrix, outliers_and_bulk, standard_error};
use stepscope_spectral::random::RandomStream;
use stepscope_spectral::{
    Counted, DenseOperator, LinearOperator, LowRank, TraceConfig, TraceError, TraceMethod, TraceOutcome, diagonal,
    diagonal_by_sketch, estimate_trace, hutch_plus_plus, hutchinson, xtrace,
};

const DIM: usize = 80;

/// A network-like matrix with its trace and Frobenius norm.
fn network_like(seed: u64) -> (DenseOperator, f64, f64) {
    let outliers: Vec<f64> = (0..8).map(|k| 5.0 / (1.0 + f64::from(k))).collect();
    let eigenvalues = outliers_and_bulk(&outliers, DIM);
    let matrix = DenseOperator::with_eigenvalues(&eigenvalues, &mut RandomStream::new(seed, 0)).unwrap();
    let norm = dot(&eigenvalues, &eigenvalues).sqrt();
    (matrix, eigenvalues.iter().sum(), norm)
}

/// Orthonormal basis of the given vectors, by modified Gram-Schmidt.
fn orthonormal(vectors: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for vector in vectors {
        let mut rest = vector.clone();
        for q in basis.iter().chain(&basis) {
            let along = dot(q, &rest);
            rest.iter_mut().zip(q).for_each(|(x, y)| *x -= along * y);
        }
        let norm = dot(&rest, &rest).sqrt();
        basis.push(rest.iter().map(|x| x / norm).collect());
    }
    basis
}

fn product(matrix: &mut DenseOperator, vector: &[f64]) -> Vec<f64> {
    let mut image = vec![0.0; vector.len()];
    matrix.apply(vector, &mut image).unwrap();
    image
}

/// Leave-one-out estimates of trace, squared norm and diagonal straight from the definition, a new basis for each probe.
fn by_definition(
    matrix: &mut DenseOperator,
    num_probes: usize,
    random: &mut RandomStream,
) -> Vec<(f64, f64, Vec<f64>)> {
    let probes: Vec<Vec<f64>> = (0..num_probes)
        .map(|_| {
            let mut probe = vec![0.0; DIM];
            random.fill_rademacher(&mut probe);
            probe
        })
        .collect();
    let estimate = |left_out: usize| {
        let others = probes.iter().enumerate().filter(|(k, _)| *k != left_out);
        let basis = orthonormal(&others.map(|(_, probe)| product(matrix, probe)).collect::<Vec<_>>());
        let outside = |vector: &[f64]| {
            let mut rest = vector.to_vec();
            for q in &basis {
                let along = dot(q, vector);
                rest.iter_mut().zip(q).for_each(|(x, y)| *x -= along * y);
            }
            rest
        };
        let probe = &probes[left_out];
        let (rest, image) = (outside(probe), product(matrix, &outside(probe)));
        let (mut trace, mut square) = (dot(&rest, &image), dot(&image, &image));
        let mut diagonal: Vec<f64> =
            outside(&product(matrix, probe)).iter().zip(probe).map(|(x, sign)| x * sign).collect();
        for q in &basis {
            let image = product(matrix, q);
            trace += dot(q, &image);
            square += dot(&image, &image);
            diagonal.iter_mut().zip(q.iter().zip(&image)).for_each(|(d, (x, y))| *d += x * y);
        }
        (trace, square, diagonal)
    };
    (0..num_probes).map(estimate).collect()
}

fn mean_and_error(samples: &[f64]) -> (f64, f64) {
    let count = samples.len() as f64;
    let mean = samples.iter().sum::<f64>() / count;
    let squares: f64 = samples.iter().map(|x| (x - mean).powi(2)).sum();
    (mean, (squares / (count * (count - 1.0))).sqrt())
}

#[test]
fn xtrace_and_xdiag_are_their_definitions_with_a_basis_of_its_own_for_every_probe() {
    for (seed, num_probes) in [(1, 2), (2, 5), (3, 12)] {
        let (mut matrix, ..) = network_like(seed);
        let definition = by_definition(&mut matrix, num_probes, &mut RandomStream::new(seed, 1));
        let mut random = RandomStream::new(seed, 1);
        let outcome = xtrace(&mut matrix, 2 * num_probes, "1", &mut random).unwrap();
        let (trace, error) = mean_and_error(&definition.iter().map(|one| one.0).collect::<Vec<_>>());
        assert!((outcome.trace.value - trace).abs() < 1e-10, "{} {trace}", outcome.trace.value);
        assert!((standard_error(&outcome.trace) - error).abs() < 1e-10);
        let (square, error) = mean_and_error(&definition.iter().map(|one| one.1).collect::<Vec<_>>());
        assert!((outcome.frobenius_norm.value.powi(2) - square).abs() < 1e-9);
        assert!((standard_error(&outcome.frobenius_norm) - error / (2.0 * square.sqrt())).abs() < 1e-9);
        let outcome = diagonal_by_sketch(&mut matrix, 2 * num_probes, &mut RandomStream::new(seed, 1)).unwrap();
        for row in 0..DIM {
            let (value, error) = mean_and_error(&definition.iter().map(|one| one.2[row]).collect::<Vec<_>>());
            assert!((outcome.values[row] - value).abs() < 1e-10 && (outcome.errors[row] - error).abs() < 1e-10);
        }
    }
}

type Method = fn(&mut DenseOperator, &mut RandomStream) -> TraceOutcome;

#[test]
fn estimates_are_unbiased_and_their_errors_are_of_the_right_size() {
    let methods: [(&str, Method); 2] = [
        ("Hutch++", |matrix, random| hutch_plus_plus(matrix, 30, 10, "1", random).unwrap()),
        ("XTrace", |matrix, random| xtrace(matrix, 20, "1", random).unwrap()),
    ];
    let (mut matrix, trace, norm) = network_like(4);
    for (name, method) in methods {
        let outcomes: Vec<TraceOutcome> =
            (0..300).map(|seed| method(&mut matrix, &mut RandomStream::new(seed, 2))).collect();
        for (truth, pick) in [
            (
                trace,
                (|outcome| (outcome.trace.value, standard_error(&outcome.trace))) as fn(&TraceOutcome) -> (f64, f64),
            ),
            (norm * norm, |outcome| {
                let norm = &outcome.frobenius_norm;
                (norm.value.powi(2), 2.0 * norm.value * standard_error(norm))
            }),
        ] {
            let (values, errors): (Vec<f64>, Vec<f64>) = outcomes.iter().map(pick).unzip();
            let (mean, of_mean) = mean_and_error(&values);
            assert!((mean - truth).abs() < 4.0 * of_mean, "{name}: {mean} {truth} {of_mean}");
            let spread = of_mean * 300_f64.sqrt();
            let reported = (dot(&errors, &errors) / 300.0).sqrt();
            assert!((0.6..1.3).contains(&(reported / spread)), "{name}: {reported} {spread}");
        }
    }
}

#[test]
fn sketches_beat_independent_probes_on_outliers() {
    let (mut matrix, trace, _) = network_like(5);
    let mut square = |method: Method| -> f64 {
        (0..50).map(|seed| (method(&mut matrix, &mut RandomStream::new(seed, 3)).trace.value - trace).powi(2)).sum()
    };
    let independent = square(|matrix, random| hutchinson(matrix, 42, "1", random).unwrap());
    let mixed = square(|matrix, random| hutch_plus_plus(matrix, 42, 14, "1", random).unwrap());
    let sketched = square(|matrix, random| xtrace(matrix, 42, "1", random).unwrap());
    assert!(mixed < independent / 4.0 && sketched < mixed, "{independent} {mixed} {sketched}");
}

#[test]
fn a_rank_below_the_sketch_is_traced_exactly_and_stops_early() {
    let mut random = RandomStream::new(6, 0);
    let coefficients = [-1.5, -0.5, 0.5, 1.5, 2.5];
    let vectors = orthonormal(&[(); 5].map(|()| (0..DIM).map(|_| random.normal()).collect()));
    let terms: Vec<(f64, Vec<f64>)> = coefficients.into_iter().zip(vectors).collect();
    let matrix = LowRank::<Infallible>::new(DIM, terms.clone()).unwrap();
    let mut counted = Counted::new(matrix.clone());
    let outcome = xtrace(&mut counted, 40, "1", &mut RandomStream::new(6, 1)).unwrap();
    assert!((outcome.trace.value - 2.5).abs() < 1e-12, "{}", outcome.trace.value);
    assert!((outcome.frobenius_norm.value - 11.25_f64.sqrt()).abs() < 1e-12);
    assert!(standard_error(&outcome.trace) < 1e-12);
    assert_eq!((counted.num_products(), outcome.trace.num_products), (11, 11));
    let found = diagonal_by_sketch(&mut matrix.clone(), 40, &mut RandomStream::new(6, 1)).unwrap();
    for (row, value) in found.values.iter().enumerate() {
        let expected: f64 = terms.iter().map(|(c, v)| c * v[row] * v[row]).sum();
        assert!((value - expected).abs() < 1e-12);
    }
    let mixed = hutch_plus_plus(&mut matrix.clone(), 40, 13, "1", &mut RandomStream::new(6, 1)).unwrap();
    assert!((mixed.trace.value - 2.5).abs() < 1e-11 && mixed.trace.num_products == 40);
    let mut zero = DenseOperator::new(3, vec![0.0; 9]).unwrap();
    assert_eq!(xtrace(&mut zero, 4, "1", &mut RandomStream::new(6, 1)).unwrap().trace.value, 0.0);
}

#[test]
fn every_entry_of_a_diagonal_comes_with_a_calibrated_error() {
    let matrix = normal_matrix(DIM, &mut RandomStream::new(7, 0));
    let found = diagonal(&mut matrix.clone(), 400, &mut RandomStream::new(7, 1)).unwrap();
    let covered = (0..DIM)
        .filter(|row| (found.values[*row] - matrix.entries()[row * (DIM + 1)]).abs() <= 2.0 * found.errors[*row])
        .count();
    // 95 % of 80, within four binomial deviations.
    assert!((68..=80).contains(&covered), "{covered}");
    let (network, ..) = network_like(7);
    let error = |values: &[f64]| -> f64 {
        (0..DIM).map(|row| (values[row] - network.entries()[row * (DIM + 1)]).powi(2)).sum()
    };
    let independent = diagonal(&mut network.clone(), 40, &mut RandomStream::new(7, 1)).unwrap();
    let sketched = diagonal_by_sketch(&mut network.clone(), 40, &mut RandomStream::new(7, 1)).unwrap();
    assert!(error(&sketched.values) < error(&independent.values) / 4.0);
    assert_eq!((independent.num_products, sketched.num_products), (40, 40));
}

#[test]
fn the_budget_chooses_the_method_and_is_kept() {
    let (matrix, ..) = network_like(8);
    let vector = (DIM * 8) as u64;
    for (max_products, max_memory, method) in [
        (29, u64::MAX, TraceMethod::Hutchinson),
        (30, u64::MAX, TraceMethod::XTrace),
        (90, 135 * vector, TraceMethod::XTrace),
        (90, 134 * vector, TraceMethod::HutchPlusPlus),
        (90, 10 * vector, TraceMethod::HutchPlusPlus),
        (90, 9 * vector, TraceMethod::Hutchinson),
        (2, 0, TraceMethod::Hutchinson),
    ] {
        let mut counted = Counted::new(matrix.clone());
        let config = TraceConfig { max_products, relative_error: 0.0, max_memory };
        let outcome = estimate_trace(&mut counted, config, "1", &mut RandomStream::new(8, 1)).unwrap();
        assert_eq!(outcome.method, method, "{max_products} {max_memory}");
        assert_eq!(counted.num_products(), outcome.trace.num_products);
        assert_eq!(outcome.trace.num_products, max_products as u64);
    }
}

#[test]
fn the_run_stops_once_its_standard_error_is_small_enough_and_the_error_is_what_it_says() {
    let (mut matrix, trace, _) = network_like(9);
    for (max_products, relative_error) in [(400, 0.05), (29, 0.3), (400, 0.3)] {
        let (mut deviations, mut stopped) = (0.0, 0);
        for seed in 0..100 {
            let config = TraceConfig { max_products, relative_error, max_memory: u64::MAX };
            let outcome = estimate_trace(&mut matrix, config, "1", &mut RandomStream::new(seed, 1)).unwrap();
            let reached = standard_error(&outcome.trace) <= relative_error * outcome.trace.value.abs();
            assert!(reached || outcome.trace.num_products as usize + 1 >= max_products);
            stopped += usize::from((outcome.trace.num_products as usize) < max_products - 1);
            deviations += (outcome.trace.value / trace - 1.0).powi(2) / 100.0;
        }
        assert!(stopped > 50, "{stopped} stopped early");
        // Stopping at a small error is a selection; it must not cost more than half of it.
        assert!(deviations.sqrt() < 1.5 * relative_error, "{} for {relative_error}", deviations.sqrt());
    }
}

#[test]
fn settings_out_of_range_are_refused_with_what_was_got() {
    let mut matrix = DenseOperator::new(1, vec![1.0]).unwrap();
    let mut random = RandomStream::new(10, 0);
    let refused = xtrace(&mut matrix, 3, "1", &mut random).unwrap_err();
    assert_eq!(refused, TraceError::TooFewProducts { method: TraceMethod::XTrace, got: 3, needed: 4 });
    assert!(refused.to_string().contains("at least 4 products, got 3"));
    assert!(hutch_plus_plus(&mut matrix, 3, 1, "1", &mut random).is_err());
    assert!(diagonal_by_sketch(&mut matrix, 3, &mut random).is_err());
    assert!(diagonal(&mut matrix, 1, &mut random).is_err());
    let config = TraceConfig { max_products: 1, ..TraceConfig::default() };
    assert!(estimate_trace(&mut matrix, config, "1", &mut random).is_err());
    let config = TraceConfig { relative_error: f64::NAN, ..TraceConfig::default() };
    assert!(matches!(estimate_trace(&mut matrix, config, "1", &mut random), Err(TraceError::Setting { .. })));
}
