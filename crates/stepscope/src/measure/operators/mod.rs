//! Matrices of second derivatives and gradient moments, known by their products with vectors.
//!
//! | to | use |
//! |---|---|
//! | say what the loss of a module of your own is | [`BatchLoss`], one method that returns a [`Loss`] |
//! | fix the examples | [`Objective`] |
//! | multiply with Hessian, Gauss-Newton, covariance or Fisher matrix | [`CurvatureOperator`] with a [`Curvature`] |
//! | find hidden state and wrong tangent rules first | [`CurvatureOperator::preflight`] |

mod batch_loss;
mod curvature;
mod differences;
mod error;
mod loss;
pub mod objective;
mod preflight;
mod sampled;
mod vector;

pub use batch_loss::{BatchLoss, Targets};
pub use curvature::{Curvature, CurvatureOperator, Kinks};
pub use differences::{Calibration, Tangents};
pub use error::{LossError, ProductError};
pub use loss::Loss;
pub use objective::{Evaluation, Objective};
pub use preflight::Preflight;
