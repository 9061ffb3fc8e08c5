//! What a set of runs says about the learning rate, in a practitioner's words: a pure function of the records.

use stepscope_types::{Estimate, Seeds, quantity};

use crate::control_words::about_control;
use crate::groups::{Group, Groups};
use crate::references::references;
use crate::summary::{Number, RunSummary};
use crate::{Run, Story, number, statistics};

/// A recommendation with its reasons.
#[derive(Debug, Clone, PartialEq)]
pub struct Advice {
    /// The learning rate to set by hand: that of the best run with a fixed one; `None` where none finished.
    pub learning_rate: Option<f64>,
    /// The run that ended best, whether its learning rate was fixed or measured.
    pub best_run: Option<String>,
    /// What happened and what to do.
    pub story: Story,
    /// Where the methods that were used come from.
    pub references: Vec<String>,
}

/// A group of seeds as the words see it.
struct Candidate {
    summary: RunSummary,
    /// Last test losses of its seeds.
    losses: Vec<(Seeds, f64)>,
}

/// More candidates than this are counted, not told one by one.
const MOST_TOLD: usize = 6;

/// Reads the runs and says which learning rate to use, and why.
///
/// Runs that differ only in their seeds are one, as [`Groups`] pools them. The best run is the one that finished with the
/// lowest test loss; another is as good where the difference is within its error: that of the mean of the differences
/// paired by seed, by a t-test at 95 %, where both have at least two seeds in common; otherwise two standard errors of
/// the two test losses, taken as independent, which is cautious: both come from the same test examples. Nothing is trained
/// or measured here: the same records give the same words.
pub fn advise(runs: &[Run]) -> Advice {
    let groups = Groups::of(runs);
    let all: Vec<Candidate> = groups.groups.iter().map(|group| Candidate::new(group, runs)).collect();
    let trained: Vec<&Candidate> = all.iter().collect();
    let best = best_of(&trained, |_| true);
    let best_fixed = best_of(&trained, |run| !run.learning_rate_measured);
    let mut story = Story::new(headline(best, best_fixed, &trained));
    let mut main: Vec<String> = Vec::new();
    main.extend(best.map(|best| why_best(&best.summary, &trained)));
    main.extend(best.map(|best| others(&trained, best)).unwrap_or_default());
    let control = best.and_then(|best| runs.iter().find(|run| run.name() == best.summary.name)).and_then(about_control);
    let noise = best_fixed.or(best).and_then(|best| noise_and_averages(&best.summary));
    let further = [noise, control, forecast_quality(runs)];
    let main = (!main.is_empty()).then(|| main.join(" "));
    let nothing = best.is_none().then(|| {
        trained.iter().take(MOST_TOLD).filter_map(|one| without_best(&one.summary)).collect::<Vec<_>>().join(" ")
    });
    let nothing = nothing.filter(|text| !text.is_empty());
    for paragraph in main.into_iter().chain(nothing).chain(further.into_iter().flatten()) {
        story = story.paragraph(paragraph);
    }
    Advice {
        learning_rate: best_fixed.and_then(|one| one.summary.learning_rate),
        best_run: best.map(|best| best.summary.name.clone()),
        story,
        references: references(runs),
    }
}

impl Candidate {
    fn new(group: &Group, runs: &[Run]) -> Self {
        let seeds = group.members.iter().map(|&member| &runs[member]);
        let losses = seeds.filter_map(|run| {
            let (_, loss) = run.series(quantity::TEST_LOSS.name).last()?;
            Some((run.manifest().spec.seeds, loss))
        });
        Self { summary: RunSummary::of(&group.run), losses: losses.collect() }
    }

    fn loss(&self) -> f64 {
        self.summary.test_loss.map_or(f64::INFINITY, |loss| loss.value)
    }

    /// Difference of the test losses, paired by seed where at least two seeds are shared.
    fn paired(&self, other: &Self) -> Option<Estimate> {
        let pairs = self.losses.iter().filter_map(|(seeds, loss)| {
            let (_, other) = other.losses.iter().find(|(known, _)| known == seeds)?;
            Some((*loss, *other))
        });
        let (own, others): (Vec<f64>, Vec<f64>) = pairs.unzip();
        statistics::paired_difference(&own, &others, "nat")
    }

