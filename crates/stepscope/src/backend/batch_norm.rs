//! Batch normalisation by the statistics of the batch, with the rectifier that may follow, as one operation of Burn.

use burn::Tensor;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use stepscope_kernels::Element;

use super::flex_float::{FlexFloat, changed, in_float_of, layout, ready};
use super::graph::record;
use super::is_ours;

/// What [`batch_norm`] gives.
pub(crate) struct BatchNormed {
    /// y, of the shape of x.
    pub(crate) output: Tensor<3>,
    /// m, `[channels]`, not followed by a backward pass.
    pub(crate) mean: Tensor<1>,
    /// s², with divisor n, `[channels]`, likewise.
    pub(crate) variance: Tensor<1>,
}

/// y = γ (x − m) / √(s² + ε) + β for every channel of x `[batch, channels, pixels]` with its own mean and variance over batch and
/// pixels; `rectify`: max(y, 0). `None` on devices where Burn's own operations have to do it.
pub(crate) fn batch_norm(
    x: &Tensor<3>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
    rectify: bool,
) -> Option<BatchNormed> {
    if !is_ours(x) || x.shape().num_elements() == 0 {
        return None;
    }
    let (x, gamma, beta) = (x.clone().into_dispatch(), gamma.into_dispatch(), beta.into_dispatch());
    let (output, mean, variance) = <Dispatch as BatchNormOps>::normalise(x, gamma, beta, epsilon, rectify);
    let [mean, variance] = [mean, variance].map(Tensor::from_dispatch);
    Some(BatchNormed { output: Tensor::from_dispatch(output), mean, variance })
}

