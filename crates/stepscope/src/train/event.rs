//! What a training loop says while it runs. The loop itself prints nothing and writes nothing.
//!
//! ```text
//! RunStarted                                                (where it goes on from a checkpoint: RunResumed)
//! for step in 0..steps:
//!     checkpoint due at step:                               -> Checkpoint   (asked to stop: and no further)
//!     for probe due at step:            measure            -> Measured ..., Spectrum
//!                                       (where the step computes in the mode that is measured in, a probe may look at the batch
//!                                        that comes next and at its gradient; the step then takes both from there)
//!     averages due at step are evaluated                    -> Measured ...
//!     gauged learning rate:             decide             -> Decided
//!     batch     = sampler.next_batch()
//!     method takes the batch:
//!         loss, g   = forward, backward                     (not finite, or far too high for too long: RunEnded(Diverged))
//!         v         = direction of g, with momentum or Adam, clipping and weight decay
//!         eta       = step length, which may look along -v
//!         theta     = theta - eta * v                       (or gathers further batches first)
//!                                                           -> Measured ..., StepTaken
//!     averages take theta in
//! checkpoint of the end                                     -> Checkpoint
//! for probe due at the end:             measure            -> Measured ...
//! averages are evaluated                                    -> Measured ...
//! the cost of the probes is added up                        -> Measured ..., ReadingsLeftOut where a budget left some out
//! RunEnded(Finished)
//! ```

use std::sync::Arc;

use serde::Serialize;
use stepscope_types::spec::MeasureBudget;
use stepscope_types::{EventKind, EventRecord, LeftOut, Measurement, Record, SavedSpectrum, Step, StopReason, Timing};
use thiserror::Error;

use crate::checkpoint::State;
use crate::control::schedule::Decision;

/// Something that happened in a training loop.
#[derive(Debug, Clone)]
pub enum Event {
    /// The loop is about to take its first step.
    RunStarted {
        /// Steps the run will take.
        num_steps: u64,
        /// Seconds since the run began.
        timing: Timing,
    },
    /// The loop goes on where an earlier process stopped. What was recorded after `step` is void; nothing new is recorded
    /// for this.
    RunResumed {
        /// The step from which it goes on.
        step: Step,
        /// Steps the run will take in all.
        num_steps: u64,
        /// Seconds since the run began, over all its processes.
        timing: Timing,
    },
    /// The state after a step, for whoever keeps checkpoints. Nothing is recorded for this.
    Checkpoint(Arc<Snapshot>),
    /// A mini-batch's loss, and the learning rate with which its step was taken.
    StepTaken {
        /// The mini-batch loss before the update.
        batch_loss: Measurement,
        /// The learning rate, where it differs from the step before, and at the last step.
        learning_rate: Option<Measurement>,
    },
    /// A probe measured something.
    Measured(Measurement),
    /// A controller changed its mind about the learning rate.
    Decided {
        /// Updates applied.
        step: Step,
        /// Examples seen over training examples.
        epoch: f64,
        /// What was decided, and why.
        decision: Decision,
        /// Seconds since the run began.
        timing: Timing,
    },
    /// A probe measured a spectrum: too large for a record, and kept as a file of its own.
    Spectrum(Arc<SavedSpectrum>),
    /// A budget did not allow all readings.
    ReadingsLeftOut {
        /// Updates applied.
        step: Step,
        /// Examples seen over training examples.
        epoch: f64,
        /// What the readings were allowed to cost.
        budget: MeasureBudget,
        /// The probes concerned.
        left_out: Vec<LeftOut>,
        /// Seconds since the run began.
        timing: Timing,
    },
    /// The run is over.
    RunEnded {
        /// Updates applied.
        step: Step,
        /// Examples seen over training examples.
        epoch: f64,
        /// Why.
        reason: StopReason,
        /// Seconds since the run began.
        timing: Timing,
    },
}

/// The state of a run after a step, before anything is measured there.
#[derive(Debug)]
pub struct Snapshot {
    /// Updates applied.
    pub step: Step,
    /// Whether the latest losses were in order: a state saved while they are not may be past saving.
    pub is_calm: bool,
    /// Seconds that the run took so far, over all its processes.
    pub wall_seconds: f64,
    /// Everything that the next step depends on.
    pub state: Arc<State>,
}

