//! Power-function averages, and how one of any width is put together afterwards from others.

use faer::{Mat, Side};

use crate::error::{TheoryError, check};

/// Eigenvalues of the Gram matrix below this share of the largest are noise.
const RANK_TOLERANCE: f64 = 1e-12;

/// The averaging profile p(t) = (γ + 1) t^γ/T^{γ+1} on [0, T]: an average whose width is a constant share of the run so far.
///
/// Tracked by y ← y + d(x − y) with d = 1 − (1 − D/t)^{γ+1} for an update at step t, D steps after the last one; the share of
/// x_t in the end is then the profile's integral over those D steps, exactly, whatever D is. Source: `averaging`, sections 2.6
/// and 7; Karras et al. 2024, whose relative widths σ 0.05 and 0.1 are γ 16.97 and 6.94.
///
/// ```
/// use stepscope_theory::PowerProfile;
/// let profile = PowerProfile::with_relative_width(0.10)?;
/// assert!((profile.exponent() - 6.94).abs() < 0.005);
/// # Ok::<(), stepscope_theory::TheoryError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PowerProfile {
    exponent: f64,
}

/// Weights on averages that were tracked, for one that was not.
#[derive(Debug, Clone, PartialEq)]
pub struct Synthesis {
    /// A weight for each tracked average; they sum to 1.
    pub weights: Vec<f64>,
    /// ‖p − Σ w_i p_i‖/‖p‖ of the profiles: how far the sum is from what was asked for.
    pub relative_error: f64,
}

impl PowerProfile {
    /// The profile of exponent γ.
    ///
    /// # Errors
    /// [`TheoryError::Number`] below 0 or not finite.
    pub fn new(exponent: f64) -> Result<Self, TheoryError> {
        let accepted = exponent.is_finite() && exponent >= 0.0;
        check("power-function exponent", "finite and not negative", exponent, accepted)?;
        Ok(Self { exponent })
    }

    /// The profile whose standard deviation is `width` times T: σ² = (γ + 1)/((γ + 2)²(γ + 3)).
    ///
    /// # Errors
    /// [`TheoryError::Number`] unless 0.001 ≤ σ ≤ 1/√12 = 0.2886, the width of the mean of the whole run.
    pub fn with_relative_width(width: f64) -> Result<Self, TheoryError> {
        let widest = Self { exponent: 0.0 }.relative_width();
        let accepted = (0.001..=widest).contains(&width);
        check("relative width of an average", "between 0.001 and 0.2886", width, accepted)?;
        // The width falls with the exponent, roughly as its inverse.
        let (mut low, mut high) = (0.0, 2.0 / width);
        for _ in 0..200 {
            let middle = 0.5 * (low + high);
            if (Self { exponent: middle }).relative_width() > width { low = middle } else { high = middle }
        }
        Ok(Self { exponent: 0.5 * (low + high) })
    }

    /// γ.
    pub fn exponent(self) -> f64 {
        self.exponent
    }

    /// σ: standard deviation of the profile over T.
    pub fn relative_width(self) -> f64 {
        let gamma = self.exponent;
        ((gamma + 1.0) / ((gamma + 2.0).powi(2) * (gamma + 3.0))).sqrt()
    }

    /// ∫ p q dt of two profiles, read at their times:
    /// (γ_p + 1)(γ_q + 1)/(γ_p + γ_q + 1) · (t_p/t_q)^{γ_q if t_p < t_q, else −γ_p}/max(t_p, t_q).
    fn inner_product(self, time: f64, other: Self, other_time: f64) -> f64 {
        let (p, q) = (self.exponent, other.exponent);
        let power = if time < other_time { q } else { -p };
        (p + 1.0) * (q + 1.0) / (p + q + 1.0) * (time / other_time).powf(power) / time.max(other_time)
    }