    /// Whether the test loss is that of `best` within the errors.
    fn as_good_as(&self, best: &Self) -> bool {
        if let Some(difference) = self.paired(best) {
            let (low, high) = difference.interval();
            return difference.value <= statistics::student_95(difference.num_examples - 1) * 0.5 * (high - low);
        }
        match (self.summary.test_loss, best.summary.test_loss) {
            (Some(loss), Some(least)) => loss.value - least.value <= 2.0 * loss.half_width().hypot(least.half_width()),
            _ => false,
        }
    }
}

fn best_of<'a>(trained: &[&'a Candidate], accept: impl Fn(&RunSummary) -> bool) -> Option<&'a Candidate> {
    trained
        .iter()
        .copied()
        .filter(|one| one.summary.outcome == "finished" && one.summary.test_loss.is_some() && accept(&one.summary))
        .min_by(|a, b| a.loss().total_cmp(&b.loss()))
}

fn headline(best: Option<&Candidate>, best_fixed: Option<&Candidate>, trained: &[&Candidate]) -> String {
    let Some(best) = best else {
        return match trained {
            [] => "There is no run here.".to_owned(),
            _ if trained.iter().any(|one| one.summary.outcome == "unfinished") => unfinished(trained),
            [one] => format!(
                "{} diverged{}.",
                one.summary.name,
                safe_rate(&one.summary)
                    .map_or(String::new(), |rate| { format!(": start again with a learning rate of at most {rate}") })
            ),
            _ => "No run finished: start again with a learning rate ten times smaller.".to_owned(),
        };
    };
    if trained.len() == 1 {
        return format!(
            "{} finished with test loss {}{}.",
            best.summary.name,
            text(best.summary.test_loss),
            what_next(&best.summary)
        );
    }
    let rate = best_fixed.and_then(|one| one.summary.learning_rate);
    let measured = best_of(trained, |run| run.learning_rate_measured);
    match (rate, measured, best_fixed) {
        (Some(rate), Some(measured), Some(fixed)) if measured.as_good_as(best) && fixed.as_good_as(best) => {
            let found = found_by(&measured.summary);
            format!("Use a learning rate of {rate}, or let it be {found}: both end equally well.")
        }
        (Some(rate), ..) if !best.summary.learning_rate_measured && same_rate(trained) => {
            format!(
                "{} ended best, at test loss {} with learning rate {rate}.",
                best.summary.name,
                text(best.summary.test_loss)
            )
        }
        (Some(rate), ..) if !best.summary.learning_rate_measured => format!("Use a learning rate of {rate}."),
        _ => format!("Let the learning rate be {}: that run ended best.", found_by(&best.summary)),
    }
}

/// How a run got its learning rate, where nobody set it.
fn found_by(run: &RunSummary) -> String {
    match run.method.as_str() {
        "sgd" => "measured along the step".to_owned(),
        method => format!("found by the method {method}"),
    }
}

/// Whether the learning rate is not what the runs differ in.
fn same_rate(trained: &[&Candidate]) -> bool {
    trained.iter().all(|one| one.summary.learning_rate == trained[0].summary.learning_rate)
}

fn unfinished(trained: &[&Candidate]) -> String {
    match trained {
        [one] => format!("{} has come to step {}.", one.summary.name, number::count(one.summary.last_step)),
        _ => format!("{} runs, none of which has finished yet.", trained.len()),
    }
}

/// The largest learning rate that the sharpest place along the run bears, rounded down to one digit.
fn safe_rate(run: &RunSummary) -> Option<f64> {
    let (rate, peak) = (run.learning_rate?, run.max_effective_sharpness?);
    let bearable = rate * run.stability_limit / peak;
    // Where sharpness does not explain the end, a tenth is the next thing to try.
    let safe = if bearable < rate { bearable } else { 0.1 * rate };
    let unit = 10f64.powf(safe.log10().floor());
    let rounded = (safe / unit).floor() * unit;
    // Written and read again: 3 times 0.1 is not 0.3.
    (rounded.is_finite() && rounded > 0.0).then(|| format!("{rounded:.0e}").parse().ok())?
}

