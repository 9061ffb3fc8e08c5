//! The spectral measure against moments and eigen-decompositions computed densely.

use crate::twin::{dot, jacobi_eigenpairs, normal_matrix};
use proptest::prelude::*;
use stepscope_spectral::random::RandomStream;
use stepscope_spectral::{Counted, DenseOperator, LanczosError, LinearOperator, spectral_measure};

fn normal_vector(dim: usize, random: &mut RandomStream) -> Vec<f64> {
    let mut vector = vec![0.0; dim];
    random.fill_normal(&mut vector);
    vector
}

/// bᵀ Aᵏ b for k = 0..count, by repeated products, with Σ |terms| as the scale of rounding.
fn moments(matrix: &mut DenseOperator, vector: &[f64], count: usize) -> Vec<f64> {
    let mut power = vector.to_vec();
    let mut image = vector.to_vec();
    (0..count)
        .map(|_| {
            let moment = dot(vector, &power);
            matrix.apply(&power, &mut image).unwrap();
            std::mem::swap(&mut power, &mut image);
            moment
        })
        .collect()
}

proptest! {
    #[test]
    fn moments_agree_up_to_twice_the_products_less_one_and_no_further(
        seed: u64, dim in 10_usize..30, num_products in 1_usize..7,
    ) {
        let mut random = RandomStream::new(seed, 0);
        let mut matrix = normal_matrix(dim, &mut random);
        let vector = normal_vector(dim, &mut random);
        let measure = spectral_measure(&mut matrix, &vector, num_products).unwrap();
        prop_assert!(!measure.exact);
        prop_assert_eq!(measure.num_products, num_products as u64);
        prop_assert_eq!(measure.spectrum.num_modes(), num_products);
        let radius = jacobi_eigenpairs(&matrix, dim).iter().fold(0.0, |r: f64, pair| r.max(pair.0.abs()));
        for (k, expected) in moments(&mut matrix, &vector, 2 * num_products + 1).into_iter().enumerate() {
            let quadrature: f64 = measure.spectrum.pairs().map(|(node, weight)| weight * node.powi(k as i32)).sum();
            let scale = dot(&vector, &vector) * radius.powi(k as i32);
            let error = (quadrature - expected).abs() / scale;
            if k < 2 * num_products {
                prop_assert!(error < 1e-13, "moment {k}: {error}");
            } else {
                prop_assert!(quadrature < expected, "the next moment is smaller by the product of all β²");
            }
        }
    }

    #[test]
    fn an_exhausted_krylov_space_gives_the_weight_along_every_eigenvector(seed: u64, dim in 1_usize..12) {
        let mut random = RandomStream::new(seed, 0);
        let mut matrix = normal_matrix(dim, &mut random);
        let vector = normal_vector(dim, &mut random);
        let measure = spectral_measure(&mut matrix, &vector, 100).unwrap();
        prop_assert!(measure.exact);
        for ((node, weight), (eigenvalue, eigenvector)) in
            measure.spectrum.pairs().zip(jacobi_eigenpairs(&matrix, dim))
        {
            prop_assert!((node - eigenvalue).abs() < 1e-11);
            prop_assert!((weight - dot(&vector, &eigenvector).powi(2)).abs() < 1e-7 * dot(&vector, &vector));
        }
    }
}

#[test]
fn a_vector_in_a_small_invariant_subspace_is_measured_with_as_few_products() {
    let mut diagonal = vec![0.0; 100];
    for index in 0..10 {
        diagonal[index * 11] = index as f64;
    }
    let mut operator = Counted::new(DenseOperator::new(10, diagonal).unwrap());
    let mut vector = vec![0.0; 10];
    (vector[2], vector[7]) = (3.0, 4.0);
    let measure = spectral_measure(&mut operator, &vector, 50).unwrap();
    assert!(measure.exact);
    assert_eq!((measure.num_products, operator.num_products()), (2, 2));
    for ((node, weight), (eigenvalue, square)) in measure.spectrum.pairs().zip([(7.0, 16.0), (2.0, 9.0)]) {
        assert!((node - eigenvalue).abs() < 1e-13 && (weight - square).abs() < 1e-12);
    }
}

#[test]
fn vectors_without_direction_and_too_few_products_are_refused() {
    let mut matrix = DenseOperator::new(2, vec![1.0, 0.0, 0.0, 2.0]).unwrap();
    assert_eq!(spectral_measure(&mut matrix, &[0.0; 2], 3), Err(LanczosError::StartNorm { norm: 0.0 }));
    assert_eq!(spectral_measure(&mut matrix, &[1.0; 3], 3), Err(LanczosError::StartLength { got: 3, expected: 2 }));
    assert!(matches!(spectral_measure(&mut matrix, &[1.0; 2], 0), Err(LanczosError::Setting { .. })));
    // The weights would be squares of 1e200.
    assert!(matches!(spectral_measure(&mut matrix, &[1e200; 2], 2), Err(LanczosError::Spectrum(_))));
    let mut empty = DenseOperator::new(0, vec![]).unwrap();
    assert_eq!(spectral_measure(&mut empty, &[], 3), Err(LanczosError::EmptyOperator));
}
