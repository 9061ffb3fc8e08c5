//! What the loss does in the long run on power-law spectra: regimes, exponents, constants, transition.

use std::f64::consts::PI;

use crate::complex::Complex;
use crate::error::TheoryError;
use crate::generating::sums;
use crate::model::QuadraticModel;
use crate::power_law::{PowerLaw, PowerLawFit};
use crate::roots::{root, valley};
use crate::sgd::Sgd;
use crate::special::gamma;
use crate::stability::{Stability, critical_learning_rate, mode_limit, noise_gain};

/// How the loss of a power-law problem behaves (`loss-prediction`, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Regime {
    /// ν < 1/2: Σλ² diverges, the first step does.
    ImmediateDivergence,
    /// 1/2 < ν < 1: U(1) is infinite for any learning rate; the loss falls first, then grows exponentially.
    EventualDivergence,
    /// ν > 1, ζ < 2 − 1/ν: C_s t^−ζ, the decay of full-batch descent.
    SignalDominated,
    /// ν > 1, ζ > 2 − 1/ν: C_n t^−(2−1/ν), the decay that gradient noise leaves.
    NoiseDominated,
    /// The spectrum follows no power law well enough.
    NotAPowerLaw,
}

impl Regime {
    /// The regime of an endless power law. On the boundaries ν = 1/2, ν = 1 and ζ = 2 − 1/ν the later row is returned.
    pub fn of(law: &PowerLaw) -> Self {
        let nu = law.eigenvalue_exponent;
        if nu < 0.5 {
            Self::ImmediateDivergence
        } else if nu < 1.0 {
            Self::EventualDivergence
        } else if law.decay_exponent() < 2.0 - 1.0 / nu {
            Self::SignalDominated
        } else {
            Self::NoiseDominated
        }
    }

    /// The regime of a measured spectrum, by [`PowerLawFit`]: finite, so its divergences are those of the law it follows.
    pub fn of_model(model: &QuadraticModel) -> Self {
        match PowerLawFit::of(model) {
            Some(fit) if fit.is_power_law() => Self::of(&fit.law),
            _ => Self::NotAPowerLaw,
        }
    }
}

/// L_t ≈ C_s t^−ζ + C_n t^−(2−1/ν) for stable settings on a power law with ν > 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Asymptotics {
    /// ζ = ϰ/ν.
    pub signal_exponent: f64,
    /// C_s = QΓ(ζ + 1)(2α_eff)^−ζ / (2(1 − U(1))), Q = KΛ^−ζ.
    pub signal_constant: f64,
    /// 2 − 1/ν.
    pub noise_exponent: f64,
    /// C_n = γτ1 V~(1)Λ^{1/ν}Γ(2 − 1/ν)(2α_eff)^{1/ν} / (8ν(1 − U(1))²); only where ζ > 1, else V~(1) is infinite.
    pub noise_constant: Option<f64>,
    /// t_trans = (C_s/C_n)^{1/(ζ−2+1/ν)}, where the two terms meet; reliable for α_eff·t_trans above about 3e3.
    pub transition_time: Option<f64>,
    /// U(1).
    pub noise_gain: f64,
    /// Which term wins in the end.
    pub regime: Regime,
}

