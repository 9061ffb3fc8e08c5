//! ReLU and its gate as operations of Burn: one pass each, on all threads, in place where nobody else holds the numbers.

use burn::Tensor;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::activation;
use stepscope_kernels as kernels;

use super::flex_float::{changed, changed_by, in_float_of};
use super::graph::record;
use super::is_ours;

/// max(x, 0). What is not a number stays so.
pub(crate) fn rectify<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if !is_ours(&x) {
        return activation::relu(x);
    }
    Tensor::from_dispatch(<Dispatch as RectifierOps>::rectify(x.into_dispatch()))
}

/// x where y > 0, else 0, with no gradient for y: the tangent of y = max(·, 0), where x is that of its argument.
pub(crate) fn gate<const D: usize>(x: Tensor<D>, y: Tensor<D>) -> Tensor<D> {
    if !is_ours(&x) {
        return x.mask_fill(y.lower_equal_elem(0.0), 0.0);
    }
    Tensor::from_dispatch(<Dispatch as RectifierOps>::gate(x.into_dispatch(), y.into_dispatch()))
}

/// max(a + b, 0), for tensors of one shape.
pub(crate) fn rectify_sum<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    if !is_ours(&a) || a.dims() != b.dims() {
        return rectify(a + b);
    }
    Tensor::from_dispatch(<Dispatch as RectifierOps>::rectify_sum(a.into_dispatch(), b.into_dispatch()))
}

/// max(x, 0), and the factor of its derivative.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait RectifierOps: Backend {
    /// max(x, 0).
    fn rectify(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// max(a + b, 0).
    fn rectify_sum(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;

    /// x where y > 0, else 0.
    fn gate(x: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl RectifierOps for Flex {
    fn rectify(x: FlexTensor) -> FlexTensor {
        in_float_of!(x, E => changed::<E>(x, kernels::rectify, kernels::rectified))
    }

    fn rectify_sum(a: FlexTensor, b: FlexTensor) -> FlexTensor {
        in_float_of!(a, E => changed_by::<E>(a, b, kernels::rectify_sum, kernels::rectified_sum))
    }

    fn gate(x: FlexTensor, y: FlexTensor) -> FlexTensor {
        in_float_of!(x, E => changed_by::<E>(x, y, kernels::gate, kernels::gated))
    }
}

impl<B: RectifierOps, C: CheckpointStrategy> RectifierOps for Autodiff<B, C> {
    fn rectify(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [x.node()];
        record::<B, C, _, _, 1>(Gate, nodes, B::rectify(x.into_primitive()), Clone::clone)
    }

    fn rectify_sum(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [a.node(), b.node()];
        record::<B, C, _, _, 2>(Gate, nodes, B::rectify_sum(a.into_primitive(), b.into_primitive()), Clone::clone)
    }

    fn gate(x: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self> {
        let (nodes, y) = ([x.node()], y.into_primitive());
        record::<B, C, _, _, 1>(Gate, nodes, B::gate(x.into_primitive(), y.clone()), |_| y)
    }
}

/// All of them pass a gradient on where their y is positive: it is the state.
#[derive(Debug)]
struct Gate;

impl<B: RectifierOps, const N: usize> Backward<B, N> for Gate {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = B::gate(gradients.consume::<B>(&ops.node), ops.state);
        for parent in ops.parents.into_iter().flatten() {
            gradients.register::<B>(parent.id, gradient.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::twins::{agree, numbers};
    use super::*;

    #[test]
    fn values_and_gradients_are_those_of_burn() {
        // The squares make the gradient depend on the values.
        agree([[7, 9], [7, 9]], |[a, b]| rectify(a * b).square(), |[a, b]| activation::relu(a * b).square());
        agree([[300, 150], [300, 150]], |[a, b]| rectify_sum(a, b).square(), |[a, b]| activation::relu(a + b).square());
        agree(
            [[7, 9], [7, 9]],
            |[a, b]| gate(a, b.detach()).square(),
            |[a, b]| {
                let off = b.detach().lower_equal_elem(0.0);
                a.mask_fill(off, 0.0).square()
            },
        );
    }

    #[test]
    fn numbers_that_are_held_elsewhere_are_not_changed() {
        let device = burn::tensor::Device::flex();
        let x = Tensor::<2>::from_data(numbers([3, 4], 1), &device);
        let before = x.clone().into_data();
        let _ = rectify(x.clone());
        let _ = gate(x.clone(), x.clone());
        let _ = rectify_sum(x.clone(), x.clone());
        assert_eq!(x.into_data(), before);
    }
}
