//! How an operation of our own enters the graph of a backward pass.

use std::fmt::Debug;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::ops::{Backward, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend};

/// `output` as the result of `operation` on the tensors of `nodes`, with what its backward pass needs; nothing is kept where no
/// gradient is asked for.
pub(super) fn record<B, C, O, S, const N: usize>(
    operation: O,
    nodes: [burn::backend::autodiff::ops::NodeGuard; N],
    output: FloatTensor<B>,
    state: impl FnOnce(&FloatTensor<B>) -> S,
) -> FloatTensor<Autodiff<B, C>>
where
    B: Backend,
    C: CheckpointStrategy,
    O: Backward<B, N, State = S>,
    S: Clone + Debug + Send + 'static,
{
    match operation.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let state = state(&output);
            prep.finish(state, output)
        }
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}
