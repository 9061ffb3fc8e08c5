//! Averages as schedules, and schedules as averages.

use serde::Serialize;
use stepscope::theory::{
    Average, Equivalence, TheoryError, Translation, averages_of_schedule, effective_share, schedules_of_average,
};
use stepscope::types::schedule::{RunClock, ScheduleSpec, Scheduled};
use stepscope_report::number::{count, significant};
use stepscope_report::{Align, Table};

use crate::args::{EquivalenceArguments, Format, ScheduleArguments, TranslatedAverage};
use crate::commands::{print, print_json};
use crate::failure::Failure;

#[derive(Serialize)]
struct Document<'a> {
    /// What was given.
    of: &'a str,
    steps: u64,
    /// Share of the learning rate that the average acts as, where learning rate times curvature is given.
    effective_share: Option<f64>,
    translations: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    equivalence: &'static str,
    exact_when: &'static str,
    /// In the words of a specification, where there are some.
    words: Option<String>,
    /// Last step first: multipliers of the learning rate, or weights of the iterates.
    numbers: Option<&'a [f64]>,
}

pub(super) fn of_average(arguments: &TranslatedAverage) -> Result<(), Failure> {
    let (average, how) = (arguments.average.average, &arguments.how);
    let found = schedules_of_average(average, how.steps, how.rate).map_err(Failure::bad_input)?;
    let share = how.rate.and_then(|rate| effective_share(average, rate, 0.0).ok());
    let words = |translation: &Translation| match translation.equivalence {
        Equivalence::RecordedUpdates => words_of(average, how.steps),
        _ => None,
    };
    let title = format!("{} over {} steps equals the learning rate times", arguments.average.name, count(how.steps));
    show(&arguments.average.name, &title, &found, share, how, &words)
}

/// The schedule in words whose multipliers are those of an average.
fn words_of(average: Average, steps: u64) -> Option<String> {
    match average {
        Average::Window { length } if length <= steps => Some(format!("trapezoid(cooldown = {length}st)")),
        Average::TwoPoint { gap } if gap < steps => Some(format!("piecewise(1, 0.5 at {}st)", steps - gap)),
        Average::Last => Some("constant".to_owned()),
        _ => None,
    }
}

pub(super) fn of_schedule(arguments: &ScheduleArguments) -> Result<(), Failure> {
    let how = &arguments.how;
    let spec: ScheduleSpec = arguments.schedule.parse().map_err(Failure::bad_input)?;
    let clock = RunClock::Steps { num_steps: how.steps, steps_per_epoch: None };
    let schedule = spec.resolve(1.0, Scheduled::LearningRate, &clock).map_err(Failure::bad_input)?;
    let values: Vec<f64> = (0..how.steps).rev().map(|step| schedule.at(step as f64)).collect();
    let largest = values.iter().copied().fold(0.0, f64::max);
    if largest <= 0.0 {
        return Err(Failure::BadInput(anyhow::anyhow!(
            "{spec}: the learning rate is 0 throughout: no average equals it"
        )));
    }
    let multipliers: Vec<f64> = values.iter().map(|value| value / largest).collect();
    let found = averages_of_schedule(&multipliers, how.rate).map_err(Failure::bad_input)?;
    let title = format!("{spec} over {} steps equals, at a constant rate, the sum of iterates times", count(how.steps));
    show(&arguments.schedule, &title, &found, None, how, &window)
}

/// The window that weights are, where they are one.
fn window(translation: &Translation) -> Option<String> {
    let weights = translation.numbers.as_deref()?;
    let length = weights.iter().take_while(|weight| (**weight - weights[0]).abs() < 1e-9).count();
    let is_window = length > 1 && weights[length..].iter().all(|weight| weight.abs() < 1e-9);
    is_window.then(|| format!("window:{length}"))
}

fn show(
    of: &str,
    title: &str,
    found: &[Translation],
    share: Option<f64>,
    how: &EquivalenceArguments,
    words: &dyn Fn(&Translation) -> Option<String>,
) -> Result<(), Failure> {
    if how.format == Format::Json {
        let row = |translation| row(translation, words(translation));
        let translations = found.iter().map(row).collect();
        return print_json(&Document { of, steps: how.steps, effective_share: share, translations });
    }
    let mut text = format!("{title}\n\n{}\n", table(found));
    for translation in found {
        let name = name(translation.equivalence);
        let what = match &translation.numbers {
            Some(numbers) if numbers.iter().any(|number| *number < -1e-12) => {
                ": has negative weights, and is no moving average"
            }
            Some(_) => "",
            None => ": there is none",
        };
        let words = words(translation).map_or(String::new(), |words| format!(": {words}"));
        text.push_str(&format!("\n{name}{words}{what}\n  {}\n", translation.equivalence.exact_when()));
    }
    if let Some(share) = share {
        text.push_str(&format!(
            "\nAt this rate times curvature the average acts as {} of the learning rate.\n",
            significant(share)
        ));
    }
    if how.rate.is_none() {
        text.push_str("\nGive --rate A, learning rate times curvature, for the schedule that reaches the same point with the same batches.\n");
    }
    print(&text)
}

fn name(equivalence: Equivalence) -> &'static str {
    match equivalence {
        Equivalence::RecordedUpdates => "recorded updates",
        Equivalence::FullBatch => "full batch",
        Equivalence::SameBatches { .. } => "same batches",
    }
}

fn row<'a>(translation: &'a Translation, words: Option<String>) -> Row<'a> {
    let equivalence = match translation.equivalence {
        Equivalence::RecordedUpdates => "recorded-updates",
        Equivalence::FullBatch => "full-batch",
        Equivalence::SameBatches { .. } => "same-batches",
    };
    let exact_when = translation.equivalence.exact_when();
    Row { equivalence, exact_when, words, numbers: translation.numbers.as_deref() }
}

/// Numbers at a few steps from the end.
fn table(found: &[Translation]) -> String {
    let length = found.iter().filter_map(|translation| translation.numbers.as_ref().map(Vec::len)).max().unwrap_or(0);
    let shown = [0, 1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1000, 2000, 5000, 10_000, 100_000];
    let mut table = Table::new().column("steps from the end", Align::Right);
    for translation in found {
        table = table.column(name(translation.equivalence), Align::Right);
    }
    for step in shown.into_iter().filter(|step| *step < length) {
        let number = |translation: &Translation| {
            let found = translation.numbers.as_ref().and_then(|numbers| numbers.get(step));
            found.map_or("-".to_owned(), |number| significant(*number))
        };
        table = table.row(std::iter::once(count(step as u64)).chain(found.iter().map(number)));
    }
    table.to_string()
}

impl From<TheoryError> for Failure {
    fn from(error: TheoryError) -> Self {
        Self::bad_input(error)
    }
}
