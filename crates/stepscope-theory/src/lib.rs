//! Predicts mini-batch SGD on a quadratic before it is run: loss curves, stability, stationary laws, averages.
//!
//! Pure `f64`: no files, no clock, no global random generator. Start from a [`QuadraticModel`], describe the update with
//! [`Sgd`] (or a [`Schedule`]), ask for [`QuadraticModel::loss_curve`]. Formulas and their sources are in
//! `loss-prediction`, `averaging` and `curvature` among the papers of the project.

mod adjoint;
mod asymptotics;
mod averages;
mod bins;
mod break_even;
mod complex;
mod continuous;
mod error;
mod generating;
mod gram;
mod kernel;
mod ladder;
mod least_squares;
mod linear_method;
mod measured_head;
mod measured_quadratic;
mod minimize;
mod model;
mod modes;
mod monte_carlo;
mod optimum;
mod power_law;
mod random;
mod recursion;
mod roots;
mod schedule;
mod sde;
mod second_moment;
mod sgd;
mod special;
mod stability;
mod talbot;
mod volterra;
mod warning;

pub use adjoint::LossGradient;
pub use asymptotics::{
    Asymptotics, BestMomentum, Regime, best_asymptotic_learning_rate, best_asymptotic_momentum, best_noise_gain,
    eventual_divergence_rate, learning_rate_at_noise_gain, negative_momentum_helps,
};
pub use averages::{
    Average, ChordPrediction, EpochSampling, ExcessSpectrum, StationaryMode, ema_for_reduction, ema_heavy_ball,
    ema_mean, loss_effective_rate, matched_ema, matched_window, multipliers, pathwise_schedule, pathwise_weights,
    poisson_binomial_schedule, poisson_binomial_weights, weights_from_multipliers,
};
pub use bins::BinnedPrediction;
pub use break_even::{
    CurvatureSpread, break_even_curvature, largest_stable_learning_rate, largest_stable_learning_rate_with_momentum,
    mean_square_growth, smallest_stable_batch,
};
pub use error::TheoryError;
pub use gram::{ClosureFit, KernelData};
pub use ladder::{Problem, Rung};
pub use linear_method::LinearMethod;
pub use measured_head::{MeasuredHead, noise_gain_from_two_batches};
pub use measured_quadratic::MeasuredQuadratic;
pub use model::{Closure, QuadraticModel};
pub use monte_carlo::{MonteCarlo, NoiseSource};
pub use optimum::ConstantOptimum;
pub use power_law::{PowerLaw, PowerLawFit};
pub use recursion::{LossCurve, Prediction};
pub use schedule::{OptimizedSchedule, ScheduleFamily, ScheduleShape};
pub use sde::{
    Basin, StationaryExcess, boltzmann_noise, controllable_noise, equivalent_learning_rate, log_occupancy_ratio,
    preference_switch,
};
pub use sgd::{Sampling, Schedule, Sgd};
pub use stability::{
    Stability, balanced_batch_size, critical_eigenvalue, critical_learning_rate, growth_per_step, mode_limit,
    noise_floor,
};
pub use volterra::Propagators;
pub use warning::{TalbotRefusal, Warning};