/// A line of the record file that is still where it was made; its JSON is that of [`Record`].
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum RecordRef<'a> {
    /// A quantity at a step.
    Measurement(&'a Measurement),
    /// Something that happened.
    Event(&'a EventRecord),
}

impl RecordRef<'_> {
    /// The line as a value of its own.
    pub fn to_record(self) -> Record {
        match self {
            Self::Measurement(measurement) => Record::Measurement(measurement.clone()),
            Self::Event(event) => Record::Event(event.clone()),
        }
    }
}

impl Event {
    /// The event as lines of the record file.
    pub fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        self.write(|record| records.push(record.to_record()));
        records
    }

    /// Hands every line of the record file that the event is to `line`, without copying it.
    pub fn write(&self, mut line: impl FnMut(RecordRef<'_>)) {
        let mut event = |step, epoch, kind, timing: &Timing| {
            line(RecordRef::Event(&EventRecord { step, epoch, kind, timing: Some(*timing) }));
        };
        match self {
            Self::RunStarted { timing, .. } => event(Step(0), 0.0, EventKind::RunStarted, timing),
            Self::Decided { step, epoch, decision, timing } => {
                let (verdict, because) = (decision.verdict, decision.reason.clone());
                event(*step, *epoch, EventKind::Decided { verdict, because }, timing);
            }
            Self::ReadingsLeftOut { step, epoch, budget, left_out, timing } => {
                let (budget, left_out) = (*budget, left_out.clone());
                event(*step, *epoch, EventKind::ReadingsLeftOut { budget, left_out }, timing);
            }
            Self::RunEnded { step, epoch, reason, timing } => {
                event(*step, *epoch, EventKind::RunEnded { reason: reason.clone() }, timing);
            }
            Self::StepTaken { batch_loss, learning_rate } => {
                line(RecordRef::Measurement(batch_loss));
                learning_rate.iter().for_each(|rate| line(RecordRef::Measurement(rate)));
            }
            Self::Measured(measurement) => line(RecordRef::Measurement(measurement)),
            Self::RunResumed { .. } | Self::Checkpoint(_) | Self::Spectrum(_) => {}
        }
    }
}

/// Receives every event of a run: a record file, a progress bar, a list in memory.
pub trait Sink {
    /// Takes in an event.
    ///
    /// # Errors
    /// A [`SinkError`] ends the run: what cannot be recorded is not trained.
    fn receive(&mut self, event: &Event) -> Result<(), SinkError>;
}

/// A sink could not take an event in.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct SinkError(pub Box<dyn std::error::Error + Send + Sync>);

/// Keeps every record in memory.
#[derive(Debug, Default)]
pub struct MemorySink {
    /// The records so far.
    pub records: Vec<Record>,
}

impl Sink for MemorySink {
    fn receive(&mut self, event: &Event) -> Result<(), SinkError> {
        self.records.extend(event.records());
        Ok(())
    }
}

/// Passes every event on to several sinks, in order.
pub struct FanOut<'a>(pub Vec<&'a mut dyn Sink>);

impl Sink for FanOut<'_> {
    fn receive(&mut self, event: &Event) -> Result<(), SinkError> {
        self.0.iter_mut().try_for_each(|sink| sink.receive(event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stepscope_types::{Estimate, Uncertainty};

    #[test]
    fn a_line_has_the_same_bytes_copied_or_not() {
        let timing = Timing { wall_seconds: 0.25, cost_seconds: None };
        let estimate = Estimate::new(0.1, "nat", Uncertainty::Exact);
        let measurement = Measurement::new(Step(3), 0.5, "train/loss", estimate.into());
        let diverged = StopReason::Diverged { last_good_step: Step(2), message: "loss is inf".to_owned() };
        for event in [
            Event::RunStarted { num_steps: 9, timing },
            Event::StepTaken { batch_loss: measurement.clone(), learning_rate: Some(measurement.clone()) },
            Event::Measured(measurement),
            Event::RunEnded { step: Step(4), epoch: 0.5, reason: diverged, timing },
        ] {
            let mut lines = Vec::new();
            event.write(|record| lines.push(serde_json::to_string(&record).unwrap()));
            let copied: Vec<String> =
                event.records().iter().map(|record| serde_json::to_string(record).unwrap()).collect();
            assert_eq!(lines, copied);
        }
    }
}