impl Asymptotics {
    /// Exponents and constants of `law` under constant settings; `model` holds the sums U(1) and V~(1) and should be
    /// [`PowerLaw::binned_model`] of the endless law for the constants of an endless spectrum.
    ///
    /// `None` where there is no power-law decay: ν ≤ 1, or unstable settings. Source: `loss-prediction`, section 3.
    pub fn of(law: &PowerLaw, model: &QuadraticModel, sgd: &Sgd) -> Option<Self> {
        let nu = law.eigenvalue_exponent;
        let stability = Stability::of(model, sgd);
        if nu <= 1.0 || !stability.is_stable() {
            return None;
        }
        let gain = stability.noise_gain;
        let (zeta, noise_exponent) = (law.decay_exponent(), 2.0 - 1.0 / nu);
        let double_rate = 2.0 * sgd.effective_learning_rate();
        let strength = law.target_scale * law.eigenvalue_scale.powf(-zeta);
        let signal_constant = strength * gamma(zeta + 1.0) * double_rate.powf(-zeta) / (2.0 * (1.0 - gain));
        let noise_constant = (zeta > 1.0).then(|| {
            let start = sums(model, sgd, Complex::real(1.0), Complex::ZERO).signal.re;
            let shape = (law.eigenvalue_scale * double_rate).powf(1.0 / nu) * gamma(noise_exponent) / (8.0 * nu);
            sgd.noise_factor * model.closure.tau1() * start * shape / (1.0 - gain).powi(2)
        });
        let transition_time = noise_constant
            .filter(|&noise| noise > 0.0 && zeta > noise_exponent)
            .map(|noise| (signal_constant / noise).powf(1.0 / (zeta - noise_exponent)));
        Some(Self {
            signal_exponent: zeta,
            signal_constant,
            noise_exponent,
            noise_constant,
            transition_time,
            noise_gain: gain,
            regime: Regime::of(law),
        })
    }

    /// C_s t^−ζ + C_n t^−(2−1/ν), the second term only where it has a constant.
    pub fn loss(&self, time: f64) -> f64 {
        let noise = self.noise_constant.map_or(0.0, |constant| constant * time.powf(-self.noise_exponent));
        self.signal_constant * time.powf(-self.signal_exponent) + noise
    }

    /// The exponent of the regime: how fast the loss falls in the end.
    pub fn exponent(&self) -> f64 {
        self.signal_exponent.min(self.noise_exponent)
    }

    /// The constant of the regime's term.
    pub fn constant(&self) -> f64 {
        match (self.regime, self.noise_constant) {
            (Regime::NoiseDominated, Some(constant)) => constant,
            _ => self.signal_constant,
        }
    }
}

/// Growth rate ε of the loss, L ~ e^{εt}, for 1/2 < ν < 1 and small learning rates:
/// ε = 2α_eff A^{ν/(1−ν)}, A = γτ1 α_eff Λ^{1/ν} π/(2ν sin(π(2 − 1/ν))).
///
/// The limit a → 0 is slow near ν = 1 (ν = 0.9: 51 % off at a = 0.01). `None` outside 1/2 < ν < 1.
/// Source: `loss-prediction`, section 3.
pub fn eventual_divergence_rate(law: &PowerLaw, tau1: f64, sgd: &Sgd) -> Option<f64> {
    let nu = law.eigenvalue_exponent;
    if nu <= 0.5 || nu >= 1.0 {
        return None;
    }
    let alpha = sgd.effective_learning_rate();
    let strength = sgd.noise_factor * tau1 * alpha * law.eigenvalue_scale.powf(1.0 / nu) * PI
        / (2.0 * nu * (PI * (2.0 - 1.0 / nu)).sin());
    Some(2.0 * alpha * strength.powf(nu / (1.0 - nu)))
}

/// The learning rate at which U(1) takes a value in (0, 1), for given b and γ; the mode limit where U(1) stays below it.
///
/// # Errors
/// [`TheoryError::Number`] for settings out of range.
pub fn learning_rate_at_noise_gain(
    model: &QuadraticModel,
    momentum: f64,
    noise_factor: f64,
    gain: f64,
) -> Result<f64, TheoryError> {
    crate::error::check("noise gain U(1)", "between 0 and 1", gain, gain > 0.0 && gain < 1.0)?;
    let critical = critical_learning_rate(model, momentum, noise_factor)?;
    let at = |learning_rate: f64| noise_gain(model, &Sgd { learning_rate, momentum, noise_factor }) - gain;
    let top = critical * (1.0 - 1e-12);
    if at(top) <= 0.0 {
        return Ok(mode_limit(model, momentum, noise_factor));
    }
    Ok(root(critical * 1e-12, top, at))
}

