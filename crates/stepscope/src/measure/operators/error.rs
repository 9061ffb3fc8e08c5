//! Losses and products that cannot be formed.

use thiserror::Error;

use super::curvature::Curvature;
use crate::models::PassFault;

/// A loss that does not fit its examples.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LossError {
    /// Outputs and targets do not belong together.
    #[error(
        "the {loss} got outputs of shape {outputs:?} and targets of shape {targets:?}: give one target for each output"
    )]
    Shapes {
        /// Which loss.
        loss: &'static str,
        /// Shape of the outputs.
        outputs: Vec<usize>,
        /// Shape of the targets.
        targets: Vec<usize>,
    },
    /// The loss is not one number for each example.
    #[error(
        "the loss of a batch has {got} entries, the batch {expected} examples: return the losses of the examples \
         one by one, not their mean"
    )]
    NotPerExample {
        /// Entries of the loss.
        got: usize,
        /// Examples of the batch.
        expected: usize,
    },
}

/// A product that cannot be formed.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ProductError {
    /// The vector does not have one entry for each parameter.
    #[error("a vector of {got} entries was given to an operator on {expected} parameters")]
    Length {
        /// Entries given.
        got: usize,
        /// Parameters of the network.
        expected: usize,
    },
    /// There is no example to measure on.
    #[error("the objective holds {available} examples, {asked} are asked for: give more examples or ask for fewer")]
    TooFewExamples {
        /// Examples asked for.
        asked: usize,
        /// Examples there are.
        available: usize,
    },
    /// A product over the largest micro-batch would not fit in memory.
    #[error(
        "a product over a micro-batch of {examples} examples needs about {} MiB and {} MiB may be used: take \
         micro-batches of at most {suggested} examples (the size does not change results), which were measured to \
         fit",
        needed >> 20, available >> 20
    )]
    Memory {
        /// Examples of the largest micro-batch.
        examples: usize,
        /// Bytes of the process with that product, extrapolated.
        needed: u64,
        /// Bytes that the process may use.
        available: u64,
        /// Examples a micro-batch that fit.
        suggested: usize,
    },
    /// The loss of a batch is not usable.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// A layer could not take part in the forward pass as it should.
    #[error(transparent)]
    Layer(#[from] PassFault),
    /// Nothing in the network carried the tangent: none of its layers asks the pass for its parameters.
    #[error(
        "no layer of the network carries a tangent, so it has no exact Hessian product: write its forward pass with \
         the layers of stepscope::models::layers, or use Curvature::GaussNewton, which needs none"
    )]
    NoTangent,
    /// A Gauss-Newton or Fisher product of a loss whose outputs are not known.
    #[error(
        "{curvature:?} needs the network's outputs, and the loss was built by Loss::per_example: build it by \
         Loss::cross_entropy or Loss::mean_squared_error, or add Loss::with_output_hessian; or use \
         Curvature::GradientCovariance, which needs none"
    )]
    NoOutputs {
        /// The matrix asked for.
        curvature: Curvature,
    },
    /// A loss that is not the negative logarithm of a distribution to draw from.
    #[error(
        "the Monte-Carlo Fisher matrix draws targets from the network's distribution, and a loss with a given output \
         Hessian has none: use Curvature::GaussNewton, its limit of many draws"
    )]
    NoDistribution,
    /// Differences of gradients where the gradient jumps.
    #[error(
        "the network has kinks ({kinks}), where gradients jump, so differences of gradients are no Hessian at any \
         distance: use Curvature::GaussNewton, Curvature::Hessian on tangent-aware layers, or a smooth activation; \
         Curvature::HessianByDifferences {{ kinks: Kinks::Accept }} gives the difference all the same"
    )]
    Kinks {
        /// Which layers.
        kinks: String,
    },
    /// Differences of gradients where the gradient is found to jump.
    #[error(
        "the gradient jumps: second differences of the outputs at one distance and at half of it disagree by \
         {disagreement:.2} of their size (a smooth network: below 0.1; kinks alone: 0.7), as with relu, max-pool, \
         abs or clamp, so differences of gradients are no Hessian: use Curvature::GaussNewton, or \
         Curvature::Hessian on tangent-aware layers; Curvature::HessianByDifferences {{ kinks: Kinks::Accept }} \
         gives the difference all the same"
    )]
    NotSmooth {
        /// ‖s(h) − 4 s(h/2)‖ / ‖s(h)‖, s the second differences of all outputs.
        disagreement: f64,
    },
    /// Differences that do not settle as their distance shrinks.
    #[error(
        "differences of gradients change by {relative_change:.1e} of themselves from one distance to the next, at \
         the best of them: the loss depends on hidden state (dropout, batch statistics), its gradient jumps, or its \
         precision is too low: use Curvature::GaussNewton, or f64; Curvature::HessianByDifferences {{ kinks: \
         Kinks::Accept }} gives the difference all the same"
    )]
    NotSettled {
        /// Smallest relative change between two distances.
        relative_change: f64,
    },
    /// Two products on one vector differ.
    #[error(
        "two products on the same vector differ, first in {layer}: the loss depends on hidden state (dropout with a \
         new mask, running or batch statistics, a random augmentation): fix it in BatchLoss::loss, or switch dropout \
         off and normalisation to evaluation"
    )]
    HiddenState {
        /// The first parameter whose part differs.
        layer: String,
    },
    /// A product went through the layers in another order than the first one at this point.
    #[error(
        "this product reached {layer} where the first one at this point had another layer or another shape, so the two cannot \
         share their linearisation: the forward pass depends on hidden state; make it a function of weights and batch, or \
         leave CurvatureOperator::sharing out"
    )]
    OtherOrder {
        /// The parameter of the first layer that was not there before.
        layer: String,
    },
    /// What products share would not fit in memory beside them.
    #[error(
        "products that share their linearisation need about {} MiB, of which they share {} MiB, and {} MiB may be used: give \
         CurvatureOperator::sharing at most {} MiB (results are the same, products cost more)",
        needed >> 20, shared >> 20, available >> 20, suggested >> 20
    )]
    SharedMemory {
        /// Bytes of the process with a product and what products share.
        needed: u64,
        /// Bytes that they share of those.
        shared: u64,
        /// Bytes that the process may use.
        available: u64,
        /// Bytes that they may share.
        suggested: u64,
    },
    /// The network's own tangent contradicts its backward pass.
    #[error(
        "the tangent of the loss along {layer} is {tangent:.6e}, the backward pass gives {expected:.6e}: a layer there \
         has no tangent rule, or a wrong one: ask the pass for its parameters (Pass::param) and carry the tangent of \
         its input; or leave BatchLoss::loss_along out, and use Curvature::GaussNewton"
    )]
    WrongTangent {
        /// Name of the parameter.
        layer: String,
        /// ⟨∇L, v⟩ as the forward pass carries it.
        tangent: f64,
        /// ⟨∇L, v⟩ from the backward pass.
        expected: f64,
    },
    /// ⟨u, Hv⟩ is not ⟨Hu, v⟩.
    #[error(
        "the products are not those of a symmetric matrix: ⟨u, Hv⟩ and ⟨Hu, v⟩ differ by {defect:.1e} of their size \
         (expected at most {tolerance:.0e}), most in {layer}: a tangent rule or a backward pass there is wrong"
    )]
    Asymmetric {
        /// The parameter with the largest share of the defect.
        layer: String,
        /// |⟨u, Hv⟩ − ⟨Hu, v⟩| / √(½(‖Hu‖² + ‖Hv‖²)), with u and v normal.
        defect: f64,
        /// What rounding alone would leave.
        tolerance: f64,
    },
}
