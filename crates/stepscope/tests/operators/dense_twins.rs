//! Small networks, whole matrices: with tangent rules, without, and by brute force.

use stepscope::measure::{BatchLoss, Curvature, CurvatureOperator, Kinks, Objective, Tangents, Targets};
use stepscope::models::ParamLayout;
use stepscope::spectral::{LinearOperator, Restricted};
use stepscope::types::spec::{Activation, ModelKind, Precision};

use crate::common::{digits, dot, model, objective, random_vector, relative_error};
use crate::modules::{Kind, Rows, Rules, TwoLayers, dense, in_micro_batches, matrix_error, product, rows};

const KINDS: [Kind; 3] = [Kind::CrossEntropy, Kind::SquaredError, Kind::Custom { with_hessian: true }];
const DIFFERENCES: Curvature = Curvature::HessianByDifferences { kinks: Kinks::Refuse };

fn network(kind: Kind, rules: Rules, precision: Precision) -> TwoLayers {
    TwoLayers::new(kind, rules, precision)
}

/// g_i of every example, one backward pass each.
fn gradients_one_by_one<N: BatchLoss<Rows>>(network: &N, rows: &Rows) -> Vec<Vec<f64>> {
    let layout = ParamLayout::of(network);
    let alone = in_micro_batches(rows, 1);
    alone
        .micro_batches()
        .map(|(row, _)| Objective::from_batches([row.clone()], |_| 1).loss_and_gradient(network, &layout).unwrap().1)
        .collect()
}

/// (1/n) Σ a_i a_iᵀ.
fn second_moment(vectors: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let (dim, count) = (vectors[0].len(), vectors.len() as f64);
    let entry = |a: usize, b: usize| vectors.iter().map(|v| v[a] * v[b]).sum::<f64>() / count;
    (0..dim).map(|a| (0..dim).map(|b| entry(a, b)).collect()).collect()
}

#[test]
fn the_covariance_and_the_empirical_fisher_matrix_are_those_of_gradients_taken_one_by_one() {
    let rows = rows(23, Precision::F64);
    for kind in KINDS {
        for (rules, tolerance) in [(Rules::All, 1e-12), (Rules::None, 1e-7)] {
            let network = network(kind, rules, Precision::F64);
            let mut gradients = gradients_one_by_one(&network, &rows);
            let objective = in_micro_batches(&rows, 10);
            let fisher = dense(&network, &objective, Curvature::EmpiricalFisher);
            let error = matrix_error(&fisher, &second_moment(&gradients));
            assert!(error < tolerance, "{kind:?} {rules:?}, empirical Fisher: {error:.1e}");
            let (_, mean) = objective.loss_and_gradient(&network, &ParamLayout::of(&network)).unwrap();
            for gradient in &mut gradients {
                gradient.iter_mut().zip(&mean).for_each(|(g, mean)| *g -= mean);
            }
            let covariance = dense(&network, &objective, Curvature::GradientCovariance);
            let error = matrix_error(&covariance, &second_moment(&gradients));
            assert!(error < tolerance, "{kind:?} {rules:?}, covariance: {error:.1e}");
        }
    }
}

#[test]
fn without_tangent_rules_products_are_the_exact_ones_to_the_error_that_is_reported() {
    for (precision, bound) in [(Precision::F64, 1e-7), (Precision::F32, 3e-3)] {
        let objective = in_micro_batches(&rows(30, precision), 30);
        for kind in KINDS {
            for curvature in [Curvature::GaussNewton, Curvature::GradientCovariance, Curvature::EmpiricalFisher] {
                let exact = network(kind, Rules::All, precision);
                let differenced = network(kind, Rules::None, precision);
                let layout = ParamLayout::of(&differenced);
                let v = random_vector(layout.num_params(), 2);
                let mut operator = CurvatureOperator::new(&differenced, &objective, &layout, curvature);
                let mut image = vec![0.0; v.len()];
                operator.apply(&v, &mut image).unwrap();
                let Some(Tangents::Differences(calibration)) = operator.tangents() else { panic!("{curvature:?}") };
                let error = relative_error(&image, &product(&exact, &objective, curvature, &v));
                assert!(calibration.relative_change < bound, "{precision:?} {kind:?} {curvature:?}: {calibration:?}");
                // The reported change is of tangents; the product may enlarge it by its condition, which is small here.
                assert!(error < 10.0 * calibration.relative_change + 1e-6, "{kind:?} {curvature:?}: {error:.1e}");
            }
        }
    }
}

#[test]
fn the_exact_hessian_is_the_one_by_differences_and_exceeds_gauss_newton_by_the_residual_term() {
    let objective = in_micro_batches(&rows(30, Precision::F64), 11);
    for kind in KINDS {
        let exact = network(kind, Rules::All, Precision::F64);
        let hessian = dense(&exact, &objective, Curvature::Hessian);
        let differenced = dense(&network(kind, Rules::None, Precision::F64), &objective, DIFFERENCES);
        let error = matrix_error(&differenced, &hessian);
        assert!(error < 1e-7, "{kind:?}: {error:.1e}");
        let gauss_newton = dense(&exact, &objective, Curvature::GaussNewton);
        assert!(matrix_error(&gauss_newton, &hessian) > 0.05, "{kind:?}: a tanh network is not linear");
    }
}

