//! Runs as Parquet.

use std::path::{Path, PathBuf};

use stepscope_types::{Manifest, Record};

use super::columns::Column;
use super::parquet_file::ParquetFile;
use super::row::{self, cells};
use super::runs::RunsTable;
use crate::{ExportError, RecordSink, TableSink};

/// Rows that are held in memory before they are written: about 10 MB, however long the runs are.
const ROWS_IN_A_GROUP: usize = 1 << 16;

/// Writes the measurements of one or more runs to a Parquet file, and what ran to a second one beside it.
///
/// `metrics.parquet` is the long table of [`crate::table`]. `metrics.runs.parquet` has one row a run: name, data, network,
/// versions, why it ended, its events as JSON, and a column for every key of the specifications, as `--set` takes them:
/// a join over `run` gives every measurement its learning rate. Both are written under temporary names and renamed, the
/// table of runs last; what was not finished leaves nothing behind.
///
/// Text is stored by dictionary and everything is compressed with Snappy.
///
/// Memory: about 10 MB, and the manifests and events of the runs.
pub struct ParquetTable {
    file: ParquetFile,
    /// In the order of [`cells`].
    columns: Vec<Column>,
    runs: RunsTable,
    runs_path: PathBuf,
    num_rows: u64,
}

impl ParquetTable {
    /// Begins a table at `path`, whose folder is there.
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn create(path: &Path) -> Result<Self, ExportError> {
        let columns: Vec<Column> =
            row::columns().map(|(name, kind, may_be_empty)| Column::new(name, kind, may_be_empty)).collect();
        Ok(Self {
            file: ParquetFile::create(path, &columns)?,
            columns,
            runs: RunsTable::default(),
            runs_path: path.with_extension("runs.parquet"),
            num_rows: 0,
        })
    }

    /// Where the table of runs is written: `metrics.runs.parquet` beside `metrics.parquet`.
    pub fn runs_path(&self) -> &Path {
        &self.runs_path
    }

    /// Measurements so far.
    pub fn num_rows(&self) -> u64 {
        self.num_rows
    }
}

impl TableSink for ParquetTable {
    fn begin_run(&mut self, run: &str, manifest: &Manifest) {
        self.runs.begin(run, manifest);
    }
}

impl RecordSink for ParquetTable {
    fn record(&mut self, record: &Record) -> Result<(), ExportError> {
        match record {
            Record::Event(event) => self.runs.event(event),
            Record::Measurement(measurement) => {
                let row = cells(self.runs.current(), measurement);
                self.columns.iter_mut().zip(row).for_each(|(column, (_, _, cell))| column.push(cell));
                self.num_rows += 1;
                if self.columns[0].num_rows() == ROWS_IN_A_GROUP {
                    self.file.append(&mut self.columns)?;
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), ExportError> {
        if self.columns[0].num_rows() > 0 {
            self.file.append(&mut self.columns)?;
        }
        self.file.finish()?;
        self.runs.write(&self.runs_path)
    }
}
