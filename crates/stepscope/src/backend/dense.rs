//! The product of a matrix of rows with weights, which may keep what later passes at the same point need again.

use burn::Tensor;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};

use super::is_ours;
use super::kept::Kept;

/// x W of rows x `[rows, inputs]` and weights W `[inputs, outputs]`: Burn's own product, with what is kept of it.
pub(crate) fn dense(x: Tensor<2>, weights: Tensor<2>, kept: &Kept) -> Tensor<2> {
    if kept.is_none() || !is_ours(&x) {
        return x.matmul(weights);
    }
    let (x, weights) = (x.into_dispatch(), weights.into_dispatch());
    Tensor::from_dispatch(<Dispatch as DenseOps>::multiply(x, weights, kept.clone()))
}

/// A product with weights.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait DenseOps: Backend {
    /// x W. What is to be kept is, where there is a graph.
    fn multiply(x: FloatTensor<Self>, weights: FloatTensor<Self>, _kept: Kept) -> FloatTensor<Self> {
        Self::float_matmul(x, weights)
    }
}

impl DenseOps for Flex {}

impl<B: DenseOps, C: CheckpointStrategy> DenseOps for Autodiff<B, C> {
    fn multiply(x: FloatTensor<Self>, weights: FloatTensor<Self>, kept: Kept) -> FloatTensor<Self> {
        let nodes = [x.node(), weights.node()];
        let (x_is_tracked, weights_are_tracked) = (x.is_tracked(), weights.is_tracked());
        match Multiply.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                // Each factor's gradient needs the other one.
                let x_node = weights_are_tracked.then(|| prep.checkpoint(&x));
                let weights_node = x_is_tracked.then(|| prep.checkpoint(&weights));
                let (x, weights) = (x.into_primitive(), weights.into_primitive());
                let output = kept.output(|| B::float_matmul(x, weights));
                prep.finish(Factors { x: x_node, weights: weights_node, kept }, output)
            }
            OpsKind::UnTracked(prep) => {
                let (x, weights) = (x.into_primitive(), weights.into_primitive());
                prep.finish(kept.output(|| B::float_matmul(x, weights)))
            }
        }
    }
}

/// x W in a graph.
#[derive(Debug)]
struct Multiply;

/// What a backward pass needs.
#[derive(Debug, Clone)]
struct Factors {
    x: Option<NodeId>,
    weights: Option<NodeId>,
    kept: Kept,
}

impl<B: DenseOps> Backward<B, 2> for Multiply {
    type State = Factors;

    fn backward(self, ops: Ops<Factors, 2>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let Factors { x, weights, kept } = ops.state;
        // Taken out whether used or not: that is how often they are counted on.
        let [x, weights] = [x, weights].map(|id| id.map(|id| checkpointer.retrieve_node_output::<FloatTensor<B>>(id)));
        let [x_node, weights_node] = ops.parents;
        let gradient = gradients.consume::<B>(&ops.node);
        if let (Some(node), Some(weights)) = (x_node, weights) {
            let gradient = gradient.clone();
            let of_x = kept.input_gradient(|| B::float_matmul(gradient, B::float_transpose(weights)));
            gradients.register::<B>(node.id, of_x);
        }
        if let (Some(node), Some(x)) = (weights_node, x) {
            gradients.register::<B>(node.id, B::float_matmul(B::float_transpose(x), gradient));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::kept::{Allowance, Slot};
    use super::super::twins::agree;
    use super::*;

    #[test]
    fn products_and_gradients_are_those_of_burn() {
        let none_held = || {
            let allowance = Allowance::new(u64::MAX);
            let slot = || Some(Slot::new(&allowance));
            Kept { output: slot(), input_gradient: slot() }
        };
        agree([[7, 9], [9, 9]], |[x, w]| dense(x, w, &none_held()).square(), |[x, w]| x.matmul(w).square());
        let constant = |x: Tensor<2>| x.detach();
        agree(
            [[7, 9], [9, 9]],
            |[x, w]| dense(constant(x), w, &none_held()).square(),
            |[x, w]| constant(x).matmul(w).square(),
        );
    }
}
