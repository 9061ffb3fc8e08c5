//! Small families of learning-rate schedules, and the best member for a horizon.

use crate::error::{TheoryError, check};
use crate::minimize::minimize;
use crate::model::QuadraticModel;
use crate::sgd::Sgd;
use crate::stability::critical_learning_rate;

/// A family of schedules over T steps, a_t = peak · shape(u), u = (t + ½)/T (`loss-prediction`, section 6.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleFamily {
    /// shape = 1.
    Constant,
    /// ((1 − u)/f)^p over the last fraction f, 1 before: for label noise and the signal phase.
    Anneal,
    /// u/f over the first fraction f, 1 after.
    LinearWarmup,
    /// (u/f)^p at the start times ((1 − u)/f′)^p′ at the end: for the noise phase without label noise.
    PowerWarmupAnneal,
    /// Linear warm-up, constant, linear decay to 0.
    WarmupStableDecay,
    /// exp of a piecewise linear function with equally spaced knots: as free as it gets, the yardstick of the others.
    Knots(usize),
}

/// A member of the warm-up/anneal families: a_t = peak · min(1, u/w)^p · min(1, (1 − u)/d)^q.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScheduleShape {
    /// Largest learning rate where neither end reaches.
    pub peak: f64,
    /// w, the fraction of the run spent warming up; 0 for none.
    pub warmup_fraction: f64,
    /// p.
    pub warmup_power: f64,
    /// d, the fraction of the run spent annealing; 0 for none.
    pub anneal_fraction: f64,
    /// q.
    pub anneal_power: f64,
}

impl ScheduleShape {
    /// The learning rate of step `step` out of `steps`.
    pub fn learning_rate(&self, step: u64, steps: u64) -> f64 {
        let u = (step as f64 + 0.5) / steps as f64;
        let part = |position: f64, fraction: f64, power: f64| {
            if fraction > 0.0 && position < fraction { (position / fraction).powf(power) } else { 1.0 }
        };
        self.peak
            * part(u, self.warmup_fraction, self.warmup_power)
            * part(1.0 - u, self.anneal_fraction, self.anneal_power)
    }
}

/// The best schedule of a family for a horizon.
#[derive(Debug, Clone, PartialEq)]
pub struct OptimizedSchedule {
    /// Learning rate of every step.
    pub learning_rates: Vec<f64>,
    /// The parameters, for every family but [`ScheduleFamily::Knots`].
    pub shape: Option<ScheduleShape>,
    /// E L after the last step.
    pub loss: f64,
    /// Gradients computed.
    pub evaluations: usize,
    /// Whether the descent ended because nothing was left to gain; where false, the answer is the best seen.
    pub converged: bool,
}

impl QuadraticModel {
    /// The schedule of `family` with the lowest E L after `steps`, for constant momentum and γ.
    ///
    /// BFGS on the logarithms (log-odds for fractions) of the parameters with the adjoint gradient, from a few starts:
    /// some hundred gradients of O(modes · T); bin the model first where it is large. A local optimum is what it finds.
    /// Source: `loss-prediction`, section 6.6.
    ///
    /// # Errors
    /// [`TheoryError::Number`] for settings out of range, no steps, or fewer than 2 knots.
    pub fn optimize_schedule(
        &self,
        family: ScheduleFamily,
        momentum: f64,
        noise_factor: f64,
        steps: u64,
    ) -> Result<OptimizedSchedule, TheoryError> {
        check("steps", "at least 1", steps as f64, steps >= 1)?;
        if let ScheduleFamily::Knots(knots) = family {
            check("knots", "at least 2", knots as f64, knots >= 2)?;
        }
        let critical = critical_learning_rate(self, momentum, noise_factor)?;
        let constant = Sgd { learning_rate: critical, momentum, noise_factor };
        let mut best: Option<OptimizedSchedule> = None;
        let mut evaluations = 0;
        for start in family.starts(0.3 * critical) {
            let minimum = minimize(start, |parameters| self.family_gradient(family, parameters, constant, steps));
            evaluations += minimum.evaluations;
            if best.as_ref().is_none_or(|best| minimum.value < best.loss) {
                let (learning_rates, _) = family.rates(&minimum.point, steps);
                best = Some(OptimizedSchedule {
                    learning_rates,
                    shape: family.shape(&minimum.point),
                    loss: minimum.value,
                    evaluations,
                    converged: minimum.converged,
                });
            }
        }
        match best {
            Some(best) => Ok(OptimizedSchedule { evaluations, ..best }),
            None => Err(TheoryError::Unsuited {
                method: "a schedule search",
                needs: "a start",
                advice: "report this family",
            }),
        }
    }

