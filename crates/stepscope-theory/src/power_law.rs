//! Power-law spectra, finite or endless, and the power law of a measured one.

use stepscope_types::Spectrum;

use crate::error::{TheoryError, check};
use crate::model::{Closure, QuadraticModel};
use crate::modes::Modes;
use crate::special::power_sum;

/// Modes that keep a node of their own in [`PowerLaw::binned_model`].
const EXACT_HEAD: u32 = 256;
/// Most modes that are listed one by one.
const MOST_LISTED: f64 = 2e7;

/// λ_k = Λ k^−ν, λ_k C_k = K ϰ k^−(ϰ+1) for k = 1..=modes, so that Σ_{l≥k} λ_l C_l ~ K k^−ϰ (`loss-prediction`, section 3).
///
/// | symbol | field | range |
/// |---|---|---|
/// | ν | `eigenvalue_exponent` | > 0 |
/// | ϰ | `target_exponent` | > 0 |
/// | Λ | `eigenvalue_scale` | > 0 |
/// | K | `target_scale` | ≥ 0 |
/// | number of modes | `modes` | ≥ 1, may be infinite |
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PowerLaw {
    /// ν.
    pub eigenvalue_exponent: f64,
    /// ϰ.
    pub target_exponent: f64,
    /// Λ.
    pub eigenvalue_scale: f64,
    /// K.
    pub target_scale: f64,
    /// How many modes there are; [`f64::INFINITY`] for an endless spectrum.
    pub modes: f64,
}

impl PowerLaw {
    /// Exponents and number of modes, with Λ = K = 1.
    ///
    /// # Errors
    /// [`TheoryError::Number`] for exponents that are not above 0 or fewer than one mode.
    pub fn new(eigenvalue_exponent: f64, target_exponent: f64, modes: f64) -> Result<Self, TheoryError> {
        let positive = |v: f64| v > 0.0 && v.is_finite();
        check("eigenvalue exponent", "finite and above 0", eigenvalue_exponent, positive(eigenvalue_exponent))?;
        check("target exponent", "finite and above 0", target_exponent, positive(target_exponent))?;
        check("number of modes", "at least 1", modes, modes >= 1.0)?;
        let modes = modes.floor();
        Ok(Self { eigenvalue_exponent, target_exponent, eigenvalue_scale: 1.0, target_scale: 1.0, modes })
    }

    /// ζ = ϰ/ν.
    pub fn decay_exponent(&self) -> f64 {
        self.target_exponent / self.eigenvalue_exponent
    }

    /// The modes one by one.
    ///
    /// # Errors
    /// [`TheoryError::Number`] for more than 2e7 modes: use [`PowerLaw::binned_model`].
    pub fn spectrum(&self) -> Result<Spectrum, TheoryError> {
        check("number of modes", "at most 2e7 to be listed one by one", self.modes, self.modes <= MOST_LISTED)?;
        let count = self.modes as usize;
        let eigenvalues: Vec<f64> = (1..=count).map(|k| self.eigenvalue(k as f64)).collect();
        let coefficients = (1..=count).map(|k| self.signal(k as f64) / self.eigenvalue(k as f64)).collect();
        Spectrum::new(eigenvalues, coefficients).map_err(|_| TheoryError::Number {
            name: "eigenvalue exponent",
            expected: "small enough for every eigenvalue to be a number",
            got: self.eigenvalue_exponent,
        })
    }

    /// The interpolating model with every mode on its own.
    ///
    /// # Errors
    /// As [`PowerLaw::spectrum`].
    pub fn model(&self, closure: Closure) -> Result<QuadraticModel, TheoryError> {
        QuadraticModel::interpolating(&self.spectrum()?, closure)
    }

