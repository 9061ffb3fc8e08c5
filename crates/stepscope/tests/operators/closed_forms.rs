//! Problems whose matrices can be written down.

use burn::Tensor;
use burn::module::{Module, Param};
use stepscope::measure::{BatchLoss, Curvature, Kinks, Loss, Objective};
use stepscope::types::spec::Precision;

use crate::modules::{CLASSES, INPUTS, Rows, dense, in_micro_batches, matrix_error, normal, parameter, rows};

const DIFFERENCES: Curvature = Curvature::HessianByDifferences { kinks: Kinks::Refuse };

/// x -> Wᵀx, with squared error or cross-entropy.
#[derive(Module, Debug)]
struct LinearModel {
    weight: Param<Tensor<2>>,
    #[module(skip)]
    is_regression: bool,
}

impl BatchLoss<Rows> for LinearModel {
    fn loss(&self, batch: &Rows) -> Loss {
        let outputs = batch.features.clone().matmul(self.weight.val());
        if self.is_regression {
            Loss::mean_squared_error(outputs, batch.targets.clone())
        } else {
            Loss::cross_entropy(outputs, batch.labels.clone())
        }
    }
}

fn linear_model(is_regression: bool) -> LinearModel {
    LinearModel { weight: parameter([INPUTS, CLASSES], Precision::F64, 5), is_regression }
}

fn host<const D: usize>(tensor: &Tensor<D>) -> Vec<f64> {
    tensor.to_data().iter::<f64>().collect()
}

/// (1/n) Σ_i x_i x_iᵀ ⊗ M_i with W stored row by row: entry (a c, b d) is x_a x_b M_cd.
fn sum_of_products(batch: &Rows, of_example: impl Fn(usize) -> Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let (x, count) = (host(&batch.features), batch.labels.dims()[0]);
    let dim = INPUTS * CLASSES;
    let mut matrix = vec![vec![0.0; dim]; dim];
    for i in 0..count {
        let m = of_example(i);
        for (row, entries) in matrix.iter_mut().enumerate() {
            for (column, entry) in entries.iter_mut().enumerate() {
                let (a, c, b, d) = (row / CLASSES, row % CLASSES, column / CLASSES, column % CLASSES);
                *entry += x[i * INPUTS + a] * x[i * INPUTS + b] * m[c][d] / count as f64;
            }
        }
    }
    matrix
}

fn outer(a: &[f64]) -> Vec<Vec<f64>> {
    a.iter().map(|x| a.iter().map(|y| x * y).collect()).collect()
}

/// softmax of every row of outputs.
fn probabilities(outputs: &[f64]) -> Vec<Vec<f64>> {
    let softmax = |row: &[f64]| {
        let total: f64 = row.iter().map(|z| z.exp()).sum();
        row.iter().map(|z| z.exp() / total).collect()
    };
    outputs.chunks(CLASSES).map(softmax).collect()
}

/// A − g gᵀ.
fn centred(mut matrix: Vec<Vec<f64>>, gradient: &[f64]) -> Vec<Vec<f64>> {
    for (row, g) in matrix.iter_mut().zip(gradient) {
        row.iter_mut().zip(gradient).for_each(|(entry, h)| *entry -= g * h);
    }
    matrix
}

fn gradient<N: BatchLoss<Rows>>(network: &N, objective: &Objective<Rows>) -> Vec<f64> {
    objective.loss_and_gradient(network, &stepscope::models::ParamLayout::of(network)).unwrap().1
}

#[test]
fn linear_regression_has_the_second_moment_of_its_features_as_hessian_and_gauss_newton_matrix() {
    let (batch, network) = (rows(17, Precision::F64), linear_model(true));
    let objective = in_micro_batches(&batch, 5);
    let two_thirds = |c: usize, d: usize| if c == d { 2.0 / CLASSES as f64 } else { 0.0 };
    let expected =
        sum_of_products(&batch, |_| (0..CLASSES).map(|c| (0..CLASSES).map(|d| two_thirds(c, d)).collect()).collect());
    for (curvature, tolerance) in [(Curvature::GaussNewton, 1e-8), (DIFFERENCES, 1e-8)] {
        let error = matrix_error(&dense(&network, &objective, curvature), &expected);
        assert!(error < tolerance, "{curvature:?}: {error:.1e}");
    }
    let off: Vec<f64> = host(&(batch.features.clone().matmul(network.weight.val()) - batch.targets.clone()));
    let residual = |i: usize| -> Vec<f64> { off[i * CLASSES..][..CLASSES].iter().map(|r| r * 2.0 / 3.0).collect() };
    let second_moment = sum_of_products(&batch, |i| outer(&residual(i)));
    let error = matrix_error(&dense(&network, &objective, Curvature::EmpiricalFisher), &second_moment);
    assert!(error < 1e-8, "empirical Fisher: {error:.1e}");
    let covariance = centred(second_moment, &gradient(&network, &objective));
    let error = matrix_error(&dense(&network, &objective, Curvature::GradientCovariance), &covariance);
    assert!(error < 1e-8, "covariance: {error:.1e}");
}

