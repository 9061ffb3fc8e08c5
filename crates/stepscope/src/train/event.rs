//! What a training loop says while it runs. The loop itself prints nothing and writes nothing.
//!
//! ```text
//! RunStarted
//! for step in 0..steps:
//!     for probe due at step:            measure            -> Measured ...
//!     batch     = sampler.next_batch()
//!     loss, g   = forward, backward                         (not finite, or far too high for too long: RunEnded(Diverged))
//!     v         = momentum * v + g
//!     eta       = learning rate source, which may look along -v   -> Measured ...
//!                                                           -> StepTaken
//!     theta     = theta - eta * v
//!     averages take theta in
//! for probe due at the end:             measure            -> Measured ...
//! averages are evaluated                                    -> Measured ...
//! RunEnded(Finished)
//! ```

use stepscope_types::{EventKind, EventRecord, Measurement, Record, Step, StopReason, Timing};
use thiserror::Error;

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
    /// A mini-batch's loss, and the learning rate with which its step was taken.
    StepTaken {
        /// The mini-batch loss before the update.
        batch_loss: Measurement,
        /// The learning rate, where it differs from the step before, and at the last step.
        learning_rate: Option<Measurement>,
    },
    /// A probe measured something.
    Measured(Measurement),
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

impl Event {
    /// The event as lines of the record file.
    pub fn records(&self) -> Vec<Record> {
        let event = |step, epoch, kind, timing: Timing| {
            vec![Record::Event(EventRecord { step, epoch, kind, timing: Some(timing) })]
        };
        match self {
            Self::RunStarted { timing, .. } => event(Step(0), 0.0, EventKind::RunStarted, *timing),
            Self::StepTaken { batch_loss, learning_rate } => {
                let both = [Some(batch_loss), learning_rate.as_ref()];
                both.into_iter().flatten().cloned().map(Record::Measurement).collect()
            }
            Self::Measured(measurement) => vec![Record::Measurement(measurement.clone())],
            Self::RunEnded { step, epoch, reason, timing } => {
                event(*step, *epoch, EventKind::RunEnded { reason: reason.clone() }, *timing)
            }
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
#[error("{0}")]
pub struct SinkError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

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
