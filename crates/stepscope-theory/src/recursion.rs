//! The loss curve by stepping the second moments of every mode.

use std::ops::ControlFlow;

use pulp::{Arch, Simd, WithSimd};

use crate::error::{TheoryError, check};
use crate::kernel::MomentState;
use crate::model::QuadraticModel;
use crate::sgd::{Schedule, Sgd};
use crate::stability::{self, Stability};
use crate::warning::Warning;

/// Most steps of a curve that is stored whole.
pub(crate) const LONGEST_CURVE: u64 = 1_000_000_000;

/// A predicted loss curve.
#[derive(Debug, Clone, PartialEq)]
pub struct LossCurve {
    /// E L at t = 0, 1, ..., T: `loss[t]` belongs to the weights after t updates. Infinite from an overflow on.
    pub loss: Vec<f64>,
    /// What to know before using it.
    pub warnings: Vec<Warning>,
}

/// Predicted losses at asked times.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The times asked for, in updates, in the order asked.
    pub times: Vec<u64>,
    /// E L at each of them.
    pub loss: Vec<f64>,
    /// One standard error of each loss, where the loss was sampled.
    pub standard_errors: Option<Vec<f64>>,
    /// What to know before using it.
    pub warnings: Vec<Warning>,
}

impl QuadraticModel {
    /// E L after t = 0, 1, ..., `steps` updates, exactly: O(modes) a step.
    ///
    /// Per mode (`loss-prediction`, section 1), with S = Σ λC over the positive modes:
    ///
    /// ```text
    /// G  = a²λ²C − 2abλJ + b²V + γa²(τ1·λS + λσ² − τ2·λ²C)
    /// V′ = G      J′ = bJ − aλC + G      C′ = C − 2aλC + 2bJ + G      L = floor + ½ Σ λC
    /// ```
    ///
    /// `schedule` gives (a, b, γ) of each update: an [`Sgd`] for constant settings, a list, or a closure.
    ///
    /// ```
    /// use stepscope_theory::{Closure, QuadraticModel, Sgd};
    /// use stepscope_types::Spectrum;
    /// let spectrum = Spectrum::new(vec![1.0, 0.1], vec![1.0, 1.0]).unwrap();
    /// let model = QuadraticModel::interpolating(&spectrum, Closure::INTERPOLATING)?;
    /// let full_batch = Sgd::from_numbers(0.5, 0.0, 0.0)?;
    /// let curve = model.loss_curve(&full_batch, 3)?;
    /// assert!((curve.loss[1] - 0.5 * (0.25 + 0.1 * 0.95 * 0.95)).abs() < 1e-15);
    /// # Ok::<(), stepscope_theory::TheoryError>(())
    /// ```
    ///
    /// # Errors
    /// [`TheoryError::Number`] for settings out of range at any step, or more steps than a stored curve holds (1e9).
    pub fn loss_curve<S: Schedule + ?Sized>(&self, schedule: &S, steps: u64) -> Result<LossCurve, TheoryError> {
        check(
            "steps of a stored curve",
            "at most 1e9; ask for single times beyond",
            steps as f64,
            steps <= LONGEST_CURVE,
        )?;
        let mut loss = Vec::with_capacity(steps as usize + 1);
        loss.push(self.initial_loss());
        let mut warnings = self.warnings(schedule, steps)?;
        let overflow = self.walk(schedule, steps, |_, signal, _| {
            loss.push(self.loss_floor() + 0.5 * signal);
            ControlFlow::Continue(())
        });
        if let Some(step) = overflow {
            loss.truncate(step as usize);
            loss.resize(steps as usize + 1, f64::INFINITY);
            warnings.push(Warning::Overflow { step });
        }
        Ok(LossCurve { loss, warnings })
    }

