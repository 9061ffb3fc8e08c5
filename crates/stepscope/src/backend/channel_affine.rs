//! s x + t with a factor and a shift a channel, as one operation of Burn.

use burn::Tensor;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use stepscope_kernels::Element;

use super::flex_float::{FlexFloat, in_float_of, layout, ready};
use super::graph::record;
use super::is_ours;

/// s x + t for x `[batch, channels, pixels]` and s, t `[channels]`.
pub(crate) fn channel_affine(x: Tensor<3>, scale: Tensor<1>, shift: Tensor<1>) -> Tensor<3> {
    if !is_ours(&x) || x.shape().num_elements() == 0 {
        return x * scale.reshape([1, -1, 1]) + shift.reshape([1, -1, 1]);
    }
    let [scale, shift] = [scale, shift].map(Tensor::into_dispatch);
    Tensor::from_dispatch(<Dispatch as ChannelAffineOps>::channel_affine(x.into_dispatch(), scale, shift))
}

/// A linear map that is the same within a channel.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait ChannelAffineOps: Backend {
    /// s x + t.
    fn channel_affine(x: FloatTensor<Self>, scale: FloatTensor<Self>, shift: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// Its gradients with respect to s and t.
pub(crate) trait ChannelProducts: Backend {
    /// Σ g x and Σ g of every channel.
    fn channel_products(gradient: FloatTensor<Self>, x: FloatTensor<Self>) -> [FloatTensor<Self>; 2];
}

impl ChannelAffineOps for Flex {
    fn channel_affine(x: FlexTensor, scale: FlexTensor, shift: FlexTensor) -> FlexTensor {
        in_float_of!(x, E => {
            let [x, scale, shift] = [x, scale, shift].map(ready::<E>);
            let lines: Vec<(E, E)> = E::read(&scale).iter().copied().zip(E::read(&shift).iter().copied()).collect();
            E::tensor(layout(&x).affine(E::read(&x), &lines, false), &x.shape().to_vec())
        })
    }
}

impl ChannelProducts for Flex {
    fn channel_products(gradient: FlexTensor, x: FlexTensor) -> [FlexTensor; 2] {
        in_float_of!(x, E => {
            let [gradient, x] = [gradient, x].map(ready::<E>);
            let (layout, centres) = (layout(&x), []);
            let sums = layout.sums(E::read(&gradient), E::read(&x), &centres, None);
            let products = sums.iter().map(|(_, product)| E::narrow(*product)).collect();
            let plain = sums.iter().map(|(sum, _)| E::narrow(*sum)).collect();
            [E::tensor(products, &[layout.channels]), E::tensor(plain, &[layout.channels])]
        })
    }
}

impl<B: ChannelAffineOps + ChannelProducts, C: CheckpointStrategy> ChannelAffineOps for Autodiff<B, C> {
    fn channel_affine(x: FloatTensor<Self>, scale: FloatTensor<Self>, shift: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [x.node(), scale.node(), shift.node()];
        let [x, scale, shift] = [x, scale, shift].map(|tensor| tensor.into_primitive());
        let output = B::channel_affine(x.clone(), scale.clone(), shift);
        record::<B, C, _, _, 3>(Affine, nodes, output, |_| (x, scale))
    }
}

/// s x + t in a graph; x and s are the state.
#[derive(Debug)]
struct Affine;

impl<B: ChannelAffineOps + ChannelProducts> Backward<B, 3> for Affine {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (x, scale) = ops.state;
        let [x_node, scale_node, shift_node] = ops.parents;
        if scale_node.is_some() || shift_node.is_some() {
            let [products, sums] = B::channel_products(gradient.clone(), x);
            for (node, found) in [(scale_node, products), (shift_node, sums)] {
                if let Some(node) = node {
                    gradients.register::<B>(node.id, found);
                }
            }
        }
        if let Some(node) = x_node {
            let zeros = B::float_sub(scale.clone(), scale.clone());
            gradients.register::<B>(node.id, B::channel_affine(gradient, scale, zeros));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::twins::agree;
    use super::*;

    #[test]
    fn values_and_gradients_are_those_of_burns_operations() {
        for shape in [[6, 3, 10], [50, 4, 1], [40, 8, 144]] {
            let row = |t: Tensor<3>| t.slice([0..1, 0..shape[1], 0..1]);
            agree(
                [shape; 3],
                |[x, s, t]| channel_affine(x, row(s).reshape([shape[1]]), row(t).reshape([shape[1]])).square(),
                |[x, s, t]| (x * row(s) + row(t)).square(),
            );
        }
    }
}
