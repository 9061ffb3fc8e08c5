//! Composed operators against the dense matrices they stand for.

use std::convert::Infallible;

use crate::twin::{dot, jacobi_eigenpairs, normal_matrix};
use stepscope_spectral::random::RandomStream;
use stepscope_spectral::{
    Affine, ComposeError, DenseOperator, LinearOperator, LowRank, Preconditioned, Restricted, Sum, symmetry_defect,
};

const DIM: usize = 12;

/// The matrix of an operator, column by column.
fn matrix_of<O: LinearOperator<Error = Infallible>>(mut operator: O) -> Vec<f64> {
    let dim = operator.dim();
    let mut entries = Vec::new();
    for column in 0..dim {
        let (mut unit, mut image) = (vec![0.0; dim], vec![f64::NAN; dim]);
        unit[column] = 1.0;
        operator.apply(&unit, &mut image).unwrap();
        entries.extend(image);
    }
    entries
}

fn check<O: LinearOperator<Error = Infallible>>(operator: O, expected: impl Fn(usize, usize) -> f64) {
    let dim = operator.dim();
    for (k, entry) in matrix_of(operator).into_iter().enumerate() {
        let (row, column) = (k % dim, k / dim);
        assert!((entry - expected(row, column)).abs() < 1e-13, "({row}, {column}): {entry}");
    }
}

#[test]
fn every_composition_is_the_matrix_its_formula_says() {
    let mut random = RandomStream::new(1, 0);
    let (a, b) = (normal_matrix(DIM, &mut random), normal_matrix(DIM, &mut random));
    let entry = |matrix: &DenseOperator, row: usize, column: usize| matrix.entries()[row * DIM + column];
    let identity = |row: usize, column: usize| if row == column { 1.0 } else { 0.0 };

    let affine = Affine::new(a.clone(), -2.0, 0.5).unwrap();
    check(affine, |i, j| -2.0 * entry(&a, i, j) + 0.5 * identity(i, j));

    check(Sum::new(a.clone(), b.clone()).unwrap(), |i, j| entry(&a, i, j) + entry(&b, i, j));

    let diagonal: Vec<f64> = (0..DIM).map(|_| random.uniform() + 0.1).collect();
    let preconditioned = Preconditioned::new(a.clone(), &diagonal).unwrap();
    check(preconditioned, |i, j| diagonal[i].sqrt() * entry(&a, i, j) * diagonal[j].sqrt());

    let indices = [1, 2, 3, 7, 10, 11];
    let block = Restricted::new(a.clone(), vec![1..4, 7..8, 10..12]).unwrap();
    check(block.clone(), |i, j| entry(&a, indices[i], indices[j]));
    let embedded = block.embed(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(embedded, [0.0, 1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 4.0, 0.0, 0.0, 5.0, 6.0]);

    let (u, v) = (a.entries()[..DIM].to_vec(), b.entries()[..DIM].to_vec());
    let low_rank = LowRank::<Infallible>::new(DIM, vec![(-1.0, u.clone()), (3.0, v.clone())]).unwrap();
    check(low_rank, |i, j| 3.0 * v[i] * v[j] - u[i] * u[j]);
}

#[test]
fn blocks_can_be_used_again_and_compositions_nest() {
    let mut random = RandomStream::new(2, 0);
    let a = normal_matrix(DIM, &mut random);
    let low = LowRank::new(DIM, vec![(2.0, vec![1.0; DIM])]).unwrap();
    let nested = Restricted::new(Sum::new(Affine::new(a, 0.5, 1.0).unwrap(), low).unwrap(), vec![2..5, 6..12]).unwrap();
    assert_eq!(matrix_of(nested.clone()), matrix_of(nested.clone()));
    assert!(symmetry_defect(&mut nested.clone(), &mut random).unwrap() < 1e-14);
}

#[test]
fn the_preconditioned_operator_has_the_eigenvalues_of_d_a_and_gives_its_directions() {
    let mut random = RandomStream::new(3, 0);
    let a = normal_matrix(DIM, &mut random);
    let diagonal: Vec<f64> = (0..DIM).map(|_| random.uniform() + 0.1).collect();
    let operator = Preconditioned::new(a.clone(), &diagonal).unwrap();
    let mut entries = matrix_of(operator.clone());
    for row in 0..DIM {
        for column in 0..row {
            entries[column * DIM + row] = entries[row * DIM + column];
        }
    }
    for (eigenvalue, vector) in jacobi_eigenpairs(&DenseOperator::new(DIM, entries).unwrap(), DIM) {
        let direction = operator.direction(&vector);
        for (row, d) in diagonal.iter().enumerate() {
            let image = d * dot(&a.entries()[row * DIM..][..DIM], &direction);
            assert!((image - eigenvalue * direction[row]).abs() < 1e-11);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_with_what_was_got() {
    let matrix = |dim: usize| DenseOperator::new(dim, vec![0.0; dim * dim]).unwrap();
    assert!(matches!(Sum::new(matrix(2), matrix(3)).err(), Some(ComposeError::Dimension { got: 3, expected: 2, .. })));
    assert!(matches!(Affine::new(matrix(2), f64::NAN, 0.0).err(), Some(ComposeError::Factor { index: 0, .. })));
    for diagonal in [vec![1.0, 0.0], vec![1.0, -1.0], vec![1.0, f64::INFINITY]] {
        let refused = Preconditioned::new(matrix(2), &diagonal).err();
        assert!(matches!(refused, Some(ComposeError::Factor { index: 1, .. })), "{refused:?}");
    }
    assert!(Preconditioned::new(matrix(2), &[1.0]).is_err());
    assert!(LowRank::<Infallible>::new(2, vec![(1.0, vec![1.0])]).is_err());
    for (start, end) in [(0, 5), (3, 3), (0, 1)] {
        let refused = Restricted::new(matrix(4), vec![0..2, start..end]).err();
        assert_eq!(refused, Some(ComposeError::Range { start, end, dim: 4 }));
    }
}