/// Normalisation by the statistics of the batch.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait BatchNormOps: Backend {
    /// y, m and s².
    fn normalise(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
        rectify: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// Its gradients.
pub(crate) trait BatchNormBackward: Backend {
    /// The gradients with respect to x, γ and β, from that with respect to y.
    ///
    /// With x̂ = (x − m) r, r = (s² + ε)^(−1/2): ∂β = Σ g, ∂γ = Σ g x̂, ∂x = γ r (g − mean g − x̂ mean g x̂).
    fn normalise_backward(gradient: FloatTensor<Self>, state: State<Self>) -> [FloatTensor<Self>; 3];
}

/// What the backward pass needs.
#[derive(Debug, Clone)]
pub(crate) struct State<B: Backend> {
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    mean: FloatTensor<B>,
    variance: FloatTensor<B>,
    epsilon: f64,
    rectify: bool,
}

impl BatchNormOps for Flex {
    fn normalise(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        epsilon: f64,
        rectify: bool,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        in_float_of!(x, E => {
            let [x, gamma, beta] = [x, gamma, beta].map(ready::<E>);
            let layout = layout(&x);
            let moments = layout.moments(E::read(&x));
            let mean: Vec<E> = moments.iter().map(|(mean, _)| E::narrow(*mean)).collect();
            let variance: Vec<E> = moments.iter().map(|(_, variance)| E::narrow(*variance)).collect();
            let lines = lines(&mean, &variance, E::read(&gamma), E::read(&beta), epsilon);
            let output = layout.affine(E::read(&x), &lines, rectify);
            let channels = [layout.channels];
            (E::tensor(output, &x.shape().to_vec()), E::tensor(mean, &channels), E::tensor(variance, &channels))
        })
    }
}

impl BatchNormBackward for Flex {
    fn normalise_backward(gradient: FlexTensor, state: State<Self>) -> [FlexTensor; 3] {
        let State { x, gamma, beta, mean, variance, epsilon, rectify } = state;
        in_float_of!(x, E => {
            let [g, x, gamma, beta, mean, variance] = [gradient, x, gamma, beta, mean, variance].map(ready::<E>);
            let layout = layout(&x);
            let (means, variances) = (E::read(&mean), E::read(&variance));
            let lines = lines(means, variances, E::read(&gamma), E::read(&beta), epsilon);
            let gates = rectify.then_some(lines.as_slice());
            let sums = layout.sums(E::read(&g), E::read(&x), means, gates);
            let count = (E::read(&x).len() / layout.channels.max(1)) as f64;
            let inverse_roots = variances.iter().map(|variance| inverse_root(variance.widen(), epsilon));
            let gamma_gradient = sums.iter().zip(inverse_roots.clone()).map(|((_, gc), root)| E::narrow(gc * root));
            let gamma_gradient: Vec<E> = gamma_gradient.collect();
            let beta_gradient = sums.iter().map(|(g, _)| E::narrow(*g)).collect();
            // ∂x = a g + b x + c: with the mean of g x̂ in b, those of g and of x in c.
            let factors: Vec<[E; 3]> = sums
                .iter()
                .zip(inverse_roots)
                .zip(means.iter().zip(E::read(&gamma)))
                .map(|((&(g, gc), root), (mean, gamma))| {
                    let a = gamma.widen() * root;
                    let b = -a * root * root * gc / count;
                    [a, b, -a * g / count - b * mean.widen()].map(E::narrow)
                })
                .collect();
            let (x, factors) = (E::read(&x), &factors);
            let x_gradient = changed::<E>(
                g,
                |g| layout.combine_in_place(g, x, factors, gates),
                |g| layout.combine(g, x, factors, gates),
            );
            let channels = [layout.channels];
            [
                x_gradient,
                E::tensor(gamma_gradient, &channels),
                E::tensor(beta_gradient, &channels),
            ]
        })
    }
}

/// (s² + ε)^(−1/2).
fn inverse_root(variance: f64, epsilon: f64) -> f64 {
    (variance + epsilon).sqrt().recip()
}

/// y = s x + t: the pairs (s, t) of all channels.
fn lines<E: FlexFloat>(mean: &[E], variance: &[E], gamma: &[E], beta: &[E], epsilon: f64) -> Vec<(E, E)> {
    mean.iter()
        .zip(variance)
        .zip(gamma.iter().zip(beta))
        .map(|((mean, variance), (gamma, beta))| {
            let scale = gamma.widen() * inverse_root(variance.widen(), epsilon);
            (E::narrow(scale), E::narrow(beta.widen() - scale * mean.widen()))
        })
        .collect()
}

impl<B: BatchNormOps + BatchNormBackward, C: CheckpointStrategy> BatchNormOps for Autodiff<B, C> {
    fn normalise(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
        rectify: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [x.node(), gamma.node(), beta.node()];
        let [x, gamma, beta] = [x, gamma, beta].map(|tensor| tensor.into_primitive());
        let (output, mean, variance) = B::normalise(x.clone(), gamma.clone(), beta.clone(), epsilon, rectify);
        let (own_mean, own_variance) = (mean.clone(), variance.clone());
        let output = record::<B, C, _, _, 3>(Normalise, nodes, output, |_| State {
            x,
            gamma,
            beta,
            mean: own_mean,
            variance: own_variance,
            epsilon,
            rectify,
        });
        (output, Self::from_inner(mean), Self::from_inner(variance))
    }
}

/// y in a graph.
#[derive(Debug)]
struct Normalise;

impl<B: BatchNormBackward> Backward<B, 3> for Normalise {
    type State = State<B>;

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let found = B::normalise_backward(gradient, ops.state);
        for (parent, found) in ops.parents.into_iter().zip(found) {
            if let Some(parent) = parent {
                gradients.register::<B>(parent.id, found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::twins::agree;
    use super::*;

    const EPSILON: f64 = 1e-5;

    /// The layer in Burn's operations.
    fn by_burn([x, gamma, beta]: [Tensor<3>; 3], rectify: bool) -> Tensor<3> {
        let channels = x.dims()[1];
        let row = |t: Tensor<3>| t.slice([0..1, 0..channels, 0..1]);
        let mean = x.clone().mean_dim(2).mean_dim(0);
        let centred = x - mean;
        let variance = centred.clone().square().mean_dim(2).mean_dim(0);
        let y = centred * variance.add_scalar(EPSILON).sqrt().recip() * row(gamma) + row(beta);
        if rectify { burn::tensor::activation::relu(y) } else { y }
    }

    fn by_us([x, gamma, beta]: [Tensor<3>; 3], rectify: bool) -> Tensor<3> {
        let channels = x.dims()[1];
        let row = |t: Tensor<3>| t.slice([0..1, 0..channels, 0..1]).reshape([channels]);
        batch_norm(&x, row(gamma), row(beta), EPSILON, rectify).unwrap().output
    }

    #[test]
    fn values_and_gradients_are_those_of_burns_operations() {
        for shape in [[6, 3, 10], [50, 4, 1], [40, 8, 144]] {
            for rectify in [false, true] {
                // The cube makes the gradients of the sum depend on the values.
                agree(
                    [shape; 3],
                    |arguments| by_us(arguments, rectify).powi_scalar(3),
                    |arguments| by_burn(arguments, rectify).powi_scalar(3),
                );
            }
        }
    }
}
