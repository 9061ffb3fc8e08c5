//! A run as read from its folder: what ran, and everything it recorded, by name.

mod load;
mod series;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stepscope_types::{EventKind, Manifest, Measurement, Record, Step, StopReason};

pub use load::LoadError;
pub use series::{Point, Series};

/// A run: its manifest and its records.
///
/// Memory grows with the number of records (about 100 bytes each), not with the size of a line.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    manifest: Manifest,
    series: BTreeMap<String, Series>,
    stop_reason: Option<StopReason>,
    last: (Step, f64),
    notes: Vec<String>,
}

impl Run {
    /// A run from records in memory, in the order in which they were made.
    ///
    /// Where a quantity was recorded twice at a step (a resumed run repeats what it did since its checkpoint), the
    /// later record counts.
    pub fn from_records(manifest: Manifest, records: impl IntoIterator<Item = Record>) -> Self {
        let mut run = Self::empty(manifest);
        records.into_iter().for_each(|record| run.push(record));
        run.sort();
        run
    }

    /// Reads `run.json` and `metrics.jsonl` of a folder.
    ///
    /// A last line without its end, left by a process that was killed while writing, is dropped and reported by
    /// [`Run::notes`]: every complete record is kept.
    ///
    /// # Errors
    /// [`LoadError`] names the file, and the line, that is missing, newer than this version, too long or broken.
    pub fn load(folder: impl AsRef<Path>) -> Result<Self, LoadError> {
        load::load(folder.as_ref())
    }

    /// The folders of runs at `folder`: itself where it holds `run.json`, otherwise those of its immediate
    /// subfolders that do, by name.
    ///
    /// # Errors
    /// [`LoadError`] where the folder cannot be read or holds no run.
    pub fn discover(folder: impl AsRef<Path>) -> Result<Vec<PathBuf>, LoadError> {
        load::discover(folder.as_ref())
    }

    /// What ran.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The run's name.
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// Whether the run is a prediction, on the axes of the run it predicts.
    pub fn is_prediction(&self) -> bool {
        self.manifest.process == "theory"
    }

    /// Everything recorded under a name, by step; empty where nothing was.
    pub fn series(&self, name: &str) -> &Series {
        static EMPTY: Series = Series::empty();
        self.series.get(name).unwrap_or(&EMPTY)
    }

    /// The names under which something was recorded, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.series.keys().map(String::as_str)
    }

    /// Why the run ended; `None` where no end was recorded: it still runs, or was killed.
    pub fn stop_reason(&self) -> Option<&StopReason> {
        self.stop_reason.as_ref()
    }

    /// The largest step of any record.
    pub fn last_step(&self) -> Step {
        self.last.0
    }

    /// The epoch of [`Run::last_step`].
    pub fn last_epoch(&self) -> f64 {
        self.last.1
    }

    /// What a reader should know about the files: a dropped last line.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    fn empty(manifest: Manifest) -> Self {
        Self { manifest, series: BTreeMap::new(), stop_reason: None, last: (Step(0), 0.0), notes: Vec::new() }
    }

    fn push(&mut self, record: Record) {
        let (step, epoch) = match record {
            Record::Measurement(measurement) => self.push_measurement(measurement),
            Record::Event(event) => {
                // A resumed run starts anew: an end recorded before it no longer holds.
                self.stop_reason = match event.kind {
                    EventKind::RunStarted => None,
                    EventKind::RunEnded { reason } => Some(reason),
                };
                (event.step, event.epoch)
            }
        };
        if step >= self.last.0 {
            self.last = (step, epoch);
        }
    }

    fn push_measurement(&mut self, measurement: Measurement) -> (Step, f64) {
        let point = Point::from(&measurement);
        let position = (point.step, point.epoch);
        match self.series.get_mut(&measurement.name) {
            Some(series) => series.push(point, measurement.unit),
            None => {
                let mut series = Series::empty();
                series.push(point, measurement.unit);
                self.series.insert(measurement.name, series);
            }
        }
        position
    }

    fn sort(&mut self) {
        self.series.values_mut().for_each(Series::sort);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic;
    use stepscope_types::{Estimate, EventRecord, Uncertainty};

    fn record(step: u64, value: f64) -> Record {
        let estimate = Estimate::new(value, "nat", Uncertainty::StandardError(0.1));
        Record::Measurement(Measurement::new(Step(step), step as f64, "train/loss", estimate.into()))
    }

    #[test]
    fn what_a_resumed_run_repeats_replaces_what_it_repeats() {
        let records = [record(0, 4.0), record(1, 3.0), record(2, 9.0), record(1, 3.5), record(2, 2.5)];
        let run = Run::from_records(synthetic::manifest("run", 0.1), records);
        let values: Vec<_> = run.series("train/loss").points().iter().map(|p| (p.step.0, p.value)).collect();
        assert_eq!(values, [(0, Some(4.0)), (1, Some(3.5)), (2, Some(2.5))]);
        assert_eq!(run.last_step(), Step(2));
    }

    #[test]
    fn the_end_is_the_last_one_recorded_and_a_new_start_cancels_it() {
        let event = |step, kind| Record::Event(EventRecord { step: Step(step), epoch: 0.0, kind, timing: None });
        let end = event(9, EventKind::RunEnded { reason: StopReason::Finished });
        let run = |records: &[Record]| Run::from_records(synthetic::manifest("run", 0.1), records.to_vec());
        assert_eq!(run(&[record(0, 1.0)]).stop_reason(), None);
        assert_eq!(run(&[record(0, 1.0), end.clone()]).stop_reason(), Some(&StopReason::Finished));
        assert_eq!(run(&[end, event(9, EventKind::RunStarted)]).stop_reason(), None);
    }

    #[test]
    fn a_name_that_was_never_recorded_has_an_empty_series() {
        let run = Run::from_records(synthetic::manifest("run", 0.1), [record(0, 1.0)]);
        assert!(run.series("no/such").points().is_empty());
        assert_eq!(run.names().collect::<Vec<_>>(), ["train/loss"]);
    }
}