#[test]
fn logistic_regression_has_its_fisher_matrix_as_hessian() {
    let (batch, network) = (rows(17, Precision::F64), linear_model(false));
    let objective = in_micro_batches(&batch, 17);
    let p = probabilities(&host(&batch.features.clone().matmul(network.weight.val())));
    let fisher = sum_of_products(&batch, |i| {
        let diagonal = |c: usize, d: usize| if c == d { p[i][c] } else { 0.0 };
        (0..CLASSES).map(|c| (0..CLASSES).map(|d| diagonal(c, d) - p[i][c] * p[i][d]).collect()).collect()
    });
    for curvature in [Curvature::GaussNewton, DIFFERENCES] {
        let error = matrix_error(&dense(&network, &objective, curvature), &fisher);
        assert!(error < 1e-7, "{curvature:?}: {error:.1e}");
    }
    let labels: Vec<i64> = batch.labels.to_data().iter::<i64>().collect();
    let score = |i: usize| -> Vec<f64> {
        (0..CLASSES).map(|c| p[i][c] - f64::from(u8::from(labels[i] as usize == c))).collect()
    };
    let covariance = centred(sum_of_products(&batch, |i| outer(&score(i))), &gradient(&network, &objective));
    let error = matrix_error(&dense(&network, &objective, Curvature::GradientCovariance), &covariance);
    assert!(error < 1e-7, "covariance: {error:.1e}");
}

/// ℓ_i = ½ ‖diag(a)^½ (θ − c_i)‖²: minima c_i scattered about zero.
#[derive(Module, Debug)]
struct NoisyQuadratic {
    position: Param<Tensor<1>>,
    #[module(skip)]
    curvatures: [f64; INPUTS],
}

impl BatchLoss<Rows> for NoisyQuadratic {
    fn loss(&self, batch: &Rows) -> Loss {
        let examples = batch.labels.dims()[0];
        let off = self.position.val().reshape([1, INPUTS]).expand([examples, INPUTS]) - batch.features.clone();
        let curvatures = Tensor::<1>::from_data(self.curvatures, (&off.device(), off.dtype())).unsqueeze::<2>();
        Loss::per_example((off.square() * curvatures).sum_dim(1).reshape([examples]) * 0.5)
    }
}

#[test]
fn a_noisy_quadratic_has_its_curvature_and_the_covariance_of_its_minima() {
    let batch = rows(40, Precision::F64);
    let curvatures = [0.1, 1.0, 3.0, 10.0, 0.5];
    let network = NoisyQuadratic { position: parameter([INPUTS], Precision::F64, 6), curvatures };
    let objective = in_micro_batches(&batch, 16);
    let hessian = dense(&network, &objective, DIFFERENCES);
    let expected: Vec<Vec<f64>> =
        (0..INPUTS).map(|a| (0..INPUTS).map(|b| if a == b { curvatures[a] } else { 0.0 }).collect()).collect();
    assert!(matrix_error(&hessian, &expected) < 1e-8);
    let x = host(&batch.features);
    let mean = |f: &dyn Fn(usize) -> f64| (0..40).map(f).sum::<f64>() / 40.0;
    let centre: Vec<f64> = (0..INPUTS).map(|a| mean(&|i| x[i * INPUTS + a])).collect();
    let covariance: Vec<Vec<f64>> = (0..INPUTS)
        .map(|a| {
            let entry = |b: usize| {
                let product = |i: usize| (x[i * INPUTS + a] - centre[a]) * (x[i * INPUTS + b] - centre[b]);
                curvatures[a] * curvatures[b] * mean(&product)
            };
            (0..INPUTS).map(entry).collect()
        })
        .collect();
    let error = matrix_error(&dense(&network, &objective, Curvature::GradientCovariance), &covariance);
    assert!(error < 1e-8, "{error:.1e}");
}

/// Losses of sequences are means over positions.
#[derive(Module, Debug)]
struct Positions {
    logits: Param<Tensor<3>>,
}

impl BatchLoss<usize> for Positions {
    fn loss(&self, &examples: &usize) -> Loss {
        let labels = rows(examples * 2, Precision::F64).labels.reshape([examples, 2]);
        Loss::sequence_cross_entropy(self.logits.val(), labels)
    }
}

#[test]
fn the_loss_of_a_sequence_is_the_mean_of_its_positions() {
    let logits = normal([4, 2, CLASSES], Precision::F64, 7);
    let network = Positions { logits: Param::from_tensor(logits.clone()) };
    let objective = Objective::from_batches([4_usize], |&examples| examples);
    let p = probabilities(&host(&logits));
    let labels: Vec<i64> = rows(8, Precision::F64).labels.to_data().iter::<i64>().collect();
    let of_rows: Vec<f64> = (0..8).map(|row| -p[row][labels[row] as usize].ln()).collect();
    let expected: Vec<f64> = of_rows.chunks(2).map(|pair| (pair[0] + pair[1]) / 2.0).collect();
    let got = objective.per_example_losses(&network).unwrap();
    assert!(got.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-12), "{got:?} {expected:?}");
    let error =
        matrix_error(&dense(&network, &objective, Curvature::GaussNewton), &dense(&network, &objective, DIFFERENCES));
    assert!(error < 1e-7, "logits themselves are parameters, so both are the Hessian: {error:.1e}");
}
