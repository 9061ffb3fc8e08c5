//! The kernel of a network's tangents.

use burn::Tensor;

use super::operators::{ProductError, objective::Objective};
use crate::models::{Dual, Network, ParamLayout, Pass};

/// K_ij = ⟨∇f(x_i), ∇f(x_j)⟩ over N examples, with the residuals f(x_i) − t_i: everything that squared-error training of the
/// linearised network depends on.
///
/// Source: `loss-prediction`, section 1; Jacot et al. 2018.
#[derive(Debug, Clone, PartialEq)]
pub struct TangentKernel {
    /// K, row by row, N x N, symmetric.
    pub kernel: Vec<f64>,
    /// f(x_i) − t_i.
    pub residual: Vec<f64>,
}

/// A network whose tangents make no kernel of examples.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TangentKernelError {
    /// Several outputs.
    #[error(
        "the tangent kernel of examples is that of one number by squared difference, and this network has {num_outputs} \
         outputs for its targets: set data.targets = \"number\""
    )]
    NotOneNumber {
        /// Outputs of the network.
        num_outputs: usize,
    },
    /// A layer without a tangent rule.
    #[error(transparent)]
    Product(#[from] ProductError),
}

impl TangentKernel {
    /// The kernel of `network` at its present weights over the examples of `objective`, both on the tracked device.
    ///
    /// A row is one backward pass over one example and one forward pass along its gradient over all: 2N² to 3N² forward
    /// passes of an example in all, N² numbers of memory.
    ///
    /// # Errors
    /// [`TangentKernelError`] unless the target is a number, and where a layer has no tangent rule.
    pub fn of<N: Network>(network: &N, objective: &Objective) -> Result<Self, TangentKernelError> {
        let plain = network.valid();
        let (layout, plain_layout) = (ParamLayout::of(network), ParamLayout::of(&plain));
        let mut residual = Vec::with_capacity(objective.num_examples());
        for (batch, _) in objective.micro_batches() {
            let outputs = plain.logits(Dual::constant(to_plain(&batch.images)), &Pass::values()).value;
            let targets = batch.target.real(&outputs, &batch.labels);
            let num_outputs = outputs.dims()[1];
            match targets {
                Some(targets) if num_outputs == 1 => {
                    residual.extend((outputs - to_plain(&targets)).into_data().iter::<f64>());
                }
                _ => return Err(TangentKernelError::NotOneNumber { num_outputs }),
            }
        }
        let mut kernel = Vec::with_capacity(residual.len() * residual.len());
        for (batch, _) in objective.micro_batches() {
            for example in 0..batch.len() {
                let image = batch.slice(example..example + 1).images;
                let output = network.logits(Dual::constant(image), &Pass::values()).value.sum();
                let gradient = layout.gradient(network, &mut output.backward());
                kernel.extend(Self::row(&plain, objective, &plain_layout, &gradient)?);
            }
        }
        Ok(Self { kernel, residual })
    }

    /// ⟨∇f(x_i), v⟩ for every example.
    fn row<N: Network>(
        plain: &N,
        objective: &Objective,
        layout: &ParamLayout,
        v: &[f64],
    ) -> Result<Vec<f64>, TangentKernelError> {
        let pass = layout.pass_along(v);
        let mut row = Vec::with_capacity(objective.num_examples());
        for (batch, _) in objective.micro_batches() {
            let outputs = plain.logits(Dual::constant(to_plain(&batch.images)), &pass);
            if let Some(fault) = pass.fault() {
                return Err(ProductError::from(fault).into());
            }
            match outputs.tangent {
                Some(tangent) => row.extend(tangent.into_data().iter::<f64>()),
                None => row.extend(std::iter::repeat_n(0.0, batch.len())),
            }
        }
        Ok(row)
    }
}

fn to_plain<const D: usize>(tensor: &Tensor<D>) -> Tensor<D> {
    if tensor.is_autodiff() { tensor.clone().inner() } else { tensor.clone() }
}
