//! One run from a specification into a folder.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use stepscope::data::Dataset;
use stepscope::models::Model;
use stepscope::record::{RecordWriter, RunFolder};
use stepscope::train::{Event, FanOut, Outcome, Run, RunError, ScheduledProbe, Sink, SinkError};
use stepscope::types::{Manifest, Record, RunSpec};

use crate::failure::Failure;
use crate::progress::ProgressSink;

/// Writes every record to the run's folder.
pub(crate) struct RecordSink(pub(crate) RecordWriter);

impl Sink for RecordSink {
    fn receive(&mut self, event: &Event) -> Result<(), SinkError> {
        self.0.append(&event.records()).map_err(|error| SinkError(Box::new(error)))?;
        if let Event::RunEnded { .. } = event {
            self.0.sync().map_err(|error| SinkError(Box::new(error)))?;
        }
        Ok(())
    }
}

/// Loads the data of a specification.
pub(crate) fn load(spec: &RunSpec) -> Result<Dataset, Failure> {
    Dataset::load(&spec.data).map_err(Failure::bad_input)
}

/// Trains `spec` on `dataset` into `folder`, with the probes of the specification and `extra` ones.
///
/// Everything that can be wrong with the input is found before the folder is touched.
pub(crate) fn execute(
    spec: &RunSpec,
    dataset: &Dataset,
    folder: &Path,
    force: bool,
    extra: Vec<ScheduledProbe<'_, Model>>,
) -> Result<(Manifest, Outcome<Model>), Failure> {
    let prepared = Run::prepare(spec, dataset).map_err(Failure::bad_input)?;
    let manifest = prepared.manifest(unix_seconds());
    let mut records = start(folder, force, &manifest)?;
    let mut progress = ProgressSink::new(&spec.name, spec.optimizer.momentum.get());
    let outcome =
        prepared.train(extra, &mut FanOut(vec![&mut records, &mut progress])).map_err(|error: RunError| {
            if error.is_bad_input() { Failure::bad_input(error) } else { Failure::failed(error) }
        })?;
    Ok((manifest, outcome))
}

/// Writes records that were not trained but predicted, as a run of their own.
pub(crate) fn write_run(folder: &Path, force: bool, manifest: &Manifest, records: &[Record]) -> Result<(), Failure> {
    let mut sink = start(folder, force, manifest)?;
    sink.0.append(records).and_then(|()| sink.0.sync()).map_err(Failure::failed)
}

fn start(folder: &Path, force: bool, manifest: &Manifest) -> Result<RecordSink, Failure> {
    let folder = RunFolder::create(folder, force)
        .map_err(|error| if error.is_bad_input() { Failure::bad_input(error) } else { Failure::failed(error) })?;
    folder.write_manifest(manifest).map_err(Failure::failed)?;
    Ok(RecordSink(folder.create_records().map_err(Failure::failed)?))
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
