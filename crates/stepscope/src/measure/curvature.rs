//! Exact Hessian- and Gauss-Newton-vector products of a network's loss.

use burn::tensor::activation::softmax;
use stepscope_spectral::LinearOperator;
use thiserror::Error;

use super::objective::{Objective, accumulate, mean_loss};
use crate::data::Batch;
use crate::models::{Dual, Network, ParamLayout, Pass};

/// A product that cannot be formed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProductError {
    /// The vector does not have one entry for each parameter.
    #[error("a vector of {got} entries was given to an operator on {expected} parameters")]
    Length {
        /// Entries given.
        got: usize,
        /// Parameters of the network.
        expected: usize,
    },
    /// Nothing in the network carried the tangent: none of its layers asks the pass for its parameters.
    #[error(
        "no layer of the network carries a tangent, so it has no exact product: write its forward pass with \
         the layers of stepscope::models::layers"
    )]
    NoTangent,
}

/// Which second derivative of the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curvature {
    /// H = ∇²L, exact, by reverse over forward: the tangent of the loss along v is ⟨∇L, v⟩, and its gradient is Hv.
    /// For networks with kinks (ReLU, max-pool) the Hessian that exists almost everywhere.
    Hessian,
    /// G = (1/n) Σ Jᵢᵀ (diag p − p pᵀ) Jᵢ, the positive semi-definite part of H: what remains where the network is
    /// replaced by its linearisation. Exact; 1.7 gradients where tangents are cheap.
    GaussNewton,
}

/// v -> Av with A the curvature of the mean loss over an [`Objective`], at fixed parameters.
///
/// Products are sums over micro-batches, accumulated in f64. One Hessian product costs about 2.7 gradients over the same
/// examples (8 matrix products where a gradient has 3; measured ratios in `docs/performance.md`). The network is
/// borrowed and never changed.
///
/// Source: `curvature`, sections 4.2 and 4.3.
#[derive(Debug)]
pub struct CurvatureOperator<'a, N> {
    network: &'a N,
    objective: &'a Objective,
    layout: &'a ParamLayout,
    curvature: Curvature,
}

impl<'a, N: Network> CurvatureOperator<'a, N> {
    /// The operator at the network's present parameters. `network` is on the tracked device with parameters that require
    /// gradients.
    pub fn new(network: &'a N, objective: &'a Objective, layout: &'a ParamLayout, curvature: Curvature) -> Self {
        Self { network, objective, layout, curvature }
    }

    fn product_on(&self, batch: &Batch, pass: &Pass) -> Result<Vec<f64>, ProductError> {
        let scalar = match self.curvature {
            Curvature::Hessian => mean_loss(self.network, batch, pass).tangent.ok_or(ProductError::NoTangent)?,
            Curvature::GaussNewton => {
                let logits = self.network.logits(Dual::constant(batch.images.clone()), pass);
                let tangent = logits.tangent.ok_or(ProductError::NoTangent)?.detach();
                let probabilities = softmax(logits.value.clone().detach(), 1);
                let weighted = probabilities.clone() * tangent;
                let covector = weighted.clone() - probabilities * weighted.sum_dim(1);
                // Times the inverse: Burn's backward pass of a division by a scalar goes through f32.
                (logits.value * covector).sum() * (1.0 / batch.len() as f64)
            }
        };
        Ok(self.layout.gradient(self.network, &mut scalar.backward()))
    }
}

impl<N: Network> LinearOperator for CurvatureOperator<'_, N> {
    type Error = ProductError;

    fn dim(&self) -> usize {
        self.layout.num_params()
    }

    fn apply(&mut self, input: &[f64], output: &mut [f64]) -> Result<(), ProductError> {
        for got in [input.len(), output.len()] {
            if got != self.dim() {
                return Err(ProductError::Length { got, expected: self.dim() });
            }
        }
        let pass = self.layout.pass_along(input);
        output.fill(0.0);
        for (batch, share) in self.objective.micro_batches() {
            accumulate(output, &self.product_on(batch, &pass)?, share);
        }
        Ok(())
    }
}
