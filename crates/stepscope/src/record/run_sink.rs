//! The sink that fills a run's folder.

use std::time::{Duration, Instant};

use super::error::RecordError;
use super::jsonl::RecordWriter;
use super::run_folder::RunFolder;
use crate::checkpoint::CheckpointWriter;
use crate::train::{Event, Sink, SinkError};

/// Writes records as lines, states as checkpoints where it was given a writer of them, and spectra as files.
///
/// Lines are collected for a tenth of a second at most, so that many scalars a step cost one write. What a process that is
/// killed has not written yet, a resumed run records again.
#[derive(Debug)]
pub struct RunSink {
    records: RecordWriter,
    checkpoints: Option<CheckpointWriter>,
    spectra: Option<RunFolder>,
    last_flush: Instant,
}

impl RunSink {
    /// Lines wait no longer than this for others.
    const PATIENCE: Duration = Duration::from_millis(100);
    /// Nor do they wait once they are so many bytes.
    const MOST_PENDING: usize = 1 << 16;

    /// A sink into these files.
    pub fn new(records: RecordWriter, checkpoints: Option<CheckpointWriter>) -> Self {
        Self { records, checkpoints, spectra: None, last_flush: Instant::now() }
    }

    /// The same sink, which also keeps spectra in `folder`; without it they are dropped.
    #[must_use]
    pub fn keeping_spectra_in(mut self, folder: RunFolder) -> Self {
        self.spectra = Some(folder);
        self
    }

    /// Returns once everything received is on the device: for the end of a run, whatever ended it.
    ///
    /// # Errors
    /// [`RecordError`] of records or checkpoints that could not be written.
    pub fn finish(&mut self) -> Result<(), RecordError> {
        self.flush()?;
        self.records.sync()?;
        self.checkpoints.as_mut().map_or(Ok(()), CheckpointWriter::wait)?;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), RecordError> {
        self.last_flush = Instant::now();
        self.records.flush()
    }

    fn take(&mut self, event: &Event) -> Result<(), RecordError> {
        if let Event::RunEnded { .. } = event {
            // A run that says that it ended has everything that it counts on, its last checkpoint included.
            self.finish()?;
        }
        event.write(|record| self.records.push(&record));
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.check()?;
        }
        match event {
            Event::Checkpoint(snapshot) => {
                self.flush()?;
                let mark = self.records.mark();
                self.checkpoints.as_mut().map_or(Ok(()), |writer| writer.write(snapshot.clone(), mark))?;
            }
            Event::RunEnded { .. } => self.finish()?,
            Event::Spectrum(spectrum) => {
                self.spectra.as_ref().map_or(Ok(()), |folder| folder.keep_spectrum(spectrum).map(drop))?;
            }
            Event::RunStarted { .. } | Event::RunResumed { .. } => self.flush()?,
            Event::StepTaken { .. } | Event::Measured(_) | Event::Decided { .. } | Event::ReadingsLeftOut { .. } => {
                let is_due =
                    self.records.num_pending_bytes() > Self::MOST_PENDING || self.last_flush.elapsed() > Self::PATIENCE;
                if is_due {
                    self.flush()?;
                }
            }
        }
        Ok(())
    }
}

impl Sink for RunSink {
    fn receive(&mut self, event: &Event) -> Result<(), SinkError> {
        self.take(event).map_err(|error| SinkError(Box::new(error)))
    }
}

/// Lines that wait are written where nobody said [`RunSink::finish`]: a run that failed keeps what it recorded.
impl Drop for RunSink {
    fn drop(&mut self) {
        // Nobody is left to tell.
        let _ = self.records.flush();
    }
}
