//! Predicts mini-batch SGD on a quadratic before it is run: loss curves, stability, stationary laws, averages, schedules.
//!
//! Pure `f64`: no files, no clock, no global random generator. A [`QuadraticModel`] (spectrum, noise, floor) and an update
//! ([`Sgd`], a [`Schedule`], a [`LinearMethod`]) go in; numbers come out together with [`Warning`]s. Every function names its
//! formula and the section of the project's papers (`loss-prediction`, `averaging`, `curvature`) that it comes from.
//!
//! ```
//! use stepscope_theory::{Average, Closure, PowerLaw, Sgd, critical_learning_rate};
//!
//! let model = PowerLaw::new(1.5, 0.75, 1000.0)?.model(Closure::INTERPOLATING)?;
//! let sgd = Sgd::from_numbers(0.3, 0.0, 1.0 / 8.0)?; // learning rate, momentum, 1/batch for a stream
//! assert!(sgd.learning_rate < critical_learning_rate(&model, sgd.momentum, sgd.noise_factor)?);
//! let curve = model.loss_curve(&sgd, 500)?;
//! let averaged = model.averaged_loss_at(&sgd, Average::Ema { rate: 0.1 }, &[500])?;
//! assert!(curve.warnings.is_empty() && averaged.loss[0] > 0.0);
//! # Ok::<(), stepscope_theory::TheoryError>(())
//! ```
//!
//! | question | where |
//! |---|---|
//! | the loss, at every step or at some | [`QuadraticModel::loss_curve`], [`QuadraticModel::loss_at`] |
//! | the same by another way, as a check or for speed | [`Problem::predict`] with a [`Rung`] |
//! | a million modes | [`QuadraticModel::loss_at_binned`], [`PowerLaw::binned_model`] |
//! | is it stable, up to which learning rate, how fast does it diverge | [`Stability`], [`critical_learning_rate`], [`growth_per_step`] |
//! | regime, exponents, constants, transition | [`Regime`], [`Asymptotics`] |
//! | best learning rate, momentum, batch, schedule | [`QuadraticModel::best_constant_settings`], [`QuadraticModel::batch_doubling_gain`], [`QuadraticModel::optimize_schedule`], [`best_asymptotic_momentum`] |
//! | what an average of the weights gives, and which schedule it equals | [`QuadraticModel::averaged_loss_at`], [`StationaryMode`], [`multipliers`], [`pathwise_schedule`], [`poisson_binomial_schedule`] |
//! | one setting in the place of another: rate, batch, average, schedule | [`schedules_of_average`], [`averages_of_schedule`], [`reciprocal_schedule`], [`batch_size_at_equal_noise`] |
//! | spectrum and closure of real data | [`KernelData`], [`MeasuredHead`] |
//! | stationary loss, equal settings, basins in the continuous limit | [`StationaryExcess`], [`controllable_noise`], [`Basin`], [`QuadraticModel::continuous_loss_at`] |
//! | break-even along one direction | [`break_even_curvature`], [`largest_stable_learning_rate`] |

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
mod translate;
mod volterra;
mod warning;

pub use adjoint::LossGradient;
pub use asymptotics::{
    Asymptotics, BestMomentum, Regime, best_asymptotic_learning_rate, best_asymptotic_momentum, best_noise_gain,
    eventual_divergence_rate, learning_rate_at_noise_gain, negative_momentum_helps,
};
pub use averages::{
    Average, ChordPrediction, EpochSampling, ExcessSpectrum, PowerProfile, StationaryMode, Synthesis, TwoPointCurve,
    ema_for_reduction, ema_heavy_ball, ema_mean, loss_effective_rate, matched_ema, matched_window, multipliers,
    pathwise_schedule, pathwise_weights, poisson_binomial_schedule, poisson_binomial_weights, quantile_interval,
    weights_from_multipliers,
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
pub use translate::{
    Equivalence, Translation, averages_of_schedule, batch_size_at_equal_noise, effective_share, reciprocal_schedule,
    reciprocal_steps, schedules_of_average,
};
pub use volterra::Propagators;
pub use warning::{TalbotRefusal, Warning};
