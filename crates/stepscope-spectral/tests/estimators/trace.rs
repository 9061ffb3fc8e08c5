//! Trace and Frobenius norm: calibrated errors, the known variance, exact cases.

use crate::twin::{dot, normal_matrix, standard_error};
use stepscope_spectral::random::RandomStream;
use stepscope_spectral::{Counted, DenseOperator, TraceError, hutchinson};
use stepscope_types::Estimate;

const DIM: usize = 40;

fn trace(matrix: &DenseOperator) -> f64 {
    matrix.entries().iter().step_by(DIM + 1).sum()
}

/// Trace and norm over `num_seeds` independent runs of `num_probes`.
fn runs(matrix: &DenseOperator, num_probes: usize, num_seeds: u64) -> Vec<(Estimate, Estimate)> {
    (0..num_seeds)
        .map(|seed| {
            let mut random = RandomStream::new(seed, num_probes as u64);
            let outcome = hutchinson(&mut matrix.clone(), num_probes, "1", &mut random).unwrap();
            (outcome.trace, outcome.frobenius_norm)
        })
        .collect()
}

#[test]
fn intervals_of_two_standard_errors_cover_the_truth_as_often_as_they_should() {
    let matrix = normal_matrix(DIM, &mut RandomStream::new(1, 0));
    let norm = dot(matrix.entries(), matrix.entries()).sqrt();
    let runs = runs(&matrix, 60, 200);
    let covered = |pick: fn(&(Estimate, Estimate)) -> &Estimate, truth: f64, width: f64| {
        let hit = |run: &&(Estimate, Estimate)| {
            let estimate = pick(run);
            (estimate.value - truth).abs() <= width * standard_error(estimate)
        };
        runs.iter().filter(hit).count()
    };
    // Normal coverage of 1 and 2 standard errors: 68 and 95 % of 200, within four binomial deviations.
    for (width, low, high) in [(1.0, 110, 163), (2.0, 178, 200)] {
        let trace_hits = covered(|run| &run.0, trace(&matrix), width);
        let norm_hits = covered(|run| &run.1, norm, width);
        assert!((low..=high).contains(&trace_hits), "trace, {width}: {trace_hits}");
        assert!((low..=high).contains(&norm_hits), "norm, {width}: {norm_hits}");
    }
}

#[test]
fn the_spread_over_seeds_is_the_formula_s_and_falls_with_the_root_of_the_probes() {
    let matrix = normal_matrix(DIM, &mut RandomStream::new(2, 0));
    let diagonal: f64 = matrix.entries().iter().step_by(DIM + 1).map(|x| x * x).sum();
    let variance = 2.0 * (dot(matrix.entries(), matrix.entries()) - diagonal);
    for num_probes in [4, 16, 64] {
        let runs = runs(&matrix, num_probes, 400);
        let spread: f64 = runs.iter().map(|run| (run.0.value - trace(&matrix)).powi(2)).sum::<f64>() / 400.0;
        let reported: f64 = runs.iter().map(|run| standard_error(&run.0).powi(2)).sum::<f64>() / 400.0;
        // The mean of 400 squares has a standard error of 7 %.
        let expected = variance / num_probes as f64;
        assert!((spread / expected - 1.0).abs() < 0.3, "{num_probes} probes: {spread} {expected}");
        assert!((reported / expected - 1.0).abs() < 0.3, "{num_probes} probes: {reported} {expected}");
    }
}

#[test]
fn a_diagonal_matrix_has_no_error_at_all() {
    let entries = (0..9).map(|k| if k % 4 == 0 { f64::from(k) - 3.0 } else { 0.0 }).collect();
    let mut matrix = DenseOperator::new(3, entries).unwrap();
    let outcome = hutchinson(&mut matrix, 5, "1", &mut RandomStream::new(3, 0)).unwrap();
    assert_eq!((outcome.trace.value, standard_error(&outcome.trace)), (3.0, 0.0));
    assert!((outcome.frobenius_norm.value - 35_f64.sqrt()).abs() < 1e-14);
    let mut zero = DenseOperator::new(2, vec![0.0; 4]).unwrap();
    let outcome = hutchinson(&mut zero, 2, "1", &mut RandomStream::new(3, 0)).unwrap();
    assert_eq!((outcome.trace.value, outcome.frobenius_norm.value), (0.0, 0.0));
    assert_eq!(standard_error(&outcome.frobenius_norm), 0.0);
}

#[test]
fn products_units_and_scale_are_kept() {
    let matrix = normal_matrix(DIM, &mut RandomStream::new(4, 0));
    let mut counted = Counted::new(matrix.clone());
    let outcome = hutchinson(&mut counted, 7, "1/learning-rate", &mut RandomStream::new(4, 0)).unwrap();
    assert_eq!((counted.num_products(), outcome.trace.num_products, outcome.frobenius_norm.num_products), (7, 7, 7));
    assert_eq!(outcome.trace.unit, "1/learning-rate");
    for factor in [2_f64.powi(-500), 2_f64.powi(500)] {
        let scaled = matrix.entries().iter().map(|x| x * factor).collect();
        let mut scaled = DenseOperator::new(DIM, scaled).unwrap();
        let other = hutchinson(&mut scaled, 7, "1", &mut RandomStream::new(4, 0)).unwrap();
        for (a, b) in [(&outcome.trace, &other.trace), (&outcome.frobenius_norm, &other.frobenius_norm)] {
            assert!((b.value / factor / a.value - 1.0).abs() < 1e-13);
            assert!((standard_error(b) / factor / standard_error(a) - 1.0).abs() < 1e-13);
        }
    }
}

#[test]
fn one_probe_has_no_standard_error_and_is_refused() {
    let mut matrix = DenseOperator::new(1, vec![1.0]).unwrap();
    for num_probes in [0, 1] {
        let result = hutchinson(&mut matrix, num_probes, "1", &mut RandomStream::new(5, 0));
        assert_eq!(result, Err(TraceError::TooFewProbes { num_probes }));
    }
}
