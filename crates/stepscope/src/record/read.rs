//! Records read back: for exporting a run, and for comparing two.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use stepscope_types::Record;

use super::error::RecordError;

/// No record comes near this length: what is longer is no record, and is not read into memory.
const LONGEST_LINE: u64 = 16 << 20;

/// The records of a file, one after the other, in its order: memory does not grow with the file.
///
/// A last line that does not end in a newline is left out: a run that was killed while writing leaves one. Nothing comes
/// after an error.
#[derive(Debug)]
pub struct RecordReader {
    reader: BufReader<File>,
    file: String,
    line: usize,
    text: Vec<u8>,
    has_failed: bool,
}

impl RecordReader {
    /// Begins to read a record file.
    ///
    /// # Errors
    /// [`RecordError::Refused`].
    pub fn open(path: &Path) -> Result<Self, RecordError> {
        let file = path.display().to_string();
        match File::open(path) {
            Ok(opened) => {
                Ok(Self { reader: BufReader::new(opened), file, line: 0, text: Vec::new(), has_failed: false })
            }
            Err(source) => Err(RecordError::Refused { path: file, action: "be read", source }),
        }
    }

    fn try_next(&mut self) -> Result<Option<Record>, RecordError> {
        self.text.clear();
        self.line += 1;
        let limited = &mut (&mut self.reader).take(LONGEST_LINE);
        limited.read_until(b'\n', &mut self.text).map_err(|source| RecordError::Refused {
            path: self.file.clone(),
            action: "be read",
            source,
        })?;
        let is_whole = self.text.last() == Some(&b'\n');
        if !is_whole && (self.text.len() as u64) < LONGEST_LINE {
            return Ok(None);
        }
        serde_json::from_slice(&self.text).map(Some).map_err(|error| RecordError::Line {
            file: self.file.clone(),
            line: self.line,
            reason: error.to_string(),
        })
    }
}

impl Iterator for RecordReader {
    type Item = Result<Record, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        let next = self.try_next().transpose();
        self.has_failed = matches!(next, Some(Err(_)));
        next
    }
}

/// The records of a file, in its order, all at once.
///
/// # Errors
/// [`RecordError`]: the file cannot be read, or a line is no record.
pub fn read_records(path: &Path) -> Result<Vec<Record>, RecordError> {
    RecordReader::open(path)?.collect()
}

/// As [`read_records`], from bytes; `file` stands in messages.
///
/// # Errors
/// [`RecordError::Line`]: a whole line is no record.
pub fn parse_records(bytes: &[u8], file: &str) -> Result<Vec<Record>, RecordError> {
    let end = bytes.iter().rposition(|&byte| byte == b'\n');
    let lines = end.map(|end| bytes[..end].split(|&byte| byte == b'\n')).into_iter().flatten();
    lines
        .enumerate()
        .map(|(index, line)| {
            serde_json::from_slice(line).map_err(|error| RecordError::Line {
                file: file.to_owned(),
                line: index + 1,
                reason: error.to_string(),
            })
        })
        .collect()
}

/// The records of a file as text, one a line, without their times: two runs of one specification with the same
/// seeds, machine and number of threads agree in it to the byte.
///
/// # Errors
/// As [`read_records`].
pub fn records_without_timing(path: &Path) -> Result<String, RecordError> {
    let mut text = String::new();
    for (index, record) in read_records(path)?.into_iter().enumerate() {
        let line = serde_json::to_string(&record.without_timing()).map_err(|error| RecordError::Line {
            file: path.display().to_string(),
            line: index + 1,
            reason: error.to_string(),
        })?;
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    use crate::record::{RecordWriter, SystemFiles};
    use stepscope_types::{Estimate, EventKind, EventRecord, Measurement, Step, Timing, Uncertainty};

    fn run(loss: f64, seconds: f64) -> Vec<Record> {
        let timing = Some(Timing { wall_seconds: seconds, cost_seconds: None });
        let estimate = Estimate::new(loss, "nat", Uncertainty::StandardError(0.1));
        let measurement = Measurement::new(Step(1), 0.5, "train/loss", estimate.into());
        vec![
            Record::Event(EventRecord { step: Step(0), epoch: 0.0, kind: EventKind::RunStarted, timing }),
            Record::Measurement(Measurement { timing, ..measurement }),
        ]
    }

    fn write(folder: &Path, name: &str, records: &[Record]) -> std::path::PathBuf {
        let path = folder.join(name);
        RecordWriter::create(&SystemFiles, &path).unwrap().append(records).unwrap();
        path
    }

    #[test]
    fn runs_that_differ_in_time_alone_have_the_same_text() {
        let folder = tempfile::tempdir().unwrap();
        let text = |name, records: &[Record]| records_without_timing(&write(folder.path(), name, records)).unwrap();
        let first = text("a", &run(0.1, 1.0));
        assert_eq!(first, text("b", &run(0.1, 2.5)));
        assert_ne!(first, text("c", &run(0.1 + 1e-16, 1.0)), "one unit in the last place is a difference");
        assert!(!first.contains("timing"));
    }

    #[test]
    fn a_torn_last_line_is_left_out_and_a_torn_inner_line_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), "a", &run(0.1, 1.0));
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{whole}{{\"record\":")).unwrap();
        assert_eq!(read_records(&path).unwrap(), run(0.1, 1.0));
        fs::write(&path, format!("{whole}{{\"record\":\n{whole}")).unwrap();
        let message = read_records(&path).unwrap_err().to_string();
        assert!(message.contains("a:3: is no record"), "{message}");
        fs::write(&path, "").unwrap();
        assert_eq!(read_records(&path).unwrap(), []);
        assert!(matches!(read_records(folder.path()), Err(RecordError::Refused { .. })));
    }
}
