//! The loss of an averaged point, from second moments that run along with the recursion.

use std::ops::ControlFlow;

use crate::averages::Average;
use crate::error::TheoryError;
use crate::kernel::MomentState;
use crate::model::QuadraticModel;
use crate::recursion::Prediction;
use crate::sgd::{Schedule, Sgd};
use crate::warning::Warning;

/// What the loss does along the chord from an older iterate to the present one.
#[derive(Debug, Clone, PartialEq)]
pub struct ChordPrediction {
    /// Times t asked for.
    pub times: Vec<u64>,
    /// v = ½ + (E L(x_{t−k}) − E L(x_t))/E DᵀHD with D = x_t − x_{t−k}: where along the chord the loss is lowest
    /// (`averaging`, section 2.3). ½: noise; above ½: still descending. NaN for t < k.
    pub vertex: Vec<f64>,
    /// E DᵀHD. NaN for t < k.
    pub energy: Vec<f64>,
}

impl QuadraticModel {
    /// E L of an average of the weights at `times`, exactly, under any schedule.
    ///
    /// Beside (C, J, V) run P = E wm, Q = E vm and R = E m² for the average m′ = (1 − d)m + dw′ (`loss-prediction`, 6.2):
    ///
    /// ```text
    /// P₁ = (1 − aλ)P + bQ      Q₁ = −aλP + bQ
    /// R′ = (1 − d)²R + 2d(1 − d)P₁ + d²C′      P′ = (1 − d)P₁ + dC′      Q′ = (1 − d)Q₁ + dJ′
    /// ```
    ///
    /// Two points: ½ Σ λ(C_t + C_s + 2E w_t w_s)/4. Cost: that of about two recursions; windows and two-point averages run
    /// one for each asked time.
    ///
    /// # Errors
    /// [`TheoryError::Number`] for settings or averages out of range.
    pub fn averaged_loss_at<S: Schedule + ?Sized>(
        &self,
        schedule: &S,
        average: Average,
        times: &[u64],
    ) -> Result<Prediction, TheoryError> {
        average.checked()?;
        let steps = times.iter().copied().max().unwrap_or(0);
        let mut warnings = self.warnings(schedule, steps)?;
        let mut loss = vec![f64::INFINITY; times.len()];
        let two_points = matches!(average, Average::TwoPoint { .. });
        let mut fill = |read: u64, indices: &[usize]| {
            let intake = |time: u64| average.intake(time, read);
            let overflow = self.walk_average(schedule, read, intake, |time, moments| {
                let sum = if two_points {
                    0.25 * (moments.error + moments.square + 2.0 * moments.mixed)
                } else {
                    moments.square
                };
                for &index in indices.iter().filter(|&&index| times[index] == time) {
                    loss[index] = self.loss_floor() + 0.5 * sum;
                }
            });
            warnings.extend(overflow.map(|step| Warning::Overflow { step }));
        };
        if matches!(average, Average::TwoPoint { .. } | Average::Window { .. }) {
            for (index, &read) in times.iter().enumerate() {
                fill(read, &[index]);
            }
        } else {
            fill(steps, &(0..times.len()).collect::<Vec<_>>());
        }
        warnings.dedup();
        Ok(Prediction { times: times.to_vec(), loss, standard_errors: None, warnings })
    }

    /// The loss along the chord of the last `gap` updates, at each of `times` (`averaging`, section 2.3).
    ///
    /// # Errors
    /// [`TheoryError::Number`] for settings out of range or a gap of 0.
    pub fn chord_at<S: Schedule + ?Sized>(
        &self,
        schedule: &S,
        gap: u64,
        times: &[u64],
    ) -> Result<ChordPrediction, TheoryError> {
        crate::error::check("gap", "at least 1", gap as f64, gap >= 1)?;
        self.warnings(schedule, times.iter().copied().max().unwrap_or(0))?;
        let (mut vertex, mut energy) = (vec![f64::NAN; times.len()], vec![f64::NAN; times.len()]);
        for (index, &read) in times.iter().enumerate().filter(|(_, read)| **read >= gap) {
            let average = Average::TwoPoint { gap };
            self.walk_average(
                schedule,
                read,
                |time| average.intake(time, read),
                |time, moments| {
                    if time == read {
                        energy[index] = moments.error + moments.square - 2.0 * moments.mixed;
                        vertex[index] = 0.5 + 0.5 * (moments.square - moments.error) / energy[index];
                    }
                },
            );
        }
        Ok(ChordPrediction { times: times.to_vec(), vertex, energy })
    }

    /// Runs the recursion with an average beside it, showing the sums at every time from 0 on; returns the time of an
    /// overflow.
    fn walk_average<S: Schedule + ?Sized>(
        &self,
        schedule: &S,
        steps: u64,
        intake: impl Fn(u64) -> f64,
        mut show: impl FnMut(u64, Sums),
    ) -> Option<u64> {
        let mut beside = self.initial_states(schedule).map(|state| Beside::new(&state));
        let start = 2.0 * (self.initial_loss() - self.loss_floor());
        show(0, Sums { error: start, square: start, mixed: start });
        self.walk(schedule, steps, |time, error, states| {
            let sgd = schedule.settings(time - 1);
            let mut sums = Sums { error, square: 0.0, mixed: 0.0 };
            for (beside, state) in beside.iter_mut().zip(states) {
                beside.advance(&sgd, intake(time), state);
                sums.square += beside.square.iter().sum::<f64>();
                sums.mixed += beside.mixed.iter().sum::<f64>();
            }
            show(time, sums);
            ControlFlow::Continue(())
        })
    }
}

/// Σ λE w², Σ λE m², Σ λE wm.
#[derive(Debug, Clone, Copy)]
struct Sums {
    error: f64,
    square: f64,
    mixed: f64,
}

/// The moments of the average with the weights and with itself, times λ.
struct Beside {
    /// λP = λE wm.
    mixed: Vec<f64>,
    /// λQ = λE vm; without momentum it never acts.
    drift: Vec<f64>,
    /// λR = λE m².
    square: Vec<f64>,
}

impl Beside {
    fn new(state: &MomentState) -> Self {
        let start: Vec<f64> = state.modes().map(|mode| mode.error).collect();
        Self { mixed: start.clone(), drift: vec![0.0; start.len()], square: start }
    }

    fn advance(&mut self, sgd: &Sgd, intake: f64, state: &MomentState) {
        let (a, b, keep) = (sgd.learning_rate, sgd.momentum, 1.0 - intake);
        let moments = self.mixed.iter_mut().zip(&mut self.drift).zip(&mut self.square);
        for (mode, ((mixed, drift), square)) in state.modes().zip(moments) {
            let pulled = b * *drift - a * mode.eigenvalue * *mixed;
            let moved = *mixed + pulled;
            *square = keep * keep * *square + 2.0 * intake * keep * moved + intake * intake * mode.error;
            *mixed = keep * moved + intake * mode.error;
            *drift = keep * pulled + intake * mode.cross;
        }
    }
}
