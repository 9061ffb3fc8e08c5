//! Max and average pooling.

use burn::tensor::module;
use burn::tensor::ops::AvgPoolOptions;

use crate::backend;
use crate::models::Dual;

/// The largest value of every `size` x `size` square, squares side by side; `size` is at least 1.
///
/// Tangent: that of the element which holds the maximum. Where two elements tie the first one is taken: a kink,
/// as in ReLU.
pub fn max_pool2d(x: Dual<4>, size: usize) -> Dual<4> {
    let (value, tangent) = backend::max_pool2d(x.value, x.tangent, size);
    Dual { value, tangent }
}

/// The mean of every `size` x `size` square, squares side by side; `size` is at least 1. Linear, so the tangent is pooled likewise.
pub fn avg_pool2d(x: Dual<4>, size: usize) -> Dual<4> {
    let options = AvgPoolOptions::new([size, size]);
    x.linear(|x| module::avg_pool2d(x, options.clone()))
}

/// The mean of every channel over all rows and columns, `[batch, channels]`.
pub fn global_avg_pool2d(x: Dual<4>) -> Dual<2> {
    let [batch, channels, rows, columns] = x.value.dims();
    x.linear(|x| x.reshape([batch, channels, rows * columns]).mean_dim(2).reshape([batch, channels]))
}
