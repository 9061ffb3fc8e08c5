//! The seam for modules from elsewhere: the loss of a batch.

use burn::Tensor;
use burn::module::Module;
use burn::tensor::Int;

use super::loss::Loss;
use crate::data::Batch;
use crate::models::{Dual, Network, Pass};

/// A Burn module whose loss on a batch `B` can be measured.
///
/// One method is required, and any forward pass will do:
///
/// ```
/// use burn::Tensor;
/// use burn::module::{Module, Param};
/// use burn::tensor::Int;
/// use stepscope::measure::{BatchLoss, Loss};
///
/// #[derive(Module, Debug)]
/// struct Softmax {
///     weight: Param<Tensor<2>>,
/// }
///
/// struct Examples {
///     features: Tensor<2>,
///     labels: Tensor<1, Int>,
/// }
///
/// impl BatchLoss<Examples> for Softmax {
///     fn loss(&self, batch: &Examples) -> Loss {
///         Loss::cross_entropy(batch.features.clone().matmul(self.weight.val()), batch.labels.clone())
///     }
/// }
/// ```
///
/// | matrix | needs |
/// |---|---|
/// | gradient covariance, empirical Fisher | [`BatchLoss::loss`]; tangents are central differences of losses |
/// | Gauss-Newton, Monte-Carlo Fisher | the same, with the outputs that [`Loss::cross_entropy`] and [`Loss::mean_squared_error`] keep |
/// | Hessian by differences of gradients | the same, of a smooth network |
/// | exact Hessian, and everything above without differences | [`BatchLoss::loss_along`] too |
///
/// A [`Network`] has both methods already: the loss of the batch's target on a [`Batch`], mean squared error on [`Targets`].
///
/// The loss must be a function of parameters and batch alone: no new dropout mask a call, no batch statistics.
/// [`CurvatureOperator::preflight`](super::CurvatureOperator::preflight) finds out.
///
/// Source: `curvature`, sections 4.1 to 4.3.
pub trait BatchLoss<B>: Module {
    /// The losses of the batch's examples, built by one of [`Loss`]'s constructors.
    fn loss(&self, batch: &B) -> Loss;

    /// The same losses with their tangents along `pass`, or `None` where layers have no tangent rules.
    ///
    /// Parameters come from [`Pass::param`]; activations are [`Dual`]s.
    fn loss_along(&self, _batch: &B, _pass: &Pass) -> Option<Loss> {
        None
    }

    /// Names of the layers in whose inputs the gradient jumps: `relu`, `max-pool`, `abs`. Differences of gradients
    /// are refused where there is one. Jumps that are not named here are found by measuring.
    fn kinks(&self) -> Vec<&'static str> {
        Vec::new()
    }
}

/// Images with real targets: what a [`Network`]'s outputs are compared with in mean squared error.
#[derive(Debug, Clone)]
pub struct Targets {
    /// `[batch, channels, rows, columns]`.
    pub images: Tensor<4>,
    /// `[batch, outputs]`.
    pub targets: Tensor<2>,
    /// As [`Batch::first_example`].
    pub first_example: u64,
}

impl Targets {
    /// The batch with its labels as rows of zeros with a single one, of `classes` entries.
    pub fn one_hot(batch: &Batch, classes: usize) -> Self {
        let labels: Tensor<2, Int> = batch.labels.clone().one_hot(classes);
        let targets = labels.float().cast(batch.images.dtype());
        Self { images: batch.images.clone(), targets, first_example: batch.first_example }
    }
}

impl<N: Network> BatchLoss<Batch> for N {
    fn loss(&self, batch: &Batch) -> Loss {
        of_target(self, batch, &Pass::values())
    }

    fn loss_along(&self, batch: &Batch, pass: &Pass) -> Option<Loss> {
        Some(of_target(self, batch, pass))
    }

    fn kinks(&self) -> Vec<&'static str> {
        Network::kinks(self)
    }
}

impl<N: Network> BatchLoss<Targets> for N {
    fn loss(&self, batch: &Targets) -> Loss {
        squared_error(self, batch, &Pass::values())
    }

    fn loss_along(&self, batch: &Targets, pass: &Pass) -> Option<Loss> {
        Some(squared_error(self, batch, pass))
    }

    fn kinks(&self) -> Vec<&'static str> {
        Network::kinks(self)
    }
}

fn of_target<N: Network>(network: &N, batch: &Batch, pass: &Pass) -> Loss {
    let outputs = logits(network, &batch.images, batch.first_example, pass);
    match batch.target.real(&outputs.value, &batch.labels) {
        None => Loss::cross_entropy(outputs, batch.labels.clone()),
        Some(targets) => Loss::half_squared_distance(outputs, targets).with_classes(batch.target, batch.labels.clone()),
    }
}

fn squared_error<N: Network>(network: &N, batch: &Targets, pass: &Pass) -> Loss {
    Loss::mean_squared_error(logits(network, &batch.images, batch.first_example, pass), batch.targets.clone())
}

/// Logits of images from place `first_example` on of a whole.
fn logits<N: Network>(network: &N, images: &Tensor<4>, first_example: u64, pass: &Pass) -> Dual<2> {
    let images = Dual::constant(images.clone());
    if first_example == 0 {
        return network.logits(images, pass);
    }
    let own = pass.clone().with_first_example(pass.first_example() + first_example);
    let logits = network.logits(images, &own);
    pass.take_over(&own);
    logits
}