#[test]
fn the_monte_carlo_fisher_matrix_nears_gauss_newton_as_the_root_of_its_draws() {
    let objective = in_micro_batches(&rows(12, Precision::F64), 12);
    for kind in [Kind::CrossEntropy, Kind::SquaredError] {
        let network = network(kind, Rules::All, Precision::F64);
        let limit = dense(&network, &objective, Curvature::GaussNewton);
        let error = |samples: u32| {
            let squares = (0..4).map(|seed| {
                let fisher = dense(&network, &objective, Curvature::MonteCarloFisher { samples, seed });
                matrix_error(&fisher, &limit).powi(2)
            });
            (squares.sum::<f64>() / 4.0).sqrt()
        };
        let (few, many) = (error(4), error(400));
        assert!(many < 0.2, "{kind:?}: {many:.2}");
        // A hundredfold number of draws: a tenth of the error, within what four seeds resolve.
        assert!((4.0..25.0).contains(&(few / many)), "{kind:?}: {few:.3} {many:.3}");
    }
}

#[test]
fn micro_batches_change_no_matrix_whatever_their_size() {
    let rows = rows(30, Precision::F64);
    let curvatures = [
        Curvature::Hessian,
        DIFFERENCES,
        Curvature::GaussNewton,
        Curvature::GradientCovariance,
        Curvature::EmpiricalFisher,
        Curvature::MonteCarloFisher { samples: 3, seed: 5 },
    ];
    for rules in [Rules::All, Rules::None] {
        let network = network(Kind::CrossEntropy, rules, Precision::F64);
        let v = random_vector(ParamLayout::of(&network).num_params(), 3);
        for curvature in curvatures {
            if (rules, curvature) == (Rules::None, Curvature::Hessian) {
                continue;
            }
            let whole = product(&network, &in_micro_batches(&rows, 30), curvature, &v);
            for size in [1, 7, 29] {
                let error = relative_error(&product(&network, &in_micro_batches(&rows, size), curvature, &v), &whole);
                // Differences divide the rounding of sums by their distance.
                let is_exact = rules == Rules::All && curvature != DIFFERENCES;
                let bound = if is_exact { 1e-13 } else { 1e-8 };
                assert!(error < bound, "{rules:?} {curvature:?}, micro-batches of {size}: {error:.1e}");
            }
        }
    }
}

#[test]
fn a_matrix_restricted_to_layers_by_name_is_its_block() {
    let network = network(Kind::CrossEntropy, Rules::All, Precision::F64);
    let (objective, layout) = (in_micro_batches(&rows(12, Precision::F64), 12), ParamLayout::of(&network));
    let whole = dense(&network, &objective, Curvature::Hessian);
    let operator = CurvatureOperator::new(&network, &objective, &layout, Curvature::Hessian);
    let ranges = layout.matching("sec*").unwrap();
    let (first, dim) = (ranges[0].start, ranges[0].len());
    let mut block = Restricted::new(operator, ranges).unwrap();
    let (v, mut image) = (random_vector(dim, 6), vec![0.0; dim]);
    block.apply(&v, &mut image).unwrap();
    let expected: Vec<f64> = (0..dim).map(|row| dot(&whole[first + row][first..first + dim], &v)).collect();
    assert!(relative_error(&image, &expected) < 1e-12);
}

#[test]
fn a_network_of_the_program_takes_real_targets_as_well_as_labels() {
    let dataset = digits();
    let network = model(ModelKind::Mlp, Activation::Tanh, Precision::F64, &dataset);
    let of_labels = objective(&dataset, 20, Precision::F64);
    let batches = of_labels.micro_batches().map(|(batch, _)| Targets::one_hot(batch, 10));
    let of_targets = Objective::from_batches(batches, |batch| batch.targets.dims()[0]);
    let v = random_vector(ParamLayout::of(&network).num_params(), 4);
    let exact = product(&network, &of_targets, Curvature::Hessian, &v);
    let error = relative_error(&product(&network, &of_targets, DIFFERENCES, &v), &exact);
    assert!(error < 1e-6, "{error:.1e}");
    let other = product(&network, &of_labels, Curvature::Hessian, &v);
    assert!(relative_error(&other, &exact) > 0.1, "cross-entropy is another loss");
}

#[test]
fn measuring_by_differences_leaves_the_network_bit_for_bit_as_it_was() {
    let network = network(Kind::CrossEntropy, Rules::None, Precision::F32);
    let layout = ParamLayout::of(&network);
    let before = layout.values(&network);
    let objective = in_micro_batches(&rows(10, Precision::F32), 4);
    for curvature in [DIFFERENCES, Curvature::GaussNewton, Curvature::MonteCarloFisher { samples: 1, seed: 1 }] {
        product(&network, &objective, curvature, &random_vector(before.len(), 5));
    }
    assert_eq!(layout.values(&network), before);
}
