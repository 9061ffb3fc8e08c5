//! Does the mean loss stay finite? Mode limits, the noise gain U(1), the critical learning rate, the growth past it.

use crate::model::QuadraticModel;
use crate::sgd::Sgd;
use crate::warning::Warning;

/// U(1) above which a stable run is called close to the threshold: there the mean is carried by rare runs
/// (`loss-prediction`, section 4, "mean vs typical").
const NEAR_THRESHOLD: f64 = 0.9;

/// Whether constant settings are stable on a model, and by how much.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stability {
    /// U(1), the loss that one unit of loss regenerates through gradient noise; stable needs it below 1. Infinite when a
    /// mode is unstable on its own.
    pub noise_gain: f64,
    /// The learning rate below which every mode is stable on its own.
    pub mode_limit: f64,
    /// γτ2.
    pub gamma_tau2: f64,
    /// The learning rate asked about.
    pub learning_rate: f64,
}

impl Stability {
    /// Evaluates constant settings. O(modes).
    ///
    /// U(1) = γτ1 Σ α_eff λ/(2 − α_eff λ(ρ − γτ2)), α_eff = a/(1 − b), ρ = (1 − b)/(1 + b); the sum runs over the positive
    /// modes (`loss-prediction`, section 2). Stable iff every mode is and U(1) < 1 (section 3).
    pub fn of(model: &QuadraticModel, sgd: &Sgd) -> Self {
        let noise_gain = if mode_stable(model, sgd) { noise_gain(model, sgd) } else { f64::INFINITY };
        Self {
            noise_gain,
            mode_limit: mode_limit(model, sgd.momentum, sgd.noise_factor),
            gamma_tau2: sgd.noise_factor * model.closure.tau2(),
            learning_rate: sgd.learning_rate,
        }
    }

    /// Whether the mean loss stays bounded.
    pub fn is_stable(&self) -> bool {
        self.noise_gain < 1.0
    }

    /// Advice on these settings.
    pub fn warnings(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        if self.learning_rate >= self.mode_limit {
            warnings.push(Warning::ModeUnstable { learning_rate: self.learning_rate, limit: self.mode_limit });
        } else if self.noise_gain >= 1.0 {
            warnings.push(Warning::Unstable { noise_gain: self.noise_gain });
        } else if self.noise_gain > NEAR_THRESHOLD {
            warnings.push(Warning::NearThreshold { noise_gain: self.noise_gain });
        }
        if self.gamma_tau2 > 1.0 {
            warnings.push(Warning::ClosureOutsideProof { gamma_tau2: self.gamma_tau2 });
        }
        warnings
    }
}

/// The learning rate below which the largest mode is stable on its own:
/// a < 2(1 + b)/λ_max and, with d = (1 − b) − γτ2(1 + b) > 0, a < 2(1 − b²)/(λ_max d) (`loss-prediction`, section 3).
///
/// Symbols: b = `momentum` in (−1, 1), γ = `noise_factor` ≥ 0, λ_max and τ2 from `model`.
pub fn mode_limit(model: &QuadraticModel, momentum: f64, noise_factor: f64) -> f64 {
    let largest = model.largest_eigenvalue();
    let damping = (1.0 - momentum) - noise_factor * model.closure.tau2() * (1.0 + momentum);
    let deterministic = 2.0 * (1.0 + momentum) / largest;
    if damping > 0.0 {
        deterministic.min(2.0 * (1.0 - momentum * momentum) / (largest * damping))
    } else {
        deterministic
    }
}

pub(crate) fn mode_stable(model: &QuadraticModel, sgd: &Sgd) -> bool {
    sgd.learning_rate < mode_limit(model, sgd.momentum, sgd.noise_factor)
}

/// U(1), without looking at the mode limits.
pub(crate) fn noise_gain(model: &QuadraticModel, sgd: &Sgd) -> f64 {
    let alpha = sgd.effective_learning_rate();
    let bend = sgd.damping() - sgd.noise_factor * model.closure.tau2();
    let sum: f64 = model
        .modes
        .nodes()
        .map(|(eigenvalue, weight, _)| weight / eigenvalue * alpha / (2.0 - alpha * eigenvalue * bend))
        .sum();
    sgd.noise_factor * model.closure.tau1() * sum
}
