//! `stepscope lr-test SPEC`: the learning-rate range test.

mod drawing;

use std::path::Path;

use stepscope::train::{OverSweeps, RangeTest, RangeTestSettings, Run};
use stepscope_report::number::{count, significant};
use stepscope_report::{Align, Table};

use crate::args::{Format, LrTestArguments, with_device};
use crate::commands::{print, print_json, read_spec, write_whole};
use crate::execute::load;
use crate::failure::Failure;
use crate::progress::Busy;
use crate::wrap::wrap;

pub(super) fn run(arguments: &LrTestArguments) -> Result<(), Failure> {
    let LrTestArguments { from, to, steps, sweeps, .. } = *arguments;
    let settings = RangeTestSettings { from, to, steps, sweeps };
    settings.validate().map_err(Failure::bad_input)?;
    let (text, path) = (read_spec(&arguments.spec)?, arguments.spec.display().to_string());
    let overrides = with_device(&arguments.overrides, arguments.device);
    let spec = stepscope::spec::parse(&text, &path, &overrides).map_err(Failure::bad_input)?;
    let dataset = load(&spec)?;
    let run = Run::prepare(&spec, &dataset).map_err(Failure::bad_input)?;
    let busy = Busy::new("testing learning rates");
    let test = run.range_test(settings).map_err(Failure::bad_input)?;
    drop(busy);
    if let Some(file) = &arguments.plot {
        write_whole(file, &drawing::svg(&spec.name, &test))?;
    }
    match arguments.format {
        Format::Json => print_json(&test),
        Format::Text => print(&page(&spec.name, &test, arguments.plot.as_deref())),
    }
}

fn page(name: &str, test: &RangeTest, plot: Option<&Path>) -> String {
    let settings = test.settings;
    let mut parts = vec![format!(
        "Learning rates from {} to {} on {name}: {} sweeps of {} updates",
        significant(settings.from),
        significant(settings.to),
        count(settings.sweeps),
        count(settings.steps)
    )];
    parts.push(wrap(&verdict(test)));
    parts.push(table(test).to_string());
    parts.extend(plot.map(|path| format!("Drawn in {}", path.display())));
    parts.iter().map(|part| part.trim_end()).collect::<Vec<_>>().join("\n\n")
}

/// What to take, in a sentence or two.
fn verdict(test: &RangeTest) -> String {
    let Some(suggestion) = test.suggestion else {
        return format!("No suggestion: {}.", test.problem.as_deref().unwrap_or("the curves do not agree"));
    };
    let lost = test.diverged_at.map_or(String::new(), |lost| format!(" Training breaks down at {}.", interval(lost)));
    format!(
        "Start with a learning rate of {}: there the loss falls fastest.{lost} The weights were the initial ones; curvature grows \
         along training, so a rate near the upper end may be too large later.",
        interval(suggestion)
    )
}

fn interval(number: OverSweeps) -> String {
    let [value, low, high] = [number.value, number.low, number.high].map(significant);
    format!("{value} (95 % interval over {} sweeps {low} to {high})", count(number.num_sweeps))
}

fn table(test: &RangeTest) -> Table {
    let table = ["sweep", "least loss", "falls fastest at", "breaks down at"]
        .into_iter()
        .fold(Table::new(), |table, title| table.column(title, Align::Right));
    (1_u64..).zip(&test.sweeps).fold(table, |table, (number, sweep)| {
        let least = sweep.points.iter().map(|point| point.smoothed).fold(f64::INFINITY, f64::min);
        let rate = |rate: Option<f64>| rate.map_or("-".to_owned(), significant);
        table.row([count(number), significant(least), rate(sweep.steepest), rate(sweep.diverged_at)])
    })
}