/// What to try after a single run, where its readings say so.
fn what_next(run: &RunSummary) -> String {
    let Some(peak) = run.max_effective_sharpness.filter(|_| !run.learning_rate_measured) else { return String::new() };
    let (limit, rate) = (run.stability_limit, run.learning_rate.unwrap_or_default());
    if peak > limit {
        format!("; learning rate x sharpness went past {limit}: try half the rate, {}", number::significant(0.5 * rate))
    } else if peak < 0.25 * limit {
        format!("; there is room for a larger learning rate: try {}", number::significant(2.0 * rate))
    } else {
        String::new()
    }
}

/// What a run that did not finish has to say where there is no better one.
fn without_best(run: &RunSummary) -> Option<String> {
    let peak = number::significant(run.max_effective_sharpness?);
    let (who, limit, step) = (called(run), run.stability_limit, number::count(run.last_step));
    let loss = run.train_loss.or(run.test_loss).map_or("unknown".to_owned(), |loss| loss.text());
    Some(if run.outcome == "diverged" {
        format!(
            "{who} diverged at step {step}; learning rate x sharpness was at most {peak}, and the limit is {limit}."
        )
    } else {
        format!(
            "{who} is at step {step} with training loss {loss}; learning rate x sharpness was at most {peak} of {limit}."
        )
    })
}

/// How the others compare with the best: one by one, or counted where there are many.
fn others(trained: &[&Candidate], best: &Candidate) -> Vec<String> {
    let rest: Vec<&&Candidate> = trained.iter().filter(|one| !std::ptr::eq(**one, best)).collect();
    if rest.len() <= MOST_TOLD {
        return rest.iter().filter_map(|one| verdict(one, best)).collect();
    }
    let finished = rest.iter().filter(|one| one.summary.outcome == "finished");
    let num_as_good = finished.clone().filter(|one| one.as_good_as(best)).count();
    let diverged: Vec<&RunSummary> =
        rest.iter().map(|one| &one.summary).filter(|run| run.outcome == "diverged").collect();
    let least = diverged.iter().filter_map(|run| run.learning_rate).reduce(f64::min);
    let mut told = vec![format!(
        "Of the other {}, {num_as_good} are as good within the errors and {} are behind.",
        rest.len(),
        finished.count() - num_as_good
    )];
    told.extend(least.map(|rate| format!("{} diverged, from a learning rate of {rate} on.", diverged.len())));
    told
}

fn text(number: Option<Number>) -> String {
    number.map_or("unknown".to_owned(), |number| number.text())
}

fn accuracy(run: &RunSummary) -> String {
    run.test_accuracy.map_or("unknown".to_owned(), |accuracy| {
        number::reading(quantity::TEST_ACCURACY.name, accuracy.value, accuracy.error)
    })
}

/// How a run is called in a sentence: `good, at 0.100`; `measured, which ended at 0.0062`.
fn called(run: &RunSummary) -> String {
    match run.learning_rate {
        Some(rate) if run.learning_rate_measured => {
            format!("{} (no rate set by hand; it ended at {})", run.name, number::significant(rate))
        }
        Some(rate) => format!("{} (learning rate {rate})", run.name),
        None => run.name.clone(),
    }
}

/// What the best run reached, and how near the edge of stability it went.
fn why_best(best: &RunSummary, trained: &[&Candidate]) -> String {
    let num_runs: usize = trained.iter().map(|one| one.losses.len().max(1)).sum();
    let among = match trained.len() {
        1 => String::new(),
        num_groups if num_groups < num_runs => format!("Of {num_groups} settings in {num_runs} runs, "),
        num_groups => format!("Of {num_groups} runs, "),
    };
    let reached =
        format!("{among}{} reached test loss {} and accuracy {}", called(best), text(best.test_loss), accuracy(best));
    let Some(largest) = best.max_effective_sharpness else { return reached + "." };
    let (limit, peak) = (best.stability_limit, number::significant(largest));
    let room = if largest > limit {
        format!(
            "at its highest, learning rate x sharpness was {peak}, past the limit {limit} at which the loss stops bearing \
             the step: do not raise the rate further"
        )
    } else if best.learning_rate_measured {
        format!("learning rate x sharpness stayed below the limit {limit}, peaking at {peak}")
    } else if largest > 0.5 * limit {
        format!("learning rate x sharpness peaked at {peak} of the {limit} that the loss bears: a rate well used")
    } else {
        format!("learning rate x sharpness never exceeded {peak} of {limit}: there is room for a larger rate")
    };
    format!("{reached}; {room}.")
}

