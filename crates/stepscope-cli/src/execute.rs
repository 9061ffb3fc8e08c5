//! One run from a specification into a folder.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::anyhow;
use stepscope::checkpoint::spec_hash;
use stepscope::data::Dataset;
use stepscope::models::Model;
use stepscope::record::{RecordError, ResumePoint, RunFolder, RunLock, RunSink};
use stepscope::train::{FanOut, Outcome, Run, RunError, RunProbe, Sink, TrainError};
use stepscope::types::{Manifest, Record, RunSpec};

use crate::args::{Format, LiveArguments};
use crate::exports::Exports;
use crate::failure::Failure;
use crate::progress::{EventLines, ProgressSink};
use crate::signals::Signals;

/// Who follows a run, and who may stop it.
#[derive(Clone, Copy)]
pub(crate) struct Followed<'a> {
    pub(crate) signals: &'a Signals,
    /// With [`Format::Json`] every record is also printed as it is made.
    pub(crate) format: Format,
    /// The tools that get its records while it runs.
    pub(crate) live: &'a LiveArguments,
}

impl<'a> Followed<'a> {
    /// By the progress line alone.
    pub(crate) fn quietly(signals: &'a Signals, live: &'a LiveArguments) -> Self {
        Self { signals, format: Format::Text, live }
    }
}

/// Loads the data of a specification.
pub(crate) fn load(spec: &RunSpec) -> Result<Dataset, Failure> {
    Dataset::load(&spec.data).map_err(Failure::bad_input)
}

/// Loads the data of a run that was trained, if it is still what it was trained on.
pub(crate) fn load_as_trained(folder: &Path, manifest: &Manifest) -> Result<Dataset, Failure> {
    let dataset = load(&manifest.spec)?;
    if dataset.sha256 != manifest.data.sha256 {
        return Err(Failure::BadInput(anyhow!(
            "{}: the data set {} is not the one that the run was trained on (its checksum is {}, expected {}): put the old \
             data back",
            folder.display(),
            manifest.data.name,
            dataset.sha256,
            manifest.data.sha256
        )));
    }
    Ok(dataset)
}

/// Trains `spec` on `dataset` into `folder`, with the probes of the specification and `extra` ones.
///
/// Everything that can be wrong with the input is found before the folder is touched.
pub(crate) fn execute(
    spec: &RunSpec,
    dataset: &Dataset,
    folder: &Path,
    force: bool,
    extra: Vec<RunProbe<'_>>,
    followed: Followed<'_>,
) -> Result<(Manifest, Outcome<Model>), Failure> {
    let prepared =
        Run::prepare(spec, dataset).map_err(Failure::bad_input)?.interrupted_by(followed.signals.interrupt.clone());
    let manifest = prepared.manifest(unix_seconds());
    let exports = Exports::new(followed.live, &manifest, folder)?;
    let (run_folder, _lock) = claim(folder, force)?;
    let start = || {
        run_folder.write_manifest(&manifest)?;
        run_folder.create_records()
    };
    let records = start().map_err(Failure::of_folder)?;
    let checkpoints = spec.checkpoint.enabled;
    let checkpoints = checkpoints.then(|| run_folder.checkpoint_writer(prepared.retention(), spec_hash(spec)));
    let sink = RunSink::new(records, checkpoints).keeping_spectra_in(run_folder.clone());
    let outcome = train(prepared, spec, extra, sink, exports, &run_folder, followed)?;
    Ok((manifest, outcome))
}

/// Goes on with the run in `folder`, whose lock the caller has, from `point`.
pub(crate) fn go_on(
    spec: &RunSpec,
    dataset: &Dataset,
    folder: &RunFolder,
    point: &ResumePoint,
    followed: Followed<'_>,
) -> Result<Outcome<Model>, Failure> {
    let manifest = folder.manifest().map_err(Failure::of_folder)?;
    let exports = Exports::new(followed.live, &manifest, folder.path())?;
    let mut prepared =
        Run::prepare(spec, dataset).map_err(Failure::bad_input)?.interrupted_by(followed.signals.interrupt.clone());
    if let Some(checkpoint) = &point.checkpoint {
        prepared = prepared.resumed_from(checkpoint).map_err(Failure::bad_input)?;
    }
    let checkpoints = folder.checkpoints();
    checkpoints.remove_after(point.checkpoint.as_ref().map(|saved| saved.step)).map_err(Failure::failed)?;
    let records = folder.reopen_records(point.records()).map_err(Failure::of_folder)?;
    let checkpoints = spec.checkpoint.enabled;
    // The checkpoints belong to the run as it was begun, whatever device it goes on with.
    let hash = spec_hash(&manifest.spec);
    let checkpoints = checkpoints.then(|| folder.checkpoint_writer(prepared.retention(), hash));
    let sink = RunSink::new(records, checkpoints).keeping_spectra_in(folder.clone());
    train(prepared, spec, Vec::new(), sink, exports, folder, followed)
}

fn train(
    prepared: Run<'_>,
    spec: &RunSpec,
    extra: Vec<RunProbe<'_>>,
    mut sink: RunSink,
    mut exports: Exports,
    folder: &RunFolder,
    followed: Followed<'_>,
) -> Result<Outcome<Model>, Failure> {
    let mut progress = ProgressSink::new(&spec.name, spec.optimizer.momentum.get());
    exports.warn_through(progress.warner());
    let mut lines = EventLines::default();
    let mut sinks: Vec<&mut dyn Sink> = vec![&mut sink, &mut progress, &mut exports];
    if followed.format == Format::Json {
        sinks.push(&mut lines);
    }
    let outcome = prepared.train(extra, &mut FanOut(sinks));
    drop(progress);
    exports.finish();
    match outcome {
        Ok(outcome) => Ok(outcome),
        Err(RunError::Train(TrainError::Interrupted { step })) => {
            sink.finish().map_err(Failure::failed)?;
            let saved =
                if spec.checkpoint.enabled { "saved" } else { "nothing saved, as checkpoint.enabled = false asks" };
            let (name, path) = (&spec.name, folder.path().display());
            let message = format!("{name} stopped after {step} steps, {saved}; go on with: stepscope resume {path}");
            Err(Failure::Stopped { message, status: followed.signals.status() })
        }
        Err(error) if error.is_bad_input() => Err(Failure::bad_input(error)),
        Err(error) => Err(Failure::failed(error)),
    }
}

/// Writes records that were not trained but predicted, as a run of their own.
pub(crate) fn write_run(folder: &Path, force: bool, manifest: &Manifest, records: &[Record]) -> Result<(), Failure> {
    let (folder, _lock) = claim(folder, force)?;
    let write = || {
        folder.write_manifest(manifest)?;
        let mut file = folder.create_records()?;
        file.append(records)?;
        file.sync()
    };
    write().map_err(Failure::of_folder)
}

/// The folder of a new run, for this process alone.
fn claim(path: &Path, force: bool) -> Result<(RunFolder, RunLock), Failure> {
    let claim = || -> Result<_, RecordError> {
        RunFolder::check(path, force)?;
        let create = std::fs::create_dir_all(path);
        create.map_err(|source| RecordError::Refused {
            path: path.display().to_string(),
            action: "be created",
            source,
        })?;
        let lock = RunLock::take(path)?;
        // Once more: another process may have filled the folder in between.
        Ok((RunFolder::create(path, force)?, lock))
    };
    claim().map_err(Failure::of_folder)
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
