//! What layers saw on a pass that is to give the norms of the examples' gradients.

use burn::Tensor;
use burn::module::ParamId;

/// The input of a layer, and zeros that were added to its output: the gradient of a sum of losses by them is δ, what a backward pass
/// brings to the layer from behind, example by example.
///
/// Where examples do not see each other, the gradient of one example's loss by the layer's parameters is a product of its own rows
/// of input and δ. Source: `curvature`, section 4.6.
#[derive(Debug, Clone)]
pub(crate) enum Tap {
    /// y = x W + b: Σ_rows x δᵀ and Σ_rows δ.
    Dense {
        /// W and b.
        params: [ParamId; 2],
        /// x, `[rows, inputs]`, an example's rows one after the other.
        input: Tensor<2>,
        /// `[rows, outputs]`.
        zeros: Tensor<2>,
        /// Rows that belong to one example.
        rows_per_example: usize,
    },
    /// A convolution in one group: Σ_places patch δᵀ and Σ_places δ.
    Convolution {
        /// W.
        weight: ParamId,
        /// b, where there is one.
        bias: Option<ParamId>,
        /// x, `[batch, channels, rows, columns]`.
        input: Tensor<4>,
        /// `[batch, out_channels, rows, columns]`.
        zeros: Tensor<4>,
        /// Sides of the kernel.
        kernel: [usize; 2],
        /// Distance between two applications.
        stride: usize,
        /// Zeros on every side.
        padding: usize,
    },
    /// y = γ x + β, γ and β one a channel: Σ_places x δ and Σ_places δ.
    Scale {
        /// γ and β.
        params: [ParamId; 2],
        /// x, `[batch, channels, places]`.
        input: Tensor<3>,
        /// Of the same shape.
        zeros: Tensor<3>,
    },
}

impl Tap {
    /// The parameters whose gradients it gives.
    pub(crate) fn params(&self) -> Vec<ParamId> {
        match self {
            Self::Dense { params, .. } | Self::Scale { params, .. } => params.to_vec(),
            Self::Convolution { weight, bias, .. } => std::iter::once(*weight).chain(*bias).collect(),
        }
    }
}

/// The tensor without what a backward pass would need.
pub(super) fn plain<const D: usize>(tensor: &Tensor<D>) -> Tensor<D> {
    if tensor.is_autodiff() { tensor.clone().inner() } else { tensor.clone() }
}
