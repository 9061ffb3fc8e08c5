//! `stepscope measure DIR`: curvature, noise and the loss around the weights of a saved run.

mod readings;
mod saved_run;
mod sections;

use std::path::Path;

use stepscope::train::RunError;

use crate::args::MeasureArguments;
use crate::commands::write_whole;
use crate::failure::Failure;
use saved_run::SavedRun;

pub(super) fn run(arguments: &MeasureArguments) -> Result<(), Failure> {
    let mut run = SavedRun::open(&arguments.folder, &arguments.overrides)?;
    run.spec.train.device = arguments.device.unwrap_or(run.spec.train.device);
    run.spec.measure.mode = arguments.mode.unwrap_or(run.spec.measure.mode);
    run.spec.measure.dropout |= arguments.dropout;
    let steps = run.steps(&arguments.steps)?;
    if arguments.line.is_some() || arguments.between.is_some() || !arguments.plane.is_empty() {
        sections::run(arguments, run, &steps)
    } else {
        readings::run(arguments, run, &steps)
    }
}

fn failure(error: RunError) -> Failure {
    if error.is_bad_input() { Failure::bad_input(error) } else { Failure::failed(error) }
}

/// Writes rows of CSV where a file was asked for.
fn write_csv(path: Option<&Path>, header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    let quoted = |cell: &String| {
        if cell.contains([',', '"', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.clone() }
    };
    let lines = rows.map(|row| row.iter().map(quoted).collect::<Vec<String>>().join(",") + "\n");
    write_whole(path, &(header.join(",") + "\n" + &lines.collect::<String>()))
}
