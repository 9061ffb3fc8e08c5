//! A spectrum of which only the top was measured: the head, the trace, the loss, and a power law for the rest.

use crate::error::{TheoryError, check};
use crate::model::{Closure, QuadraticModel};
use crate::modes::Modes;
use crate::roots::root;
use crate::special::power_sum;
use stepscope_types::Spectrum;

/// Nodes that stand for the unmeasured tail, for each factor e in the mode number.
const NODES_PER_FACTOR: f64 = 8.0;

/// A measured head with the sums that the rest must have (`loss-prediction`, section 6.5: 1.6-4.0 % off at t = 400 from 60 of
/// 400 eigenpairs).
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredHead {
    /// The top eigenvalues with their squared initial errors.
    pub head: Spectrum,
    /// Tr H of the whole spectrum.
    pub trace: f64,
    /// Initial excess loss ½ Σ λC of the whole spectrum.
    pub initial_loss: f64,
    /// Number of modes of the whole spectrum.
    pub num_modes: u64,
}

impl MeasuredHead {
    /// The interpolating model of head and tail, and the tail's exponents (ν, ϰ).
    ///
    /// The tail λ_k = λ_h (h/k)^ν, h < k ≤ modes, continues the head where its last eigenvalue stands, with ν such that the
    /// traces add up; λ_k C_k ∝ k^−(ϰ+1) with ϰ from the head's last octave and the rest of the loss as its sum.
    ///
    /// # Errors
    /// [`TheoryError::Number`] where the head already exceeds the trace or the loss, holds fewer than 8 modes or
    /// eigenvalues that are not above 0, or where no exponent in (0, 20) gives the trace.
    pub fn model(&self, closure: Closure) -> Result<(QuadraticModel, f64, f64), TheoryError> {
        let known = self.head.num_modes();
        let (rest_trace, rest_signal) = self.rest()?;
        let (first, end) = (known as f64, self.num_modes as f64 + 1.0);
        let last = self.head.eigenvalues()[known - 1];
        let tail = |nu: f64| last * first.powf(nu) * power_sum(nu, first + 1.0, end);
        let (slow, fast) = (1e-6, 20.0);
        let solvable = tail(slow) >= rest_trace && tail(fast) <= rest_trace;
        check(
            "trace left for the tail",
            "what a falling power law from the last measured eigenvalue can hold",
            rest_trace,
            solvable,
        )?;
        let nu = root(slow, fast, |nu| (tail(nu) / rest_trace).ln());
        let kappa = self.target_exponent();
        let signal_scale = rest_signal / power_sum(kappa + 1.0, first + 1.0, end);
        let mut modes = Modes::empty();
        for (eigenvalue, coefficient) in self.head.pairs() {
            modes.push(eigenvalue, eigenvalue * coefficient, eigenvalue * eigenvalue);
        }
        let factor = (1.0 / NODES_PER_FACTOR).exp();
        let scale = last * first.powf(nu);
        let mut from = first + 1.0;
        while from < end {
            let to = (from * factor).floor().max(from + 1.0).min(end);
            let (sum, squares) = (scale * power_sum(nu, from, to), scale * scale * power_sum(2.0 * nu, from, to));
            modes.push(squares / sum, signal_scale * power_sum(kappa + 1.0, from, to), squares);
            from = to;
        }
        Ok((QuadraticModel::from_nodes(modes, closure), nu, kappa))
    }

    /// Trace and ΣλC that the head leaves over.
    fn rest(&self) -> Result<(f64, f64), TheoryError> {
        let known = self.head.num_modes();
        check("measured modes", "at least 8", known as f64, known >= 8)?;
        let smallest = self.head.eigenvalues()[known - 1];
        check("smallest measured eigenvalue", "above 0", smallest, smallest > 0.0)?;
        let more = self.num_modes > known as u64;
        check("number of modes", "above the number measured", self.num_modes as f64, more)?;
        let rest_trace = self.trace - self.head.eigenvalues().iter().sum::<f64>();
        check("trace left for the tail", "above 0", rest_trace, rest_trace > 0.0)?;
        let rest_signal = 2.0 * self.initial_loss - self.head.pairs().map(|(l, c)| l * c).sum::<f64>();
        check("loss left for the tail", "not negative", rest_signal, rest_signal >= 0.0)?;
        Ok((rest_trace, rest_signal))
    }

    /// ϰ from the sums over the head's last two octaves, kept within 0.05..=10.
    fn target_exponent(&self) -> f64 {
        let known = self.head.num_modes();
        let sum =
            |from: usize, to: usize| self.head.pairs().skip(from).take(to - from).map(|(l, c)| l * c).sum::<f64>();
        let ratio = sum(known / 4, known / 2) / sum(known / 2, known);
        if ratio.is_finite() && ratio > 0.0 { ratio.log2().clamp(0.05, 10.0) } else { 1.0 }
    }
}

/// U(1) at noise factor γ₁ from two measured losses L₁, L₂ at equal learning rate and time, noise factors γ₁ > γ₂:
/// R = L₁/L₂, c = (R − 1)/(Rγ₁ − γ₂), U = cγ₁ (`loss-prediction`, section 6.5).
///
/// Reads L ∝ 1/(1 − U), so it holds in the signal phase at late times and is biased low before (.351 at t = 100 for a true .392).
/// `None` where L₁ ≤ L₂: the noise does not show.
pub fn noise_gain_from_two_batches(losses: [f64; 2], noise_factors: [f64; 2]) -> Option<f64> {
    let ratio = losses[0] / losses[1];
    let gain = noise_factors[0] * (ratio - 1.0) / (ratio * noise_factors[0] - noise_factors[1]);
    (ratio > 1.0 && gain.is_finite() && gain > 0.0).then_some(gain)
}
