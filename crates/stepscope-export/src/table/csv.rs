//! Runs as comma-separated values, for whatever reads nothing else.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use stepscope_types::{Manifest, Record};

use super::row::{self, Cell, cells};
use crate::partial_file::PartialFile;
use crate::{ExportError, RecordSink, TableSink};

/// Writes the measurements of one or more runs to a CSV file with the columns of [`crate::table`].
///
/// The first line has the names. Floats are written with as many digits as tell them apart, empty cells stay empty, text
/// is quoted where it holds a comma, a quote or a line break. The file appears under its name once it is whole.
pub struct CsvTable {
    file: BufWriter<File>,
    partial: PartialFile,
    run: String,
    line: String,
}

impl CsvTable {
    /// Begins a table at `path`, whose folder is there.
    ///
    /// # Errors
    /// [`ExportError::Refused`].
    pub fn create(path: &Path) -> Result<Self, ExportError> {
        let (partial, file) = PartialFile::create(path)?;
        let names: Vec<&str> = row::columns().map(|(name, _, _)| name).collect();
        let line = names.join(",") + "\n";
        let mut table = Self { file: BufWriter::new(file), partial, run: String::new(), line };
        table.write()?;
        Ok(table)
    }

    fn write(&mut self) -> Result<(), ExportError> {
        self.file.write_all(self.line.as_bytes()).map_err(ExportError::refused(self.partial.path(), "be written"))
    }
}

impl TableSink for CsvTable {
    fn begin_run(&mut self, run: &str, _manifest: &Manifest) {
        run.clone_into(&mut self.run);
    }
}

impl RecordSink for CsvTable {
    fn record(&mut self, record: &Record) -> Result<(), ExportError> {
        let Record::Measurement(measurement) = record else { return Ok(()) };
        self.line.clear();
        let row = cells(&self.run, measurement);
        for (index, (_, _, cell)) in row.iter().enumerate() {
            if index > 0 {
                self.line.push(',');
            }
            push(&mut self.line, *cell);
        }
        self.line.push('\n');
        self.write()
    }

    fn finish(&mut self) -> Result<(), ExportError> {
        self.file.flush().map_err(ExportError::refused(self.partial.path(), "be written"))?;
        self.partial.finish(self.file.get_ref())
    }
}

fn push(line: &mut String, cell: Cell<'_>) {
    // Writing into a `String` cannot fail.
    let _ = match cell {
        Cell::Text(None) | Cell::Integer(None) | Cell::Float(None) => Ok(()),
        Cell::Integer(Some(number)) => write!(line, "{number}"),
        Cell::Float(Some(number)) => write!(line, "{number:?}"),
        Cell::Text(Some(text)) if text.contains([',', '"', '\n', '\r']) => {
            write!(line, "\"{}\"", text.replace('"', "\"\""))
        }
        Cell::Text(Some(text)) => write!(line, "{text}"),
    };
}
