//! `stepscope status DIR`: where runs stand, from their files alone.

use std::path::Path;

use serde::Serialize;
use stepscope::sweep::{RunState, SweepFolder, describe};
use stepscope_report::{Align, Run, Table, number};

use crate::args::{Format, StatusArguments};
use crate::commands::{print, print_json};
use crate::failure::Failure;

/// The states in the order in which they are counted.
const STATES: [&str; 5] = ["done", "running", "failed", "interrupted", "waiting"];

/// One run.
#[derive(Serialize)]
struct Row {
    /// The name of its folder.
    run: String,
    /// What sets it apart from the other runs of its sweep.
    settings: String,
    #[serde(flatten)]
    state: RunState,
}

impl Row {
    /// The state without how a run that is done ended.
    fn counted_as(&self) -> &'static str {
        self.state.word().split(' ').next().unwrap_or_default()
    }

    fn detail(&self) -> String {
        let at = |step: Option<stepscope::types::Step>| {
            step.map_or(String::new(), |step| format!("at step {}", number::count(step.0)))
        };
        match &self.state {
            RunState::Done { step, .. } => format!("{} steps", number::count(step.0)),
            RunState::Running { step } | RunState::Interrupted { step } => at(*step),
            RunState::Failed { failure } => failure.message.clone(),
            RunState::Waiting => String::new(),
        }
    }
}

pub(super) fn run(arguments: &StatusArguments) -> Result<(), Failure> {
    let folder = &arguments.folder;
    let (name, rows) = match SweepFolder::open(folder).map_err(Failure::bad_input)? {
        Some((sweep, list)) => {
            let row = |listed: &stepscope::sweep::ListedRun| Row {
                run: listed.id.to_string(),
                settings: describe(&listed.settings),
                state: sweep.state(&listed.id),
            };
            (list.name.clone(), list.runs.iter().map(row).collect())
        }
        None => (folder.display().to_string(), single_runs(folder)?),
    };
    let counts: Vec<(&str, usize)> =
        STATES.iter().map(|&state| (state, rows.iter().filter(|row| row.counted_as() == state).count())).collect();
    match arguments.format {
        Format::Json => {
            let counts: serde_json::Map<String, serde_json::Value> =
                counts.into_iter().map(|(state, count)| (state.to_owned(), count.into())).collect();
            print_json(&serde_json::json!({"name": name, "folder": folder, "counts": counts, "runs": rows}))
        }
        Format::Text => {
            let parts: Vec<String> = counts
                .iter()
                .filter(|(_, count)| *count > 0)
                .map(|(state, count)| format!("{count} {state}"))
                .collect();
            print(&format!("{}\n{name}: {} of {} runs", table(&rows), parts.join(", "), rows.len()))
        }
    }
}

/// The run in a folder, or those in the folders in it.
fn single_runs(folder: &Path) -> Result<Vec<Row>, Failure> {
    let runs = Run::discover(folder).map_err(Failure::bad_input)?;
    let name =
        |path: &Path| path.file_name().map_or_else(|| path.display().to_string(), |name| name.display().to_string());
    let row =
        |path: &std::path::PathBuf| Row { run: name(path), settings: String::new(), state: RunState::of_folder(path) };
    Ok(runs.iter().map(row).collect())
}

fn table(rows: &[Row]) -> Table {
    let with_settings = rows.iter().any(|row| !row.settings.is_empty());
    let mut table = Table::new().column("run", Align::Left);
    if with_settings {
        table = table.column("settings", Align::Left);
    }
    table = table.column("state", Align::Left).column("", Align::Left);
    for row in rows {
        let mut cells = vec![row.run.clone()];
        if with_settings {
            cells.push(row.settings.clone());
        }
        cells.extend([row.state.word().to_owned(), row.detail()]);
        table = table.row(cells);
    }
    table
}
