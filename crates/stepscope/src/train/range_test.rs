//! The learning-rate range test: short runs whose rate grows from far too small to far too large.

use serde::Serialize;
use stepscope_types::BatchSize;
use thiserror::Error;

use super::run::{Run, RunError};
use crate::control::transform::GradientTransform;
use crate::control::{Context, Direction, MethodError, NetworkOracle};
use crate::data::{BatchPlan, Loader, sampler};
use crate::measure::student::student_quantile_95;
use crate::models::{ParamLayout, ParamTensors};

/// What a range test is told.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RangeTestSettings {
    /// First learning rate, above 0.
    pub from: f64,
    /// Last learning rate, above `from`.
    pub to: f64,
    /// Updates of one sweep over the rates, at least 10.
    pub steps: u64,
    /// Sweeps, each from the initial weights and over batches of its own: at least 2, from which the error comes.
    pub sweeps: u64,
}

/// A range test that cannot be run.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum RangeTestError {
    /// The rates are no range.
    #[error(
        "the learning rates from {from} to {to} are no range: expected two finite numbers above 0, the smaller one first"
    )]
    Range {
        /// First rate.
        from: f64,
        /// Last rate.
        to: f64,
    },
    /// Too little to see anything.
    #[error("{what}: got {got}, expected at least {least}")]
    TooFew {
        /// Which number.
        what: &'static str,
        /// The number.
        got: u64,
        /// What is needed.
        least: u64,
    },
}

/// One update of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RangePoint {
    /// η of the update.
    pub learning_rate: f64,
    /// Loss of the next batch after it.
    pub loss: f64,
    /// Running mean of the losses up to there, corrected for its start.
    pub smoothed: f64,
}

/// A sweep over the rates.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RangeSweep {
    /// Its updates; it ends early where the loss is lost.
    pub points: Vec<RangePoint>,
    /// The first rate after which the smoothed loss is four times its least value, or not finite.
    pub diverged_at: Option<f64>,
    /// The rate at which the smoothed loss falls fastest per factor of the rate.
    pub steepest: Option<f64>,
}

/// A number over several sweeps: their geometric mean, with a 95 % interval over sweeps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OverSweeps {
    /// The geometric mean.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Sweeps that have the number.
    pub num_sweeps: u64,
}

/// The curves of a range test, and what follows from them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RangeTest {
    /// What was asked for.
    pub settings: RangeTestSettings,
    /// The sweeps.
    pub sweeps: Vec<RangeSweep>,
    /// The rate at which the loss falls fastest; `None` where `problem` says why.
    pub suggestion: Option<OverSweeps>,
    /// The rate at which training breaks down, where it did.
    pub diverged_at: Option<OverSweeps>,
    /// Why the curves do not say which rate to take, and what to change.
    pub problem: Option<String>,
    /// Forward passes, each with a backward pass but for the last one of a sweep.
    pub num_passes: u64,
}

/// Weight of what is remembered in the smoothed loss: about ten updates.
const SMOOTHING: f64 = 0.9;
/// A smoothed loss so many times its least value is lost.
const LOST: f64 = 4.0;
/// An interval wider than this factor suggests nothing.
const WIDEST: f64 = 30.0;
/// Updates at either end of a smoothed curve whose slope is not trusted.
const MARGIN: usize = 5;

impl RangeTestSettings {
    /// Checks that the settings make a test.
    ///
    /// # Errors
    /// [`RangeTestError`].
    pub fn validate(&self) -> Result<(), RangeTestError> {
        let Self { from, to, steps, sweeps } = *self;
        if !(from > 0.0 && to > from && to.is_finite()) {
            return Err(RangeTestError::Range { from, to });
        }
        for (what, got, least) in [("updates of a sweep", steps, 10), ("sweeps", sweeps, 2)] {
            if got < least {
                return Err(RangeTestError::TooFew { what, got, least });
            }
        }
        Ok(())
    }

    /// η of an update: rates are equally far apart by factors.
    fn learning_rate(&self, step: u64) -> f64 {
        self.from * (self.to / self.from).powf(step as f64 / (self.steps - 1).max(1) as f64)
    }
}

impl Default for RangeTestSettings {
    fn default() -> Self {
        Self { from: 1e-4, to: 30.0, steps: 120, sweeps: 5 }
    }
}

impl RangeSweep {
    /// The sweep of these losses: `losses[k]` was met after the update of rate `rates[k]`.
    pub fn of(rates: &[f64], losses: &[f64]) -> Self {
        let (mut sum, mut least, mut points, mut diverged_at) = (0.0, f64::INFINITY, Vec::new(), None);
        for (index, (&learning_rate, &loss)) in rates.iter().zip(losses).enumerate() {
            sum = SMOOTHING * sum + (1.0 - SMOOTHING) * loss;
            let smoothed = sum / (1.0 - SMOOTHING.powi(index as i32 + 1));
            least = smoothed.min(least);
            points.push(RangePoint { learning_rate, loss, smoothed });
            if !smoothed.is_finite() || smoothed > LOST * least {
                diverged_at = Some(learning_rate);
                break;
            }
        }
        let steepest = steepest(&points);
        Self { points, diverged_at, steepest }
    }
}

