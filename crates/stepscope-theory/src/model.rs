//! The quadratic that is predicted: a spectrum, what remains at its minimum, and the noise of its gradient.

use stepscope_types::Spectrum;

use crate::error::{TheoryError, check};
use crate::modes::Modes;
use crate::warning::Warning;

/// How the gradient noise of the data depends on the error: Σ(C) ≈ τ1·Tr(HC)·H − τ2·HCH (`loss-prediction`, section 1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Closure {
    tau1: f64,
    tau2: f64,
}

impl Closure {
    /// (1, 1): translation-invariant and, closely, interpolating kernels.
    pub const INTERPOLATING: Self = Self { tau1: 1.0, tau2: 1.0 };
    /// (1, −1): Gaussian features from a stream, exact.
    pub const GAUSSIAN: Self = Self { tau1: 1.0, tau2: -1.0 };
    /// (1, 0): the leading propagators only; convenient, no natural data.
    pub const LEADING: Self = Self { tau1: 1.0, tau2: 0.0 };
    /// (0, 0): the noise does not depend on the error; only additive noise remains.
    pub const ADDITIVE: Self = Self { tau1: 0.0, tau2: 0.0 };

    /// Accepts τ1 ≥ 0 and τ2 ≤ τ1, for which the noise variance τ1λS − τ2λ²C of every mode is never negative.
    ///
    /// # Errors
    /// [`TheoryError::Closure`] for any other pair.
    pub fn new(tau1: f64, tau2: f64) -> Result<Self, TheoryError> {
        if tau1.is_finite() && tau2.is_finite() && tau1 >= 0.0 && tau2 <= tau1 {
            Ok(Self { tau1, tau2 })
        } else {
            Err(TheoryError::Closure { tau1, tau2 })
        }
    }

    /// τ1.
    pub fn tau1(self) -> f64 {
        self.tau1
    }

    /// τ2.
    pub fn tau2(self) -> f64 {
        self.tau2
    }
}

/// A quadratic loss with its gradient noise: L = floor + ½ Σ λ_k C_k, with per-example gradient covariance
/// τ1·Tr(HC)·H − τ2·HCH + σ²H.
///
/// | symbol | source | unit |
/// |---|---|---|
/// | λ_k | eigenvalues of the spectrum | loss / weight² |
/// | C_k at t = 0 | coefficients of the spectrum: squared initial error along the mode | weight² |
/// | floor | loss that no weights can remove | loss |
/// | σ² | additive noise (label noise) | loss |
///
/// **Negative eigenvalues** (a measured Hessian has some) evolve by the same recursion without noise: a covariance σ²H
/// has no meaning there. Their loss share ½λC falls without bound, which [`Warning::NegativeCurvature`] says. **Zero
/// eigenvalues** never enter the loss and are left out. Source: `loss-prediction`, section 1.
#[derive(Debug, Clone, PartialEq)]
pub struct QuadraticModel {
    pub(crate) modes: Modes,
    pub(crate) negative: Modes,
    pub(crate) closure: Closure,
    loss_floor: f64,
    label_noise: f64,
    num_zeros: usize,
}

impl QuadraticModel {
    /// An interpolating problem: no floor, no additive noise, noise that vanishes with the error as `closure` says.
    ///
    /// # Errors
    /// [`TheoryError::NoPositiveEigenvalue`].
    pub fn interpolating(spectrum: &Spectrum, closure: Closure) -> Result<Self, TheoryError> {
        let (modes, negative, num_zeros) = Modes::split(spectrum);
        if modes.is_empty() {
            let largest = spectrum.eigenvalues().first().copied().unwrap_or(f64::NAN);
            return Err(TheoryError::NoPositiveEigenvalue { largest });
        }
        Ok(Self { modes, negative, closure, loss_floor: 0.0, label_noise: 0.0, num_zeros })
    }