    /// Loss and its gradient with respect to the parameters of a family; infinite where the schedule diverges.
    fn family_gradient(
        &self,
        family: ScheduleFamily,
        parameters: &[f64],
        constant: Sgd,
        steps: u64,
    ) -> (f64, Vec<f64>) {
        let (rates, derivatives) = family.rates(parameters, steps);
        let schedule: Vec<Sgd> = rates.iter().map(|&rate| constant.with_learning_rate(rate)).collect();
        let nothing = || (f64::INFINITY, vec![0.0; parameters.len()]);
        let Ok(gradient) = self.loss_gradient(&schedule) else { return nothing() };
        if !gradient.loss.is_finite() {
            return nothing();
        }
        // Logarithms of the rates: ∂L/∂parameter = Σ ∂L/∂a_t · a_t · ∂ln a_t/∂parameter.
        let scaled: Vec<f64> = gradient.learning_rate.iter().zip(&rates).map(|(g, a)| g * a).collect();
        let chain = |row: &Vec<f64>| row.iter().zip(&scaled).map(|(d, g)| d * g).sum();
        (gradient.loss, derivatives.iter().map(chain).collect())
    }
}

/// 1/(1 + e^−x), for fractions.
fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

impl ScheduleFamily {
    /// Which parameters vary: (warm-up fraction, warm-up power, anneal fraction, anneal power).
    fn varies(self) -> [bool; 4] {
        match self {
            Self::Constant | Self::Knots(_) => [false; 4],
            Self::Anneal => [false, false, true, true],
            Self::LinearWarmup => [true, false, false, false],
            Self::PowerWarmupAnneal => [true; 4],
            Self::WarmupStableDecay => [true, false, true, false],
        }
    }

    /// Parameters to start from, at a typical rate.
    fn starts(self, rate: f64) -> Vec<Vec<f64>> {
        if let Self::Knots(knots) = self {
            return vec![vec![rate.ln(); knots]];
        }
        let choices = [[-2.0, 0.0, 0.0, 0.0], [0.0, 0.7, -2.0, 0.0], [1.0, 0.0, 1.0, 0.0]];
        let all = choices.iter().map(|choice| {
            let kept = choice.iter().zip(self.varies()).filter(|(_, varies)| *varies).map(|(value, _)| *value);
            std::iter::once(rate.ln()).chain(kept).collect::<Vec<f64>>()
        });
        let mut starts: Vec<Vec<f64>> = all.collect();
        starts.dedup();
        starts
    }

    fn shape(self, parameters: &[f64]) -> Option<ScheduleShape> {
        if matches!(self, Self::Knots(_)) {
            return None;
        }
        let mut given = parameters.iter().copied().skip(1);
        let mut next = |varies: bool, read: fn(f64) -> f64, otherwise: f64| {
            if varies { given.next().map_or(otherwise, read) } else { otherwise }
        };
        let varies = self.varies();
        Some(ScheduleShape {
            peak: parameters[0].exp(),
            warmup_fraction: next(varies[0], logistic, 0.0),
            warmup_power: next(varies[1], f64::exp, 1.0),
            anneal_fraction: next(varies[2], logistic, 0.0),
            anneal_power: next(varies[3], f64::exp, 1.0),
        })
    }

    /// a_t of every step, and ∂ln a_t/∂parameter (one row a parameter).
    fn rates(self, parameters: &[f64], steps: u64) -> (Vec<f64>, Vec<Vec<f64>>) {
        let Some(shape) = self.shape(parameters) else { return knot_rates(parameters, steps) };
        let rates = (0..steps).map(|step| shape.learning_rate(step, steps)).collect();
        let position = |step: u64| (step as f64 + 0.5) / steps as f64;
        let row = |f: &dyn Fn(f64) -> f64| (0..steps).map(|step| f(position(step))).collect::<Vec<f64>>();
        // ln of a part is p·ln(u/f) while u < f; ∂ln f/∂(log-odds) = 1 − f, ∂p/∂ln p = p.
        let fraction_row = |u: f64, f: f64, p: f64| if u < f { -p * (1.0 - f) } else { 0.0 };
        let power_row = |u: f64, f: f64, p: f64| if u < f { p * (u / f).ln() } else { 0.0 };
        let (w, p, d, q) = (shape.warmup_fraction, shape.warmup_power, shape.anneal_fraction, shape.anneal_power);
        let rows = [
            row(&|u| fraction_row(u, w, p)),
            row(&|u| power_row(u, w, p)),
            row(&|u| fraction_row(1.0 - u, d, q)),
            row(&|u| power_row(1.0 - u, d, q)),
        ];
        let mut derivatives = vec![vec![1.0; steps as usize]];
        derivatives.extend(rows.into_iter().zip(self.varies()).filter(|(_, varies)| *varies).map(|(row, _)| row));
        (rates, derivatives)
    }
}

/// exp of the piecewise linear function through the knots.
fn knot_rates(knots: &[f64], steps: u64) -> (Vec<f64>, Vec<Vec<f64>>) {
    let last = knots.len() - 1;
    let position = |step: u64| (step as f64 + 0.5) / steps as f64 * last as f64;
    let weight = |knot: usize, step: u64| (1.0 - (position(step) - knot as f64).abs()).max(0.0);
    let row = |knot: usize| (0..steps).map(|step| weight(knot, step)).collect::<Vec<f64>>();
    let derivatives: Vec<Vec<f64>> = (0..=last).map(row).collect();
    let log_rate = |step: usize| derivatives.iter().zip(knots).map(|(row, value)| row[step] * value).sum::<f64>();
    ((0..steps as usize).map(|step| log_rate(step).exp()).collect(), derivatives)
}
