//! MEASURE: probes, and the operators behind them.

mod batch_sharpness;
mod batches;
mod break_even;
mod break_even_track;
mod chords;
mod coming_step;
mod cost;
mod critical_rate;
mod critical_sharpness;
mod crossing;
mod distance;
mod fixed_batches;
mod gradient_covariance;
pub mod gradient_noise;
mod gradient_tests;
mod gram;
mod gram_spectrum;
mod half_rate_gauge;
mod hessian_spectrum;
pub mod local_quadratic;
pub mod loss;
mod motion;
mod one_step;
pub mod operators;
mod parabola_fit;
mod per_example_curvature;
mod probe;
mod ratio;
mod section;
mod shared;
pub mod sharpness;
mod statistics;
pub(crate) mod student;
mod tangent_kernel;
mod two_point;

pub use batch_sharpness::BatchSharpnessProbe;
pub use batches::BatchSource;
pub use break_even::BreakEvenMeter;
pub use coming_step::ComingStep;
pub use cost::{Cost, CostModel};
pub use critical_sharpness::CriticalSharpnessProbe;
pub use crossing::{Crossing, NoCrossing};
pub use distance::DistanceProbe;
pub use fixed_batches::FixedBatchesProbe;
pub use gradient_covariance::GradientCovarianceProbe;
pub use gradient_noise::{GradientNoise, NoiseProbe};
pub use half_rate_gauge::HalfRateGaugeProbe;
pub use hessian_spectrum::HessianSpectrumProbe;
pub use local_quadratic::LocalQuadraticProbe;
pub use loss::LossProbe;
pub use motion::{Motion, Scaling};
pub use one_step::OneStepProbe;
pub use operators::objective;
pub use operators::{
    BatchLoss, Calibration, Curvature, CurvatureOperator, Evaluation, Kinks, Loss, LossError, MemoryNeed, Objective,
    Preflight, ProductError, ProjectedNorms, Tangents, Targets,
};
pub use per_example_curvature::per_example_curvature;
pub use probe::{Measured, Probe, ProbeError, ProbePoint};
pub use section::{Section, section_curvature};
pub use shared::SharedReadings;
pub use sharpness::{Pace, SharpnessProbe};
pub use tangent_kernel::{TangentKernel, TangentKernelError};
pub use two_point::{ChordPlan, TwoPointProbe};
