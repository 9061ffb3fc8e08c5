//! `stepscope weights`: the weights of a run for PyTorch.

use std::path::Path;

use anyhow::anyhow;
use stepscope::backend::Backend;
use stepscope::checkpoint::export_weights;
use stepscope::models::Model;
use stepscope::record::RunFolder;
use stepscope::spectral::random::RandomStream;
use stepscope::types::Step;

use crate::commands::{print, write_whole};
use crate::failure::Failure;

/// Writes the weights of a checkpoint of the run in `folder` to `file`.
pub(super) fn export(folder: &Path, file: &Path, step: Option<u64>) -> Result<(), Failure> {
    let run = RunFolder::open(folder).map_err(Failure::of_folder)?;
    let manifest = run.manifest().map_err(Failure::of_folder)?;
    let checkpoints = run.checkpoints();
    let last = checkpoints.steps().map_err(Failure::bad_input)?.last().copied();
    let step = step.map(Step).or(last).ok_or_else(|| {
        let folder = folder.display();
        Failure::BadInput(anyhow!("{folder}: holds no checkpoint: train with checkpoint.enabled = true"))
    })?;
    let checkpoint = checkpoints.load(step).map_err(Failure::bad_input)?;
    let (spec, data) = (&manifest.spec.model, &manifest.data);
    let backend = Backend::cpu(spec.precision);
    let shape = data.shape.map(|length| length as usize);
    let outputs = manifest.spec.data.num_outputs(data.num_classes as usize);
    // Any weights will do: those of the checkpoint replace them.
    let random = RandomStream::new(0, 0);
    let network = Model::new(spec, shape, outputs, random, &backend).map_err(Failure::bad_input)?;
    let network = checkpoint.network(network).map_err(Failure::bad_input)?;
    write_whole(file, &export_weights(&network).map_err(Failure::failed)?)?;
    print(&format!("{}: the weights of {} after {step} steps", file.display(), manifest.name))
}
