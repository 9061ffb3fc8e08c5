//! What a set of runs says about the learning rate, in a practitioner's words: a pure function of the records.

use stepscope_types::quantity;

use crate::summary::{Number, RunSummary};
use crate::{Align, Run, Story, Table, number};

/// A recommendation with its reasons.
#[derive(Debug, Clone, PartialEq)]
pub struct Advice {
    /// The learning rate to use; `None` where no run finished.
    pub learning_rate: Option<f64>,
    /// The run that it comes from.
    pub best_run: Option<String>,
    /// What happened and what to do.
    pub story: Story,
    /// Where the methods that were used come from.
    pub references: Vec<String>,
}

/// Reads the runs and says which learning rate to use, and why.
///
/// The best run is the one that finished with the lowest test loss. Nothing is trained or measured here: the same
/// records give the same words.
pub fn advise(runs: &[Run]) -> Advice {
    let all: Vec<RunSummary> = runs.iter().map(RunSummary::of).collect();
    let trained: Vec<&RunSummary> = all.iter().filter(|run| !run.is_prediction()).collect();
    let best = trained
        .iter()
        .copied()
        .filter(|run| run.outcome == "finished" && run.test_loss.is_some())
        .min_by(|a, b| test_loss(a).total_cmp(&test_loss(b)));
    let mut story = Story::new(headline(best, &trained));
    let mut main: Vec<String> = Vec::new();
    main.extend(best.map(|best| why_best(best, &trained)));
    main.extend(trained.iter().filter_map(|run| verdict(run, best?)));
    if !main.is_empty() {
        story = story.paragraph(main.join(" "));
    }
    let further = [best.and_then(noise_and_averages), prediction_quality(runs)];
    for paragraph in further.into_iter().flatten() {
        story = story.paragraph(paragraph);
    }
    Advice {
        learning_rate: best.and_then(|best| best.learning_rate),
        best_run: best.map(|best| best.name.clone()),
        story: story.table(averages_table(&trained)),
        references: references(&all),
    }
}

fn test_loss(run: &RunSummary) -> f64 {
    run.test_loss.map_or(f64::INFINITY, |loss| loss.value)
}

