//! What a set of runs says about the learning rate, in a practitioner's words: a pure function of the records.

use stepscope_types::quantity;

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

/// Reads the runs and says which learning rate to use, and why.
///
/// The best run is the one that finished with the lowest test loss; another is as good where its test loss is within two
/// standard errors of the difference. (The errors of the two are taken as independent, which is cautious: both
/// come from the same test examples.) Nothing is trained or measured here: the same records give the same words.
pub fn advise(runs: &[Run]) -> Advice {
    let all: Vec<RunSummary> = runs.iter().map(RunSummary::of).collect();
    let trained: Vec<&RunSummary> = all.iter().filter(|run| !run.is_prediction()).collect();
    let best = best_of(&trained, |_| true);
    let best_fixed = best_of(&trained, |run| !run.learning_rate_measured);
    let mut story = Story::new(headline(best, best_fixed, &trained));
    let mut main: Vec<String> = Vec::new();
    main.extend(best.map(|best| why_best(best, &trained)));
    main.extend(trained.iter().filter_map(|run| verdict(run, best?)));
    let further = [best_fixed.or(best).and_then(noise_and_averages), forecast_quality(runs)];
    let main = (!main.is_empty()).then(|| main.join(" "));
    for paragraph in main.into_iter().chain(further.into_iter().flatten()) {
        story = story.paragraph(paragraph);
    }
    Advice {
        learning_rate: best_fixed.and_then(|run| run.learning_rate),
        best_run: best.map(|best| best.name.clone()),
        story,
        references: references(&all),
    }
}

fn best_of<'a>(trained: &[&'a RunSummary], accept: impl Fn(&RunSummary) -> bool) -> Option<&'a RunSummary> {
    let loss = |run: &RunSummary| run.test_loss.map_or(f64::INFINITY, |loss| loss.value);
    trained
        .iter()
        .copied()
        .filter(|run| run.outcome == "finished" && run.test_loss.is_some() && accept(run))
        .min_by(|a, b| loss(a).total_cmp(&loss(b)))
}

/// Whether the test loss of `run` is that of `best` within two standard errors.
fn as_good(run: &RunSummary, best: &RunSummary) -> bool {
    match (run.test_loss, best.test_loss) {
        (Some(loss), Some(least)) => loss.value - least.value <= 2.0 * loss.half_width().hypot(least.half_width()),
        _ => false,
    }
}

fn headline(best: Option<&RunSummary>, best_fixed: Option<&RunSummary>, trained: &[&RunSummary]) -> String {
    let Some(best) = best else {
        return match trained {
            [] => "There is no run here.".to_owned(),
            _ => "No run finished: start again with a learning rate ten times smaller.".to_owned(),
        };
    };
    if trained.len() == 1 {
        return format!("{} finished with test loss {}.", best.name, text(best.test_loss));
    }
    let rate = best_fixed.and_then(|run| run.learning_rate);
    let measured = best_of(trained, |run| run.learning_rate_measured);
    match (rate, measured, best_fixed) {
        (Some(rate), Some(measured), Some(fixed)) if as_good(measured, best) && as_good(fixed, best) => {
            format!("Use a learning rate of {rate}, or let it be measured along the step: both end equally well.")
        }
        (Some(rate), ..) if !best.learning_rate_measured => format!("Use a learning rate of {rate}."),
        _ => "Let the learning rate be measured along the step: that run ended best.".to_owned(),
    }
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
fn why_best(best: &RunSummary, trained: &[&RunSummary]) -> String {
    let among =
        if trained.len() > 1 { format!("Of {} runs with the same seeds, ", trained.len()) } else { String::new() };
    let reached =
        format!("{among}{} reached test loss {} and accuracy {}", called(best), text(best.test_loss), accuracy(best));
    let Some(largest) = best.max_effective_sharpness else { return reached + "." };
    let (limit, peak) = (best.stability_limit, number::significant(largest));
    let room = if largest > limit {
        format!(
            "at its highest, learning rate x sharpness was {peak}, past the limit {limit} at which the loss stops bearing              the step: do not raise the rate further"
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
fn verdict(run: &RunSummary, best: &RunSummary) -> Option<String> {
    if run.name == best.name {
        return None;
    }
    let (who, limit) = (called(run), run.stability_limit);
    let largest = run.max_effective_sharpness?;
    let peak = number::significant(largest);
    if run.outcome == "diverged" {
        return Some(format!(
            "{who} diverged after {} steps: learning rate x sharpness was {peak}, far past the limit {limit}.",
            run.last_step
        ));
    }
    let (loss, least) = (run.test_loss?.text(), best.test_loss?.text());
    let still_descending = run.train_loss.map(|l| l.value) > best.train_loss.map(|l| l.value) && largest < 0.5 * limit;
    Some(if as_good(run, best) {
        format!("{who} is as good within the errors, at {loss}.")
    } else if largest > limit {
        format!(
            "{who} is too large: learning rate x sharpness reached {peak}, past {limit}, and the test loss is {loss}."
        )
    } else if still_descending && !run.learning_rate_measured {
        format!(
            "{who} is too small: it is still descending, at {loss} against {least}, and learning rate x sharpness never \
             exceeded {peak} of {limit}."
        )
    } else {
        format!("{who} came out behind, at {loss} against {least}.")
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
            Some(format!("{average} of the weights {verb} {}", Number { value: gain.value.abs(), ..gain }.text()))
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

/// The references of what the records show was used.
fn references(all: &[RunSummary]) -> Vec<String> {
    let used = [
        (
            all.iter().any(|run| run.sharpness.is_some()),
            "Sharpness against the stability limit: Cohen, Kaur, Li, Kolter, Talwalkar, Gradient descent on neural \
             networks typically occurs at the edge of stability, ICLR 2021.",
        ),
        (
            all.iter().any(|run| run.noise_scale.is_some()),
            "Gradient noise scale: McCandlish, Kaplan, Amodei et al., An empirical model of large-batch training, 2018.",
        ),
        (
            all.iter().any(|run| run.learning_rate_measured),
            "Learning rate from a parabola of the loss along the step: Mutschler, Laube, Zell, Using a one dimensional \
             parabolic model of the full-batch loss to estimate learning rates during neural network training, 2021.",
        ),
        (
            all.iter().any(|run| run.ema_gain.is_some() || run.two_point_gain.is_some()),
            "Averages of weights as learning rates: Sandler, Zhmoginov, Vladymyrov, Miller, Training trajectories, \
             mini-batch losses and the curious role of the learning rate, 2023.",
        ),
        (
            all.iter().any(RunSummary::is_prediction),
            "Loss curves of mini-batch SGD on a quadratic: Velikanov, Kuznedelev, Yarotsky, A view of mini-batch SGD via \
             generating functions, ICLR 2023.",
        ),
    ];
    used.into_iter().filter(|(used, _)| *used).map(|(_, reference)| reference.to_owned()).collect()
}
