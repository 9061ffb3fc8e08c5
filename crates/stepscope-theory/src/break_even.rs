//! Stability along one direction whose curvature differs from example to example: the break-even point.

use crate::error::{TheoryError, check};
use crate::roots::root;

/// How the spread s of per-example curvatures along a direction goes with their mean λ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CurvatureSpread {
    /// s is given.
    Fixed(f64),
    /// s = ρλ.
    Proportional(f64),
}

impl CurvatureSpread {
    /// s at a mean curvature λ.
    pub fn at(self, curvature: f64) -> f64 {
        match self {
            Self::Fixed(spread) => spread,
            Self::Proportional(ratio) => ratio * curvature,
        }
    }

    fn checked(self) -> Result<Self, TheoryError> {
        let (Self::Fixed(value) | Self::Proportional(value)) = self;
        check("curvature spread", "finite and not negative", value, value.is_finite() && value >= 0.0)?;
        Ok(self)
    }
}

/// E(ψ′²)/E(ψ²) of one step of SGD along the direction: (1 − ηλ)² + s²η²c (`curvature`, section 2.2, eq. 1).
///
/// | symbol | argument |
/// |---|---|
/// | η | `learning_rate` ≥ 0 |
/// | λ | `curvature`, mean over examples |
/// | s | `spread`, standard deviation over examples |
/// | c | `noise_factor`, (N − S)/(S(N − 1)) for batches of S out of N: [`crate::Sampling::noise_factor`] |
///
/// The direction is stable in mean square iff the value is at most 1; the break-even point is where it first equals 1.
pub fn mean_square_growth(learning_rate: f64, curvature: f64, spread: f64, noise_factor: f64) -> f64 {
    let contraction = 1.0 - learning_rate * curvature;
    contraction * contraction + spread * spread * learning_rate * learning_rate * noise_factor
}

/// λ*, the curvature at which a direction breaks even.
///
/// s fixed: λ* = (1/η)(1 + √(1 − cη²s²)), and none exists for s > 1/(η√c); s = ρλ: λ* = (2/η)/(1 + cρ²); both are 2/η for
/// full batches. It falls with η and rises with the batch size (`curvature`, section 2.2).
///
/// ```
/// use stepscope_theory::{CurvatureSpread, Sampling, break_even_curvature};
/// use stepscope_types::BatchSize;
/// let c = Sampling::Finite { num_examples: 45_000 }.noise_factor(BatchSize::new(8).unwrap())?;
/// let threshold = break_even_curvature(0.1, CurvatureSpread::Proportional(3.0), c)?;
/// assert!((threshold.unwrap() * 0.1 - 0.94).abs() < 0.005);
/// # Ok::<(), stepscope_theory::TheoryError>(())
/// ```
///
/// # Errors
/// [`TheoryError::Number`] for a learning rate that is not above 0, or a negative spread or noise factor.
pub fn break_even_curvature(
    learning_rate: f64,
    spread: CurvatureSpread,
    noise_factor: f64,
) -> Result<Option<f64>, TheoryError> {
    check("learning rate", "finite and above 0", learning_rate, learning_rate.is_finite() && learning_rate > 0.0)?;
    check("noise factor", "finite and not negative", noise_factor, noise_factor.is_finite() && noise_factor >= 0.0)?;
    Ok(match spread.checked()? {
        CurvatureSpread::Fixed(spread) => {
            let room = 1.0 - noise_factor * (learning_rate * spread).powi(2);
            (room >= 0.0).then(|| (1.0 + room.sqrt()) / learning_rate)
        }
        CurvatureSpread::Proportional(ratio) => Some(2.0 / learning_rate / (1.0 + noise_factor * ratio * ratio)),
    })
}

/// The largest stable learning rate at a curvature λ with spread s: η* = 2λ/(λ² + cs²) (`curvature`, eq. 1 solved for η).
///
/// # Errors
/// [`TheoryError::Number`] for a curvature that is not above 0, or a negative spread or noise factor.
pub fn largest_stable_learning_rate(curvature: f64, spread: f64, noise_factor: f64) -> Result<f64, TheoryError> {
    check("curvature", "finite and above 0", curvature, curvature.is_finite() && curvature > 0.0)?;
    check("noise factor", "finite and not negative", noise_factor, noise_factor.is_finite() && noise_factor >= 0.0)?;
    let spread = CurvatureSpread::Fixed(spread).checked()?.at(curvature);
    Ok(2.0 * curvature / (curvature * curvature + noise_factor * spread * spread))
}

/// The same with heavy ball, exactly in mean square: the largest η at which the second moments of one direction with
/// per-example curvatures of mean λ and deviation s stay bounded.
///
/// The condition is the sum U(1) of one mode with its multiplicative noise cs²η²·E ψ²: with b = 0 it is
/// [`largest_stable_learning_rate`]. About 20 evaluations.
///
/// # Errors
/// [`TheoryError::Number`] for arguments out of range.
pub fn largest_stable_learning_rate_with_momentum(
    curvature: f64,
    spread: f64,
    noise_factor: f64,
    momentum: f64,
) -> Result<f64, TheoryError> {
    check("momentum", "between -1 and 1, both excluded", momentum, momentum.abs() < 1.0)?;
    largest_stable_learning_rate(curvature, spread, noise_factor)?;
    let limit = 2.0 * (1.0 + momentum) / curvature;
    // Gain of the loop noise → E ψ² → noise: cs²η²(1 + b)/((1 − b)ηλ(2(1 + b) − ηλ)).
    let excess = |learning_rate: f64| {
        let rate = learning_rate * curvature;
        let response = (1.0 + momentum) / ((1.0 - momentum) * rate * (2.0 * (1.0 + momentum) - rate));
        1.0 - 1.0 / (noise_factor * (spread * learning_rate).powi(2) * response)
    };
    if noise_factor * spread == 0.0 {
        return Ok(limit);
    }
    Ok(root(limit * 1e-12, limit * (1.0 - 1e-15), |rate| excess(rate).max(-1e12)))
}

/// The smallest batch size out of N that is stable at learning rate η, curvature λ and spread s: from
/// c ≤ (1 − (1 − ηλ)²)/(η²s²). `None` where even the full batch is unstable.
///
/// # Errors
/// [`TheoryError::Number`] for arguments out of range.
pub fn smallest_stable_batch(
    learning_rate: f64,
    curvature: f64,
    spread: f64,
    num_examples: u64,
) -> Result<Option<u64>, TheoryError> {
    check("learning rate", "finite and above 0", learning_rate, learning_rate.is_finite() && learning_rate > 0.0)?;
    let spread = CurvatureSpread::Fixed(spread).checked()?.at(curvature);
    let room = 1.0 - (1.0 - learning_rate * curvature).powi(2);
    if room < 0.0 {
        return Ok(None);
    }
    // c = (N − S)/(S(N − 1)) ≤ limit  ⇔  S ≥ N/(1 + (N − 1)·limit).
    let limit = room / (learning_rate * spread).powi(2);
    let examples = num_examples as f64;
    let smallest = if limit.is_finite() { examples / (1.0 + (examples - 1.0) * limit) } else { 1.0 };
    Ok(Some((smallest - 1e-9).ceil().max(1.0) as u64))
}
