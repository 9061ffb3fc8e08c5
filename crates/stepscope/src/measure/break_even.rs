//! The break-even meter: how far the sharpest direction is from where the noise of this batch size makes it unstable.

use stepscope_theory::{
    CurvatureSpread, Sampling, TheoryError, break_even_curvature, largest_stable_learning_rate_with_momentum,
    mean_square_growth, smallest_stable_batch,
};
use stepscope_types::quantity::{self, Quantity};
use stepscope_types::{BatchSize, Estimate, Reading, Uncertainty};

use super::break_even_track::{BreakEvenTrack, Position};
use super::cost::Cost;
use super::objective::Objective;
use super::operators::BatchLoss;
use super::per_example_curvature::per_example_curvature;
use super::probe::{Measured, ProbeError, ProbePoint, no_learning_rate};
use super::statistics::mean_and_deviation;
use crate::checkpoint::{State, StateError, Stateful};

/// Evaluates the stability condition of *The Break-Even Point* along training, with the measured spread of curvature.
///
/// Along the sharpest direction e, examples have curvatures eᵀHᵢe with mean λ and standard deviation s. One step of SGD on batches of
/// S out of N multiplies the mean squared distance along e by
///
/// (1 − ηλ)² + s² η² c, with c = (N − S)/(S(N − 1)), or 1/S for draws with replacement,
///
/// and the direction breaks even where that is 1. With momentum the same is asked of the second moments of the heavy ball.
/// A reading gives s, the factor, the largest stable learning rate at the present batch size, the learning rate over it (1 is
/// break-even), the sharpness at which break-even would come, the smallest stable batch; from earlier
/// readings, when break-even will come, when it came, and the first peak of sharpness.
///
/// Errors are standard errors of the probe examples as a sample of the training set; they vanish where the probe examples
/// are all of it. Cost beside the sharpness it starts from: three forward passes with tangents over the probe examples. Source:
/// `curvature`, sections 2.2, 4.7 and 4.9; the use along training, ours. Invalid where per-example curvatures do not commute with
/// what other directions do: it is the condition of one direction.
#[derive(Debug)]
pub struct BreakEvenMeter {
    sampling: Sampling,
    batch_size: BatchSize,
    num_training_examples: u64,
    track: BreakEvenTrack,
}

/// Mean and spread of per-example curvature with their errors.
#[derive(Debug, Clone, Copy)]
struct Spread {
    mean: f64,
    deviation: f64,
    mean_error: f64,
    deviation_error: f64,
}

impl BreakEvenMeter {
    /// A meter for training with batches of `batch_size`, unless a point has another size, out of `num_training_examples`.
    pub fn new(sampling: Sampling, batch_size: BatchSize, num_training_examples: u64) -> Self {
        Self { sampling, batch_size, num_training_examples, track: BreakEvenTrack::default() }
    }

    /// What a reading over so many examples costs.
    pub fn cost(num_examples: usize) -> Cost {
        Cost::tangents(num_examples) * 3.0 + Cost::passes(8)
    }