    /// The interpolating model in bins whose sums are exact, for any number of modes: 256 modes on their own, then
    /// `bins_per_decade` nodes for each decade of the *eigenvalue*, down to the last mode or to `smallest_eigenvalue`
    /// (the rest is one node: with learning rate a it has not moved while t ≪ 1/(a · smallest_eigenvalue)).
    ///
    /// # Errors
    /// [`TheoryError::Number`] for no bins, or a smallest eigenvalue that is not above 0.
    pub fn binned_model(
        &self,
        closure: Closure,
        bins_per_decade: u32,
        smallest_eigenvalue: f64,
    ) -> Result<QuadraticModel, TheoryError> {
        check("bins per decade", "at least 1", f64::from(bins_per_decade), bins_per_decade >= 1)?;
        check("smallest eigenvalue", "above 0", smallest_eigenvalue, smallest_eigenvalue > 0.0)?;
        let mut nodes = Modes::empty();
        let end = self.modes + 1.0;
        let head = f64::from(EXACT_HEAD).min(self.modes);
        for k in 1..=head as u32 {
            let (k, eigenvalue) = (f64::from(k), self.eigenvalue(f64::from(k)));
            nodes.push(eigenvalue, self.signal(k), eigenvalue * eigenvalue);
        }
        // A decade of eigenvalues is 10^(1/ν) in k; no more bins than modes while they are few.
        let factor = 10_f64.powf(1.0 / (self.eigenvalue_exponent * f64::from(bins_per_decade)));
        let mut first = head + 1.0;
        while first < end {
            let mut next = (first * factor).floor().max(first + 1.0).min(end);
            if self.eigenvalue(next) < smallest_eigenvalue && self.summable() {
                next = end;
            }
            self.push_bin(&mut nodes, first, next);
            first = next;
            if self.eigenvalue(first) < smallest_eigenvalue {
                break;
            }
        }
        Ok(QuadraticModel::from_nodes(nodes, closure))
    }

    /// Whether an endless rest can be one node.
    fn summable(&self) -> bool {
        self.modes.is_finite() || self.eigenvalue_exponent > 1.0
    }

    fn eigenvalue(&self, k: f64) -> f64 {
        self.eigenvalue_scale * k.powf(-self.eigenvalue_exponent)
    }

    fn signal(&self, k: f64) -> f64 {
        self.target_scale * self.target_exponent * k.powf(-self.target_exponent - 1.0)
    }

    /// One node for first ≤ k < end that keeps Σλ, Σλ² and ΣλC.
    fn push_bin(&self, nodes: &mut Modes, first: f64, end: f64) {
        let (nu, scale) = (self.eigenvalue_exponent, self.eigenvalue_scale);
        let trace = scale * power_sum(nu, first, end);
        let noise_weight = scale * scale * power_sum(2.0 * nu, first, end);
        let signal = self.target_scale * self.target_exponent * power_sum(self.target_exponent + 1.0, first, end);
        nodes.push(noise_weight / trace, signal, noise_weight);
    }
}

/// A power law fitted to a measured spectrum, and how well it fits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PowerLawFit {
    /// The law; `modes` is the number of modes fitted to.
    pub law: PowerLaw,
    /// Root mean square of ln(λ_k / fitted), over the fitted range.
    pub eigenvalue_residual: f64,
    /// Root mean square of ln(octave sum / fitted), over the fitted range.
    pub target_residual: f64,
}

impl PowerLawFit {
    /// Residual above which a spectrum is called no power law: a factor of about 1.3.
    pub const LARGEST_RESIDUAL: f64 = 0.25;

    /// Whether both residuals are below [`PowerLawFit::LARGEST_RESIDUAL`].
    pub fn is_power_law(&self) -> bool {
        self.eigenvalue_residual <= Self::LARGEST_RESIDUAL && self.target_residual <= Self::LARGEST_RESIDUAL
    }

