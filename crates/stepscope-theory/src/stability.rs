//! Does the mean loss stay finite? Mode limits, the noise gain U(1), the critical learning rate, the growth past it.

use crate::error::{TheoryError, check};
use crate::generating::noise_gain_at;
use crate::model::QuadraticModel;
use crate::roots::{boundary, root};
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
    model.closure.tau1() * noise_response(model, sgd)
}

/// U(1)/τ1: the loss that one unit of drive keeps up. Eight partial sums, so that the divisions fill vector registers.
fn noise_response(model: &QuadraticModel, sgd: &Sgd) -> f64 {
    let alpha = sgd.effective_learning_rate();
    let slope = alpha * (sgd.damping() - sgd.noise_factor * model.closure.tau2());
    let term = |eigenvalue: f64, weight: f64| weight / (eigenvalue * (2.0 - slope * eigenvalue));
    let (eigenvalues, weights) = (&model.modes.eigenvalues, &model.modes.noise_weights);
    let mut lanes = [0.0; 8];
    let (blocks, weight_blocks) = (eigenvalues.chunks_exact(8), weights.chunks_exact(8));
    let rest = blocks.remainder().iter().zip(weight_blocks.remainder()).map(|(&l, &q)| term(l, q)).sum::<f64>();
    for (block, weight_block) in blocks.zip(weight_blocks) {
        for lane in 0..8 {
            lanes[lane] += term(block[lane], weight_block[lane]);
        }
    }
    sgd.noise_factor * alpha * (lanes.iter().sum::<f64>() + rest)
}

/// The learning rate at which the mean loss starts to diverge: U(1) = 1 or the mode limit, whichever comes first.
///
/// Symbols: b = `momentum` in (−1, 1), γ = `noise_factor` ≥ 0. U(1) rises with a, so the crossing is unique; about 20
/// evaluations of O(modes). For γτ1 = 0 the answer is the mode limit. Source: `loss-prediction`, section 3.
///
/// ```
/// use stepscope_theory::{Closure, QuadraticModel, critical_learning_rate};
/// use stepscope_types::Spectrum;
/// // One mode, (1, 1), γ = 1: U(1) = aλ/(2 − aλ(1 − 1)) = aλ/2, so a = 2/λ.
/// let model = QuadraticModel::interpolating(&Spectrum::new(vec![4.0], vec![1.0]).unwrap(), Closure::INTERPOLATING)?;
/// assert!((critical_learning_rate(&model, 0.0, 1.0)? - 0.5).abs() < 1e-12);
/// # Ok::<(), stepscope_theory::TheoryError>(())
/// ```
///
/// # Errors
/// [`TheoryError::Number`] for momentum or noise factor out of range.
pub fn critical_learning_rate(model: &QuadraticModel, momentum: f64, noise_factor: f64) -> Result<f64, TheoryError> {
    let limit = mode_limit(model, momentum, noise_factor);
    let at = |learning_rate: f64| Sgd { learning_rate, momentum, noise_factor };
    at(1.0).checked()?;
    // U grows at least linearly: U ≥ γτ1·α·Tr(H)/2 when the bend is not negative; where it is, the mode limit bounds a.
    let excess = |learning_rate: f64| {
        let gain = noise_gain(model, &at(learning_rate));
        if gain.is_finite() && gain >= 0.0 { 1.0 - 1.0 / gain } else { 1.0 }
    };
    let below = limit * (1.0 - 1e-15);
    if excess(below) <= 0.0 {
        return Ok(limit);
    }
    Ok(root(limit * 1e-12, below, |learning_rate| excess(learning_rate).max(-1e12)))
}

/// By what factor the mean loss grows per step in the long run, for settings past the threshold; 1 for stable settings.
///
/// The factor is 1/r with r in (0, 1) the root of r·U~(r) = 1, or the first pole of U~ where no noise is fed back
/// (`loss-prediction`, section 3). O(modes) times about 60.
///
/// # Errors
/// [`TheoryError::Number`] for settings out of range.
pub fn growth_per_step(model: &QuadraticModel, sgd: &Sgd) -> Result<f64, TheoryError> {
    sgd.checked()?;
    if Stability::of(model, sgd).is_stable() {
        return Ok(1.0);
    }
    let beyond = |r: f64| {
        let (gain, before_poles) = noise_gain_at(model, sgd, r, 1.0 - r);
        !before_poles || r * gain >= 1.0
    };
    Ok(1.0 / boundary(0.0, 1.0, beyond))
}

/// λ_crit of a spectrum: Σ λ/(λ + λ_crit) = 1 (`loss-prediction`, section 3).
///
/// For the closure (1, 1) α_eff < 2/(γλ_crit) is necessary for stability; it is close to sufficient only when ρ ≪ γ.
/// `None` for a single mode, whose sum stays below 1 for every λ_crit > 0.
pub fn critical_eigenvalue(model: &QuadraticModel) -> Option<f64> {
    let sum = |critical: f64| model.modes.nodes().map(|(l, q, _)| q / (l * (l + critical))).sum::<f64>();
    let trace = model.modes.trace();
    (sum(0.0) > 1.0).then(|| root(0.0, trace, |critical| sum(critical) - 1.0))
}

/// B*, the batch size at which the curvature limit and the noise limit of the learning rate meet:
/// (λ_crit/λ_max)(1 + b)/(1 − b) (`loss-prediction`, section 3). Above it, larger batches buy no larger learning rate.
///
/// # Errors
/// [`TheoryError::Number`] for momentum outside (−1, 1).
pub fn balanced_batch_size(model: &QuadraticModel, momentum: f64) -> Result<Option<f64>, TheoryError> {
    check("momentum", "between -1 and 1, both excluded", momentum, momentum.abs() < 1.0)?;
    let ratio = (1.0 + momentum) / (1.0 - momentum);
    Ok(critical_eigenvalue(model).map(|critical| critical / model.largest_eigenvalue() * ratio))
}

/// Loss that additive noise keeps up for ever: σ²U(1)/(2τ1(1 − U(1))), above the loss floor; exact for finitely many modes.
///
/// Infinite for unstable settings. Source: `loss-prediction`, section 3.
///
/// # Errors
/// [`TheoryError::Number`] for settings out of range.
pub fn noise_floor(model: &QuadraticModel, sgd: &Sgd) -> Result<f64, TheoryError> {
    sgd.checked()?;
    if model.label_noise() == 0.0 {
        return Ok(0.0);
    }
    let stability = Stability::of(model, sgd);
    if !stability.is_stable() {
        return Ok(f64::INFINITY);
    }
    let response = noise_response(model, sgd);
    Ok(0.5 * model.label_noise() * response / (1.0 - model.closure.tau1() * response))
}
