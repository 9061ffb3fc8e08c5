//! `stepscope measure DIR`: curvature, noise and the loss around the weights of a saved run.

mod readings;
mod sections;

use std::path::Path;

use anyhow::anyhow;
use stepscope::checkpoint::Checkpoint;
use stepscope::data::Dataset;
use stepscope::record::RunFolder;
use stepscope::train::{Run, RunError};
use stepscope::types::{RunSpec, Step};

use crate::args::MeasureArguments;
use crate::commands::write_whole;
use crate::execute::load_as_trained;
use crate::failure::Failure;

pub(super) fn run(arguments: &MeasureArguments) -> Result<(), Failure> {
    let point = SavedPoint::load(&arguments.folder, arguments.step, &arguments.overrides)?;
    if arguments.line.is_some() || arguments.between.is_some() || !arguments.plane.is_empty() {
        sections::run(arguments, &point)
    } else {
        readings::run(arguments, point)
    }
}

/// The weights of a run after a step, with the data that it was trained on.
struct SavedPoint {
    name: String,
    spec: RunSpec,
    dataset: Dataset,
    checkpoint: Checkpoint,
}

impl SavedPoint {
    /// The checkpoint of `step`, or the last one, of the run in `folder`, with `overrides` of its specification.
    fn load(folder: &Path, step: Option<u64>, overrides: &[String]) -> Result<Self, Failure> {
        let run = RunFolder::open(folder).map_err(Failure::of_folder)?;
        let manifest = run.manifest().map_err(Failure::of_folder)?;
        let checkpoints = run.checkpoints();
        let last = checkpoints.steps().map_err(Failure::bad_input)?.last().copied();
        let step = step.map(Step).or(last).ok_or_else(|| {
            let folder = folder.display();
            Failure::BadInput(anyhow!(
                "{folder}: holds no checkpoint to measure at: train with checkpoint.enabled = true, or measure while training \
                 with measure.instruments"
            ))
        })?;
        let checkpoint = checkpoints.load(step).map_err(Failure::bad_input)?;
        let dataset = load_as_trained(folder, &manifest)?;
        let spec = with_overrides(manifest.spec, overrides)?;
        Ok(Self { name: manifest.name, spec, dataset, checkpoint })
    }

    /// The run, standing at this point.
    fn run(&self) -> Result<Run<'_>, Failure> {
        let run = Run::prepare(&self.spec, &self.dataset).and_then(|run| run.resumed_from(&self.checkpoint));
        run.map_err(failure)
    }

    /// `run-1 after 300 steps`.
    fn description(&self) -> String {
        format!("{} after {} steps", self.name, self.checkpoint.step)
    }
}

/// The specification with keys of its `[measure]` table changed: the others say what was trained.
fn with_overrides(spec: RunSpec, overrides: &[String]) -> Result<RunSpec, Failure> {
    if let Some(other) = overrides.iter().find(|text| !text.trim_start().starts_with("measure.")) {
        return Err(Failure::BadInput(anyhow!(
            "--set {other}: what was trained cannot be changed any more: expected a key of [measure], such as measure.examples=4096"
        )));
    }
    if overrides.is_empty() {
        return Ok(spec);
    }
    stepscope::spec::change(&spec, "the run's specification", overrides).map_err(Failure::bad_input)
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