    /// Reads at a point whose sharpest direction over `objective` (on the network's device) is the unit vector `direction`.
    ///
    /// # Errors
    /// [`ProbeError`] for a network that carries no tangent, a mode in which examples see each other, and a batch larger
    /// than the training set.
    pub fn measure<N: BatchLoss<B>, B>(
        &mut self,
        at: &ProbePoint<'_, N>,
        objective: &Objective<B>,
        direction: &[f64],
    ) -> Result<Vec<Measured>, ProbeError> {
        at.check_examples_are_independent("break-even")?;
        let curvatures = per_example_curvature(at.network, at.layout, objective, direction)?;
        let spread = Spread::of(&curvatures, self.num_training_examples);
        let about = |quantity: &'static Quantity, value: f64, error: f64| {
            let estimate = Estimate::new(value, quantity.unit, Uncertainty::StandardError(error))
                .over_examples(curvatures.len() as u64)
                .in_mode(at.mode);
            Measured::new(quantity, estimate)
        };
        let mut measured = vec![
            about(&quantity::CURVATURE_SPREAD, spread.deviation, spread.deviation_error),
            about(
                &quantity::RELATIVE_CURVATURE_SPREAD,
                spread.deviation / spread.mean,
                propagate(|mean, deviation| deviation / mean, &spread),
            ),
        ];
        if spread.mean > 0.0 {
            measured.extend(self.condition(at, &spread, &about)?);
        } else {
            let reason = format!(
                "the mean curvature along the sharpest direction is {:.3e}: nothing to be unstable along; look at a later step",
                spread.mean
            );
            let num_examples = curvatures.len() as u64;
            measured
                .push(Measured::new(&quantity::LEARNING_RATE_POSITION, Reading::Unresolved { reason, num_examples }));
        }
        Ok(measured)
    }

    /// What the condition says at a positive curvature.
    fn condition<N>(
        &mut self,
        at: &ProbePoint<'_, N>,
        spread: &Spread,
        about: &impl Fn(&'static Quantity, f64, f64) -> Measured,
    ) -> Result<Vec<Measured>, TheoryError> {
        if let Some(why) = at.motion.beyond_heavy_ball() {
            let reason = format!("the break-even condition is that of heavy-ball SGD, and {why}");
            let reading = Reading::Unresolved { reason, num_examples: 0 };
            return Ok(vec![Measured::new(&quantity::LEARNING_RATE_POSITION, reading)]);
        }
        let momentum = at.motion.momentum();
        let noise_factor = self.sampling.noise_factor(at.batch_size_or(self.batch_size))?;
        let largest = |mean: f64, deviation: f64| {
            largest_stable_learning_rate_with_momentum(mean, deviation, noise_factor, momentum).unwrap_or(f64::NAN)
        };
        let stable = largest_stable_learning_rate_with_momentum(spread.mean, spread.deviation, noise_factor, momentum)?;
        let mut measured = vec![about(&quantity::LARGEST_STABLE_LEARNING_RATE, stable, propagate(largest, spread))];
        let Some(rate) = at.learning_rate else {
            measured.push(Measured::new(&quantity::LEARNING_RATE_POSITION, no_learning_rate()));
            return Ok(measured);
        };
        let position = rate / stable;
        let position_error = propagate(|mean, deviation| rate / largest(mean, deviation), spread);
        measured.push(about(&quantity::LEARNING_RATE_POSITION, position, position_error));
        // The remaining forms are those of plain SGD that takes steps.
        if momentum == 0.0 && rate > 0.0 {
            let growth = |mean: f64, deviation: f64| mean_square_growth(rate, mean, deviation, noise_factor);
            let turning = |mean: f64, deviation: f64| {
                let spread = CurvatureSpread::Proportional(deviation / mean);
                break_even_curvature(rate, spread, noise_factor).ok().flatten().unwrap_or(f64::NAN)
            };
            let at_point = |form: &dyn Fn(f64, f64) -> f64| form(spread.mean, spread.deviation);
            measured.extend([
                about(&quantity::MEAN_SQUARE_GROWTH, at_point(&growth), propagate(growth, spread)),
                about(&quantity::BREAK_EVEN_CURVATURE, at_point(&turning), propagate(turning, spread)),
            ]);
            measured.push(self.smallest_batch(rate, spread, about)?);
        }
        measured.extend(self.track.take(Position { step: at.step.0, position, sharpness: spread.mean }));
        Ok(measured)
    }

    fn smallest_batch(
        &self,
        rate: f64,
        spread: &Spread,
        about: &impl Fn(&'static Quantity, f64, f64) -> Measured,
    ) -> Result<Measured, TheoryError> {
        let quantity = &quantity::SMALLEST_STABLE_BATCH;
        let smallest = |mean: f64, deviation: f64| {
            let batch = smallest_stable_batch(rate, mean, deviation, self.num_training_examples);
            batch.ok().flatten().map_or(f64::NAN, |batch| batch as f64)
        };
        Ok(match smallest_stable_batch(rate, spread.mean, spread.deviation, self.num_training_examples)? {
            // A count: its error is at least the half unit that rounding up hides.
            Some(batch) => about(quantity, batch as f64, propagate(smallest, spread).max(0.5)),
            None => Measured::new(
                quantity,
                Reading::Unresolved {
                    reason: format!(
                        "learning rate {rate} is past 2 over the sharpness, {:.3}: no batch makes the direction stable; lower \
                         the learning rate",
                        2.0 / spread.mean
                    ),
                    num_examples: 0,
                },
            ),
        })
    }
}

impl Spread {
    fn of(curvatures: &[f64], num_training_examples: u64) -> Self {
        let count = curvatures.len() as f64;
        let (mean, deviation) = mean_and_deviation(curvatures);
        let fourth = curvatures.iter().map(|c| (c - mean).powi(4)).sum::<f64>() / count;
        // Probe examples are drawn from the training set without replacement.
        let training = num_training_examples as f64;
        let correction = ((training - count) / (training - 1.0).max(1.0)).max(0.0).sqrt();
        let variance_error = ((fourth - deviation.powi(4)).max(0.0) / count).sqrt();
        Self {
            mean,
            deviation,
            mean_error: correction * deviation / count.sqrt(),
            deviation_error: if deviation > 0.0 { correction * variance_error / (2.0 * deviation) } else { 0.0 },
        }
    }
}

/// The standard error of a function of mean and deviation, to first order, the two taken as uncorrelated.
fn propagate(function: impl Fn(f64, f64) -> f64, spread: &Spread) -> f64 {
    let Spread { mean, deviation, mean_error, deviation_error } = *spread;
    let from_mean = function(mean + mean_error, deviation) - function(mean - mean_error, deviation);
    let from_deviation = function(mean, deviation + deviation_error) - function(mean, deviation - deviation_error);
    0.5 * from_mean.hypot(from_deviation)
}

impl Stateful for BreakEvenMeter {
    fn save_state(&self, state: &mut State) {
        state.put("track", &self.track);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        self.track = state.get("track")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stepscope_spectral::random::RandomStream;

    #[test]
    fn the_errors_of_mean_and_spread_are_those_that_repeated_samples_show() {
        let mut random = RandomStream::new(5, 0);
        let training: Vec<f64> = (0..400).map(|_| random.normal().exp()).collect();
        let (mut means, mut deviations, mut claimed) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..3000 {
            let mut sample = training.clone();
            random.shuffle(&mut sample);
            let spread = Spread::of(&sample[..200], 400);
            means.push(spread.mean);
            deviations.push(spread.deviation);
            claimed.push((spread.mean_error, spread.deviation_error));
        }
        let claim = |part: fn(&(f64, f64)) -> f64| claimed.iter().map(part).sum::<f64>() / claimed.len() as f64;
        let (mean_error, deviation_error) = (mean_and_deviation(&means).1, mean_and_deviation(&deviations).1);
        assert!((claim(|c| c.0) / mean_error - 1.0).abs() < 0.06, "{} {mean_error}", claim(|c| c.0));
        // Heavy tails: the sample's own fourth moment is too small on average.
        assert!((claim(|c| c.1) / deviation_error - 1.0).abs() < 0.35, "{} {deviation_error}", claim(|c| c.1));
    }
}
