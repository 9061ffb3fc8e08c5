//! Norms of the examples' gradients from one backward pass over all of them, without forming a single one.

use std::collections::HashSet;

use burn::Tensor;
use burn::module::ParamId;
use burn::tensor::Gradients;
use burn::tensor::module::unfold4d;
use burn::tensor::ops::UnfoldOptions;

use super::batch_loss::BatchLoss;
use super::error::ProductError;
use crate::models::{ParamLayout, Pass, Tap};

/// Numbers of patches or gradients that are held at a time.
const MOST_NUMBERS: usize = 1 << 24;

/// ‖g_i‖² of every example of `batch`, or `None` where a parameter of the layout belongs to a layer that does not say what it saw, or is
/// used more than once.
pub(super) fn ghost_norms<N: BatchLoss<B>, B>(
    network: &N,
    layout: &ParamLayout,
    batch: &B,
    len: usize,
) -> Result<Option<Vec<f64>>, ProductError> {
    let pass = Pass::tapped();
    let Some(loss) = network.loss_along(batch, &pass) else { return Ok(None) };
    let losses = loss.parts(len)?.per_example.value;
    let taps = pass.taps();
    let wanted: HashSet<ParamId> = layout.parts().map(|(_, id, _)| id).collect();
    let given: Vec<ParamId> = taps.iter().flat_map(Tap::params).filter(|id| wanted.contains(id)).collect();
    let once: HashSet<ParamId> = given.iter().copied().collect();
    let rows_are_examples = taps.iter().all(|tap| match tap {
        Tap::Dense { input, rows_per_example, .. } => input.dims()[0] == len * rows_per_example,
        Tap::Convolution { input, .. } => input.dims()[0] == len,
        Tap::Scale { input, .. } => input.dims()[0] == len,
    });
    if len == 0 || given.len() != once.len() || once != wanted || !rows_are_examples {
        return Ok(None);
    }
    let gradients = losses.sum().backward();
    let mut squares = vec![0.0; len];
    for tap in &taps {
        for part in tap_squares(tap, &gradients, len, &wanted) {
            squares.iter_mut().zip(part).for_each(|(sum, square)| *sum += square);
        }
    }
    Ok(Some(squares))
}

/// What the parameters of one layer add to the squares.
fn tap_squares(tap: &Tap, gradients: &Gradients, len: usize, wanted: &HashSet<ParamId>) -> Vec<Vec<f64>> {
    let is_wanted = |id: &ParamId| wanted.contains(id);
    match tap {
        Tap::Dense { params: [weight, bias], input, zeros, rows_per_example } => {
            let Some(delta) = zeros.grad(gradients) else { return Vec::new() };
            let ([_, inputs], [_, outputs]) = (input.dims(), delta.dims());
            let x = input.clone().reshape([len, *rows_per_example, inputs]).swap_dims(1, 2);
            let delta = delta.reshape([len, *rows_per_example, outputs]);
            let of_weight = is_wanted(weight).then(|| of_products(x, delta.clone()));
            let of_bias = is_wanted(bias).then(|| of_sums(delta.swap_dims(1, 2)));
            of_weight.into_iter().chain(of_bias).collect()
        }
        Tap::Convolution { weight, bias, input, zeros, kernel, stride, padding } => {
            let Some(delta) = zeros.grad(gradients) else { return Vec::new() };
            let [_, outputs, rows, columns] = delta.dims();
            let delta = delta.reshape([len, outputs, rows * columns]);
            let of_bias = bias.as_ref().filter(|bias| is_wanted(bias)).map(|_| of_sums(delta.clone()));
            let of_weight = is_wanted(weight).then(|| {
                let width = input.dims()[1] * kernel[0] * kernel[1];
                let most = (MOST_NUMBERS / (width * outputs.max(rows * columns))).max(1);
                let part = |start: usize| {
                    let range = start..(start + most).min(len);
                    let options = UnfoldOptions::new([*stride; 2], [*padding; 2], [1, 1]);
                    let patches = unfold4d(input.clone().slice([range.clone()]), *kernel, options);
                    of_products(patches, delta.clone().slice([range]).swap_dims(1, 2))
                };
                (0..len).step_by(most).flat_map(part).collect()
            });
            of_weight.into_iter().chain(of_bias).collect()
        }
        Tap::Scale { params: [gamma, beta], input, zeros } => {
            let Some(delta) = zeros.grad(gradients) else { return Vec::new() };
            let of_gamma = is_wanted(gamma).then(|| of_sums(input.clone() * delta.clone()));
            let of_beta = is_wanted(beta).then(|| of_sums(delta));
            of_gamma.into_iter().chain(of_beta).collect()
        }
    }
}

/// ‖Σ_t x_t δ_tᵀ‖² a row of x `[n, inputs, t]`, δ `[n, t, outputs]`: from the norms alone where there is one t.
fn of_products(x: Tensor<3>, delta: Tensor<3>) -> Vec<f64> {
    if x.dims()[2] == 1 {
        let (x, delta) = (squares(x), squares(delta));
        return x.into_iter().zip(delta).map(|(x, delta)| x * delta).collect();
    }
    squares(x.matmul(delta))
}

/// ‖Σ_t δ_t‖² a row of δ `[n, outputs, t]`.
fn of_sums(delta: Tensor<3>) -> Vec<f64> {
    squares(delta.sum_dim(2))
}

/// The sum of squares a row of `[n, ...]`.
fn squares(x: Tensor<3>) -> Vec<f64> {
    let x: Tensor<2> = x.flatten(1, 2);
    x.square().sum_dim(1).into_data().iter::<f64>().collect()
}
