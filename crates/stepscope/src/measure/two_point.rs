//! The two-point curve along a run, and what it says of averages and cooldowns before they are made.

use stepscope_theory::{ExcessSpectrum, TwoPointCurve, quantile_interval};
use stepscope_types::quantity::{self, CHORD_GAUGE, GAIN_EMA, GAIN_WINDOW, Quantity, TWO_POINT_DROP};
use stepscope_types::spec::Sampling;
use stepscope_types::{Estimate, Mode, Reading, Uncertainty};

use super::batches::BatchSource;
use super::chords::{Chords, Stretch};
use super::cost::Cost;
use super::critical_sharpness::gradient;
use super::operators::{BatchLoss, Objective, ProductError};
use super::probe::{Measured, Probe, ProbeError, ProbePoint};
use super::ratio::Ratio;
use super::statistics::mean_and_error;
use crate::checkpoint::{State, StateError, Stateful};
use crate::data::Batch;

/// Two-point drops, chord gauges, the excess loss in three ways, and predicted gains, at constant learning rate, momentum and batch size.
///
/// Every so many steps the weights are remembered, and at each lag k after that the loss f over fixed examples is evaluated at both ends of the
/// chord and in its middle. drop(k) = ½(f₀ + f₁) − f_mid = ⅛ D_kᵀHD_k, v_k = ½ + (f₀ − f₁)/(D_kᵀHD_k); means over the stretches
/// that began in the later half of the time since a setting changed, at least 4.
///
/// The excess spectrum e(a) is fitted to the drops by non-negative least squares; from it the gain of an EMA, a window, half the rate and a cooldown
/// as Σ e_i(1 − R_i), with 95 % intervals from 200 resamples of the stretches. Beside Σ e stand η tr C/(4(1 − β)) from the gradients of
/// 8 batches at every stretch, and what a change of the rate has removed so far.
///
/// Not valid while fast descent goes on (chord gauges far above ½); drift along slow directions is not counted as a gain. The
/// interval holds chance, not the error of the quadratic picture.
///
/// Cost: a stretch takes two forward passes over the examples for each lag and 8 batch gradients; one copy of the weights for each
/// stretch that is open. Source: `averaging`, sections 2.2, 2.3 and 2.10.
#[derive(Debug)]
pub struct TwoPointProbe<'a, B = Batch> {
    batches: BatchSource<'a, B>,
    /// How training draws its batches: those that the noise is measured on are drawn alike.
    sampling: Sampling,
    examples: Objective<B>,
    chords: Chords,
    /// Learning rate, momentum and batch size of the stretches.
    settings: Option<[f64; 3]>,
    /// The loss before the settings changed, with its error.
    before: Option<(f64, f64)>,
    cooldown: Vec<f64>,
    cost: Cost,
}

/// When chords begin and how long they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChordPlan {
    /// Steps between two beginnings.
    pub every: u64,
    /// Lengths, ascending, each of those that records have.
    pub lags: Vec<u64>,
}

impl ChordPlan {
    /// Chords of 1, 3, 10, ... steps up to a tenth of the run, begun so often that two of the longest overlap by half.
    pub fn of_steps(num_steps: u64) -> Self {
        let lags: Vec<u64> =
            TWO_POINT_DROP.iter().map(|(lag, _)| *lag).filter(|&lag| lag <= (num_steps / 10).max(1)).collect();
        Self { every: (lags.last().copied().unwrap_or(1) / 2).max(1), lags }
    }
}

/// Stretches below which nothing is said.
const LEAST_STRETCHES: usize = 4;

const RESAMPLES: usize = 200;
const LEVEL: f64 = 0.95;
const NOISE_BATCHES: usize = 8;

impl<'a, B> TwoPointProbe<'a, B> {
    /// A probe of the chords of `plan` over `examples`. `cooldown` are the multipliers of the cooldown whose gain is predicted, first step first.
    pub fn new(
        batches: BatchSource<'a, B>,
        sampling: Sampling,
        examples: Objective<B>,
        plan: ChordPlan,
        cooldown: Vec<f64>,
    ) -> Self {
        let chords = Chords::new(plan.every, plan.lags);
        let cost = Cost::forwards(examples.num_examples()) * 2.0;
        Self { batches, sampling, examples, chords, settings: None, before: None, cooldown, cost }
    }

    /// Begins anew where a setting changed: stretches at two rates have no law in common.
    fn follow_settings<N>(&mut self, at: &ProbePoint<'_, N>) {
        let settings =
            [at.learning_rate.unwrap_or_default(), at.motion.momentum(), at.batch_size.unwrap_or_default() as f64];
        if self.settings.replace(settings).is_some_and(|earlier| earlier != settings) {
            let losses: Vec<f64> = self.chords.recent().filter_map(|stretch| stretch.loss).collect();
            if losses.len() >= LEAST_STRETCHES {
                self.before = Some(mean_and_error(&losses));
            }
            self.chords.begin_anew(at.step.0);
        }
    }

