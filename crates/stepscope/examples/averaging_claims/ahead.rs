//! What was predicted, run: a cooldown, half the rate and the rate kept; the same batches from two starts; half the rate throughout.

use stepscope::control::schedule::{Shape, cooldown};

use crate::trainer::{Average, Problem, Trainer, distance, mean};
use crate::window::{EMAS, Updates};
use crate::{AFTER, BEFORE, Failure, Found, WINDOW};

/// Steps between two looks.
const LOOK: u64 = 50;
/// Independent batches for each way to go on.
const WAYS: u64 = 2;
/// Updates after a change of the rate that the gauge is read over at once, and again after 2000 steps.
const GAUGED: u64 = 20;

/// A cooldown, half the rate and the rate kept, each from the end of `run`.
pub(crate) fn predicted(run: &Trainer<'_>, rate: f64, found: &mut Found) -> Result<(), Failure> {
    let problem = run.problem;
    let linear = cooldown(AFTER, Shape::Linear);
    let (mut cooled, mut halved, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    let (mut at_once, mut later) = (Updates::default(), Updates::default());
    let mut on_top = vec![Vec::new(); EMAS.len()];
    for way in 0..WAYS {
        let seed = 1000 * (way + 1);
        let mut cooling = run.branch(seed)?;
        let mut averages = EMAS.map(|half_life| Average::ema(half_life, &cooling.theta));
        for multiplier in &linear {
            cooling.step(rate * multiplier)?;
            averages.iter_mut().for_each(|average| average.take(&cooling.theta));
        }
        let end = problem.loss(&cooling.theta)?;
        cooled.push(end);
        for (gains, average) in on_top.iter_mut().zip(&averages) {
            gains.push(end - problem.loss(&average.value())?);
        }
        for (share, losses) in [(0.5, &mut halved), (1.0, &mut kept)] {
            let mut going = run.branch(seed)?;
            for step in 0..AFTER {
                match step {
                    step if share < 1.0 && step < GAUGED => at_once.look(&mut going, rate * share)?,
                    step if share < 1.0 && step >= 2000 && step % LOOK == 1 => later.look(&mut going, rate * share)?,
                    _ => going.step(rate * share)?,
                }
                if step >= AFTER / 2 && step.is_multiple_of(LOOK) {
                    losses.push(problem.loss(&going.theta)?);
                }
            }
        }
    }
    for (name, value) in [
        ("measured/cooldown", mean(&kept) - mean(&cooled)),
        ("measured/halving", mean(&kept) - mean(&halved)),
        ("measured/cooled_loss", mean(&cooled)),
        ("measured/vertex/after_halving", at_once.vertex()),
        ("measured/vertex/long_after_halving", later.vertex()),
    ] {
        found.insert(name.to_owned(), value.into());
    }
    for (half_life, gains) in EMAS.iter().zip(&on_top) {
        found.insert(format!("measured/ema_on_cooldown/{half_life}"), mean(gains).into());
    }
    Ok(())
}

/// How the distance between the end of `run` and the iterate `old` changes over 1000 steps on the same batches.
pub(crate) fn coupled(run: &Trainer<'_>, old: &[f64], rate: f64, found: &mut Found) -> Result<(), Failure> {
    let (mut one, mut other) = (run.branch(7)?, run.branch(7)?);
    other.theta = old.to_vec();
    let apart = distance(&one.theta, &other.theta);
    for _ in 0..1000 {
        one.step(rate)?;
        other.step(rate)?;
    }
    found.insert("measured/coupling".to_owned(), (distance(&one.theta, &other.theta) / apart).into());
    Ok(())
}

/// A whole run at half the rate, looked at in the same window.
pub(crate) fn half_the_rate_throughout(
    problem: &Problem<'_>,
    momentum: f64,
    seed: u64,
    rate: f64,
    found: &mut Found,
) -> Result<(), Failure> {
    let mut run = Trainer::new(problem, momentum, seed)?;
    let (mut losses, mut accuracies) = (Vec::new(), Vec::new());
    while run.steps < BEFORE + WINDOW {
        run.step(0.5 * rate)?;
        if run.steps >= BEFORE + WINDOW / 3 && run.steps.is_multiple_of(LOOK) {
            losses.push(problem.loss(&run.theta)?);
            accuracies.push(problem.test_accuracy(&run.theta));
        }
    }
    found.insert("measured/half_throughout_loss".to_owned(), mean(&losses).into());
    found.insert("accuracy/half_throughout".to_owned(), mean(&accuracies).into());
    Ok(())
}
