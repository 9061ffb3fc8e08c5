//! Matrices of second derivatives and gradient moments, known by their products with vectors.
//!
//! | to | use |
//! |---|---|
//! | say what the loss of a module of your own is | [`BatchLoss`], one method that returns a [`Loss`] |
//! | fix the examples | [`Objective`] |
//! | multiply with Hessian, Gauss-Newton, covariance or Fisher matrix | [`CurvatureOperator`] with a [`Curvature`] |
//! | find hidden state and wrong tangent rules first | [`CurvatureOperator::preflight`] |
//! | know that memory will do | [`CurvatureOperator::check_memory`] |
//! | restrict a matrix to layers | [`ParamLayout::matching`](crate::models::ParamLayout::matching) |
//! | norms of the examples' gradients | [`Objective::gradient_norms`], [`Objective::projected_gradient_norms`] |

mod batch_loss;
mod curvature;
mod differences;
mod error;
mod ghost_norms;
mod loss;
mod memory;
pub mod objective;
mod per_example;
mod preflight;
mod sampled;
mod vector;

pub use batch_loss::{BatchLoss, Targets};
pub use curvature::{Curvature, CurvatureOperator, Kinks};
pub use differences::{Calibration, Tangents};
pub use error::{LossError, ProductError};
pub(super) use loss::LogitRows;
pub use loss::Loss;
pub use memory::{MemoryNeed, memory_limit};
pub use objective::{Evaluation, Objective};
pub use per_example::ProjectedNorms;
pub use preflight::Preflight;