    /// tr Cov of the gradient of a training batch, from a few of them.
    fn batch_noise<N: BatchLoss<B>>(&mut self, at: &ProbePoint<'_, N>) -> Result<f64, ProductError> {
        self.batches.resize(at.batch_size);
        let gradients: Vec<Vec<f64>> = (0..NOISE_BATCHES)
            .map(|_| {
                let indices = match self.sampling {
                    Sampling::WithReplacement => self.batches.draw_with_replacement(),
                    Sampling::WithoutReplacement => self.batches.draw(),
                };
                Ok(at.layout.vector(&gradient(at.network, &self.batches.objective(&indices))?))
            })
            .collect::<Result<_, ProductError>>()?;
        let count = gradients.len() as f64;
        let mut trace = 0.0;
        for index in 0..at.layout.num_params() {
            let mean = gradients.iter().map(|gradient| gradient[index]).sum::<f64>() / count;
            trace += gradients.iter().map(|gradient| (gradient[index] - mean).powi(2)).sum::<f64>() / (count - 1.0);
        }
        Ok(trace)
    }

    fn report<N>(&self, at: &ProbePoint<'_, N>, loss: f64) -> Vec<Measured> {
        let stretches: Vec<&Stretch> = self.chords.recent().collect();
        let mut measured = Vec::new();
        if let Some((before, error)) = self.before {
            let estimate = Estimate::new(before - loss, "nat", Uncertainty::StandardError(error));
            measured.push(Measured::new(&quantity::EXCESS_REALISED, self.about(estimate, at.mode)));
        }
        if stretches.len() < LEAST_STRETCHES {
            return measured;
        }
        let lags = self.chords.lags();
        let rows =
            stretches.iter().map(|stretch| stretch.chords.iter().map(|c| c.map(|c| c.drop())).collect()).collect();
        let curve = TwoPointCurve::new(lags, rows, self.chords.overlap());
        for (index, (&lag, mean)) in lags.iter().zip(curve.means()).enumerate() {
            let (Some((drop, error)), Some(quantity)) = (mean, numbered(TWO_POINT_DROP, lag)) else { continue };
            let estimate = Estimate::new(drop, quantity.unit, Uncertainty::StandardError(error));
            measured.push(Measured::new(quantity, self.about(estimate, at.mode)));
            let chords = stretches.iter().filter_map(|stretch| stretch.chords.get(index).copied().flatten());
            let samples: Vec<(f64, f64)> =
                chords.map(|chord| (chord.fall() + 4.0 * chord.drop(), 8.0 * chord.drop())).collect();
            if let (Some(ratio), Some(quantity)) = (Ratio::of_means(&samples), numbered(CHORD_GAUGE, lag)) {
                let interval = Uncertainty::Interval { low: ratio.low, high: ratio.high, level: LEVEL };
                measured.push(Measured::new(
                    quantity,
                    self.about(Estimate::new(ratio.value, quantity.unit, interval), at.mode),
                ));
            }
        }
        let noise: Vec<f64> = stretches.iter().filter_map(|stretch| stretch.noise).collect();
        let (trace, error) = mean_and_error(&noise);
        let drawn = (noise.len() * NOISE_BATCHES * self.batches.batch_size()) as u64;
        let excess = at.at_rate(|rate| {
            let factor = 0.25 * rate * at.motion.effective_rate();
            let estimate = Estimate::new(factor * trace, "nat", Uncertainty::StandardError(factor * error));
            estimate.over_examples(drawn).in_mode(at.mode)
        });
        measured.push(Measured::new(&quantity::EXCESS_NOISE, excess));
        measured.extend(self.gains(&curve, at));
        measured
    }

