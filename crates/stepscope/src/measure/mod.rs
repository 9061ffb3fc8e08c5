//! MEASURE: probes, and the operators behind them.

pub mod gradient_noise;
pub mod local_quadratic;
pub mod loss;
pub mod operators;
mod probe;
pub mod sharpness;
mod student;

pub use gradient_noise::{GradientNoise, NoiseProbe};
pub use local_quadratic::LocalQuadraticProbe;
pub use loss::LossProbe;
pub use operators::objective;
pub use operators::{
    BatchLoss, Calibration, Curvature, CurvatureOperator, Evaluation, Kinks, Loss, LossError, MemoryNeed, Objective,
    Preflight, ProductError, ProjectedNorms, Tangents, Targets,
};
pub use probe::{Measured, Probe, ProbeError, ProbePoint};
pub use sharpness::SharpnessProbe;