/// The rule of thumb for the best learning rate in the long run: U(1) = ζ/(1 + ζ) in the signal phase, (ν − 1)/(3ν − 1) in
/// the noise phase.
///
/// Exact for b = 0 and γτ2 = 1; at larger batches the true optimum is lower (`loss-prediction`, section 3), see
/// [`best_asymptotic_learning_rate`]. `None` for ν ≤ 1.
pub fn best_noise_gain(law: &PowerLaw) -> Option<f64> {
    let (nu, zeta) = (law.eigenvalue_exponent, law.decay_exponent());
    match Regime::of(law) {
        Regime::SignalDominated => Some(zeta / (1.0 + zeta)),
        Regime::NoiseDominated => Some((nu - 1.0) / (3.0 * nu - 1.0)),
        _ => None,
    }
}

/// The learning rate with the smallest constant in the regime's term, and that constant, for given b and γ.
///
/// `None` where there is no decay (ν ≤ 1). About 60 evaluations of O(modes).
///
/// # Errors
/// [`TheoryError::Number`] for settings out of range.
pub fn best_asymptotic_learning_rate(
    law: &PowerLaw,
    model: &QuadraticModel,
    momentum: f64,
    noise_factor: f64,
) -> Result<Option<(f64, f64)>, TheoryError> {
    let critical = critical_learning_rate(model, momentum, noise_factor)?;
    let constant = |log_rate: f64| {
        let sgd = Sgd { learning_rate: log_rate.exp(), momentum, noise_factor };
        Asymptotics::of(law, model, &sgd).map_or(f64::INFINITY, |asymptotics| asymptotics.constant())
    };
    let (best, value) = valley((critical * 1e-6).ln(), critical.ln(), 1e-9, constant);
    Ok(value.is_finite().then(|| (best.exp(), value)))
}

/// Best momentum in the long run and what it pays, next to no momentum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BestMomentum {
    /// The best b, within −0.99..=0.99.
    pub momentum: f64,
    /// The best learning rate at that b.
    pub learning_rate: f64,
    /// Constant at the best (a, b) over the constant at b = 0 with its own best a: at most 1.
    pub gain: f64,
}

/// Best (a, b) for given γ in the long run: in the noise phase b < 0, in the signal phase b > 0 (`loss-prediction`,
/// section 3). In the signal phase the gain is asymptotic only: its transient lasts about 1/(1 − b) steps.
///
/// # Errors
/// [`TheoryError::Number`] for a noise factor out of range.
pub fn best_asymptotic_momentum(
    law: &PowerLaw,
    model: &QuadraticModel,
    noise_factor: f64,
) -> Result<Option<BestMomentum>, TheoryError> {
    let at = |momentum: f64| best_asymptotic_learning_rate(law, model, momentum, noise_factor);
    let Some((_, without)) = at(0.0)? else { return Ok(None) };
    let (momentum, _) = valley(-0.99, 0.99, 1e-6, |b| at(b).ok().flatten().map_or(f64::INFINITY, |(_, c)| c));
    Ok(at(momentum)?.map(|(learning_rate, constant)| BestMomentum {
        momentum,
        learning_rate,
        gain: constant / without,
    }))
}

/// Whether negative momentum helps in the noise phase: TrH · ΣλC > ((ν − 1)/ν) · Σλ² · ΣC (`loss-prediction`, section 3).
///
/// Every pure power law satisfies it; for other spectra it says which way the best momentum lies.
pub fn negative_momentum_helps(model: &QuadraticModel, eigenvalue_exponent: f64) -> bool {
    let squares: f64 = model.modes.noise_weights.iter().sum();
    let coefficients: f64 = model.modes.nodes().map(|(l, _, p)| p / l).sum();
    let share = (eigenvalue_exponent - 1.0) / eigenvalue_exponent;
    model.trace() * model.modes.initial_signal() > share * squares * coefficients
}
