//! The continuous limit of SGD: stationary loss, what settings it calls equal, which basin is occupied, and where it breaks.

use stepscope_types::Spectrum;

use crate::error::{TheoryError, check};
use crate::sgd::Sgd;

/// Stationary excess loss E L − L_min of constant settings around a minimum, in the continuous limit and exactly.
///
/// | symbol | meaning |
/// |---|---|
/// | λ_i | eigenvalues of the spectrum (all above 0) |
/// | c_i | coefficients of the spectrum: variance of one example's gradient along mode i |
/// | a, b, γ | learning rate, momentum, noise factor (1/S for batches of S) |
///
/// Source: `curvature`, section 1.2; `averaging`, section 2.2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StationaryExcess {
    /// aγ Tr(C)/(4(1 − b)): any C, no isotropy needed; does not depend on the curvature.
    pub continuous: f64,
    /// Σ (aγc_i/2)(1 + b)/((1 − b)(2(1 + b) − aλ_i)): the discrete update on a quadratic whose H and C commute. Infinite past the
    /// stability limit.
    pub discrete: f64,
    /// Largest breakdown factor (exact over continuous variance) of a mode: 2(1 + b)/(2(1 + b) − aλ_max).
    pub largest_breakdown: f64,
}

impl StationaryExcess {
    /// Evaluates both forms. O(modes).
    ///
    /// ```
    /// use stepscope_theory::{Sgd, StationaryExcess};
    /// use stepscope_types::Spectrum;
    /// let spectrum = Spectrum::new(vec![10.0, 1.0], vec![1.0, 1.0]).unwrap();
    /// let excess = StationaryExcess::of(&spectrum, &Sgd::from_numbers(0.1, 0.0, 0.5)?)?;
    /// assert!((excess.continuous - 0.1 * 0.5 * 2.0 / 4.0).abs() < 1e-15);
    /// assert_eq!(excess.largest_breakdown, 2.0);
    /// # Ok::<(), stepscope_theory::TheoryError>(())
    /// ```
    ///
    /// # Errors
    /// [`TheoryError::Number`] for settings out of range or an eigenvalue that is not above 0.
    pub fn of(spectrum: &Spectrum, sgd: &Sgd) -> Result<Self, TheoryError> {
        let Sgd { learning_rate, momentum, noise_factor } = sgd.checked()?;
        let smallest = spectrum.eigenvalues().last().copied().unwrap_or(f64::NAN);
        check("smallest eigenvalue", "above 0 at a minimum", smallest, smallest > 0.0)?;
        let strength = 0.5 * learning_rate * noise_factor / (1.0 - momentum);
        let limit = 2.0 * (1.0 + momentum);
        let room = |eigenvalue: f64| limit - learning_rate * eigenvalue;
        let mode = |(eigenvalue, variance): (f64, f64)| {
            if room(eigenvalue) > 0.0 { variance * (1.0 + momentum) / room(eigenvalue) } else { f64::INFINITY }
        };
        let largest = room(spectrum.eigenvalues()[0]);
        Ok(Self {
            continuous: 0.5 * strength * spectrum.coefficients().iter().sum::<f64>(),
            discrete: strength * spectrum.pairs().map(mode).sum::<f64>(),
            largest_breakdown: if largest > 0.0 { limit / largest } else { f64::INFINITY },
        })
    }
}

/// n_c = aγ/(1 − b): the controllable noise, η/S for batches of S without momentum. Settings with equal n_c have the same
/// stationary law in the continuous limit (`curvature`, section 1.2).
pub fn controllable_noise(sgd: &Sgd) -> f64 {
    sgd.effective_learning_rate() * sgd.noise_factor
}

/// The learning rate that keeps n_c when momentum and batch change: a′ = n_c(1 − b′)/γ′. `None` for γ′ = 0.
///
/// Holds while a′λ_max ≪ 2(1 + b′): see [`StationaryExcess::largest_breakdown`] for what is lost.
pub fn equivalent_learning_rate(sgd: &Sgd, momentum: f64, noise_factor: f64) -> Option<f64> {
    (noise_factor > 0.0).then(|| controllable_noise(sgd) * (1.0 - momentum) / noise_factor)
}

/// A basin of the loss: its depth and its curvatures.
#[derive(Debug, Clone, PartialEq)]
pub struct Basin {
    loss: f64,
    eigenvalues: Vec<f64>,
}

impl Basin {
    /// The loss at the bottom and the eigenvalues of the Hessian there.
    ///
    /// # Errors
    /// [`TheoryError::Number`] for a loss that is not finite or an eigenvalue that is not above 0.
    pub fn new(loss: f64, eigenvalues: Vec<f64>) -> Result<Self, TheoryError> {
        check("loss", "finite", loss, loss.is_finite())?;
        let bad = eigenvalues.iter().copied().find(|&v| !(v.is_finite() && v > 0.0));
        check("Hessian eigenvalue of a basin", "finite and above 0", bad.unwrap_or(1.0), bad.is_none())?;
        Ok(Self { loss, eigenvalues })
    }

    /// ln det H.
    pub fn log_determinant(&self) -> f64 {
        self.eigenvalues.iter().map(|v| v.ln()).sum()
    }

    /// ln of the mass of the basin in the Boltzmann law exp(−L/n): ½ q ln(2πn) − ½ ln det H − L/n (Laplace).
    ///
    /// n = aγσ²/(2(1 − b)) is the noise, σ² the variance of one example's gradient along each direction. Holds for isotropic
    /// noise and small learning rates (`curvature`, section 1.2, theorems 1 and 2). `noise` must be above 0.
    pub fn log_mass(&self, noise: f64) -> f64 {
        let directions = self.eigenvalues.len() as f64;
        0.5 * (directions * (2.0 * std::f64::consts::PI * noise).ln() - self.log_determinant()) - self.loss / noise
    }
}

/// n = aγσ²/(2(1 − b)), the temperature of the Boltzmann law under isotropic gradient noise of variance σ² an example.
pub fn boltzmann_noise(sgd: &Sgd, gradient_variance: f64) -> f64 {
    0.5 * controllable_noise(sgd) * gradient_variance
}

/// ln(p_A/p_B) of two basins of equal dimension with noise n_A and n_B (`curvature`, section 1.2):
/// (q/2) ln(n_A/n_B) + ½ ln(det H_B/det H_A) + L_B/n_B − L_A/n_A.
///
/// # Errors
/// [`TheoryError::Number`] for noise that is not above 0; [`TheoryError::Length`] for unequal dimensions.
pub fn log_occupancy_ratio(basins: [&Basin; 2], noise: [f64; 2]) -> Result<f64, TheoryError> {
    for value in noise {
        check("noise", "finite and above 0", value, value.is_finite() && value > 0.0)?;
    }
    let [expected, got] = basins.map(|basin| basin.eigenvalues.len());
    if expected != got {
        return Err(TheoryError::Length { what: "eigenvalues of the second basin", expected, got });
    }
    Ok(basins[0].log_mass(noise[0]) - basins[1].log_mass(noise[1]))
}

/// The noise above which the higher of two basins is preferred because it is flatter:
/// n = (L_A − L_B)/(½ ln(det H_B/det H_A)). `None` where no noise level tips the balance (the higher one is sharper, or
/// both are equally flat or deep).
pub fn preference_switch(higher: &Basin, lower: &Basin) -> Option<f64> {
    let flatness = 0.5 * (lower.log_determinant() - higher.log_determinant());
    let height = higher.loss - lower.loss;
    (flatness > 0.0 && height > 0.0).then(|| height / flatness)
}