fn headline(best: Option<&RunSummary>, trained: &[&RunSummary]) -> String {
    match (best, trained) {
        (None, []) => "There is no run here.".to_owned(),
        (None, _) => "No run finished: start again with a learning rate ten times smaller.".to_owned(),
        (Some(best), [_]) => format!("{} finished with test loss {}.", best.name, text(best.test_loss)),
        (Some(best), _) => match best.learning_rate {
            Some(_) if best.learning_rate_measured => {
                "Measure the learning rate along the step: that run ended best.".to_owned()
            }
            Some(rate) => format!("Use a learning rate of {}.", number::significant(rate)),
            None => format!("{} ended best.", best.name),
        },
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

/// What the best run reached, and how near the edge of stability it went.
fn why_best(best: &RunSummary, trained: &[&RunSummary]) -> String {
    let among =
        if trained.len() > 1 { format!("Of {} runs with the same seeds, ", trained.len()) } else { String::new() };
    let mut sentence = format!(
        "{among}{} (learning rate {}) reached test loss {} and accuracy {}",
        best.name,
        best.learning_rate_text(),
        text(best.test_loss),
        accuracy(best)
    );
    if let Some(largest) = best.max_effective_sharpness {
        let (limit, largest_text) = (best.stability_limit, number::significant(largest));
        sentence += &if largest > limit {
            format!(
                "; learning rate x sharpness went up to {largest_text}, past the limit {limit} at which the loss stops \
                 bearing the step, so do not raise it further"
            )
        } else if largest > 0.5 * limit {
            format!(
                "; learning rate x sharpness peaked at {largest_text} of the {limit} that the loss bears: a rate well used"
            )
        } else {
            format!(
                "; learning rate x sharpness stayed below {largest_text} of {limit}: there is room for a larger one"
            )
        };
    }
    sentence + "."
}

/// Why another run did worse.
fn verdict(run: &RunSummary, best: &RunSummary) -> Option<String> {
    if run.name == best.name {
        return None;
    }
    let (rate, limit) = (run.learning_rate_text(), run.stability_limit);
    let largest = run.max_effective_sharpness?;
    let sharpness = number::significant(largest);
    if run.outcome == "diverged" {
        return Some(format!(
            "{} ({rate}) diverged after {} steps: learning rate x sharpness was {sharpness}, far past the limit {limit}.",
            run.name, run.last_step
        ));
    }
    let (loss, best_loss) = (run.test_loss?, best.test_loss?);
    let (gap, error) = (loss.value - best_loss.value, loss.half_width().hypot(best_loss.half_width()));
    let compared = format!("test loss {} against {}", loss.text(), best_loss.text());
    Some(if run.learning_rate_measured {
        let reading = if gap <= 2.0 * error { "within the error of the best" } else { "short of the best" };
        format!("{}, with no rate set by hand, ended at a rate of {rate} and came out {reading}: {compared}.", run.name)
    } else if largest > limit {
        format!(
            "{} ({rate}) is too large: learning rate x sharpness reached {sharpness}, past {limit}; {compared}.",
            run.name
        )
    } else if run.train_loss.map(|l| l.value) > best.train_loss.map(|l| l.value)
        && run.learning_rate < best.learning_rate
    {
        format!(
            "{} ({rate}) is too small: it is still descending, {compared}, and learning rate x sharpness never \
             exceeded {sharpness} of {limit}.",
            run.name
        )
    } else {
        format!("{} ({rate}) came out behind: {compared}.", run.name)
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
    let noise = best
        .noise_scale
        .map(|scale| format!("At the end one batch carries as much noise as signal at {} examples.", scale.text()));
    let averages = (!gains.is_empty()).then(|| format!("Averaging {}: {}.", best.name, gains.join("; ")));
    let both: Vec<String> = noise.into_iter().chain(averages).collect();
    (!both.is_empty()).then(|| both.join(" "))
}

/// How far prediction and measurement agree, at the steps where both exist.
fn prediction_quality(runs: &[Run]) -> Option<String> {
    let prediction = runs.iter().find(|run| run.is_prediction())?;
    let spec = &prediction.manifest().spec;
    let measured = runs.iter().find(|run| {
        !run.is_prediction()
            && run.manifest().spec.optimizer == spec.optimizer
            && run.manifest().spec.train == spec.train
    })?;
    let series = measured.series(quantity::TRAIN_LOSS.name);
    let mut errors = Vec::new();
    for (point, predicted) in prediction.series(quantity::TRAIN_LOSS.name).values() {
        let measured = series.values().find(|(other, _)| other.step == point.step);
        errors.extend(measured.map(|(_, loss)| (point.step.0, (predicted - loss) / loss)));
    }
    let first = errors.first()?.0;
    let worst = errors.iter().map(|(_, error)| error.abs()).fold(0.0, f64::max);
    // The stretch over which the quadratic holds: up to the first reading that is off by more than a tenth.
    let holds = errors.iter().take_while(|(_, error)| error.abs() <= 0.1).last().map(|(step, _)| step - first);
    let holds = match holds {
        Some(steps) if steps > 0 => format!("stayed within 10 % of the measured training loss for {steps} steps"),
        _ => "left the measured training loss by more than 10 % before the next reading".to_owned(),
    };
    Some(format!(
        "The quadratic measured at step {first} of {} {holds}; over everything predicted it was off by at most {}.",
        measured.name(),
        number::percent(worst)
    ))
}

/// The averages of every run that has them.
fn averages_table(trained: &[&RunSummary]) -> Table {
    let mut table = Table::new()
        .column("run", Align::Left)
        .column("gain of the EMA", Align::Right)
        .column("gain of the two-point average", Align::Right);
    for run in trained.iter().filter(|run| run.ema_gain.is_some() || run.two_point_gain.is_some()) {
        table = table.row([run.name.clone(), text(run.ema_gain), text(run.two_point_gain)]);
    }
    table
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
