//! The Gram route against the dense covariance, the finite population, and the formula of its bias.

use crate::twin::{dot, jacobi_eigenpairs, standard_error};
use stepscope_spectral::random::RandomStream;
use stepscope_spectral::{DenseOperator, GradientSample, GramError, GramSpectrum};

/// `count` vectors m + (√λ_k z_k)_k with z normal.
fn normal_vectors(count: usize, eigenvalues: &[f64], mean: f64, random: &mut RandomStream) -> Vec<Vec<f64>> {
    (0..count).map(|_| eigenvalues.iter().map(|value| mean + value.sqrt() * random.normal()).collect()).collect()
}

/// Σ c_i c_iᵀ / `divisor`, from the definition.
fn covariance(vectors: &[Vec<f64>], divisor: f64) -> DenseOperator {
    let dim = vectors[0].len();
    let mean: Vec<f64> = (0..dim).map(|k| vectors.iter().map(|v| v[k]).sum::<f64>() / vectors.len() as f64).collect();
    let entry = |i: usize, j: usize| vectors.iter().map(|v| (v[i] - mean[i]) * (v[j] - mean[j])).sum::<f64>() / divisor;
    DenseOperator::new(dim, (0..dim * dim).map(|k| entry((k / dim).max(k % dim), (k / dim).min(k % dim))).collect())
        .unwrap()
}

#[test]
fn eigenvalues_and_vectors_are_those_of_the_dense_sample_covariance() {
    let mut random = RandomStream::new(1, 0);
    for (count, dim) in [(5, 12), (30, 8), (9, 9)] {
        // A mean a thousand times the spread must not cost the digits.
        let vectors = normal_vectors(count, &vec![1.0; dim], 1e3, &mut random);
        let spectrum = GramSpectrum::of_vectors(&vectors, GradientSample::Single).unwrap();
        let dense = jacobi_eigenpairs(&covariance(&vectors, count as f64 - 1.0), dim);
        assert_eq!(spectrum.eigenvalues().len(), count - 1);
        let rank = dim.min(count - 1);
        for (index, (eigenvalue, vector)) in dense.iter().take(rank).enumerate() {
            assert!((spectrum.eigenvalues()[index] - eigenvalue).abs() < 1e-9);
            let own = spectrum.eigenvector(index, &vectors).unwrap();
            assert!((dot(&own, &own) - 1.0).abs() < 1e-12);
            assert!(dot(&own, vector).abs() > 1.0 - 1e-7, "{index}: {}", dot(&own, vector));
        }
        assert!(spectrum.eigenvalues()[rank..].iter().all(|value| (0.0..1e-9).contains(value)));
        assert_eq!(spectrum.eigenvector(count - 1, &vectors), None);
        let trace: f64 = dense.iter().map(|pair| pair.0).sum();
        assert!((spectrum.trace("1").value - trace).abs() < 1e-9 * trace);
        assert!((spectrum.trace_over_top() - trace / dense[0].0).abs() < 1e-8);
        assert!(spectrum.trace_over_top() <= count as f64 - 1.0);
    }
}

#[test]
fn inner_products_serve_as_well_as_vectors_and_need_not_be_centred() {
    let vectors = normal_vectors(7, &[3.0, 2.0, 1.0, 0.5], 2.0, &mut RandomStream::new(2, 0));
    let products: Vec<f64> = vectors.iter().flat_map(|a| vectors.iter().map(|b| dot(a, b))).collect();
    let from_products = GramSpectrum::of_inner_products(7, &products, GradientSample::Single).unwrap();
    let from_vectors = GramSpectrum::of_vectors(&vectors, GradientSample::Single).unwrap();
    for (a, b) in from_products.eigenvalues().iter().zip(from_vectors.eigenvalues()) {
        assert!((a - b).abs() < 1e-12);
    }
}

#[test]
fn all_batches_of_a_small_population_give_its_covariance_exactly() {
    let (num_examples, batch_size) = (7, 3);
    let examples = normal_vectors(num_examples, &[4.0, 1.0, 0.2], 0.5, &mut RandomStream::new(3, 0));
    let mut batches = Vec::new();
    for members in (0_u32..1 << num_examples).filter(|bits| bits.count_ones() as usize == batch_size) {
        let mut mean = vec![0.0; 3];
        for example in (0..num_examples).filter(|k| members >> k & 1 == 1) {
            mean.iter_mut().zip(&examples[example]).for_each(|(m, x)| *m += x / batch_size as f64);
        }
        batches.push(mean);
    }
    let sample = GradientSample::WithoutReplacement { batch_size, num_examples };
    let spectrum = GramSpectrum::of_vectors(&batches, sample).unwrap();
    // K divides by N; the sample covariance of all L batches divides by L - 1 instead of L.
    let excess = batches.len() as f64 / (batches.len() as f64 - 1.0);
    let truth = jacobi_eigenpairs(&covariance(&examples, num_examples as f64), 3);
    for (value, (expected, _)) in spectrum.eigenvalues().iter().zip(&truth) {
        assert!((value / excess - expected).abs() < 1e-12, "{value} {expected}");
    }
    let plain = GramSpectrum::of_vectors(&batches, GradientSample::Batches { batch_size }).unwrap();
    assert!((plain.eigenvalues()[0] / spectrum.eigenvalues()[0] - 4.0 / 6.0).abs() < 1e-12);
}

