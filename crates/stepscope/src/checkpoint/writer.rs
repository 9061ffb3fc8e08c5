//! Checkpoints written beside the training, in a thread of their own.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::error::CheckpointError;
use super::format::{Checkpoint, RecordsMark};
use super::store::{Checkpoints, Retention};
use crate::record::files::Files;
use crate::train::Snapshot;

/// Writes snapshots as checkpoints while training goes on.
///
/// One is written at a time and one may wait; a third waits for the first, so that memory stays bounded when the
/// device is slower than the run. The records that a checkpoint counts on are on the device before it gets its name.
#[derive(Debug)]
pub struct CheckpointWriter {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    progress: Arc<Mutex<Progress>>,
}

#[derive(Debug)]
enum Job {
    Write(Arc<Snapshot>, RecordsMark),
    /// Answers once everything before it is done.
    Answer(SyncSender<()>),
}

#[derive(Debug, Default)]
struct Progress {
    error: Option<CheckpointError>,
}

/// What the thread works on.
struct Work {
    checkpoints: Checkpoints,
    retention: Retention,
    spec: String,
    records: PathBuf,
    files: Arc<dyn Files>,
    progress: Arc<Mutex<Progress>>,
}

impl CheckpointWriter {
    /// A writer into `checkpoints` for the run whose specification has the hash `spec` and whose records are in the
    /// file `records`.
    pub fn new(
        checkpoints: Checkpoints,
        retention: Retention,
        spec: String,
        files: Arc<dyn Files>,
        records: PathBuf,
    ) -> Self {
        let (jobs, queue) = sync_channel(1);
        let progress = Arc::<Mutex<Progress>>::default();
        let work = Work { checkpoints, retention, spec, records, files, progress: Arc::clone(&progress) };
        let thread = std::thread::spawn(move || work.run(&queue));
        Self { jobs: Some(jobs), thread: Some(thread), progress }
    }

    /// Hands a snapshot over, with how far the records go. Returns at once unless two are on their way already.
    ///
    /// # Errors
    /// [`CheckpointError`] of an earlier snapshot.
    pub fn write(&mut self, snapshot: Arc<Snapshot>, records: RecordsMark) -> Result<(), CheckpointError> {
        self.check()?;
        if let Some(jobs) = &self.jobs {
            // The thread ends only with the sender: what it could not write is in `progress`.
            let _ = jobs.send(Job::Write(snapshot, records));
        }
        Ok(())
    }

    /// The error of an earlier snapshot, once.
    ///
    /// # Errors
    /// [`CheckpointError`], if there was one that nobody was told of.
    pub fn check(&mut self) -> Result<(), CheckpointError> {
        let error = self.progress.lock().unwrap_or_else(PoisonError::into_inner).error.take();
        error.map_or(Ok(()), Err)
    }

    /// Returns once everything handed over is on the device.
    ///
    /// # Errors
    /// [`CheckpointError`] of a snapshot that could not be written.
    pub fn wait(&mut self) -> Result<(), CheckpointError> {
        let (answer, answered) = sync_channel(1);
        if let Some(jobs) = &self.jobs
            && jobs.send(Job::Answer(answer)).is_ok()
        {
            // A thread that is gone answers by dropping its end.
            let _ = answered.recv();
        }
        self.check()
    }
}

impl Drop for CheckpointWriter {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // Its errors are values in `progress`.
            let _ = thread.join();
        }
    }
}

impl Work {
    fn run(&self, queue: &Receiver<Job>) {
        for job in queue {
            match job {
                Job::Write(snapshot, records) => {
                    if let Err(error) = self.write(&snapshot, records) {
                        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
                        progress.error.get_or_insert(error);
                    }
                }
                // Whoever asked may have gone away.
                Job::Answer(answer) => drop(answer.send(())),
            }
        }
    }

    fn write(&self, snapshot: &Snapshot, records: RecordsMark) -> Result<(), CheckpointError> {
        let synced = self.files.sync(&self.records);
        synced.map_err(|source| CheckpointError::Refused {
            file: self.records.display().to_string(),
            action: "be written to the device",
            source,
        })?;
        self.checkpoints.save(&Checkpoint {
            step: snapshot.step,
            spec: self.spec.clone(),
            records,
            wall_seconds: snapshot.wall_seconds,
            state: Arc::clone(&snapshot.state),
        })?;
        // While losses are out of bounds, what was saved before them may be the last that is any good.
        if snapshot.is_calm { self.checkpoints.thin(snapshot.step, self.retention) } else { Ok(()) }
    }
}
