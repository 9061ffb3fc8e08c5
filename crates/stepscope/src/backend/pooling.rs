//! Max-pooling as operations of Burn that keep no table of places.

use burn::Tensor;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::module;
use burn::tensor::ops::MaxPoolOptions;
use stepscope_kernels::MaxPool;

use super::flex_float::{FlexFloat, in_float_of, ready};
use super::graph::record;
use super::is_ours;

/// The largest of every `size` x `size` square of x `[batch, channels, rows, columns]`, and the tangents that stand where the maxima
/// do.
pub(crate) fn max_pool2d(x: Tensor<4>, tangent: Option<Tensor<4>>, size: usize) -> (Tensor<4>, Option<Tensor<4>>) {
    if !is_ours(&x) || size == 0 {
        return by_burn(x, tangent, size);
    }
    let x = x.into_dispatch();
    let tangent = tangent.map(|tangent| {
        Tensor::from_dispatch(<Dispatch as PoolingOps>::at_maxima(tangent.into_dispatch(), x.clone(), size))
    });
    (Tensor::from_dispatch(<Dispatch as PoolingOps>::maxima(x, size)), tangent)
}

fn by_burn(x: Tensor<4>, tangent: Option<Tensor<4>>, size: usize) -> (Tensor<4>, Option<Tensor<4>>) {
    let [batch, channels, rows, columns] = x.dims();
    let (value, indices) = module::max_pool2d_with_indices(x, MaxPoolOptions::new([size, size]));
    let pooled = value.dims();
    let tangent = tangent.map(|tangent| {
        tangent
            .reshape([batch, channels, rows * columns])
            .gather(2, indices.reshape([batch as i32, channels as i32, -1]))
            .reshape(pooled)
    });
    (value, tangent)
}

/// Maxima of squares side by side.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait PoolingOps: Backend {
    /// The maxima of x.
    fn maxima(x: FloatTensor<Self>, size: usize) -> FloatTensor<Self>;

    /// What `values` holds where x has its maxima, with no gradient for x.
    fn at_maxima(values: FloatTensor<Self>, x: FloatTensor<Self>, size: usize) -> FloatTensor<Self>;
}

/// What the backward pass of both needs.
pub(crate) trait Spread: Backend {
    /// Zeros, but `gradient` where x has its maxima.
    fn spread(gradient: FloatTensor<Self>, x: FloatTensor<Self>, size: usize) -> FloatTensor<Self>;
}

impl PoolingOps for Flex {
    fn maxima(x: FlexTensor, size: usize) -> FlexTensor {
        Self::at_maxima(x.clone(), x, size)
    }

    fn at_maxima(values: FlexTensor, x: FlexTensor, size: usize) -> FlexTensor {
        in_float_of!(x, E => {
            let (pool, outer) = pool(&x, size);
            let (values, x) = (ready::<E>(values), ready::<E>(x));
            let shape = [outer.as_slice(), &pool.output_size()].concat();
            E::tensor(pool.pick(E::read(&x), E::read(&values)), &shape)
        })
    }
}

impl Spread for Flex {
    fn spread(gradient: FlexTensor, x: FlexTensor, size: usize) -> FlexTensor {
        in_float_of!(x, E => {
            let (pool, _) = pool(&x, size);
            let (gradient, x) = (ready::<E>(gradient), ready::<E>(x));
            E::tensor(pool.spread(E::read(&x), E::read(&gradient)), &x.shape().to_vec())
        })
    }
}

/// The pooling of x, and the axes in front of rows and columns.
fn pool(x: &FlexTensor, size: usize) -> (MaxPool, Vec<usize>) {
    let mut outer = x.shape().to_vec();
    let columns = outer.pop().unwrap_or(1);
    let rows = outer.pop().unwrap_or(1);
    (MaxPool { rows, columns, size }, outer)
}

impl<B: PoolingOps + Spread, C: CheckpointStrategy> PoolingOps for Autodiff<B, C> {
    fn maxima(x: FloatTensor<Self>, size: usize) -> FloatTensor<Self> {
        let (nodes, x) = ([x.node()], x.into_primitive());
        record::<B, C, _, _, 1>(AtMaxima, nodes, B::maxima(x.clone(), size), |_| (x, size))
    }

    fn at_maxima(values: FloatTensor<Self>, x: FloatTensor<Self>, size: usize) -> FloatTensor<Self> {
        let (nodes, x) = ([values.node()], x.into_primitive());
        let output = B::at_maxima(values.into_primitive(), x.clone(), size);
        record::<B, C, _, _, 1>(AtMaxima, nodes, output, |_| (x, size))
    }
}

/// Both operations hand a gradient to where their x has its maxima: x is the state, with the size of a square.
#[derive(Debug)]
struct AtMaxima;

impl<B: Spread> Backward<B, 1> for AtMaxima {
    type State = (FloatTensor<B>, usize);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (x, size) = ops.state;
        if let [Some(parent)] = ops.parents {
            gradients.register::<B>(parent.id, B::spread(gradient, x, size));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::twins::agree;
    use super::*;

    /// Maxima of values, and of tangents where there are some, over windows of a size.
    type Pool = fn(Tensor<4>, Option<Tensor<4>>, usize) -> (Tensor<4>, Option<Tensor<4>>);

    #[test]
    fn maxima_their_tangents_and_gradients_are_those_of_burn() {
        for (shape, size) in [([2, 3, 8, 6], 2), ([2, 3, 7, 9], 2), ([1, 2, 9, 7], 3), ([40, 8, 30, 30], 2)] {
            agree([shape], |[x]| max_pool2d(x, None, size).0.square(), |[x]| by_burn(x, None, size).0.square());
            let of_tangents = |pool: Pool| {
                move |[x, tangent]: [Tensor<4>; 2]| {
                    let (value, tangent) = pool(x, Some(tangent), size);
                    tangent.map_or(value.clone(), |tangent| tangent.square() * value)
                }
            };
            agree([shape, shape], of_tangents(max_pool2d), of_tangents(by_burn));
        }
    }
}