    /// The weights on averages `tracked` with their profiles up to their times that come closest to this profile up to
    /// `time`: the least-squares solution of Σ_j ⟨p_i, p_j⟩ w_j = ⟨p_i, p⟩, over its sum.
    ///
    /// Of two widths, 0.05 and 0.1, stored at ten times each, come 0.06 to 0.15 within 5 % and 0.2 within 6 % of their profiles
    /// (`averaging`, section 7; Karras et al. 2024). Directions of the Gram matrix below 1e-12 of its largest are left out. O(n³) for n averages.
    ///
    /// # Errors
    /// [`TheoryError::Length`] for no tracked average; [`TheoryError::Number`] for a time not above 0;
    /// [`TheoryError::NoDecomposition`].
    pub fn synthesis(self, time: f64, tracked: &[(Self, f64)]) -> Result<Synthesis, TheoryError> {
        let size = tracked.len();
        if size == 0 {
            return Err(TheoryError::Length { what: "tracked averages", expected: 1, got: 0 });
        }
        for at in tracked.iter().map(|(_, at)| *at).chain([time]) {
            check("time of an average", "finite and above 0", at, at.is_finite() && at > 0.0)?;
        }
        // Scaled to norm 1, so that early and late averages count alike when directions are left out.
        let norms: Vec<f64> = tracked.iter().map(|(p, at)| p.inner_product(*at, *p, *at).sqrt()).collect();
        let gram = Mat::from_fn(size, size, |i, j| {
            let ((p, at), (q, other_at)) = (tracked[i], tracked[j]);
            p.inner_product(at, q, other_at) / (norms[i] * norms[j])
        });
        let wanted: Vec<f64> =
            tracked.iter().zip(&norms).map(|((p, at), norm)| p.inner_product(*at, self, time) / norm).collect();
        let decomposition = gram.self_adjoint_eigen(Side::Lower).map_err(|_| TheoryError::NoDecomposition { size })?;
        let (values, vectors) = (decomposition.S().column_vector(), decomposition.U());
        let largest = values[size - 1];
        let mut weights = vec![0.0; size];
        for k in (0..size).filter(|&k| values[k] > RANK_TOLERANCE * largest) {
            let projection: f64 = (0..size).map(|i| vectors[(i, k)] * wanted[i]).sum();
            (0..size).for_each(|i| weights[i] += vectors[(i, k)] * projection / values[k]);
        }
        weights.iter_mut().zip(&norms).for_each(|(weight, norm)| *weight /= norm);
        let sum: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= sum);
        let own = self.inner_product(time, self, time);
        let mut square = own;
        for (i, (p, at)) in tracked.iter().enumerate() {
            let with = |j: usize| weights[j] * p.inner_product(*at, tracked[j].0, tracked[j].1);
            let others: f64 = (0..size).map(with).sum();
            square += weights[i] * (others - 2.0 * p.inner_product(*at, self, time));
        }
        Ok(Synthesis { weights, relative_error: (square.max(0.0) / own).sqrt() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test a panic is the message")]
mod tests {
    use super::*;

    #[test]
    fn widths_and_exponents_are_those_of_the_paper_and_inverse_to_each_other() {
        for (width, exponent) in [(0.05, 16.97), (0.10, 6.94)] {
            let profile = PowerProfile::with_relative_width(width).unwrap();
            assert!((profile.exponent() - exponent).abs() < 0.005, "{profile:?}");
            assert!((profile.relative_width() - width).abs() < 1e-12);
        }
        assert!((PowerProfile::new(0.0).unwrap().relative_width() - 1.0 / 12.0_f64.sqrt()).abs() < 1e-15);
        for refused in [0.0, 0.3, f64::NAN] {
            assert!(PowerProfile::with_relative_width(refused).is_err());
        }
    }

    #[test]
    fn inner_products_are_the_integrals() {
        let (p, q) = (PowerProfile::new(6.94).unwrap(), PowerProfile::new(2.5).unwrap());
        for (s, t) in [(10.0, 10.0), (7.0, 10.0), (10.0, 7.0)] {
            let density = |profile: PowerProfile, end: f64, at: f64| {
                let gamma = profile.exponent;
                if at > end { 0.0 } else { (gamma + 1.0) * at.powf(gamma) / end.powf(gamma + 1.0) }
            };
            let steps = 200_000;
            let width = 10.0 / f64::from(steps);
            let at = |k: i32| (f64::from(k) + 0.5) * width;
            let integral: f64 = (0..steps).map(|k| density(p, s, at(k)) * density(q, t, at(k)) * width).sum();
            assert!((p.inner_product(s, q, t) / integral - 1.0).abs() < 1e-4, "{s} {t}");
        }
    }

    #[test]
    fn a_tracked_profile_is_found_again_and_others_come_close() {
        let (narrow, wide) =
            (PowerProfile::with_relative_width(0.05).unwrap(), PowerProfile::with_relative_width(0.10).unwrap());
        let tracked: Vec<(PowerProfile, f64)> =
            (1..=10).flat_map(|k| [(narrow, 100.0 * f64::from(k)), (wide, 100.0 * f64::from(k))]).collect();
        let found = wide.synthesis(1000.0, &tracked).unwrap();
        assert!(found.relative_error < 1e-6, "{found:?}");
        assert!((found.weights[19] - 1.0).abs() < 1e-5, "{found:?}");
        for (width, most) in [(0.06, 0.02), (0.08, 0.02), (0.15, 0.05), (0.2, 0.06)] {
            let found = PowerProfile::with_relative_width(width).unwrap().synthesis(1000.0, &tracked).unwrap();
            assert!((found.weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            assert!(found.relative_error < most, "{width}: {}", found.relative_error);
        }
        let far = PowerProfile::with_relative_width(0.01).unwrap().synthesis(1000.0, &tracked).unwrap();
        assert!(far.relative_error > 0.1, "what cannot be reached says so: {}", far.relative_error);
    }
}