    /// What the excess spectrum predicts, each with the interval of the resamples.
    fn gains<N>(&self, curve: &TwoPointCurve, at: &ProbePoint<'_, N>) -> Vec<Measured> {
        if let Some(why) = at.motion.beyond_heavy_ball() {
            let reason = format!("the laws of averages are those of heavy-ball SGD, and {why}");
            let unresolved = Reading::Unresolved { reason, num_examples: 0 };
            return vec![Measured::new(&quantity::EXCESS_TWO_POINTS, unresolved)];
        }
        let momentum = at.motion.momentum();
        let Ok(spectrum) = curve.spectrum(momentum) else {
            let reason =
                "no two-point drop is above its noise: raise measure.examples, or look later in the run".to_owned();
            let unresolved = Reading::Unresolved { reason, num_examples: self.examples.num_examples() as u64 };
            return vec![Measured::new(&quantity::EXCESS_TWO_POINTS, unresolved)];
        };
        let resampled = curve.resampled(momentum, RESAMPLES, at.step.0);
        let predict = |quantity: &'static Quantity, of: &dyn Fn(&ExcessSpectrum) -> Option<f64>| {
            let value = of(&spectrum)?;
            let (low, high) = quantile_interval(resampled.iter().filter_map(of).collect(), LEVEL)?;
            // The middle of the resamples need not be the estimate itself.
            let interval = Uncertainty::Interval { low: low.min(value), high: high.max(value), level: LEVEL };
            Some(Measured::new(quantity, self.about(Estimate::new(value, quantity.unit, interval), at.mode)))
        };
        let mut found = vec![
            predict(&quantity::EXCESS_TWO_POINTS, &|spectrum| Some(spectrum.total())),
            predict(&quantity::GAIN_COOLDOWN, &|spectrum| spectrum.cooldown_gain(&self.cooldown).ok()),
            predict(&quantity::GAIN_HALVING, &|spectrum| spectrum.gain(|mode| mode.rate_ratio(0.5)).ok()),
        ];
        // Nothing is said of averages longer than what was seen.
        let longest = self.chords.lags().last().copied().unwrap_or(1);
        for (half_life, quantity) in GAIN_EMA.iter().filter(|(half_life, _)| *half_life <= longest) {
            let rate = 1.0 - (-std::f64::consts::LN_2 / *half_life as f64).exp();
            found.push(predict(quantity, &|spectrum| spectrum.gain(|mode| mode.ema_ratio(rate)).ok()));
        }
        for (length, quantity) in GAIN_WINDOW.iter().filter(|(length, _)| *length <= longest) {
            found.push(predict(quantity, &|spectrum| spectrum.gain(|mode| mode.window_ratio(*length)).ok()));
        }
        found.into_iter().flatten().collect()
    }

    fn about(&self, estimate: Estimate, mode: Mode) -> Estimate {
        estimate.over_examples(self.examples.num_examples() as u64).in_mode(mode)
    }
}

fn numbered(family: &'static [(u64, Quantity)], number: u64) -> Option<&'static Quantity> {
    family.iter().find(|(known, _)| *known == number).map(|(_, quantity)| quantity)
}

impl<N: BatchLoss<B>, B> Probe<N> for TwoPointProbe<'_, B> {
    fn name(&self) -> &'static str {
        "two-point"
    }

    fn cost(&self) -> Cost {
        self.cost
    }

    fn measure(&mut self, at: &ProbePoint<'_, N>) -> Result<Vec<Measured>, ProbeError> {
        self.follow_settings(at);
        let plain = at.values();
        let loss = self.examples.mean_loss(&plain)?;
        let now = at.layout.values(at.network);
        let open = self.chords.open_at(at.step.0);
        let mut evaluations = 1_u32;
        for (stretch, lag) in open {
            let Some((earlier, start)) = self.chords.start_of(stretch) else { continue };
            let middle: Vec<f64> = earlier.iter().zip(&now).map(|(a, b)| 0.5 * (a + b)).collect();
            let middle = self.examples.mean_loss(&at.layout.assign(plain.clone(), &middle))?;
            self.chords.close(stretch, lag, [start, middle, loss]);
            evaluations += 1;
        }
        self.cost =
            Cost::forwards(self.examples.num_examples()) * f64::from(evaluations) + Cost::passes(evaluations as usize);
        let begins = self.chords.begins_at(at.step.0);
        if !begins {
            // Where no chord ends either, it is the end of the run, or a rate that goes down.
            return Ok(if evaluations == 1 { self.report(at, loss) } else { Vec::new() });
        }
        let noise = self.batch_noise(at)?;
        self.cost =
            self.cost + Cost::gradients(NOISE_BATCHES * self.batches.batch_size()) + Cost::passes(NOISE_BATCHES);
        let measured = self.report(at, loss);
        self.chords.begin(at.step.0, now, loss, noise);
        Ok(measured)
    }
}

impl<B> Stateful for TwoPointProbe<'_, B> {
    fn save_state(&self, state: &mut State) {
        state.nest("batches", &self.batches);
        state.nest("chords", &self.chords);
        state.put("settings", &self.settings);
        state.put("before", &self.before);
        state.put("cost", &self.cost);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        state.restore("batches", &mut self.batches)?;
        state.restore("chords", &mut self.chords)?;
        self.settings = state.get("settings")?;
        self.before = state.get("before")?;
        self.cost = state.get("cost")?;
        Ok(())
    }
}
