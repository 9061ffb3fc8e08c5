//! A run's records as an event file.

use std::collections::HashMap;
use std::path::Path;

use stepscope_types::{EventKind, Manifest, Measurement, Record, Step, StopReason, Timing, Uncertainty, quantity};

use super::event::Moment;
use super::hyperparameters;
use super::writer::EventFileWriter;
use crate::{ExportError, RecordSink, specification};

/// Writes a run's records to an event file, under the names that they have.
///
/// - A value becomes a scalar; unit, definition and kind of error stand in the tag's description. TensorBoard has no error
///   bars: the errors themselves are in `metrics.jsonl` and in [`crate::table`].
/// - A quantity that is not resolved becomes a text `unresolved/NAME` with the reason, once for each reason.
/// - The specification becomes the text `run/specification` and the run's entry in the HPARAMS tab; why the run ended
///   becomes the text `run/end`.
///
/// Times are those of the records, so that a run exported afterwards shows the times at which it ran.
#[derive(Debug)]
pub struct TensorBoardSink {
    events: EventFileWriter,
    started: f64,
    /// Of the latest record that had a time.
    wall_time: f64,
    reasons: HashMap<String, String>,
}

impl TensorBoardSink {
    /// A new event file in `folder`, which is one run to TensorBoard.
    ///
    /// `from` is the step at which this process begins: 0 for a new run. What an earlier process of the run wrote at that
    /// step or later is dropped by TensorBoard.
    ///
    /// # Errors
    /// [`ExportError::Refused`].
    pub fn create(folder: &Path, manifest: &Manifest, from: Step) -> Result<Self, ExportError> {
        let started = manifest.started_unix_seconds as f64;
        let mut sink = Self::without_manifest(folder, started, from)?;
        let at = Moment { step: from, wall_time: started };
        sink.events.plugin(
            hyperparameters::START_TAG,
            at,
            hyperparameters::PLUGIN,
            &hyperparameters::start(manifest),
        )?;
        sink.events.text("run/specification", at, &specification::markdown(manifest))?;
        sink.events.flush()?;
        Ok(sink)
    }

    /// As [`TensorBoardSink::create`] for records of a run without a manifest, which began at `started`, in seconds since
    /// 1970.
    ///
    /// # Errors
    /// [`ExportError::Refused`].
    pub fn without_manifest(folder: &Path, started: f64, from: Step) -> Result<Self, ExportError> {
        let mut events = EventFileWriter::create(folder)?;
        // First of all: what comes before it would be dropped too.
        events.session_start(Moment { step: from, wall_time: started })?;
        Ok(Self { events, started, wall_time: started, reasons: HashMap::new() })
    }

    /// A text in Markdown at the time of the latest record: advice, for instance.
    ///
    /// # Errors
    /// [`ExportError::Refused`].
    pub fn text(&mut self, tag: &str, step: Step, markdown: &str) -> Result<(), ExportError> {
        self.events.text(tag, Moment { step, wall_time: self.wall_time }, markdown)
    }

    fn moment(&mut self, step: Step, timing: Option<Timing>) -> Moment {
        if let Some(timing) = timing {
            self.wall_time = self.started + timing.wall_seconds;
        }
        Moment { step, wall_time: self.wall_time }
    }

    fn measurement(&mut self, measurement: &Measurement) -> Result<(), ExportError> {
        let at = self.moment(measurement.step, measurement.timing);
        let name = &measurement.name;
        if let Some(value) = measurement.value {
            self.reasons.remove(name);
            self.events.describe_once(name, || description(measurement));
            return self.events.scalar(name, at, value);
        }
        let reason = measurement.unresolved.as_deref().unwrap_or("no value");
        if self.reasons.get(name).is_some_and(|known| known == reason) {
            return Ok(());
        }
        self.reasons.insert(name.clone(), reason.to_owned());
        self.events.text(&format!("unresolved/{name}"), at, reason)
    }

    fn end(&mut self, at: Moment, reason: &StopReason) -> Result<(), ExportError> {
        let (succeeded, text) = match reason {
            StopReason::Finished => (true, format!("Finished after {} steps.", at.step)),
            StopReason::Diverged { last_good_step, message } => {
                (false, format!("Diverged; its last good step is {last_good_step}: {message}."))
            }
        };
        self.events.text("run/end", at, &text)?;
        let end = hyperparameters::end(succeeded, at.wall_time);
        self.events.plugin(hyperparameters::END_TAG, at, hyperparameters::PLUGIN, &end)
    }
}

impl RecordSink for TensorBoardSink {
    fn record(&mut self, record: &Record) -> Result<(), ExportError> {
        match record {
            Record::Measurement(measurement) => self.measurement(measurement),
            Record::Event(event) => {
                let at = self.moment(event.step, event.timing);
                match &event.kind {
                    EventKind::RunStarted | EventKind::ReadingsLeftOut { .. } => Ok(()),
                    EventKind::Decided { because, .. } => self.events.text("run/decision", at, because),
                    EventKind::RunEnded { reason } => self.end(at, reason),
                }
            }
        }
    }

    fn flush(&mut self) -> Result<(), ExportError> {
        self.events.flush()
    }

    fn finish(&mut self) -> Result<(), ExportError> {
        self.events.flush()
    }
}

/// Title, unit, definition and kind of error, in Markdown.
fn description(measurement: &Measurement) -> String {
    let error = match measurement.error {
        None | Some(Uncertainty::Exact) => "exact",
        Some(Uncertainty::StandardError(_)) => "with a standard error",
        Some(Uncertainty::Residual(_)) => "with a residual",
        Some(Uncertainty::Interval { .. }) => "with an interval",
    };
    let known = quantity::by_name(&measurement.name);
    let title = known.map_or(measurement.name.as_str(), |quantity| quantity.title);
    let definition = known.map_or("", |quantity| quantity.description);
    format!("**{title}** in `{}`, {error}. {definition}", measurement.unit).trim_end().to_owned()
}