    /// Least squares of ln λ_k and of ln Σ_{k≤l<2k} λ_l C_l against ln k, every decade of k weighted alike, over
    /// 4 ≤ k ≤ modes/4: the top modes and the end of a finite spectrum follow no power.
    ///
    /// `None` for fewer than 32 modes, a binned model or one without signal in the range.
    pub fn of(model: &QuadraticModel) -> Option<Self> {
        let modes = &model.modes;
        let single = modes.nodes().all(|(l, q, _)| (q / (l * l) - 1.0).abs() < 1e-6);
        let count = modes.len();
        if count < 32 || !single {
            return None;
        }
        // Sums over octaves k..2k follow the power of the tail without seeing where the spectrum ends.
        let mut sums = vec![0.0];
        sums.extend(modes.signal.iter().scan(0.0, |sum, p| {
            *sum += p;
            Some(*sum)
        }));
        let range = || 4..=count / 4;
        let (eigenvalue_exponent, eigenvalue_scale, eigenvalue_residual) =
            fit(range().map(|k| (k, modes.eigenvalues[k - 1])))?;
        let (target_exponent, octave_scale, target_residual) =
            fit(range().map(|k| (k, sums[2 * k - 1] - sums[k - 1])))?;
        let target_scale = octave_scale / (1.0 - (-target_exponent * 2_f64.ln()).exp());
        let law =
            PowerLaw { eigenvalue_exponent, target_exponent, eigenvalue_scale, target_scale, modes: count as f64 };
        Some(Self { law, eigenvalue_residual, target_residual })
    }
}

/// (−slope, e^intercept, residual) of ln y against ln k with weights 1/k; `None` unless every y is above 0 and falls.
fn fit(points: impl Iterator<Item = (usize, f64)> + Clone) -> Option<(f64, f64, f64)> {
    if points.clone().any(|(_, y)| y.is_nan() || y <= 0.0) {
        return None;
    }
    let logs = points.map(|(k, y)| (1.0 / k as f64, (k as f64).ln(), y.ln()));
    let weight: f64 = logs.clone().map(|(w, _, _)| w).sum();
    let mean_x = logs.clone().map(|(w, x, _)| w * x).sum::<f64>() / weight;
    let mean_y = logs.clone().map(|(w, _, y)| w * y).sum::<f64>() / weight;
    let xx: f64 = logs.clone().map(|(w, x, _)| w * (x - mean_x) * (x - mean_x)).sum();
    let xy: f64 = logs.clone().map(|(w, x, y)| w * (x - mean_x) * (y - mean_y)).sum();
    let slope = xy / xx;
    let square: f64 = logs.map(|(w, x, y)| w * (y - mean_y - slope * (x - mean_x)).powi(2)).sum();
    (slope < 0.0).then(|| (-slope, (mean_y - slope * mean_x).exp(), (square / weight).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_keep_the_sums_of_the_listed_modes() {
        let law = PowerLaw::new(1.5, 1.0, 50_000.0).unwrap();
        let (listed, binned) =
            (law.model(Closure::LEADING).unwrap(), law.binned_model(Closure::LEADING, 32, 1e-30).unwrap());
        assert!(binned.num_modes() < 1000);
        assert!((listed.trace() / binned.trace() - 1.0).abs() < 1e-12);
        assert!((listed.initial_loss() / binned.initial_loss() - 1.0).abs() < 1e-12);
        let squares = |m: &QuadraticModel| m.modes.noise_weights.iter().sum::<f64>();
        assert!((squares(&listed) / squares(&binned) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_fit_finds_the_exponents_it_was_given_and_refuses_what_is_none() {
        let law = PowerLaw::new(1.5, 0.75, 4000.0).unwrap();
        let fit = PowerLawFit::of(&law.model(Closure::LEADING).unwrap()).unwrap();
        assert!(fit.is_power_law());
        assert!((fit.law.eigenvalue_exponent - 1.5).abs() < 1e-10);
        assert!((fit.law.target_exponent - 0.75).abs() < 0.03, "{}", fit.law.target_exponent);
        let exponential =
            Spectrum::new((0..200).map(|k| (-0.2 * f64::from(k)).exp()).collect(), vec![1.0; 200]).unwrap();
        let fit = PowerLawFit::of(&QuadraticModel::interpolating(&exponential, Closure::LEADING).unwrap()).unwrap();
        assert!(!fit.is_power_law());
    }
}
