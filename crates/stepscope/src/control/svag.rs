//! SVAG: steps of an l-th of the length with noise amplified to match, to see whether the continuous limit describes a run.

use burn::module::Module;
use thiserror::Error;

use super::method::{Context, Method, Numbered, StepReport};
use crate::checkpoint::{State, StateError, WeightState};
use crate::measure::Motion;
use crate::models::{ParamLayout, ParamTensors};

/// Stochastic variance amplified gradient: learning rate η/l and the gradient ½(1 + r) g₁ + ½(1 − r) g₂, r = √(2l − 1), of two independent
/// batches.
///
/// The coefficients sum to 1 and their squares to l: the mean gradient stays and its covariance is l times that of one batch, so that l steps have the drift
/// and the noise of one of SGD (l = 1). As l grows the runs approach the stochastic differential equation with that learning rate and batch
/// size. Where l = 1, 2, 4, 8 give one curve over steps/l, it describes the run, and settings of equal noise are interchangeable; where they
/// part, it does not. On a quadratic of curvature h the stationary variance is ηc/(h(2 − ηh/l)), c the variance of a batch's gradient.
///
/// Cost: 2l gradients for each step of SGD. Source: Li, Malladi, Arora 2021; `curvature`, section 1.2.
///
/// ```
/// use stepscope::control::Svag;
/// let svag = Svag::new(4)?;
/// let [a, b] = svag.coefficients();
/// assert!((a + b - 1.0).abs() < 1e-15 && (a * a + b * b - 4.0).abs() < 1e-14);
/// assert_eq!(svag.learning_rate(0.2), 0.05);
/// # Ok::<(), stepscope::control::SvagError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Svag {
    l: u64,
}

/// An l that is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("l of SVAG must be at least 1, got {got}: 1 is SGD, and 2, 4, 8 are usual")]
pub struct SvagError {
    got: u64,
}

impl Svag {
    /// Steps of an l-th of the length.
    ///
    /// # Errors
    /// [`SvagError`] for l = 0.
    pub fn new(l: u64) -> Result<Self, SvagError> {
        if l == 0 { Err(SvagError { got: l }) } else { Ok(Self { l }) }
    }

    /// What multiplies the gradients of the two batches.
    pub fn coefficients(self) -> [f64; 2] {
        let r = (2.0 * self.l as f64 - 1.0).sqrt();
        [0.5 * (1.0 + r), 0.5 * (1.0 - r)]
    }

    /// η/l, the rate of a step where SGD's is η.
    pub fn learning_rate(self, learning_rate: f64) -> f64 {
        learning_rate / self.l as f64
    }

    /// The gradient of a step from those of its two batches.
    pub fn combine(self, mut first: ParamTensors, second: &ParamTensors) -> ParamTensors {
        let [a, b] = self.coefficients();
        first.scale_and_add(a, b, second);
        first
    }
}

/// [`Svag`] as a method: every second batch completes an update of the weights that both were looked at.
///
/// Batches must be independent: draw them with replacement. Cost: two forward and two backward passes an update, a gradient kept between
/// them.
#[derive(Debug, Clone)]
pub struct SvagMethod {
    svag: Svag,
    learning_rate: f64,
    first: Option<ParamTensors>,
}

impl SvagMethod {
    /// At its start; `learning_rate` is that of the SGD whose limit is looked at, η.
    pub fn new(svag: Svag, learning_rate: f64) -> Self {
        Self { svag, learning_rate, first: None }
    }
}

impl<M: Module, B> Method<M, B> for SvagMethod {
    fn take(&mut self, model: M, batch: Numbered<B>, context: &mut Context<'_, M, B>) -> (M, StepReport) {
        let before = context.passes();
        let (loss, gradient) = context.loss_and_gradient(&model, &batch.batch, context.seed_of(batch.number, 0));
        let mut report = StepReport { loss, batches_per_update: 2, ..StepReport::default() };
        let mut model = model;
        if let Some(gradient) = gradient {
            match self.first.take() {
                None => self.first = Some(gradient),
                Some(first) => {
                    let rate = self.svag.learning_rate(self.learning_rate);
                    model = self.svag.combine(first, &gradient).displace(model, -rate);
                    (report.updated, report.learning_rate) = (true, Some(rate));
                }
            }
        }
        report.passes = context.passes() - before;
        (model, report)
    }

    fn learning_rate(&self) -> Option<f64> {
        Some(self.svag.learning_rate(self.learning_rate))
    }

    /// It has none that could be set: specifications refuse a schedule.
    fn set_momentum(&mut self, _momentum: f64) {}

    fn motion(&self) -> Motion<'_> {
        Motion::of_svag()
    }
}

impl WeightState for SvagMethod {
    fn save_weights(&self, state: &mut State, layout: &ParamLayout) {
        if let Some(first) = &self.first {
            state.put_params("first", first, layout);
        }
    }

    fn load_weights(&mut self, state: &State, layout: &ParamLayout) -> Result<(), StateError> {
        self.first = state.contains("first").then(|| state.params("first", layout)).transpose()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use stepscope_spectral::random::RandomStream;

    use super::*;

    #[test]
    fn the_stationary_variance_is_that_of_the_closed_form_for_every_l() {
        let (rate, curvature) = (0.8, 1.0);
        for l in [1, 2, 4, 8] {
            let svag = Svag::new(l).unwrap();
            let [a, b] = svag.coefficients();
            let mut random = RandomStream::named(l, "svag");
            let (mut x, mut sum, steps) = (0.0, 0.0, 400_000 * l);
            for _ in 0..steps {
                let gradients = [curvature * x + random.normal(), curvature * x + random.normal()];
                x -= svag.learning_rate(rate) * (a * gradients[0] + b * gradients[1]);
                sum += x * x;
            }
            let expected = rate / (curvature * (2.0 - rate * curvature / l as f64));
            let measured = sum / steps as f64;
            // 400,000 units of time at a correlation time of about 1/ηh: 0.3 %.
            assert!((measured / expected - 1.0).abs() < 0.02, "{l}: {measured} {expected}");
        }
        assert!(Svag::new(0).is_err());
    }
}