    /// An interpolating problem whose modes come with multiplicities: `multiplicities[k]` modes share `eigenvalues[k]`, each
    /// with squared initial error `coefficients[k]`.
    ///
    /// # Errors
    /// [`TheoryError::Length`] for lists of unequal length; [`TheoryError::Number`] for an eigenvalue that is not above 0 and
    /// finite, a negative coefficient or a multiplicity that is not above 0; [`TheoryError::NoPositiveEigenvalue`] for none.
    pub fn with_multiplicities(
        eigenvalues: &[f64],
        coefficients: &[f64],
        multiplicities: &[f64],
        closure: Closure,
    ) -> Result<Self, TheoryError> {
        for (what, list) in [("coefficients", coefficients), ("multiplicities", multiplicities)] {
            if list.len() != eigenvalues.len() {
                return Err(TheoryError::Length { what, expected: eigenvalues.len(), got: list.len() });
            }
        }
        let mut order: Vec<usize> = (0..eigenvalues.len()).collect();
        order.sort_by(|&i, &j| eigenvalues[j].total_cmp(&eigenvalues[i]));
        let mut modes = Modes::empty();
        for index in order {
            let (eigenvalue, coefficient, count) = (eigenvalues[index], coefficients[index], multiplicities[index]);
            check("eigenvalue", "finite and above 0", eigenvalue, eigenvalue.is_finite() && eigenvalue > 0.0)?;
            check(
                "coefficient",
                "finite and not negative",
                coefficient,
                coefficient.is_finite() && coefficient >= 0.0,
            )?;
            check("multiplicity", "finite and above 0", count, count.is_finite() && count > 0.0)?;
            modes.push(eigenvalue, count * eigenvalue * coefficient, count * eigenvalue * eigenvalue);
        }
        if modes.is_empty() {
            return Err(TheoryError::NoPositiveEigenvalue { largest: f64::NAN });
        }
        Ok(Self::from_nodes(modes, closure))
    }

    /// A local quadratic measured on a network: constant gradient noise of known trace, τ = (0, 0).
    ///
    /// `loss_floor` is the loss at the minimum of the quadratic; `noise_trace` is Tr Σ, the trace of the covariance of
    /// *one example's* gradient. Where the full gradient has the component g_k along a mode, its squared error is
    /// C_k = (g_k/λ_k)². Then σ² = Tr Σ / Tr H₊, with H₊ the positive part of H, and a batch of B sees γσ²H₊.
    ///
    /// ```
    /// use stepscope_theory::{QuadraticModel, Sgd};
    /// use stepscope_types::Spectrum;
    /// let spectrum = Spectrum::new(vec![2.0, 0.5], vec![0.0, 0.0]).unwrap();
    /// let model = QuadraticModel::measured(&spectrum, 0.3, 5.0)?;
    /// let sgd = Sgd::from_numbers(0.01, 0.0, 1.0 / 8.0)?;
    /// let curve = model.loss_curve(&sgd, 5000)?;
    /// // Small learning rates: excess loss a·Tr(Σ)/(4B).
    /// assert!((curve.loss[5000] - 0.3 - 0.01 * 5.0 / (4.0 * 8.0)).abs() < 2e-5);
    /// # Ok::<(), stepscope_theory::TheoryError>(())
    /// ```
    ///
    /// # Errors
    /// [`TheoryError::NoPositiveEigenvalue`]; [`TheoryError::Number`] for a floor that is not finite or a negative trace.
    pub fn measured(spectrum: &Spectrum, loss_floor: f64, noise_trace: f64) -> Result<Self, TheoryError> {
        let ok = noise_trace.is_finite() && noise_trace >= 0.0;
        check("noise trace", "finite and not negative", noise_trace, ok)?;
        let model = Self::interpolating(spectrum, Closure::ADDITIVE)?.with_loss_floor(loss_floor)?;
        let label_noise = noise_trace / model.modes.trace();
        model.with_label_noise(label_noise)
    }

    /// A model from nodes that stand for many modes each.
    pub(crate) fn from_nodes(modes: Modes, closure: Closure) -> Self {
        let negative = Modes::empty();
        Self { modes, negative, closure, loss_floor: 0.0, label_noise: 0.0, num_zeros: 0 }
    }

    /// The same model with other nodes for its positive modes.
    pub(crate) fn with_modes(&self, modes: Modes) -> Self {
        let (negative, closure) = (self.negative.clone(), self.closure);
        let (loss_floor, label_noise, num_zeros) = (self.loss_floor, self.label_noise, self.num_zeros);
        Self { modes, negative, closure, loss_floor, label_noise, num_zeros }
    }

    /// Sets the loss that no weights can remove; it is added to every loss.
    ///
    /// # Errors
    /// [`TheoryError::Number`] unless finite.
    pub fn with_loss_floor(mut self, loss_floor: f64) -> Result<Self, TheoryError> {
        check("loss floor", "finite", loss_floor, loss_floor.is_finite())?;
        self.loss_floor = loss_floor;
        Ok(self)
    }