#[test]
fn the_trace_is_unbiased_the_top_is_biased_as_the_formula_says_and_the_bias_can_be_taken_out() {
    // Tr/λ = 15 with 25 vectors, as in the document: 1 + 14/24 = 1.58.
    let eigenvalues: Vec<f64> = [1.0].into_iter().chain(vec![0.1; 140]).collect();
    let (mut top, mut corrected, mut trace, mut bias) = (0.0, 0.0, 0.0, 0.0);
    let (mut covered, repeats) = (0, 200);
    for seed in 0..repeats {
        let vectors = normal_vectors(25, &eigenvalues, 0.0, &mut RandomStream::new(seed, 4));
        let spectrum = GramSpectrum::of_vectors(&vectors, GradientSample::Single).unwrap();
        let share = 1.0 / repeats as f64;
        let truth = spectrum.top_eigenvalue_without_bias();
        let by_formula = truth * (1.0 + (spectrum.trace("1").value / truth - 1.0) / 24.0);
        assert!((by_formula / spectrum.eigenvalues()[0] - 1.0).abs() < 1e-12);
        top += share * spectrum.top_eigenvalue("1").value;
        corrected += share * spectrum.top_eigenvalue_without_bias();
        bias += share * spectrum.relative_bias().unwrap();
        let estimate = spectrum.trace("1");
        trace += share * estimate.value;
        covered += usize::from((estimate.value - 15.0).abs() <= 2.0 * standard_error(&estimate));
    }
    assert!((trace - 15.0).abs() < 0.1, "{trace}");
    assert!((174..=200).contains(&covered), "{covered} of 200 within two standard errors");
    assert!((1.45..1.75).contains(&top), "{top}");
    assert!((corrected - 1.0).abs() < 0.15, "{corrected}");
    assert!((0.35..0.85).contains(&bias), "{bias}");
}

#[test]
fn more_vectors_remove_the_bias_and_the_error_falls_with_their_root() {
    let eigenvalues: Vec<f64> = [1.0].into_iter().chain(vec![0.1; 20]).collect();
    let run = |count: usize| {
        let vectors = normal_vectors(count, &eigenvalues, 0.0, &mut RandomStream::new(5, count as u64));
        GramSpectrum::of_vectors(&vectors, GradientSample::Single).unwrap().top_eigenvalue("1")
    };
    let (few, many) = (run(20), run(320));
    assert!((many.value - 1.0).abs() < 4.0 * standard_error(&many));
    // sd of λ̂ is λ√(2/L) for normal vectors.
    assert!((standard_error(&many) / (2.0_f64 / 320.0).sqrt() - 1.0).abs() < 0.25);
    assert!(standard_error(&few) > 2.0 * standard_error(&many));
}

#[test]
fn equal_vectors_have_no_covariance_and_bad_input_is_refused() {
    let spectrum = GramSpectrum::of_vectors(&vec![vec![0.1, 0.3]; 4], GradientSample::Single).unwrap();
    assert!(spectrum.eigenvalues().iter().all(|value| *value < 1e-30));
    assert_eq!((spectrum.relative_bias(), spectrum.trace_over_top() <= 3.0), (None, true));
    let single = GradientSample::Single;
    assert_eq!(GramSpectrum::of_vectors(&[[1.0], [2.0]], single), Err(GramError::TooFew { got: 2 }));
    let ragged = [vec![1.0], vec![2.0], vec![1.0, 2.0]];
    assert!(matches!(GramSpectrum::of_vectors(&ragged, single), Err(GramError::Length { index: 2, got: 2, .. })));
    let infinite = [[1.0], [f64::INFINITY], [0.0]];
    assert!(matches!(GramSpectrum::of_vectors(&infinite, single), Err(GramError::NotFinite { .. })));
    assert!(GramSpectrum::of_inner_products(3, &[0.0; 8], single).is_err());
    for (batch_size, num_examples) in [(0, 5), (5, 5), (9, 5)] {
        let sample = GradientSample::WithoutReplacement { batch_size, num_examples };
        let refused = GramSpectrum::of_vectors(&[[1.0], [2.0], [4.0]], sample);
        assert_eq!(refused, Err(GramError::Batch { batch_size, num_examples }));
    }
}
