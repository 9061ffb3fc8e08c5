//! `stepscope quickstart`: find a learning rate on real data, and see why.

mod plan;

use std::path::Path;

use serde::Serialize;
use stepscope::data::Dataset;
use stepscope::measure::LocalQuadraticProbe;
use stepscope::predict::predict_run;
use stepscope::record::RunFolder;
use stepscope::train::{Claim, Plan, ScheduledProbe};
use stepscope::types::RunSpec;
use stepscope_report::advice::advise;
use stepscope_report::{Run, RunSummary, summary_table};

use crate::args::{Format, LiveArguments, QuickstartArguments};
use crate::commands::{print, print_json, report};
use crate::execute::{Followed, execute, load, write_run};
use crate::failure::Failure;
use crate::signals::Signals;
use crate::wrap::wrap;

/// What `--format json` prints.
#[derive(Serialize)]
struct Summary<'a> {
    learning_rate: Option<f64>,
    best_run: Option<String>,
    headline: &'a str,
    paragraphs: &'a [String],
    runs: &'a [RunSummary],
    report: &'a Path,
}

/// Trains, measures, predicts, averages, and writes and names a page.
pub(crate) fn run(arguments: &QuickstartArguments) -> Result<(), Failure> {
    let specs = plan::specs(&arguments.data, arguments.seed);
    let dataset = load(&specs[0])?;
    let folders: Vec<_> = specs.iter().map(|spec| arguments.out.join(&spec.name)).collect();
    let predicted = arguments.out.join(plan::PREDICTED);
    for folder in folders.iter().chain([&predicted]) {
        RunFolder::check(folder, arguments.force).map_err(Failure::bad_input)?;
    }
    for (spec, folder) in specs.iter().zip(&folders) {
        if spec.name == plan::GOOD {
            train_and_predict(spec, &dataset, folder, &predicted, arguments.force)?;
        } else {
            execute(
                spec,
                &dataset,
                folder,
                arguments.force,
                Vec::new(),
                Followed::quietly(&Signals::default(), &LiveArguments::default()),
            )?;
        }
    }
    let mut runs = Vec::new();
    for folder in folders.iter().chain([&predicted]) {
        runs.push(Run::load(folder).map_err(Failure::failed)?);
    }
    let title = format!("Quickstart on {}", dataset.name);
    let page = report::write(&arguments.out.join("report.html"), &title, &runs)?;
    show(&runs, &page, arguments.format)
}

/// The good run, with a probe that measures the quadratics from which its next stretches are forecast.
fn train_and_predict(
    spec: &RunSpec,
    dataset: &Dataset,
    folder: &Path,
    predicted_folder: &Path,
    force: bool,
) -> Result<(), Failure> {
    let lengths = Plan::new(spec, dataset.train.num_examples() as u64).map_err(Failure::bad_input)?;
    let mut probe = LocalQuadraticProbe::on_training_set(spec, dataset).map_err(Failure::bad_input)?;
    let due = plan::forecast_from(&lengths);
    let extra = vec![ScheduledProbe { probe: &mut probe, due, claim: Claim::Shares(1.0) }];
    let (manifest, _) = execute(
        spec,
        dataset,
        folder,
        force,
        extra,
        Followed::quietly(&Signals::default(), &LiveArguments::default()),
    )?;
    let predicted = predict_run(plan::PREDICTED, &manifest, &lengths, probe.quadratics()).map_err(Failure::failed)?;
    write_run(predicted_folder, force, &predicted.manifest, &predicted.records)
}

fn show(runs: &[Run], page: &Path, format: Format) -> Result<(), Failure> {
    let summaries: Vec<RunSummary> = runs.iter().map(RunSummary::of).collect();
    let advice = advise(runs);
    match format {
        Format::Json => print_json(&Summary {
            learning_rate: advice.learning_rate,
            best_run: advice.best_run,
            headline: &advice.story.headline,
            paragraphs: &advice.story.paragraphs,
            runs: &summaries,
            report: page,
        }),
        Format::Text => {
            let trained: Vec<RunSummary> = summaries.into_iter().filter(|run| !run.is_prediction()).collect();
            let paragraphs = [&advice.story.headline].into_iter().chain(&advice.story.paragraphs);
            let words: Vec<String> = paragraphs.map(|paragraph| wrap(paragraph)).collect();
            let table = summary_table(&trained).to_string();
            print(&format!(
                "{}\n\n{}\n\nOpen the report in a browser: {}",
                table.trim_end(),
                words.join("\n\n"),
                page.display()
            ))
        }
    }
}
