//! `stepscope sweep SPEC`: every run of a sweep on this machine, and what they say together.

mod announce;
mod budget;
mod child;
mod executor;
mod outcome;
mod pooled;
mod stop;
mod summary;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use stepscope::backend::Backend;
use stepscope::sweep::{RunId, Setting, Sweep, SweepFolder, SweepRun, describe};
use stepscope::types::spec::{DeviceKind, Precision};
use stepscope_report::{Align, Run, RunSummary, Table};

use crate::args::{Format, SweepArguments, with_device};
use crate::commands::{print, print_json, read_spec, report, train};
use crate::failure::Failure;

pub(super) use executor::{Ended, Ending, execute};
pub(super) use outcome::{count_line, status};
use pooled::Pooled;

pub(super) fn run(arguments: &SweepArguments) -> Result<(), Failure> {
    let sweep = parse(&arguments.spec, &with_device(&arguments.overrides, arguments.device))?;
    let path = folder_path(arguments.out.as_deref(), &sweep.name);
    if arguments.dry_run {
        return print_plan(&sweep, &path, arguments.format);
    }
    let folder = create(&path, &sweep)?;
    let mut ended = execute(&folder, &sweep.name, sweep.runs.clone(), &arguments.limits)?;
    sort(&mut ended, &sweep);
    print_result(&sweep, &folder, &ended, arguments.format)?;
    status(&ended, &format!("the same command goes on with what is left: {}", path.display()))
}

/// Reads the specification of a sweep.
pub(super) fn parse(path: &Path, overrides: &[String]) -> Result<Sweep, Failure> {
    let text = read_spec(path)?;
    Sweep::parse(&text, &path.display().to_string(), overrides).map_err(Failure::bad_input)
}

/// The folder that was asked for, or that of the sweep's name.
pub(super) fn folder_path(out: Option<&Path>, name: &str) -> PathBuf {
    out.map_or_else(|| Path::new("sweeps").join(train::file_name(name)), Path::to_owned)
}

/// The folder of a sweep whose devices are here.
pub(super) fn create(path: &Path, sweep: &Sweep) -> Result<SweepFolder, Failure> {
    let mut needed: Vec<(DeviceKind, Precision)> = Vec::new();
    for spec in sweep.runs.iter().map(|run| &run.spec) {
        let of_run = (spec.train.device, spec.model.precision);
        if of_run.0 != DeviceKind::Cpu && !needed.contains(&of_run) {
            Backend::open(of_run.0, of_run.1).map_err(Failure::bad_input)?;
            needed.push(of_run);
        }
    }
    SweepFolder::create(path, sweep)
        .map_err(|error| if error.is_bad_input() { Failure::bad_input(error) } else { Failure::failed(error) })
}

/// Brings what ended in any order into the order of the specification.
pub(super) fn sort(ended: &mut [Ended], sweep: &Sweep) {
    let place: HashMap<&RunId, usize> = sweep.runs.iter().enumerate().map(|(index, run)| (&run.id, index)).collect();
    ended.sort_by_key(|ended| place.get(&ended.run.id).copied());
}

/// A run as programs read it.
#[derive(Serialize)]
pub(super) struct RunRow<'a> {
    id: &'a str,
    name: &'a str,
    settings: &'a [Setting],
    #[serde(flatten)]
    ending: Option<&'a Ending>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<RunSummary>,
}

impl<'a> RunRow<'a> {
    pub(super) fn new(run: &'a SweepRun, ending: Option<&'a Ending>, summary: Option<RunSummary>) -> Self {
        Self { id: run.id.as_str(), name: &run.spec.name, settings: &run.settings, ending, summary }
    }
}

fn print_plan(sweep: &Sweep, path: &Path, format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        let runs: Vec<RunRow<'_>> = sweep.runs.iter().map(|run| RunRow::new(run, None, None)).collect();
        return print_json(&serde_json::json!({"name": sweep.name, "folder": path, "runs": runs}));
    }
    let mut table = Table::new().column("run", Align::Left).column("settings", Align::Left);
    for run in &sweep.runs {
        table = table.row([run.id.to_string(), describe(&run.settings)]);
    }
    print(&format!("{table}\n{} runs would go to {}", sweep.runs.len(), path.display()))
}

fn print_result(sweep: &Sweep, folder: &SweepFolder, ended: &[Ended], format: Format) -> Result<(), Failure> {
    let done: Vec<&SweepRun> =
        ended.iter().filter(|ended| matches!(ended.ending, Ending::Done { .. })).map(|ended| &ended.run).collect();
    let runs: Vec<Run> = done
        .iter()
        .map(|run| Run::load(folder.run_path(&run.id)))
        .collect::<Result<_, _>>()
        .map_err(Failure::failed)?;
    let pooled = Pooled::of(done.iter().map(|run| run.settings.as_slice()).zip(&runs));
    let page = if runs.is_empty() {
        None
    } else {
        Some(report::write(&folder.path().join("report.html"), &sweep.name, &runs)?)
    };
    match format {
        Format::Json => {
            let loaded: HashMap<&RunId, &Run> = done.iter().map(|run| &run.id).zip(&runs).collect();
            let summary = |ended: &Ended| loaded.get(&ended.run.id).map(|run| RunSummary::of(run));
            let rows: Vec<RunRow<'_>> =
                ended.iter().map(|ended| RunRow::new(&ended.run, Some(&ended.ending), summary(ended))).collect();
            print_json(&serde_json::json!({
                "name": sweep.name, "folder": folder.path(), "runs": rows, "settings": pooled, "report": page,
            }))
        }
        Format::Text => {
            let mut text = String::new();
            if !pooled.is_empty() {
                text = format!("{}\n{}\n\n", summary::table(&pooled), summary::words(&pooled));
            }
            text.push_str(&count_line(ended));
            if let Some(page) = page {
                text.push_str(&format!("\nRuns compared: {}", page.display()));
            }
            print(&text)
        }
    }
}