/// How another run compares, and why.
fn verdict(one: &Candidate, best_one: &Candidate) -> Option<String> {
    let (run, best) = (&one.summary, &best_one.summary);
    let (who, limit) = (called(run), run.stability_limit);
    let largest = run.max_effective_sharpness?;
    let peak = number::significant(largest);
    if run.outcome == "diverged" {
        let past = if largest > limit { format!(", past the limit {limit}") } else { String::new() };
        return Some(format!(
            "{who} diverged after {} steps: learning rate x sharpness reached {peak}{past}.",
            run.last_step
        ));
    }
    let (loss, least) = (run.test_loss?.text(), best.test_loss?.text());
    let still_descending = run.train_loss.map(|l| l.value) > best.train_loss.map(|l| l.value) && largest < 0.5 * limit;
    let by = one.paired(best_one).map_or(String::new(), |difference| {
        let (low, high) = difference.interval();
        format!(
            " ({} more, paired over {} seeds)",
            number::with_error(difference.value, 0.5 * (high - low)),
            difference.num_examples
        )
    });
    Some(if one.as_good_as(best_one) {
        format!("{who} is as good within the errors, at {loss}{by}.")
    } else if largest > limit {
        format!(
            "{who} is too large: learning rate x sharpness reached {peak}, past {limit}, and the test loss is {loss}{by}."
        )
    } else if still_descending && !run.learning_rate_measured && run.learning_rate < best.learning_rate {
        format!(
            "{who} is too small: it is still descending, at {loss} against {least}{by}, and learning rate x sharpness never \
             exceeded {peak} of {limit}."
        )
    } else {
        format!("{who} came out behind, at {loss} against {least}{by}.")
    })
}

/// What noise did to the best run, and what averaging its weights gave.
fn noise_and_averages(best: &RunSummary) -> Option<String> {
    let gains =
        [("an exponential moving average", best.ema_gain), ("the mean of two distant iterates", best.two_point_gain)];
    let gains: Vec<String> = gains
        .iter()
        .filter_map(|(average, gain)| {
            let gain = (*gain)?;
            let resolved = gain.value.abs() > 2.0 * gain.half_width();
            let verb = match (resolved, gain.value > 0.0) {
                (false, _) => "changed the test loss by no more than its error:",
                (true, true) => "lowered the test loss by",
                (true, false) => "raised the test loss by",
            };
            Some(format!("{average} of the weights {verb} {}", gain.size().text()))
        })
        .collect();
    let noise = best.noise_scale.map(|scale| {
        format!(
            "At the end of {} the gradient noise scale is {} examples: batches well below it are mostly noise, and there \
             averaging, a lower rate or a larger batch pays.",
            best.name,
            scale.text()
        )
    });
    let averages = (!gains.is_empty()).then(|| format!("Averaging {}: {}.", best.name, gains.join("; ")));
    let both: Vec<String> = noise.into_iter().chain(averages).collect();
    (!both.is_empty()).then(|| both.join(" "))
}

