//! How far one gradient step on a batch can bring that batch's loss down.

use stepscope_types::quantity::{self, Quantity};
use stepscope_types::{Estimate, Uncertainty};

use super::batches::BatchSource;
use super::cost::Cost;
use super::critical_sharpness::gradient;
use super::objective::Objective;
use super::operators::{BatchLoss, ProductError};
use super::parabola_fit::ParabolaFit;
use super::probe::{Measured, Probe, ProbeError, ProbePoint};
use super::statistics::mean_and_error;
use crate::checkpoint::{State, StateError, Stateful};
use crate::data::Batch;

/// The loss of a batch along its own gradient: the rate that lowers it most, how low, how parabolic the way is, and what
/// the same step does to the loss over the probe examples.
///
/// For each of `num_batches` fresh batches: s* = argmin_s l_B(θ − s g_B), bracketed by doubling from the learning rate and refined by
/// parabolas; then 13 equally spaced losses on [0, 2s*], of which the first 8 reach 1.2 s*. Values are means over batches with their
/// standard errors.
///
/// Cost: a gradient and about 23 forward passes a batch, one over the probe examples. Source: `averaging`, section 1.1.
#[derive(Debug)]
pub struct OneStepProbe<'a, B = Batch> {
    batches: BatchSource<'a, B>,
    examples: Objective<B>,
    num_batches: usize,
}

/// The way of one batch.
#[derive(Debug, Clone, Copy)]
struct Way {
    minimum: f64,
    floor: f64,
    floor_ratio: f64,
    full_loss: f64,
    convexity: f64,
    fit: f64,
    fit_wide: f64,
}

impl<'a, B> OneStepProbe<'a, B> {
    /// Points on [0, 2s*].
    const POINTS: usize = 13;
    /// Those on [0, 1.2 s*].
    const NEAR_POINTS: usize = 8;

    /// A probe of `num_batches` (at least 2) of `batches`, with the full loss over `examples`.
    pub fn new(batches: BatchSource<'a, B>, examples: Objective<B>, num_batches: usize) -> Self {
        Self { batches, examples, num_batches: num_batches.max(2) }
    }

    fn way<N: BatchLoss<B>>(&mut self, at: &ProbePoint<'_, N>, plain: &N) -> Result<Way, ProductError> {
        let indices = self.batches.draw();
        let batch = self.batches.objective(&indices);
        let direction = gradient(at.network, &batch)?;
        let moved = |length: f64| direction.displace(plain.clone(), -length);
        let loss = |length: f64| batch.mean_loss(&moved(length));
        let start = batch.mean_loss(plain)?;
        let minimum = minimize(start, at.first_rate(), loss)?;
        let spacing = 2.0 * minimum / (Self::POINTS - 1) as f64;
        let positions: Vec<f64> = (0..Self::POINTS).map(|index| index as f64 * spacing).collect();
        let at_position = |&s: &f64| if s == 0.0 { Ok(start) } else { loss(s) };
        let losses: Vec<f64> = positions.iter().map(at_position).collect::<Result<_, _>>()?;
        let floor = losses.iter().copied().fold(f64::INFINITY, f64::min);
        let bends = losses.windows(3).filter(|three| three[0] + three[2] > 2.0 * three[1]).count();
        let near = Self::NEAR_POINTS;
        Ok(Way {
            minimum,
            floor,
            floor_ratio: floor / start,
            full_loss: self.examples.mean_loss(&moved(minimum))?,
            convexity: bends as f64 / (Self::POINTS - 2) as f64,
            fit: ParabolaFit::of(&positions[..near], &losses[..near]).r_squared,
            fit_wide: ParabolaFit::of(&positions, &losses).r_squared,
        })
    }
}

/// A minimum of a loss that falls from `start` at 0, to about a percent: bracketed by halving or doubling from `first`, then refined by
/// parabolas.
fn minimize<E>(start: f64, first: f64, loss: impl Fn(f64) -> Result<f64, E>) -> Result<f64, E> {
    const MAX_SHIFTS: usize = 24;
    const REFINEMENTS: usize = 4;
    // A loss that is not finite is higher than any.
    let at = |position: f64| {
        let loss = loss(position)?;
        Ok::<_, E>((position, if loss.is_finite() { loss } else { f64::INFINITY }))
    };
    let (mut low, mut middle, mut high) = (at(0.5 * first)?, at(first)?, at(2.0 * first)?);
    for _ in 0..MAX_SHIFTS {
        if low.1 < middle.1 || middle.1 >= start {
            (low, middle, high) = (at(0.5 * low.0)?, low, middle);
        } else if high.1 < middle.1 {
            (low, middle, high) = (middle, high, at(2.0 * high.0)?);
        } else {
            break;
        }
    }
    for _ in 0..REFINEMENTS {
        let trial = at(vertex([low, middle, high]))?;
        let (lower, other) = if trial.1 < middle.1 { (trial, middle) } else { (middle, trial) };
        if other.0 < lower.0 {
            low = other;
        } else {
            high = other;
        }
        middle = lower;
    }
    Ok(middle.0)
}

