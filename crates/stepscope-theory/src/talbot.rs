//! The loss at a single time from a contour integral of its generating function: O(modes), whatever the time.

use std::f64::consts::PI;

use crate::complex::Complex;
use crate::error::TheoryError;
use crate::generating;
use crate::model::QuadraticModel;
use crate::recursion::Prediction;
use crate::sgd::Sgd;
use crate::stability::Stability;
use crate::warning::{TalbotRefusal, Warning};

/// Nodes of the contour; more than 28 lose digits to e^{2M/5} (`loss-prediction`, section 2, pitfall 2).
const NODES: u32 = 24;
/// Nodes of the second contour, whose difference to the first is the error estimate.
const CHECK_NODES: u32 = 20;
/// Below t(1 − |b|) = 40 the complex and negative roots that the contour leaves out still matter (pitfall 1).
const EARLIEST: f64 = 40.0;
/// Relative difference of the two contours above which the answer is not believed: past the end of a finite spectrum
/// the loss is exponentially small and the contour returns rounding errors (pitfall 3).
const BELIEVED: f64 = 1e-4;
/// Nodes times steps beyond which the recursion is not tried instead: minutes.
const LONGEST_WALK: f64 = 3e11;

impl QuadraticModel {
    /// E L at `times` by Talbot's contour z = e^−s with 24 nodes: O(24 · modes) for each time, any time.
    ///
    /// L_t = (1/2πi) ∮ L~(z) z^(−t−1) dz with the generating function L~ of [`crate::Propagators`]; accuracy 5e-12 to 1e-10
    /// for t(1 − |b|) ≥ 200 (`loss-prediction`, section 2). Times for which the contour is not to be trusted (too early,
    /// unstable settings, after the end of a finite spectrum) are answered by the recursion, and
    /// [`Warning::TalbotReplaced`] says so.
    ///
    /// # Errors
    /// [`TheoryError::Number`] for settings out of range; [`TheoryError::OutOfReach`] where the recursion would take minutes.
    pub fn loss_at_talbot(&self, sgd: &Sgd, times: &[u64]) -> Result<Prediction, TheoryError> {
        let mut warnings = self.warnings(sgd, 0)?;
        let stable = Stability::of(self, sgd).is_stable();
        let mut loss = vec![0.0; times.len()];
        let mut replaced: Vec<(usize, TalbotRefusal)> = Vec::new();
        for (index, &time) in times.iter().enumerate() {
            match self.contour(sgd, time, stable) {
                Ok(value) => loss[index] = value,
                Err(reason) => replaced.push((index, reason)),
            }
        }
        if !replaced.is_empty() {
            for &(index, reason) in &replaced {
                let (time, num_nodes) = (times[index], self.num_modes());
                if time as f64 * num_nodes as f64 > LONGEST_WALK {
                    return Err(TheoryError::OutOfReach { time, reason, num_nodes });
                }
            }
            let again: Vec<u64> = replaced.iter().map(|(index, _)| times[*index]).collect();
            let answer = self.loss_at(sgd, &again)?;
            for ((index, reason), value) in replaced.into_iter().zip(answer.loss) {
                loss[index] = value;
                warnings.push(Warning::TalbotReplaced { time: times[index], reason });
            }
        }
        Ok(Prediction { times: times.to_vec(), loss, standard_errors: None, warnings })
    }

    fn contour(&self, sgd: &Sgd, time: u64, stable: bool) -> Result<f64, TalbotRefusal> {
        if !self.negative.is_empty() {
            return Err(TalbotRefusal::NegativeCurvature);
        }
        if !stable {
            return Err(TalbotRefusal::Unstable);
        }
        if (time as f64) * (1.0 - sgd.momentum.abs()) < EARLIEST {
            return Err(TalbotRefusal::TooEarly);
        }
        let transform = |s: Complex| generating::loss(self, sgd, (-s).exp(), -(-s).exp_m1());
        let (value, check) = (talbot(transform, time, NODES), talbot(transform, time, CHECK_NODES));
        let difference = (value - check).abs() / value.abs();
        if difference < BELIEVED { Ok(self.loss_floor() + value) } else { Err(TalbotRefusal::ContoursDisagree) }
    }
}

/// The fixed Talbot sum: (r/M)[½F(r)e^{rt} + Re Σ e^{ts}F(s)(1 + iσ)], s = rθ(cot θ + i), r = 2M/(5t), θ = kπ/M.
fn talbot(transform: impl Fn(Complex) -> Complex, time: u64, nodes: u32) -> f64 {
    let (t, m) = (time as f64, f64::from(nodes));
    let r = 2.0 * m / (5.0 * t);
    let mut sum = 0.5 * transform(Complex::real(r)).re * (r * t).exp();
    for k in 1..nodes {
        let theta = f64::from(k) * PI / m;
        let cot = theta.cos() / theta.sin();
        let s = Complex::new(r * theta * cot, r * theta);
        let sigma = theta + (theta * cot - 1.0) * cot;
        sum += ((s * t).exp() * transform(s) * Complex::new(1.0, sigma)).re;
    }
    r / m * sum
}