/// How far forecasts and measurements agree, at the steps where both exist.
fn forecast_quality(runs: &[Run]) -> Option<String> {
    let prediction = runs.iter().find(|run| run.is_prediction())?;
    let spec = &prediction.manifest().spec;
    let measured = runs.iter().find(|run| {
        let own = &run.manifest().spec;
        !run.is_prediction() && own.optimizer == spec.optimizer && own.train == spec.train
    })?;
    let series = measured.series(quantity::TRAIN_LOSS.name);
    // The first value is the start, not a forecast.
    let errors: Vec<f64> = prediction
        .series(quantity::TRAIN_LOSS.name)
        .values()
        .skip(1)
        .filter_map(|(point, forecast)| {
            let (_, loss) = series.values().find(|(other, _)| other.step == point.step)?;
            Some(((forecast - loss) / loss).abs())
        })
        .collect();
    let (median, worst) = (statistics::median(&errors)?, errors.iter().copied().fold(0.0, f64::max));
    Some(format!(
        "Quadratics measured along {} forecast its training loss before the next stretch was run: off by {} in the \
         median of {} forecasts and by {} at worst. A quadratic holds while the loss falls by less than half.",
        measured.name(),
        number::percent(median),
        errors.len(),
        number::percent(worst)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic;
    use stepscope_types::Uncertainty;

    fn run(name: &str, rate: f64, seed: u64, test_loss: f64, effective_sharpness: f64) -> Run {
        let mut manifest = synthetic::manifest(name, rate);
        manifest.spec.seeds = Seeds::from_root(seed);
        let measure = |quantity, value| synthetic::measure(quantity, 9, value, Uncertainty::StandardError(0.05));
        let finished = stepscope_types::EventKind::RunEnded { reason: stepscope_types::StopReason::Finished };
        let records = [
            measure(&quantity::TEST_LOSS, test_loss),
            measure(&quantity::EFFECTIVE_SHARPNESS, effective_sharpness),
            synthetic::event(9, finished),
        ];
        Run::from_records(manifest, records)
    }

    #[test]
    fn a_difference_that_one_seed_cannot_resolve_is_resolved_by_pairing() {
        let two = |num_seeds: u32| -> Vec<Run> {
            let seeds = (0..num_seeds).map(f64::from);
            seeds
                .flat_map(|seed| {
                    let wobble = 0.001 * (seed % 2.0);
                    [run("a", 0.1, seed as u64, 1.0 + seed, 1.0), run("b", 0.2, seed as u64, 1.04 + seed + wobble, 1.0)]
                })
                .collect()
        };
        let words = |num_seeds| advise(&two(num_seeds)).story.paragraphs.join(" ");
        assert!(words(1).contains("b (learning rate 0.2) is as good within the errors"), "{}", words(1));
        assert!(words(4).contains("Of 2 settings in 8 runs, a (4 seeds)"), "{}", words(4));
        assert!(words(4).contains("(0.04050 ± 0.00029 more, paired over 4 seeds)"), "{}", words(4));
        assert!(!words(4).contains("as good"), "{}", words(4));
    }

    #[test]
    fn many_settings_are_counted() {
        let runs: Vec<Run> =
            (1..=12).map(|index| run("r", 0.01 * f64::from(index), 0, f64::from(index), 1.0)).collect();
        let words = advise(&runs).story.paragraphs.join(" ");
        assert!(words.contains("Of the other 11, 0 are as good within the errors and 11 are behind."), "{words}");
    }

    #[test]
    fn a_single_run_says_what_to_try_next() {
        let headline = |peak| advise(&[run("one", 0.1, 0, 0.5, peak)]).story.headline;
        assert!(headline(0.2).contains("room for a larger learning rate: try 0.200"), "{}", headline(0.2));
        assert!(headline(2.5).contains("try half the rate, 0.0500"), "{}", headline(2.5));
        assert!(headline(1.5).ends_with("0.500 ± 0.050."), "{}", headline(1.5));
        // Read only where a schedule had ended at 0.
        assert!(headline(0.0).ends_with("0.500 ± 0.050."), "{}", headline(0.0));
    }

    #[test]
    fn a_run_that_diverged_alone_is_told_the_rate_that_its_sharpness_bears() {
        let (manifest, records) = synthetic::diverging_run();
        let run = [Run::from_records(manifest, records)];
        let peak = RunSummary::of(&run[0]).max_effective_sharpness.unwrap();
        assert!(peak > 2.0);
        let advice = advise(&run);
        let Some(rate) =
            advice.story.headline.strip_prefix("rate 0.8 diverged: start again with a learning rate of at most ")
        else {
            panic!("{}", advice.story.headline)
        };
        let rate: f64 = rate.trim_end_matches('.').parse().unwrap();
        assert!(rate * peak / 0.8 <= 2.0 && rate * peak / 0.8 > 1.0, "{rate} {peak}");
        assert!(advice.story.paragraphs[0].contains("diverged at step 214"));
    }
}
