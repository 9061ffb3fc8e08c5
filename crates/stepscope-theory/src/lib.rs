//! Predicts mini-batch SGD on a quadratic before it is run: loss curves, stability, stationary laws, averages.
//!
//! Pure `f64`: no files, no clock, no global random generator. Start from a [`QuadraticModel`], describe the update with
//! [`Sgd`] (or a [`Schedule`]), ask for [`QuadraticModel::loss_curve`]. Formulas and their sources are in
//! `loss-prediction`, `averaging` and `curvature` among the papers of the project.

mod error;
mod kernel;
mod measured_quadratic;
mod model;
mod modes;
mod monte_carlo;
mod random;
mod recursion;
mod sgd;
mod stability;
mod warning;

pub use error::TheoryError;
pub use measured_quadratic::MeasuredQuadratic;
pub use model::{Closure, QuadraticModel};
pub use monte_carlo::{MonteCarlo, NoiseSource};
pub use recursion::{LossCurve, Prediction};
pub use sgd::{Sampling, Schedule, Sgd};
pub use stability::{Stability, mode_limit};
pub use warning::Warning;
