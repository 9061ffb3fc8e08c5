//! The problem that a specification's linearised network is, before it is trained.

use stepscope_spectral::random::RandomStream;
use stepscope_theory::{KernelData, TheoryError};
use stepscope_types::RunSpec;
use stepscope_types::spec::{ModelSpec, Precision};
use thiserror::Error;

use super::features::MAX_EXAMPLES;
use crate::backend::Backend;
use crate::checkpoint::{WeightsError, load_weights};
use crate::data::Dataset;
use crate::measure::{Objective, TangentKernel, TangentKernelError};
use crate::models::{Model, ModelError};

/// A specification whose tangent kernel cannot be had.
#[derive(Debug, Error)]
pub enum TangentError {
    /// The kernel and its eigenvectors would take more than a gigabyte.
    #[error(
        "the tangent kernel of {got} training examples is a matrix of that side, expected at most {MAX_EXAMPLES}: set \
         data.train_examples"
    )]
    TooManyExamples {
        /// Training examples in use.
        got: usize,
    },
    /// The network does not fit the data.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The file of initial weights cannot be used.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The network and its targets make no kernel.
    #[error(transparent)]
    Kernel(#[from] TangentKernelError),
    /// The theory refused the kernel.
    #[error("the tangent kernel cannot be solved")]
    Theory(#[from] TheoryError),
}

/// The training examples of `dataset` through the tangents of the initial network of `spec`, with its initial residuals.
///
/// What is predicted for it is what a run of `spec` with `model.linearised = true` does, and near the start, or for wide
/// networks, one without. The kernel is computed in f64 unless the weights come from a file. Cost: up to 3N² forward passes
/// of an example and O(N³), for N training examples.
///
/// # Errors
/// [`TangentError`].
pub fn tangent_problem(spec: &RunSpec, dataset: &Dataset) -> Result<KernelData, TangentError> {
    let num_examples = dataset.train.num_examples();
    if num_examples > MAX_EXAMPLES {
        return Err(TangentError::TooManyExamples { got: num_examples });
    }
    let precision = if spec.model.weights.is_none() { Precision::F64 } else { spec.model.precision };
    // The tangent's own tangent is the same, at twice the price.
    let model = ModelSpec { precision, linearised: false, ..spec.model.clone() };
    let backend = Backend::cpu(precision);
    let random = RandomStream::named(spec.seeds.init_seed(), "initial weights");
    let network = Model::new(&model, dataset.shape, dataset.num_outputs, random, &backend)?;
    let network = match &model.weights {
        Some(file) => load_weights(network, std::path::Path::new(file))?,
        None => network,
    };
    let objective = Objective::whole(&dataset.train, dataset.shape, &backend.tracked(), backend.dtype());
    let TangentKernel { kernel, residual } = TangentKernel::of(&network, &objective)?;
    Ok(KernelData::from_kernel(&kernel, &residual)?)
}