/// The rate in the middle of the steepest fall over five updates; `None` where nothing falls.
fn steepest(points: &[RangePoint]) -> Option<f64> {
    let finite: Vec<&RangePoint> = points.iter().filter(|point| point.smoothed.is_finite()).collect();
    let windows = finite.windows(5).skip(MARGIN);
    let fall = |window: &[&RangePoint]| {
        let factor = (window[4].learning_rate / window[0].learning_rate).ln();
        (window[2].learning_rate, (window[4].smoothed - window[0].smoothed) / factor)
    };
    let fastest = windows.map(fall).min_by(|a, b| a.1.total_cmp(&b.1))?;
    (fastest.1 < 0.0).then_some(fastest.0)
}

impl OverSweeps {
    /// The mean of the logarithms, with Student's interval. `None` for fewer than two numbers.
    fn of(numbers: &[f64]) -> Option<Self> {
        let count = numbers.len() as f64;
        if numbers.len() < 2 {
            return None;
        }
        let mean = numbers.iter().map(|x| x.ln()).sum::<f64>() / count;
        let variance = numbers.iter().map(|x| (x.ln() - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let half = student_quantile_95(count - 1.0) * (variance / count).sqrt();
        Some(Self {
            value: mean.exp(),
            low: (mean - half).exp(),
            high: (mean + half).exp(),
            num_sweeps: numbers.len() as u64,
        })
    }
}

impl RangeTest {
    /// What follows from sweeps.
    pub fn of(settings: RangeTestSettings, sweeps: Vec<RangeSweep>, num_passes: u64) -> Self {
        let some = |number: fn(&RangeSweep) -> Option<f64>| sweeps.iter().filter_map(number).collect::<Vec<f64>>();
        let (steepest, lost) = (some(|sweep| sweep.steepest), some(|sweep| sweep.diverged_at));
        let problem = if steepest.len() < 2 {
            Some(format!(
                "the loss fell in {} of {} sweeps: start lower than {}, take more updates, or look at the network's initial \
                 weights",
                steepest.len(),
                sweeps.len(),
                settings.from
            ))
        } else if lost.is_empty() {
            Some(format!("no sweep broke down: raise the last learning rate above {}", settings.to))
        } else {
            None
        };
        let diverged_at = OverSweeps::of(&lost);
        let found = OverSweeps::of(&steepest);
        let apart = found.filter(|found| found.high > WIDEST * found.low);
        let disagree = apart.map(|found| {
            format!(
                "the sweeps fall fastest at rates that do not agree, 95 % interval {:.2e} to {:.2e}: take more updates in a sweep, \
                 or more sweeps",
                found.low, found.high
            )
        });
        let problem = problem.or(disagree);
        let suggestion = found.filter(|_| problem.is_none());
        Self { settings, sweeps, suggestion, diverged_at, problem, num_passes }
    }
}

impl Run<'_> {
    /// The learning-rate range test of this run: sweeps from its initial weights (its checkpoint's, after [`Run::resumed_from`]) with the
    /// direction of its specification, whose momentum or Adam starts at rest, over rates that grow by a constant factor.
    ///
    /// The suggestion is the rate at which the smoothed loss falls fastest, a factor of a few below where training breaks
    /// down. It is a rate for the start of training: curvature usually grows, and a rate that was steepest may be too large later.
    /// Batches of different sweeps differ, and the interval says what that does to the suggestion.
    ///
    /// Nothing is changed: sweeps train copies, from streams of their own, and the run, its data order and its networks' running
    /// statistics are bit for bit what they were.
    ///
    /// Cost: `sweeps` · (`steps` + 1) gradients of a batch. Source: Smith 2017; rule of the steepest fall, as in fastai; error over
    /// sweeps, ours.
    ///
    /// # Errors
    /// [`RunError`] where the settings make no test, or batches cannot be drawn.
    pub fn range_test(&self, settings: RangeTestSettings) -> Result<RangeTest, RunError> {
        settings.validate()?;
        let rates: Vec<f64> = (0..settings.steps).map(|step| settings.learning_rate(step)).collect();
        let mut num_passes = 0;
        let mut sweeps = Vec::new();
        for sweep in 0..settings.sweeps {
            let losses = self.sweep(&rates, sweep)?;
            num_passes += (losses.len() as u64 + 1).min(settings.steps + 1);
            sweeps.push(RangeSweep::of(&rates, &losses));
        }
        Ok(RangeTest::of(settings, sweeps, num_passes))
    }

    /// The loss met after each update; ends with the first that is not finite.
    fn sweep(&self, rates: &[f64], sweep: u64) -> Result<Vec<f64>, RunError> {
        let (dataset, spec) = (self.dataset, self.spec);
        // Far from the seeds of training, which are those of the specification and few.
        let seed = spec.seeds.probe_seed() ^ (0x5EED_0000_0000_0000 + sweep);
        let num_train = dataset.train.num_examples();
        let order = sampler(spec.train.sampling, num_train, spec.train.batch_size, seed)?;
        let augmentation = dataset.augmentation(&spec.data, seed)?;
        let batches = BatchPlan::constant(spec.train.sampling, num_train as u64, spec.train.batch_size);
        let mut loader = Loader::new(&dataset.train, dataset.shape, order, augmentation, batches);
        let mut direction =
            GradientTransform::of_spec(&spec.optimizer, &ParamLayout::of(&self.network)).map_err(MethodError::from)?;
        let (mut network, mut oracle) = (
            self.network.clone(),
            NetworkOracle::default().in_micro_batches(spec.train.micro_batch_size.map(BatchSize::get)),
        );
        let (device, dtype) = (self.backend.tracked(), self.backend.dtype());
        let mut losses = Vec::new();
        let mut context = Context::new(&mut oracle, seed);
        for (step, rate) in (0_u64..).zip(rates) {
            let batch = loader.next_batch(&device, dtype);
            let pass_seed = context.seed_of(step, 0);
            let (loss, gradient) = context.loss_and_gradient(&network, &batch, pass_seed);
            if step > 0 {
                losses.push(loss);
            }
            let Some(gradient) = gradient else { return Ok(losses) };
            let way = direction.direction(gradient, &|| ParamTensors::values(&network));
            network = way.displace(network, -rate);
        }
        let batch = loader.next_batch(&device, dtype);
        let pass_seed = context.seed_of(rates.len() as u64, 0);
        losses.push(context.loss(&network, &batch, pass_seed));
        Ok(losses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A loss that falls until `best` and explodes after it.
    fn curve(best: f64) -> RangeSweep {
        let settings = RangeTestSettings::default();
        let rates: Vec<f64> = (0..settings.steps).map(|step| settings.learning_rate(step)).collect();
        let loss = |rate: &f64| 2.0 - 1.5 / (1.0 + (best / rate).powi(2)) + (rate / (10.0 * best)).powi(4);
        RangeSweep::of(&rates, &rates.iter().map(loss).collect::<Vec<f64>>())
    }

    #[test]
    fn the_suggestion_is_where_the_curve_falls_fastest_and_its_error_that_of_the_sweeps() {
        let test = RangeTest::of(RangeTestSettings::default(), [0.1, 0.12, 0.14].map(curve).to_vec(), 0);
        let suggestion = test.suggestion.unwrap();
        // The fall is steepest at `best`; a running mean of ten updates looks up to a factor of 2.8 later.
        assert!(suggestion.value > 0.1 && suggestion.value < 0.4, "{suggestion:?}");
        assert!(suggestion.low < suggestion.value && suggestion.value < suggestion.high);
        let lost = test.diverged_at.unwrap();
        assert!(lost.value > 4.0 * suggestion.value, "{lost:?}");
        // Twice the rates, twice the suggestion.
        let doubled = RangeTest::of(RangeTestSettings::default(), [0.2, 0.24, 0.28].map(curve).to_vec(), 0);
        assert!((doubled.suggestion.unwrap().value / suggestion.value / 2.0 - 1.0).abs() < 0.1);
    }

    #[test]
    fn curves_that_say_nothing_are_said_to() {
        let settings = RangeTestSettings { from: 1e-4, to: 1e-3, ..RangeTestSettings::default() };
        let rates: Vec<f64> = (0..settings.steps).map(|step| settings.learning_rate(step)).collect();
        let of = |loss: fn(f64) -> f64| {
            let losses: Vec<f64> = (0..rates.len()).map(|k| loss(k as f64)).collect();
            RangeTest::of(settings, vec![RangeSweep::of(&rates, &losses); 3], 0)
        };
        let falling = of(|k| 2.0 - 0.01 * k);
        assert!(falling.suggestion.is_none() && falling.problem.unwrap().contains("raise the last learning rate"));
        let rising = of(|k| 1.0 + k);
        assert!(rising.suggestion.is_none() && rising.problem.unwrap().contains("start lower"));
        let apart = RangeTest::of(RangeTestSettings::default(), [0.001, 0.1, 1.0].map(curve).to_vec(), 0);
        assert!(apart.suggestion.is_none() && apart.problem.unwrap().contains("do not agree"));
        let lost = of(|_| f64::NAN);
        assert!(lost.suggestion.is_none() && lost.problem.is_some());
        assert_eq!(lost.sweeps[0].points.len(), 1);
    }

    #[test]
    fn settings_that_make_no_test_are_refused() {
        let good = RangeTestSettings::default();
        for (bad, word) in [
            (RangeTestSettings { from: 0.0, ..good }, "no range"),
            (RangeTestSettings { to: 1e-5, ..good }, "no range"),
            (RangeTestSettings { to: f64::INFINITY, ..good }, "no range"),
            (RangeTestSettings { from: f64::NAN, ..good }, "no range"),
            (RangeTestSettings { steps: 9, ..good }, "updates of a sweep"),
            (RangeTestSettings { sweeps: 1, ..good }, "sweeps"),
        ] {
            assert!(bad.validate().unwrap_err().to_string().contains(word), "{bad:?}");
        }
    }
}
