//! The loss as a Volterra sum: what is left of the start, plus every earlier loss through the noise it caused.

use pulp::{Arch, Simd, WithSimd};

use crate::error::{TheoryError, check};
use crate::kernel::MomentState;
use crate::model::QuadraticModel;
use crate::modes::Modes;
use crate::recursion::{LONGEST_CURVE, LossCurve};
use crate::sgd::Sgd;

/// The two propagators of a model under constant settings, at t = 0..=steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Propagators {
    /// v_t: Σ λC at t without noise; v_0 is twice the initial excess loss.
    pub signal: Vec<f64>,
    /// u_t/τ1: Σ λC that one unit of drive τ1·S + σ² leaves t + 1 steps later. Σ u_t = U(1).
    pub noise_per_drive: Vec<f64>,
}

impl QuadraticModel {
    /// v_t and u_t/τ1 for t = 0..=`steps`, negative modes included in v. O(modes) a step (`loss-prediction`, section 2).
    ///
    /// # Errors
    /// [`TheoryError::Number`] for settings out of range.
    pub fn propagators(&self, sgd: &Sgd, steps: u64) -> Result<Propagators, TheoryError> {
        sgd.checked()?;
        check("steps of a stored curve", "at most 1e9", steps as f64, steps <= LONGEST_CURVE)?;
        let tau2 = self.closure.tau2();
        let signal = free_sums(MomentState::new(&self.modes, true), sgd, tau2, steps);
        let quiet = Sgd { noise_factor: 0.0, ..*sgd };
        let negative = free_sums(MomentState::new(&self.negative, true), &quiet, 0.0, steps);
        let signal = signal.iter().zip(negative).map(|(a, b)| a + b).collect();
        let scale = sgd.noise_factor * sgd.learning_rate * sgd.learning_rate;
        let kick: Vec<f64> = self.modes.noise_weights.iter().map(|q| scale * q).collect();
        let modes = Modes { signal: kick, ..self.modes.clone() };
        let noise_per_drive = free_sums(MomentState::kicked(&modes), sgd, tau2, steps);
        Ok(Propagators { signal, noise_per_drive })
    }

    /// The loss curve as S_t = v_t + Σ_{s<t} (u_{t−1−s}/τ1)(τ1 S_s + σ²), L = floor + S/2 (`loss-prediction`, section 2).
    ///
    /// O(T²) + O(modes · T): a check of the recursion, not a faster way. Only for constant settings.
    ///
    /// # Errors
    /// [`TheoryError::Number`] for settings out of range.
    pub fn loss_curve_volterra(&self, sgd: &Sgd, steps: u64) -> Result<LossCurve, TheoryError> {
        let Propagators { signal, noise_per_drive } = self.propagators(sgd, steps)?;
        let mut drive: Vec<f64> = Vec::with_capacity(signal.len());
        let mut loss = Vec::with_capacity(signal.len());
        let quiet = Sgd { noise_factor: 0.0, ..*sgd };
        let negative = free_sums(MomentState::new(&self.negative, true), &quiet, 0.0, steps);
        for (time, &start) in signal.iter().enumerate() {
            let fed_back: f64 = drive.iter().zip(noise_per_drive[..time].iter().rev()).map(|(d, u)| d * u).sum();
            let total = start + fed_back;
            drive.push(self.closure.tau1() * (total - negative[time]) + self.label_noise());
            loss.push(self.loss_floor() + 0.5 * total);
        }
        Ok(LossCurve { loss, warnings: self.warnings(sgd, steps)? })
    }
}

/// Σ λC at 0..=steps of modes that nothing drives.
fn free_sums(state: MomentState, sgd: &Sgd, tau2: f64, steps: u64) -> Vec<f64> {
    Arch::new().dispatch(FreeSums { state, sgd: *sgd, tau2, steps })
}

struct FreeSums {
    state: MomentState,
    sgd: Sgd,
    tau2: f64,
    steps: u64,
}

impl WithSimd for FreeSums {
    type Output = Vec<f64>;

    #[inline(always)]
    fn with_simd<V: Simd>(mut self, simd: V) -> Vec<f64> {
        let first = self.state.signal();
        std::iter::once(first)
            .chain((0..self.steps).map(|_| self.state.advance(simd, self.sgd, 0.0, self.tau2)))
            .collect()
    }
}
