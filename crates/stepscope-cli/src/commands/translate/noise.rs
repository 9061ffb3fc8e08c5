//! Learning rate for batch size at equal noise, and the reverse.

use serde::Serialize;
use stepscope::theory::{batch_size_at_equal_noise, reciprocal_schedule, reciprocal_steps};
use stepscope::types::TrainingDuration;
use stepscope::types::schedule::{RunClock, Schedule, ScheduleKind, SchedulePart, ScheduleSpec, Scheduled};
use stepscope_report::number::significant;

use crate::args::{Format, NoiseArguments};
use crate::commands::{print, print_json};
use crate::failure::Failure;

/// What the given schedule is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Given {
    LearningRate,
    BatchSize,
}

/// The answer, which is the JSON too.
#[derive(Serialize)]
struct Found {
    /// The schedule that was given.
    from: String,
    /// The schedule that has its noise.
    to: String,
    /// Learning rate of the translated run, where its batch size has the schedule.
    learning_rate: Option<f64>,
    /// Batch size of the translated run, where its learning rate has the schedule.
    batch_size: Option<u64>,
    momentum: f64,
    /// Whether the words are the reciprocal itself, and not stairs beside it.
    exact: bool,
    /// Largest relative difference of the two noises, over the run.
    largest_deviation: f64,
}

/// Stairs stay this near to the reciprocal.
const TOLERANCE: f64 = 0.05;
/// Positions at which two schedules are compared.
const POSITIONS: u32 = 2000;

pub(super) fn run(given: Given, arguments: &NoiseArguments) -> Result<(), Failure> {
    let found = translate(given, arguments)?;
    if arguments.format == Format::Json { print_json(&found) } else { print(&text(given, arguments, &found)) }
}

fn translate(given: Given, arguments: &NoiseArguments) -> Result<Found, Failure> {
    let spec: ScheduleSpec = arguments.schedule.parse().map_err(Failure::bad_input)?;
    let (rate, batch) = (arguments.learning_rate, arguments.batch_size as f64);
    let clock = RunClock::Epochs { num_epochs: arguments.epochs };
    let (base, of) = match given {
        Given::LearningRate => (rate, Scheduled::LearningRate),
        Given::BatchSize => (batch, Scheduled::BatchSize),
    };
    let schedule = spec.resolve(base, of, &clock).map_err(Failure::bad_input)?;
    let (momentum, to_momentum) = (arguments.momentum, arguments.to_momentum.unwrap_or(arguments.momentum));
    // What is held constant: by default the largest rate, so that no batch is smaller than the one given; or the given batch size.
    let held = arguments.to.unwrap_or(match given {
        Given::LearningRate => schedule.bounds(arguments.epochs).1,
        Given::BatchSize => batch,
    });
    let product = match given {
        Given::LearningRate => held * batch_size_at_equal_noise(1.0, batch, momentum, 1.0, to_momentum)?,
        // rate'(t) = batch' · rate (1 − β') / (batch(t) (1 − β)): the same with the momenta in each other's place.
        Given::BatchSize => held * batch_size_at_equal_noise(1.0, rate, to_momentum, 1.0, momentum)?,
    };
    let whole = given == Given::LearningRate;
    let most = if whole { arguments.largest.unwrap_or(64 * arguments.batch_size) as f64 } else { f64::INFINITY };
    let exact = reciprocal_schedule(&spec, base, product);
    let to = exact.clone().unwrap_or_else(|| stairs(&schedule, arguments.epochs, product, most, whole));
    let largest_deviation = deviation(&schedule, &to, product, &clock, whole)?;
    Ok(Found {
        from: spec.to_string(),
        to: to.to_string(),
        learning_rate: whole.then_some(held),
        batch_size: (!whole).then_some(held as u64),
        momentum: to_momentum,
        exact: exact.is_some(),
        largest_deviation,
    })
}

fn stairs(schedule: &Schedule, epochs: f64, product: f64, most: f64, whole: bool) -> ScheduleSpec {
    let positions = (0..POSITIONS).map(|index| f64::from(index) * epochs / f64::from(POSITIONS));
    let values = positions.map(|position| (position, schedule.at(position)));
    let mut stairs = reciprocal_steps(values, product, TOLERANCE, most, whole).into_iter();
    let first = stairs.next().map_or(product, |(value, _)| value);
    let changes = stairs.map(|(value, at)| (value, TrainingDuration::Epochs(at))).collect();
    let kind = ScheduleKind::Piecewise { first, changes };
    ScheduleSpec { parts: vec![SchedulePart { kind, from: None, warmup: None, warmup_from: None, length: None }] }
}

/// Largest relative difference of the noise over the run.
fn deviation(from: &Schedule, to: &ScheduleSpec, product: f64, clock: &RunClock, whole: bool) -> Result<f64, Failure> {
    let of = if whole { Scheduled::BatchSize } else { Scheduled::LearningRate };
    let to = to.resolve(product, of, clock).map_err(Failure::bad_input)?;
    let at = |index: u32| {
        let position = f64::from(index) * clock.end() / f64::from(POSITIONS);
        let value = if whole { to.at(position).round().max(1.0) } else { to.at(position) };
        (from.at(position) * value / product - 1.0).abs()
    };
    Ok((0..POSITIONS).map(at).fold(0.0, f64::max))
}

fn text(given: Given, arguments: &NoiseArguments, found: &Found) -> String {
    let (name, other) = match given {
        Given::LearningRate => ("learning rate", "batch size"),
        Given::BatchSize => ("batch size", "learning rate"),
    };
    let table = match (found.learning_rate, found.batch_size) {
        (Some(rate), _) => format!(
            "[optimizer]\nlearning_rate = {rate}\nmomentum = {}\n\n[schedule]\nbatch_size = \"{}\"",
            found.momentum, found.to
        ),
        (_, batch) => format!(
            "[train]\nbatch_size = {}\n\n[optimizer]\nmomentum = {}\n\n[schedule]\nlearning_rate = \"{}\"",
            batch.unwrap_or(arguments.batch_size),
            found.momentum,
            found.to
        ),
    };
    let how = if found.exact { "" } else { ", in stairs, since its reciprocal has no words of its own" };
    format!(
        "The {name} {} has, at equal noise rate/(batch x (1 - momentum)), the {other}{how}\n\n{table}\n\n\
         The two noises differ by {}% at most. Their stationary laws agree while rate times curvature is small, and the runs descend\n\
         alike as functions of epochs: give lengths in epochs.\n",
        found.from,
        significant(100.0 * found.largest_deviation)
    )
}
