//! MEASURE: probes, and the operators behind them.

pub mod curvature;
pub mod gradient_noise;
pub mod local_quadratic;
pub mod loss;
pub mod objective;
mod probe;
pub mod sharpness;
mod student;

pub use curvature::{Curvature, CurvatureOperator, ProductError};
pub use gradient_noise::{GradientNoise, NoiseProbe};
pub use local_quadratic::LocalQuadraticProbe;
pub use loss::LossProbe;
pub use objective::{Evaluation, Objective};
pub use probe::{Measured, Probe, ProbeError, ProbePoint};
pub use sharpness::SharpnessProbe;
