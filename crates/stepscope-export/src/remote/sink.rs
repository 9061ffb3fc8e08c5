//! Records on their way to a server.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stepscope_types::{EventKind, Manifest, Record, StopReason, Timing};

use super::queue::Queue;
use super::target::{End, Point, Target};
use super::worker::Worker;
use crate::{ExportError, RecordSink};

/// Takes a message for the user: one when the server goes away, one when it refuses, one when something was not sent.
pub type Warn = Arc<dyn Fn(&str) + Send + Sync>;

/// How long everything may take, and how much may wait.
#[derive(Debug, Clone, PartialEq)]
pub struct Patience {
    /// Values that may wait in memory, about 50 bytes each.
    pub capacity: usize,
    /// What happens while it is full: `false` drops and counts what comes, for a run that must not wait; `true` waits for
    /// room, as long as `deadline`, for records that are read from a file.
    pub wait_when_full: bool,
    /// How long values are collected before they are sent together.
    pub collect: Duration,
    /// So many are sent without waiting for more.
    pub most_collected: usize,
    /// Pause after the first request without an answer; it doubles with every further one.
    pub first_pause: Duration,
    /// No pause is longer.
    pub longest_pause: Duration,
    /// No pause is longer once the run is over and someone waits.
    pub pause_at_end: Duration,
    /// How long the end of a run waits for what is still to be sent.
    pub deadline: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            capacity: 100_000,
            wait_when_full: false,
            collect: Duration::from_secs(1),
            most_collected: 1000,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
            pause_at_end: Duration::from_secs(1),
            deadline: Duration::from_secs(5),
        }
    }
}

/// What became of the values of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// Values that the server has.
    pub num_sent: u64,
    /// Values that it does not have.
    pub num_missing: u64,
}

/// Sends the values of a run to a server from a thread of its own.
///
/// Recording costs a lock and a push, whatever the server does: about a microsecond. Values that are not resolved are not
/// sent. The thread ends with [`RecordSink::finish`], after [`Patience::deadline`] at the latest, or when this is dropped.
pub struct RemoteSink {
    queue: Arc<Queue>,
    warn: Warn,
    name: String,
    deadline: Duration,
    wait_when_full: bool,
    names: HashMap<String, Arc<str>>,
    started_millis: i64,
    latest_millis: i64,
}

impl RemoteSink {
    /// Begins to send the run of `manifest` to `target`. Does not wait for the server.
    ///
    /// # Errors
    /// [`ExportError::Refused`]: the system gives no thread.
    pub fn start(
        target: impl Target,
        manifest: &Manifest,
        patience: Patience,
        warn: Warn,
    ) -> Result<Self, ExportError> {
        let queue = Arc::new(Queue::new(patience.capacity));
        let (name, deadline, wait_when_full) = (target.name(), patience.deadline, patience.wait_when_full);
        let worker = Worker::new(target, Arc::clone(&queue), patience, Arc::clone(&warn));
        std::thread::Builder::new()
            .name("stepscope-remote".to_owned())
            .spawn(move || worker.run())
            .map_err(|source| ExportError::Refused { path: name.clone(), action: "be given a thread", source })?;
        let started_millis = i64::try_from(manifest.started_unix_seconds).unwrap_or(0).saturating_mul(1000);
        let names = HashMap::new();
        Ok(Self { queue, warn, name, deadline, wait_when_full, names, started_millis, latest_millis: started_millis })
    }

    /// What became of the values so far.
    pub fn delivery(&self) -> Delivery {
        let state = self.queue.lock();
        Delivery { num_sent: state.num_sent, num_missing: state.num_dropped + state.waiting.len() as u64 }
    }

    fn millis(&mut self, timing: Option<Timing>) -> i64 {
        if let Some(timing) = timing {
            self.latest_millis = self.started_millis + (timing.wall_seconds * 1e3) as i64;
        }
        self.latest_millis
    }

    fn shared_name(&mut self, name: &str) -> Arc<str> {
        if let Some(shared) = self.names.get(name) {
            return Arc::clone(shared);
        }
        let shared: Arc<str> = name.into();
        self.names.insert(name.to_owned(), Arc::clone(&shared));
        shared
    }
}

impl RecordSink for RemoteSink {
    fn record(&mut self, record: &Record) -> Result<(), ExportError> {
        match record {
            Record::Measurement(measurement) => {
                let unix_millis = self.millis(measurement.timing);
                if let Some(value) = measurement.value {
                    let name = self.shared_name(&measurement.name);
                    let point = Point { name, step: measurement.step.0, value, unix_millis };
                    self.queue.push(point, self.wait_when_full.then_some(self.deadline));
                }
            }
            Record::Event(event) => {
                let unix_millis = self.millis(event.timing);
                if let EventKind::RunEnded { reason } = &event.kind {
                    let end = End { succeeded: *reason == StopReason::Finished, unix_millis };
                    self.queue.change(|state| state.end = Some(end));
                }
            }
        }
        Ok(())
    }

    /// Waits for what is still to be sent, at most [`Patience::deadline`] (or, with [`Patience::wait_when_full`], as long as
    /// something arrives within every such span); says how much was not. Never an error.
    fn finish(&mut self) -> Result<(), ExportError> {
        self.queue.change(|state| state.is_last = true);
        loop {
            let before = self.delivery().num_sent;
            let is_done = self.queue.wait(Instant::now() + self.deadline, |state| state.is_done).is_done;
            let has_moved = self.delivery().num_sent > before;
            if is_done || !self.wait_when_full || !has_moved {
                break;
            }
        }
        self.queue.change(|state| state.is_abandoned = true);
        let Delivery { num_sent, num_missing } = self.delivery();
        if num_missing > 0 {
            let total = num_sent + num_missing;
            (self.warn)(&format!(
                "{}: {num_missing} of {total} values were not sent: they are in the run's records; export the run there to send it again",
                self.name
            ));
        }
        Ok(())
    }
}

impl Drop for RemoteSink {
    fn drop(&mut self) {
        self.queue.change(|state| state.is_abandoned = true);
    }
}
