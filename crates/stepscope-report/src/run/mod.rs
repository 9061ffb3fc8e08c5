//! A run as read from its folder: what ran, and everything it recorded, by name.

mod follow;
mod kept;
mod line;
mod load;
mod series;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stepscope_types::spec::MeasureBudget;
use stepscope_types::{
    EventKind, LeftOut, Manifest, Record, SavedSection, SavedSpectrum, Step, StopReason, Timing, TrainingDuration,
    Verdict,
};

pub use follow::Follower;
pub(crate) use kept::Kept;
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
    wall_seconds: f64,
    notes: Vec<String>,
    decisions: Vec<(Step, Verdict, String)>,
    kept: Kept,
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

    /// Reads `run.json` and `metrics.jsonl` of a folder and, where they are there, `spectra/` and what was measured at its
    /// checkpoints: `sections/` and `measured.jsonl`.
    ///
    /// A last line without its end, left by a process that was killed while writing, is dropped and reported by
    /// [`Run::notes`]: every complete record is kept.
    ///
    /// # Errors
    /// [`LoadError`] names the file, and the line, that is missing, newer than this version, too long or broken.
    pub fn load(folder: impl AsRef<Path>) -> Result<Self, LoadError> {
        load::load(folder.as_ref())
    }

    /// [`Run::load`] of every folder, side by side on all cores; the answers are in the order of `folders`.
    ///
    /// Memory is that of all runs together, about 110 bytes a record.
    pub fn load_all(folders: &[PathBuf]) -> Vec<Result<Self, LoadError>> {
        load::load_all(folders)
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

    /// Seconds from the start of the process to the last record that has a time; 0 where none has.
    pub fn wall_seconds(&self) -> f64 {
        self.wall_seconds
    }

    /// The share of the run that is done, between 0 and 1: steps or epochs over what the specification asks for.
    pub fn progress(&self) -> f64 {
        let share = match self.manifest.spec.train.duration {
            TrainingDuration::Epochs(epochs) => self.last.1 / epochs,
            TrainingDuration::Steps(steps) => self.last.0.0 as f64 / steps as f64,
            TrainingDuration::Fraction(_) => f64::from(u8::from(self.stop_reason.is_some())),
        };
        if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Seconds until the end at the pace so far; `None` where the run ended or has no pace yet.
    pub fn seconds_left(&self) -> Option<f64> {
        let done = self.progress();
        let left = self.wall_seconds * (1.0 - done) / done;
        (self.stop_reason.is_none() && done > 0.0 && left.is_finite()).then_some(left)
    }

    /// A run made of others, such as the median over seeds.
    pub(crate) fn made_of(
        manifest: Manifest,
        series: BTreeMap<String, Series>,
        stop_reason: Option<StopReason>,
        last: (Step, f64),
    ) -> Self {
        Self { series, stop_reason, last, ..Self::empty(manifest) }
    }

    /// What a reader should know about the files: a dropped last line, a file that cannot be read.
    pub fn notes(&self) -> impl Iterator<Item = &str> {
        self.notes.iter().chain(&self.kept.notes).map(String::as_str)
    }

    /// The loss on lines and planes through the run's weights, by step and kind.
    pub fn sections(&self) -> &[SavedSection] {
        &self.kept.sections
    }

    /// Spectral densities, by step.
    pub fn spectra(&self) -> &[SavedSpectrum] {
        &self.kept.spectra
    }

    /// The readings that were taken at checkpoints, as a run of their own with the same manifest but for its name; `None` where there
    /// are none. They may rest on other examples than the run's own readings, and are not mixed with them.
    pub fn measured_afterwards(&self) -> Option<Self> {
        if self.kept.readings.is_empty() {
            return None;
        }
        let mut manifest = self.manifest.clone();
        manifest.name = format!("{}, measured afterwards", manifest.name);
        Some(Self::made_of(manifest, self.kept.readings.clone(), self.stop_reason.clone(), self.last))
    }

    #[cfg(test)]
    pub(crate) fn kept_mut(&mut self) -> &mut Kept {
        &mut self.kept
    }

    /// What a controller decided about the learning rate, with its reasons.
    pub fn decisions(&self) -> &[(Step, Verdict, String)] {
        &self.decisions
    }

    fn empty(manifest: Manifest) -> Self {
        let (series, notes, decisions, kept) = (BTreeMap::new(), Vec::new(), Vec::new(), Kept::default());
        let (last, wall_seconds) = ((Step(0), 0.0), 0.0);
        Self { manifest, series, stop_reason: None, last, wall_seconds, notes, decisions, kept }
    }

    fn push(&mut self, record: Record) {
        match record {
            Record::Measurement(measurement) => {
                let point = Point::from(&measurement);
                self.push_point(&measurement.name, point, &measurement.unit, measurement.timing);
            }
            Record::Event(event) => {
                match event.kind {
                    // A resumed run starts anew: an end recorded before it no longer holds.
                    EventKind::RunStarted => self.stop_reason = None,
                    EventKind::RunEnded { reason } => self.stop_reason = Some(reason),
                    EventKind::Decided { verdict, because } => {
                        // A resumed run decides again what it decided since its checkpoint.
                        self.decisions.retain(|(step, ..)| *step < event.step);
                        self.decisions.push((event.step, verdict, because));
                    }
                    EventKind::ReadingsLeftOut { budget, left_out } => {
                        self.notes.push(words_left_out(budget, &left_out));
                    }
                }
                self.advance(event.step, event.epoch, event.timing);
            }
        }
    }

    fn push_point(&mut self, name: &str, point: Point, unit: &str, timing: Option<Timing>) {
        self.advance(point.step, point.epoch, timing);
        let cost = timing.and_then(|timing| timing.cost_seconds).unwrap_or(0.0);
        match self.series.get_mut(name) {
            Some(series) => series.push(point, unit, cost),
            None => {
                let mut series = Series::empty();
                series.push(point, unit, cost);
                self.series.insert(name.to_owned(), series);
            }
        }
    }

    fn advance(&mut self, step: Step, epoch: f64, timing: Option<Timing>) {
        if step >= self.last.0 {
            self.last = (step, epoch);
        }
        if let Some(timing) = timing {
            self.wall_seconds = timing.wall_seconds;
        }
    }

    fn sort(&mut self) {
        self.series.values_mut().for_each(Series::sort);
    }
}

/// `A measuring budget of 5% left out readings: sharpness took 12 of 21.`
fn words_left_out(budget: MeasureBudget, left_out: &[LeftOut]) -> String {
    let probes: Vec<String> =
        left_out.iter().map(|probe| format!("{} took {} of {}", probe.probe, probe.num_taken, probe.num_due)).collect();
    format!("A measuring budget of {budget} left out readings: {}.", probes.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic;
    use stepscope_types::{Estimate, EventRecord, Measurement, Uncertainty};

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
        let left_out = vec![LeftOut { probe: "sharpness".into(), num_due: 21, num_taken: 12 }];
        let thinned = event(9, EventKind::ReadingsLeftOut { budget: "5%".parse().unwrap(), left_out });
        let note = "A measuring budget of 5% left out readings: sharpness took 12 of 21.";
        assert_eq!(run(&[thinned]).notes().collect::<Vec<_>>(), [note]);
    }

    #[test]
    fn a_name_that_was_never_recorded_has_an_empty_series() {
        let run = Run::from_records(synthetic::manifest("run", 0.1), [record(0, 1.0)]);
        assert!(run.series("no/such").points().is_empty());
        assert_eq!(run.names().collect::<Vec<_>>(), ["train/loss"]);
    }
}
