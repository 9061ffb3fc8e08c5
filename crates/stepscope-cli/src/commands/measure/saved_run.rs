//! A run on disk with its data, and the checkpoints of it that are to be measured.

use std::path::Path;

use anyhow::anyhow;
use stepscope::checkpoint::Checkpoint;
use stepscope::data::Dataset;
use stepscope::record::RunFolder;
use stepscope::train::Run;
use stepscope::types::{Manifest, RunSpec, Step};

use super::failure;
use crate::args::StepRange;
use crate::execute::load_as_trained;
use crate::failure::Failure;

/// A saved run with the data that it was trained on.
pub(super) struct SavedRun {
    pub(super) folder: RunFolder,
    pub(super) manifest: Manifest,
    /// The specification with what was changed in its `[measure]` table.
    pub(super) spec: RunSpec,
    pub(super) dataset: Dataset,
}

/// The weights of a run after a step.
pub(super) struct SavedPoint<'r> {
    pub(super) of: &'r SavedRun,
    pub(super) checkpoint: Checkpoint,
}

impl SavedRun {
    /// The run in `folder`, with `overrides` of its specification.
    pub(super) fn open(path: &Path, overrides: &[String]) -> Result<Self, Failure> {
        let folder = RunFolder::open(path).map_err(Failure::of_folder)?;
        let manifest = folder.manifest().map_err(Failure::of_folder)?;
        let spec = with_overrides(manifest.spec.clone(), overrides)?;
        let dataset = load_as_trained(path, &manifest)?;
        let available = dataset.train.num_examples() as u64;
        // The default of a specification takes what there is; a number that was asked for here is meant.
        let is_asked = overrides.iter().any(|text| text.trim_start().starts_with("measure.examples"));
        if is_asked && spec.measure.examples > available {
            return Err(Failure::BadInput(anyhow!(
                "--set measure.examples={}: {} was trained on {available} examples: ask for at most as many",
                spec.measure.examples,
                path.display()
            )));
        }
        Ok(Self { folder, manifest, spec, dataset })
    }

    /// The steps of the checkpoints in `ranges`, ascending and each once; the last one where nothing was asked for.
    ///
    /// A single step need not have a checkpoint: loading it says which there are.
    pub(super) fn steps(&self, ranges: &[StepRange]) -> Result<Vec<Step>, Failure> {
        let folder = self.folder.path().display();
        let saved = self.folder.checkpoints().steps().map_err(Failure::bad_input)?;
        let (Some(&first), Some(&last)) = (saved.first(), saved.last()) else {
            return Err(Failure::BadInput(anyhow!(
                "{folder}: holds no checkpoint to measure at: train with checkpoint.enabled = true, or measure while training \
                 with measure.instruments"
            )));
        };
        let mut steps = Vec::new();
        for range in ranges {
            match range {
                StepRange::One(step) => steps.push(Step(*step)),
                StepRange::All => steps.extend(&saved),
                StepRange::Between(low, high) => {
                    let before = steps.len();
                    steps.extend(saved.iter().filter(|step| (*low..=*high).contains(&step.0)));
                    if steps.len() == before {
                        return Err(Failure::BadInput(anyhow!(
                            "{folder}: holds no checkpoint from step {low} to {high}: it has {} of them, from step {first} to \
                             {last}; checkpoint.keep_every keeps more of them",
                            saved.len()
                        )));
                    }
                }
            }
        }
        steps.sort_unstable();
        steps.dedup();
        Ok(if steps.is_empty() { vec![last] } else { steps })
    }

    /// The weights after `step`.
    pub(super) fn at(&self, step: Step) -> Result<SavedPoint<'_>, Failure> {
        let checkpoint = self.folder.checkpoints().load(step).map_err(Failure::bad_input)?;
        Ok(SavedPoint { of: self, checkpoint })
    }
}

impl SavedRun {
    /// The name of its folder: runs of a sweep share the name of their specification.
    pub(super) fn folder_name(&self) -> String {
        let path = self.folder.path();
        let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        whole.file_name().map_or_else(|| self.manifest.name.clone(), |name| name.to_string_lossy().into_owned())
    }
}

impl SavedPoint<'_> {
    /// The run, standing at this point.
    pub(super) fn run(&self) -> Result<Run<'_>, Failure> {
        let run = Run::prepare(&self.of.spec, &self.of.dataset).and_then(|run| run.resumed_from(&self.checkpoint));
        run.map_err(failure)
    }

    /// `run-1 after 300 steps`.
    pub(super) fn description(&self) -> String {
        format!("{} after {} steps", self.of.manifest.name, self.checkpoint.step)
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
