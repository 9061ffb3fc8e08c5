//! What every export has in common: it takes records.

use stepscope_types::{Manifest, Record};

use crate::ExportError;

/// Takes in the records of one run, in their order, and writes them somewhere else.
pub trait RecordSink {
    /// Takes in a record.
    ///
    /// # Errors
    /// [`ExportError`]; what was taken in before is not harmed.
    fn record(&mut self, record: &Record) -> Result<(), ExportError>;

    /// Hands what is held back to the system, where the sink writes a file: what comes before a checkpoint is not recorded
    /// again after it.
    ///
    /// # Errors
    /// [`ExportError`].
    fn flush(&mut self) -> Result<(), ExportError> {
        Ok(())
    }

    /// Hands over everything that is still held back. Nothing is recorded afterwards.
    ///
    /// # Errors
    /// [`ExportError`].
    fn finish(&mut self) -> Result<(), ExportError>;
}

/// Takes in the records of several runs, one run after the other.
pub trait TableSink: RecordSink {
    /// The records that follow are those of this run. `run` tells it apart from the others of the table.
    fn begin_run(&mut self, run: &str, manifest: &Manifest);
}
