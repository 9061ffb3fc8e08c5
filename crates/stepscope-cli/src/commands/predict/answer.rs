//! The answer: losses, analysis, averages, optimum, sampled runs, computed with progress on stderr.

use stepscope::predict::{
    Analysis, Freedom, Optimum, PredictedLosses, SampledLosses, predict_losses, sample_losses, search,
};
use stepscope::theory::{MonteCarlo, Sampling, Schedule, TalbotRefusal, Warning};

use crate::args::{Free, NamedAverage, PredictArguments, PredictFormat};
use crate::commands::predict::question::Question;
use crate::commands::predict::{refused, search_refused};
use crate::failure::Failure;
use crate::progress::Busy;

/// Points of a curve that is drawn.
const DRAWN_POINTS: u32 = 240;
/// Modes times steps beyond which averages are computed on bins.
const AVERAGE_WORK: f64 = 5e8;
/// Bins per decade for them: 1.5e-4 of the loss.
const AVERAGE_RESOLUTION: u32 = 32;
/// Nodes times steps of the search behind an unasked hint: under a second.
const HINT_WORK: f64 = 2e7;

/// Losses at times.
pub(super) struct Curve {
    pub(super) times: Vec<u64>,
    pub(super) loss: Vec<f64>,
}

/// The loss of an average of the weights.
pub(super) struct AverageLosses {
    pub(super) name: String,
    pub(super) times: Vec<u64>,
    pub(super) loss: Vec<f64>,
    /// Loss of the last iterate over that of the average.
    pub(super) gain: Vec<f64>,
}

/// Everything that was found out.
pub(super) struct Answer {
    /// At the asked times, or at every step.
    pub(super) losses: Curve,
    /// At times that fill a logarithmic axis.
    pub(super) drawn: Curve,
    pub(super) final_loss: f64,
    pub(super) method: &'static str,
    pub(super) num_nodes: usize,
    pub(super) relative_error: f64,
    pub(super) analysis: Analysis,
    pub(super) averages: Vec<AverageLosses>,
    pub(super) optimum: Option<Optimum>,
    /// The best learning rate and its loss, found unasked where that is quick.
    pub(super) hint: Option<(f64, f64)>,
    /// Sampled losses at the times of `losses` or, on a page, of `drawn`.
    pub(super) sampled: Option<(Vec<u64>, SampledLosses)>,
    pub(super) warnings: Vec<String>,
}

impl Answer {
    pub(super) fn find(question: &Question, arguments: &PredictArguments) -> Result<Self, Failure> {
        let for_people = arguments.format == PredictFormat::Text;
        let grid = logarithmic_times(question.steps);
        let wanted = match (question.asked.as_slice(), for_people) {
            ([], true) => grid.clone(),
            ([], false) => (0..=question.steps).collect(),
            (asked, _) => asked.to_vec(),
        };
        let analysis = {
            let _busy = Busy::new("stability and regime");
            let Question { problem, plan, smallest_eigenvalue, steps, .. } = question;
            Analysis::of(problem, &plan.strongest(), *smallest_eigenvalue, *steps).map_err(refused)?
        };
        let every: Vec<u64> =
            if wanted.len() > question.steps as usize { wanted.clone() } else { union(&wanted, &grid) };
        let found = {
            let _busy = Busy::new("loss curve");
            predict_losses(&question.problem.model, &question.plan, &every, arguments.accuracy).map_err(refused)?
        };
        let pick = |times: &[u64]| Curve {
            times: times.to_vec(),
            loss: times.iter().map(|&time| at(&every, &found.loss, time)).collect(),
        };
        let (losses, drawn) = (pick(&wanted), pick(&grid));
        let final_loss = at(&every, &found.loss, question.steps);
        let sampled = sample(question, arguments, if for_people { &grid } else { &wanted })?;
        let averages = averages(question, &arguments.average, |time| at(&every, &found.loss, time))?;
        let optimum = optimum(question, &arguments.optimize)?;
        let hint = if for_people && optimum.is_none() { hint(question) } else { None };
        let warnings = warnings(question, &analysis, &found);
        let PredictedLosses { num_nodes, relative_error, method, .. } = found;
        Ok(Self {
            losses,
            drawn,
            final_loss,
            method: method.name(),
            num_nodes,
            relative_error,
            analysis,
            averages,
            optimum,
            hint,
            sampled,
            warnings,
        })
    }
}

/// 0, and times up to the last step that fill a logarithmic axis evenly.
fn logarithmic_times(steps: u64) -> Vec<u64> {
    let ratio = steps as f64;
    let time = |k: u32| ratio.powf(f64::from(k) / f64::from(DRAWN_POINTS)).round() as u64;
    let mut times: Vec<u64> = std::iter::once(0).chain((0..=DRAWN_POINTS).map(time)).collect();
    times.push(steps);
    times.retain(|&time| time <= steps);
    times.sort_unstable();
    times.dedup();
    times
}

/// Both lists in ascending order, each time once.
fn union(a: &[u64], b: &[u64]) -> Vec<u64> {
    let mut all = [a, b].concat();
    all.sort_unstable();
    all.dedup();
    all
}

