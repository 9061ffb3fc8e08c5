//! tanh and its slope as operations of Burn: one pass each, on vectors and on all threads, in place where nobody else holds the
//! numbers. Burn's takes one number at a time on one thread, which made a convolutional network five times as slow as ReLU does.

use burn::Tensor;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, Flex, backend_extension};
use stepscope_kernels as kernels;

use super::flex_float::{FlexFloat, changed, changed_by, in_float_of, ready};
use super::graph::record;
use super::is_ours;

/// tanh x.
pub(crate) fn tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if !is_ours(&x) {
        return x.tanh();
    }
    Tensor::from_dispatch(<Dispatch as HyperbolicOps>::tanh(x.into_dispatch()))
}

/// x (1 − y²): the tangent of y = tanh(·), where x is that of its argument.
pub(crate) fn tanh_slope<const D: usize>(x: Tensor<D>, y: Tensor<D>) -> Tensor<D> {
    if !is_ours(&x) {
        return x * y.square().neg().add_scalar(1.0);
    }
    Tensor::from_dispatch(<Dispatch as HyperbolicOps>::tanh_slope(x.into_dispatch(), y.into_dispatch()))
}

/// tanh with its first two derivatives, each as a function of y = tanh x.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait HyperbolicOps: Backend {
    /// tanh x.
    fn tanh(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// v (1 − y²).
    fn tanh_slope(v: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self>;

    /// −2 g v y, with no gradient.
    fn tanh_bend(g: FloatTensor<Self>, v: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl HyperbolicOps for Flex {
    fn tanh(x: FlexTensor) -> FlexTensor {
        in_float_of!(x, E => changed::<E>(x, kernels::tanh_in_place, kernels::tanh))
    }

    fn tanh_slope(v: FlexTensor, y: FlexTensor) -> FlexTensor {
        in_float_of!(v, E => changed_by::<E>(v, y, kernels::tanh_slope_in_place, kernels::tanh_slope))
    }

    fn tanh_bend(g: FlexTensor, v: FlexTensor, y: FlexTensor) -> FlexTensor {
        in_float_of!(g, E => {
            let (v, y) = (ready::<E>(v), ready::<E>(y));
            let (v, y) = (E::read(&v), E::read(&y));
            changed::<E>(g, |g| kernels::tanh_bend_in_place(g, v, y), |g| kernels::tanh_bend(g, v, y))
        })
    }
}

impl<B: HyperbolicOps, C: CheckpointStrategy> HyperbolicOps for Autodiff<B, C> {
    fn tanh(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [x.node()];
        record::<B, C, _, _, 1>(Slope, nodes, B::tanh(x.into_primitive()), Clone::clone)
    }

    fn tanh_slope(v: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [v.node(), y.node()];
        let (v, y) = (v.into_primitive(), y.into_primitive());
        record::<B, C, _, _, 2>(Bend, nodes, B::tanh_slope(v.clone(), y.clone()), |_| (v, y))
    }

    fn tanh_bend(g: FloatTensor<Self>, v: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::from_inner(B::tanh_bend(g.into_primitive(), v.into_primitive(), y.into_primitive()))
    }
}

/// The gradient of tanh; the state is y.
#[derive(Debug)]
struct Slope;

impl<B: HyperbolicOps> Backward<B, 1> for Slope {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = B::tanh_slope(gradients.consume::<B>(&ops.node), ops.state);
        for parent in ops.parents.into_iter().flatten() {
            gradients.register::<B>(parent.id, gradient.clone());
        }
    }
}

/// The gradients of v (1 − y²); the state is v and y.
#[derive(Debug)]
struct Bend;

impl<B: HyperbolicOps> Backward<B, 2> for Bend {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let ([of_v, of_y], (v, y)) = (ops.parents, ops.state);
        if let Some(parent) = of_y {
            gradients.register::<B>(parent.id, B::tanh_bend(gradient.clone(), v, y.clone()));
        }
        if let Some(parent) = of_v {
            gradients.register::<B>(parent.id, B::tanh_slope(gradient, y));
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
        for shape in [[7, 9], [300, 150]] {
            agree([shape, shape], |[a, b]| tanh(a * b).square(), |[a, b]| (a * b).tanh().square());
            agree(
                [shape, shape],
                |[a, b]| tanh_slope(a, b).square(),
                |[a, b]| (a * b.square().neg().add_scalar(1.0)).square(),
            );
        }
    }

    #[test]
    fn numbers_that_are_held_elsewhere_are_not_changed() {
        let device = burn::tensor::Device::flex();
        let x = Tensor::<2>::from_data(numbers([3, 4], 1), &device);
        let before = x.clone().into_data();
        let _ = tanh(x.clone());
        let _ = tanh_slope(x.clone(), x.clone());
        assert_eq!(x.into_data(), before);
    }
}
