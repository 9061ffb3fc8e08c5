//! `stepscope train SPEC`: one run.

use std::path::{Path, PathBuf};

use serde::Serialize;
use stepscope::record::{RunFolder, RunLock};
use stepscope::types::{RunSpec, StopReason};
use stepscope_report::{Run, RunSummary, summary_table};

use crate::args::{Format, TrainArguments};
use crate::commands::{print, print_line, read_spec, report};
use crate::execute::{Followed, execute, load};
use crate::failure::Failure;
use crate::signals::Signals;
use crate::wrap::wrap;

pub(super) fn run(arguments: &TrainArguments) -> Result<(), Failure> {
    let path = &arguments.spec;
    let text = read_spec(path)?;
    let mut spec =
        stepscope::spec::parse(&text, &path.display().to_string(), &arguments.overrides).map_err(Failure::bad_input)?;
    spec.train.device = arguments.device.unwrap_or(spec.train.device);
    spec.measure.budget = arguments.budget.or(spec.measure.budget);
    let dataset = load(&spec)?;
    let folder = arguments.out.clone().unwrap_or_else(|| Path::new("runs").join(file_name(&spec.name)));
    if !arguments.force {
        refuse_unfinished(&folder, &spec)?;
    }
    let signals = Signals::listen();
    let followed = Followed { signals: &signals, format: arguments.format, live: &arguments.live };
    let (_, outcome) = execute(&spec, &dataset, &folder, arguments.force, Vec::new(), followed)?;
    show(&folder, &spec.name, &outcome.reason, arguments.format)
}

/// A folder that holds this very run, begun and not ended, is no mistake: it wants to go on.
fn refuse_unfinished(folder: &Path, spec: &RunSpec) -> Result<(), Failure> {
    let Ok(run) = RunFolder::open(folder) else { return Ok(()) };
    // One that is being written now is no mistake either, and will not be waiting to go on.
    drop(RunLock::take(folder).map_err(Failure::of_folder)?);
    let same = run.manifest().is_ok_and(|manifest| manifest.spec == *spec);
    if same && matches!(run.ending(), Ok(None)) {
        let path = folder.display();
        return Err(Failure::BadInput(anyhow::anyhow!(
            "{path}: holds this run already, and it has not come to its end: go on with `stepscope resume {path}`, or begin again with --force"
        )));
    }
    Ok(())
}

/// The last line of a run's events.
#[derive(Serialize)]
struct Last<'a> {
    record: &'static str,
    #[serde(flatten)]
    summary: &'a RunSummary,
}

/// Writes the page of a run that ended, and prints how it ended.
pub(super) fn show(folder: &Path, name: &str, reason: &StopReason, format: Format) -> Result<(), Failure> {
    let run = Run::load(folder).map_err(Failure::failed)?;
    let page = report::write(&folder.join("report.html"), name, std::slice::from_ref(&run))?;
    let summary = RunSummary::of(&run);
    match format {
        Format::Json => print_line(&Last { record: "summary", summary: &summary }),
        Format::Text => {
            let ended = match reason {
                StopReason::Finished => format!("{name} finished after {} steps.", run.last_step()),
                StopReason::Diverged { last_good_step, message } => {
                    format!("{name} diverged; its last good step is {last_good_step}: {message}.")
                }
            };
            let table = summary_table(&[summary]).to_string();
            print(&format!("{}\n\n{}\nRecords and page: {}", table.trim_end(), wrap(&ended), page.display()))
        }
    }
}

/// A run's name as a file name: what could leave the folder becomes a dash.
pub(super) fn file_name(name: &str) -> PathBuf {
    let safe = |c: char| if c.is_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = name.trim().chars().map(safe).collect();
    PathBuf::from(if name.chars().all(|c| c == '.') { "run".to_owned() } else { name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_the_folder() {
        assert_eq!(file_name("../../etc/passwd"), PathBuf::from("..-..-etc-passwd"));
        assert_eq!(file_name(".."), PathBuf::from("run"));
        assert_eq!(file_name("my run 1"), PathBuf::from("my-run-1"));
    }
}