/// The loss at one of the ascending `times`.
fn at(times: &[u64], loss: &[f64], time: u64) -> f64 {
    times.binary_search(&time).ok().and_then(|index| loss.get(index).copied()).unwrap_or(f64::NAN)
}

fn sample(
    question: &Question,
    arguments: &PredictArguments,
    times: &[u64],
) -> Result<Option<(Vec<u64>, SampledLosses)>, Failure> {
    let Some(runs) = arguments.monte_carlo else { return Ok(None) };
    let busy = Busy::counting("runs of SGD", runs);
    let sampler = MonteCarlo { runs, seed: arguments.seed };
    let sampled = sample_losses(&question.problem, &question.plan, times, sampler, &|runs| busy.advance(runs))
        .map_err(|error| match refused(error) {
            Failure::BadInput(error) => Failure::BadInput(error.context("--monte-carlo")),
            failed => failed,
        })?;
    Ok(Some((times.to_vec(), sampled)))
}

fn averages(
    question: &Question,
    asked: &[NamedAverage],
    last_iterate: impl Fn(u64) -> f64,
) -> Result<Vec<AverageLosses>, Failure> {
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let _busy = Busy::new("averages");
    let model = &question.problem.model;
    let times = if question.asked.is_empty() { vec![question.steps] } else { question.asked.clone() };
    let is_large = model.num_modes() as f64 * question.steps as f64 > AVERAGE_WORK;
    let bins = if is_large { model.binned(AVERAGE_RESOLUTION).map_err(refused)? } else { model.clone() };
    let one = |named: &NamedAverage| {
        let found = bins.averaged_loss_at(&question.plan, named.average, &times).map_err(refused)?;
        let gain = found.loss.iter().zip(&times).map(|(loss, &time)| last_iterate(time) / loss).collect();
        Ok(AverageLosses { name: named.name.clone(), times: times.clone(), loss: found.loss, gain })
    };
    asked.iter().map(one).collect()
}

fn optimum(question: &Question, asked: &[Free]) -> Result<Option<Optimum>, Failure> {
    if asked.is_empty() {
        return Ok(None);
    }
    let is_free = |free: Free| asked.contains(&free);
    let freedom = Freedom {
        learning_rate: is_free(Free::LearningRate),
        momentum: is_free(Free::Momentum),
        batch_size: is_free(Free::BatchSize),
        schedule: is_free(Free::Schedule),
    };
    let busy = Busy::new("best settings");
    let tell = |what: &str| busy.say(what);
    let sgd = question.plan.strongest();
    search(&question.problem, &sgd, question.batch_size, question.steps, freedom, &tell)
        .map(Some)
        .map_err(search_refused)
}

/// The best constant learning rate, where finding it takes no time that anyone notices.
fn hint(question: &Question) -> Option<(f64, f64)> {
    let bins = question.problem.model.binned(8).ok()?;
    let sgd = question.plan.constant().filter(|_| bins.num_modes() as f64 * question.steps as f64 <= HINT_WORK)?;
    let best = bins.best_learning_rate(sgd.momentum, sgd.noise_factor, question.steps).ok()?;
    Some((best.learning_rate, best.loss))
}

fn warnings(question: &Question, analysis: &Analysis, found: &PredictedLosses) -> Vec<String> {
    let mut warnings = question.notes.clone();
    let is_replaced = |warning: &&Warning| matches!(warning, Warning::TalbotReplaced { .. });
    warnings.extend(found.warnings.iter().filter(|warning| !is_replaced(warning)).map(ToString::to_string));
    warnings.extend(replaced(question, &found.warnings));
    warnings.extend(found.advice.iter().chain(&analysis.advice).map(ToString::to_string));
    let is_noisy = question.plan.strongest().noise_factor > 0.0;
    if matches!(question.problem.sampling, Sampling::Finite { .. }) && is_noisy {
        warnings.push(Warning::IndependentBatches.to_string());
    }
    warnings
}

/// One line for each reason for which the recursion answered in place of the contour, at times that were asked for.
fn replaced(question: &Question, warnings: &[Warning]) -> Vec<String> {
    let mut groups: Vec<(TalbotRefusal, u64, u64, u64)> = Vec::new();
    for warning in warnings {
        let Warning::TalbotReplaced { time, reason } = *warning else { continue };
        if !question.asked.is_empty() && !question.asked.contains(&time) {
            continue;
        }
        match groups.iter_mut().find(|group| group.0 == reason) {
            Some((_, count, first, last)) => (*count, *first, *last) = (*count + 1, time.min(*first), time.max(*last)),
            None => groups.push((reason, 1, time, time)),
        }
    }
    let line = |(reason, count, first, last): (TalbotRefusal, u64, u64, u64)| match count {
        1 => Warning::TalbotReplaced { time: first, reason }.to_string(),
        _ => format!(
            "at {count} times from t = {first} to {last} the contour is not to be trusted ({reason}): the recursion answered"
        ),
    };
    groups.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_times_begin_at_0_end_at_the_last_step_and_are_dense_at_the_start() {
        for steps in [1, 2, 10, 1000, 10_000_000] {
            let times = logarithmic_times(steps);
            assert_eq!((times[0], *times.last().unwrap()), (0, steps));
            assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
        }
        assert_eq!(logarithmic_times(1000)[..12], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    }
}