    /// E L at `times` only (any order): the same recursion without storing the whole curve.
    ///
    /// # Errors
    /// [`TheoryError::Number`] for settings out of range at any step.
    pub fn loss_at<S: Schedule + ?Sized>(&self, schedule: &S, times: &[u64]) -> Result<Prediction, TheoryError> {
        let steps = times.iter().copied().max().unwrap_or(0);
        let mut warnings = self.warnings(schedule, steps)?;
        let mut order: Vec<usize> = (0..times.len()).collect();
        order.sort_by_key(|&index| times[index]);
        let mut loss = vec![f64::INFINITY; times.len()];
        let mut next = 0;
        let mut record = |time: u64, signal: f64| {
            while next < order.len() && times[order[next]] == time {
                loss[order[next]] = self.loss_floor() + 0.5 * signal;
                next += 1;
            }
        };
        record(0, 2.0 * (self.initial_loss() - self.loss_floor()));
        let overflow = self.walk(schedule, steps, |time, signal, _| {
            record(time, signal);
            ControlFlow::Continue(())
        });
        warnings.extend(overflow.map(|step| Warning::Overflow { step }));
        Ok(Prediction { times: times.to_vec(), loss, standard_errors: None, warnings })
    }

    /// Checks every setting and collects what there is to warn of.
    pub(crate) fn warnings<S: Schedule + ?Sized>(&self, schedule: &S, steps: u64) -> Result<Vec<Warning>, TheoryError> {
        if let Some(sgd) = schedule.constant() {
            let sgd = sgd.checked()?;
            let mut warnings = self.spectrum_warnings(sgd.learning_rate, sgd.momentum);
            warnings.extend(Stability::of(self, &sgd).warnings());
            return Ok(warnings);
        }
        let mut largest = Sgd { learning_rate: 0.0, momentum: 0.0, noise_factor: 0.0 };
        for step in 0..steps {
            let sgd = schedule.settings(step).checked()?;
            if sgd.learning_rate > largest.learning_rate {
                largest = sgd;
            }
        }
        let mut warnings = self.spectrum_warnings(largest.learning_rate, largest.momentum);
        if !stability::mode_stable(self, &largest) {
            let limit = stability::mode_limit(self, largest.momentum, largest.noise_factor);
            warnings.push(Warning::ModeUnstable { learning_rate: largest.learning_rate, limit });
        }
        Ok(warnings)
    }

    /// The positive and the negative modes before the first step.
    pub(crate) fn initial_states<S: Schedule + ?Sized>(&self, schedule: &S) -> [MomentState; 2] {
        let with_momentum = schedule.constant().is_none_or(|sgd| sgd.momentum != 0.0);
        [MomentState::new(&self.modes, with_momentum), MomentState::new(&self.negative, with_momentum)]
    }

    /// Runs the recursion, showing (time, Σ λC, positive and negative modes) after each update; returns the first time at
    /// which the sum is not finite.
    pub(crate) fn walk<S, F>(&self, schedule: &S, steps: u64, sink: F) -> Option<u64>
    where
        S: Schedule + ?Sized,
        F: FnMut(u64, f64, [&MomentState; 2]) -> ControlFlow<()>,
    {
        let [positive, negative] = self.initial_states(schedule);
        Arch::new().dispatch(Walk { model: self, schedule, steps, positive, negative, sink })
    }
}

struct Walk<'a, S: ?Sized, F> {
    model: &'a QuadraticModel,
    schedule: &'a S,
    steps: u64,
    positive: MomentState,
    negative: MomentState,
    sink: F,
}

impl<S: Schedule + ?Sized, F: FnMut(u64, f64, [&MomentState; 2]) -> ControlFlow<()>> WithSimd for Walk<'_, S, F> {
    type Output = Option<u64>;

    #[inline(always)]
    fn with_simd<V: Simd>(mut self, simd: V) -> Option<u64> {
        let (tau1, tau2) = (self.model.closure.tau1(), self.model.closure.tau2());
        let mut signal = self.positive.signal();
        for step in 0..self.steps {
            let sgd = self.schedule.settings(step);
            signal = self.positive.advance(simd, sgd, tau1 * signal + self.model.label_noise(), tau2);
            let mut total = signal;
            if !self.negative.is_empty() {
                total += self.negative.advance(simd, Sgd { noise_factor: 0.0, ..sgd }, 0.0, 0.0);
            }
            if !total.is_finite() {
                return Some(step + 1);
            }
            if (self.sink)(step + 1, total, [&self.positive, &self.negative]).is_break() {
                return None;
            }
        }
        None
    }
}