    /// Sets σ²: additive noise with covariance σ²H for one example. Label noise of variance σ² is this.
    ///
    /// # Errors
    /// [`TheoryError::Number`] for a negative or infinite variance.
    pub fn with_label_noise(mut self, variance: f64) -> Result<Self, TheoryError> {
        check("label noise variance", "finite and not negative", variance, variance.is_finite() && variance >= 0.0)?;
        self.label_noise = variance;
        Ok(self)
    }

    /// The loss that no weights can remove.
    pub fn loss_floor(&self) -> f64 {
        self.loss_floor
    }

    /// σ².
    pub fn label_noise(&self) -> f64 {
        self.label_noise
    }

    /// (τ1, τ2).
    pub fn closure(&self) -> Closure {
        self.closure
    }

    /// λ_max > 0.
    pub fn largest_eigenvalue(&self) -> f64 {
        self.modes.eigenvalues.first().copied().unwrap_or(f64::NAN)
    }

    /// Tr H₊ = Σ λ over the positive modes.
    pub fn trace(&self) -> f64 {
        self.modes.trace()
    }

    /// Number of nodes with a positive eigenvalue.
    pub fn num_modes(&self) -> usize {
        self.modes.len()
    }

    /// floor + ½ Σ λC at t = 0, negative modes included.
    pub fn initial_loss(&self) -> f64 {
        self.loss_floor + 0.5 * (self.modes.initial_signal() + self.negative.initial_signal())
    }

    /// What the spectrum itself has to warn of, under a learning rate and a momentum.
    pub(crate) fn spectrum_warnings(&self, learning_rate: f64, momentum: f64) -> Vec<Warning> {
        let mut warnings = Vec::new();
        if let Some(&smallest) = self.negative.eigenvalues.last() {
            // Larger root of z² − (1 + β − aλ)z + β = 0, squared: the second moment.
            let half = 0.5 * (1.0 + momentum - learning_rate * smallest);
            let root = half + (half * half - momentum).max(0.0).sqrt();
            let growth_per_step = root * root;
            warnings.push(Warning::NegativeCurvature { num_modes: self.negative.len(), smallest, growth_per_step });
        }
        if self.num_zeros > 0 {
            warnings.push(Warning::ZeroCurvature { num_modes: self.num_zeros });
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closure_with_negative_variance_is_refused() {
        assert!(Closure::new(1.0, 1.5).is_err());
        assert!(Closure::new(-0.1, -1.0).is_err());
        assert!(Closure::new(f64::NAN, 0.0).is_err());
        assert_eq!(Closure::new(1.0, -1.0), Ok(Closure::GAUSSIAN));
    }

    #[test]
    fn multiplicities_stand_for_equal_modes() {
        let (eigenvalues, coefficients) = ([0.5, 2.0, 0.1], [1.0, 0.3, 2.0]);
        let grouped =
            QuadraticModel::with_multiplicities(&eigenvalues, &coefficients, &[2.0, 1.0, 3.0], Closure::GAUSSIAN)
                .unwrap();
        let listed = Spectrum::new(vec![0.5, 0.5, 2.0, 0.1, 0.1, 0.1], vec![1.0, 1.0, 0.3, 2.0, 2.0, 2.0]).unwrap();
        let listed = QuadraticModel::interpolating(&listed, Closure::GAUSSIAN).unwrap();
        let sgd = crate::Sgd::from_numbers(0.2, 0.5, 0.2).unwrap();
        let (one, other) = (grouped.loss_at(&sgd, &[50]).unwrap(), listed.loss_at(&sgd, &[50]).unwrap());
        assert!((one.loss[0] / other.loss[0] - 1.0).abs() < 1e-13);
        for (bad_eigenvalue, bad_count) in [(-1.0, 1.0), (0.0, 1.0), (1.0, 0.0), (f64::NAN, 1.0)] {
            assert!(
                QuadraticModel::with_multiplicities(&[bad_eigenvalue], &[1.0], &[bad_count], Closure::LEADING).is_err()
            );
        }
        assert!(QuadraticModel::with_multiplicities(&[1.0], &[1.0], &[], Closure::LEADING).is_err());
    }

    #[test]
    fn a_spectrum_without_curvature_is_refused() {
        let flat = Spectrum::new(vec![0.0, -1.0], vec![1.0, 1.0]).unwrap();
        assert_eq!(
            QuadraticModel::interpolating(&flat, Closure::GAUSSIAN),
            Err(TheoryError::NoPositiveEigenvalue { largest: 0.0 })
        );
    }
}