/// The vertex of the parabola through three points, kept inside them and off the middle one.
fn vertex([a, b, c]: [(f64, f64); 3]) -> f64 {
    let (left, right) = (b.0 - a.0, c.0 - b.0);
    let (fall, rise) = (a.1 - b.1, c.1 - b.1);
    let vertex = b.0 + 0.5 * (fall * right * right - rise * left * left) / (fall * right + rise * left);
    let least = 0.02 * left.min(right);
    let inside = vertex.is_finite() && vertex > a.0 && vertex < c.0;
    match inside {
        true if (vertex - b.0).abs() >= least => vertex,
        true => b.0 + least.copysign(if right > left { 1.0 } else { -1.0 }),
        false => b.0 + if right > left { 0.5 * right } else { -0.5 * left },
    }
}

impl<N: BatchLoss<B>, B> Probe<N> for OneStepProbe<'_, B> {
    fn name(&self) -> &'static str {
        "one-step"
    }

    fn cost(&self) -> Cost {
        let one = Cost::gradients(self.batches.batch_size())
            + Cost::forwards(self.batches.batch_size()) * 23.0
            + Cost::forwards(self.examples.num_examples());
        one * self.num_batches as f64
    }

    fn measure(&mut self, at: &ProbePoint<'_, N>) -> Result<Vec<Measured>, ProbeError> {
        self.batches.resize(at.batch_size);
        let plain = at.values();
        let ways: Vec<Way> = (0..self.num_batches).map(|_| self.way(at, &plain)).collect::<Result<_, _>>()?;
        let num_examples = (self.num_batches * self.batches.batch_size()) as u64;
        let estimate = |quantity: &'static Quantity, of: &dyn Fn(&Way) -> f64| {
            let (mean, error) = mean_and_error(&ways.iter().map(of).collect::<Vec<f64>>());
            let estimate = Estimate::new(mean, quantity.unit, Uncertainty::StandardError(error));
            estimate.over_examples(num_examples).in_mode(at.mode)
        };
        let about = |quantity, of: &dyn Fn(&Way) -> f64| Measured::new(quantity, estimate(quantity, of));
        let ratio = &quantity::ONE_STEP_MINIMUM_RATIO;
        Ok(vec![
            about(&quantity::ONE_STEP_MINIMUM, &|way| way.minimum),
            Measured::new(ratio, at.in_steps(|rate| estimate(ratio, &|way| way.minimum / rate))),
            about(&quantity::ONE_STEP_FLOOR, &|way| way.floor),
            about(&quantity::ONE_STEP_FLOOR_RATIO, &|way| way.floor_ratio),
            about(&quantity::ONE_STEP_FULL_LOSS, &|way| way.full_loss),
            about(&quantity::LINE_CONVEXITY, &|way| way.convexity),
            about(&quantity::QUADRATIC_FIT, &|way| way.fit),
            about(&quantity::QUADRATIC_FIT_WIDE, &|way| way.fit_wide),
        ])
    }
}

impl<B> Stateful for OneStepProbe<'_, B> {
    fn save_state(&self, state: &mut State) {
        state.nest("batches", &self.batches);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        state.restore("batches", &mut self.batches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minimum_of_parabolas_and_of_skewed_valleys_is_found_from_anywhere() {
        let minimize = |first, loss: &dyn Fn(f64) -> f64| {
            let Ok(found) = minimize(1.0, first, |s| Ok::<f64, std::convert::Infallible>(loss(s)));
            found
        };
        for first in [1e-3, 0.1, 1.0, 7.0] {
            let parabola = minimize(first, &|s| 1.0 - s + 0.5 * s * s);
            assert!((parabola - 1.0).abs() < 0.02, "{first}: {parabola}");
            let skewed = |s: f64| (-2.0 * s).exp() + 0.1 * s;
            let truth = 20.0_f64.ln() / 2.0;
            let found = minimize(first, &skewed);
            assert!((found / truth - 1.0).abs() < 0.06, "{first}: {found} {truth}");
        }
    }
}
