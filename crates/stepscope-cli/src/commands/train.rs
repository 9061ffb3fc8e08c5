//! `stepscope train SPEC`: one run.

use std::path::{Path, PathBuf};

use stepscope::types::StopReason;
use stepscope_report::{Run, RunSummary, summary_table};

use crate::args::{Format, TrainArguments};
use crate::commands::{print, print_json, read_spec, report};
use crate::execute::{execute, load};
use crate::failure::Failure;
use crate::wrap::wrap;

pub(super) fn run(arguments: &TrainArguments) -> Result<(), Failure> {
    let path = &arguments.spec;
    let text = read_spec(path)?;
    let spec =
        stepscope::spec::parse(&text, &path.display().to_string(), &arguments.overrides).map_err(Failure::bad_input)?;
    let dataset = load(&spec)?;
    let folder = arguments.out.clone().unwrap_or_else(|| Path::new("runs").join(file_name(&spec.name)));
    let (_, outcome) = execute(&spec, &dataset, &folder, arguments.force, Vec::new())?;
    let run = Run::load(&folder).map_err(Failure::failed)?;
    let page = report::write(&folder.join("report.html"), &spec.name, std::slice::from_ref(&run))?;
    match arguments.format {
        Format::Json => print_json(&RunSummary::of(&run)),
        Format::Text => {
            let ended = match &outcome.reason {
                StopReason::Finished => format!("{} finished after {} steps.", spec.name, outcome.step),
                StopReason::Diverged { last_good_step, message } => {
                    format!("{} diverged; its last good step is {last_good_step}: {message}.", spec.name)
                }
            };
            let table = summary_table(&[RunSummary::of(&run)]).to_string();
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
