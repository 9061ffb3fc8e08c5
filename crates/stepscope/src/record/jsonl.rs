//! `metrics.jsonl`: one JSON object a line, appended and never changed.

use std::io;
use std::path::Path;

use serde::Serialize;
use stepscope_types::Record;

use super::error::RecordError;
use super::files::{Files, RecordFile};
use crate::checkpoint::RecordsMark;

/// Appends records to a file that holds whole lines at all times.
///
/// The lines of one [`RecordWriter::flush`] are handed over in one piece. If that fails, the file is cut back to
/// its last whole line; if even that fails, it is tried again before anything else is written.
#[derive(Debug)]
pub struct RecordWriter<F: RecordFile = Box<dyn RecordFile + Send>> {
    file: F,
    name: String,
    /// Up to the end of the last whole line.
    mark: RecordsMark,
    /// Whether bytes of a broken line may follow.
    torn: bool,
    /// Lines that the file does not have yet.
    buffer: Vec<u8>,
}

impl RecordWriter {
    /// Creates the file.
    ///
    /// # Errors
    /// [`RecordError::Refused`], also if the file is there: two runs must not write into one.
    pub fn create(files: &dyn Files, path: &Path) -> Result<Self, RecordError> {
        let refused = |source| RecordError::Refused { path: path.display().to_string(), action: "be created", source };
        if files.is_there(path) {
            return Err(refused(io::ErrorKind::AlreadyExists.into()));
        }
        files.create(path).map(|file| Self::new(file, path.display().to_string())).map_err(refused)
    }

    /// Goes on with a file up to `mark`; what follows is cut off.
    ///
    /// # Errors
    /// [`RecordError::Refused`].
    pub fn reopen(files: &dyn Files, path: &Path, mark: RecordsMark) -> Result<Self, RecordError> {
        let name = path.display().to_string();
        let open = || -> io::Result<_> {
            let mut file = files.open(path)?;
            file.cut(mark.length)?;
            Ok(file)
        };
        match open() {
            Ok(file) => Ok(Self { mark, ..Self::new(file, name) }),
            Err(source) => Err(RecordError::Refused { path: name, action: "be opened and cut", source }),
        }
    }
}

impl<F: RecordFile> RecordWriter<F> {
    /// Writes to `file`, which is empty; `name` stands in messages.
    pub fn new(file: F, name: String) -> Self {
        Self { file, name, mark: RecordsMark::default(), torn: false, buffer: Vec::new() }
    }

    /// Appends one line for each record.
    ///
    /// # Errors
    /// As [`RecordWriter::flush`].
    pub fn append(&mut self, records: &[Record]) -> Result<(), RecordError> {
        for record in records {
            self.push(record);
        }
        self.flush()
    }

    /// Takes one line in, and writes nothing yet. Cost: about half a microsecond.
    pub fn push(&mut self, record: &impl Serialize) {
        // Records have words for keys and finite numbers or null for values: their JSON cannot fail.
        if serde_json::to_writer(&mut self.buffer, record).is_ok() {
            self.buffer.push(b'\n');
        }
    }

    /// Bytes that were taken in and not written yet.
    pub fn num_pending_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Writes what was taken in.
    ///
    /// # Errors
    /// [`RecordError::Append`] says how many of the lines are in the file; the others are gone from here and can be
    /// appended again.
    pub fn flush(&mut self) -> Result<(), RecordError> {
        let mut written = 0;
        let outcome = self.try_write(&mut written);
        let buffer = std::mem::take(&mut self.buffer);
        let whole = buffer[..written].iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
        self.mark.length += whole as u64;
        self.mark.crc32c = crc32c::crc32c_append(self.mark.crc32c, &buffer[..whole]);
        let lines = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte == b'\n').count();
        match outcome {
            Ok(()) => {
                self.buffer = buffer;
                self.buffer.clear();
                Ok(())
            }
            Err(source) => {
                if written > whole {
                    self.torn = self.file.cut(self.mark.length).is_err();
                }
                Err(RecordError::Append {
                    file: self.name.clone(),
                    source,
                    length: self.mark.length,
                    num_written: lines(&buffer[..whole]),
                    num_records: lines(&buffer),
                })
            }
        }
    }

    /// `written` counts the bytes of the buffer that the file took, also when the rest was refused.
    fn try_write(&mut self, written: &mut usize) -> io::Result<()> {
        if self.torn {
            self.file.cut(self.mark.length)?;
            self.torn = false;
        }
        while *written < self.buffer.len() {
            match self.file.write(&self.buffer[*written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => *written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.file.flush()
    }

    /// Returns once every record is on the device: some file systems report a full disk only then.
    ///
    /// # Errors
    /// [`RecordError::Refused`].
    pub fn sync(&mut self) -> Result<(), RecordError> {
        self.file.sync().map_err(|source| RecordError::Refused {
            path: self.name.clone(),
            action: "be written to the device",
            source,
        })
    }

    /// How far the file goes: the end of its last whole line, with a checksum up to there.
    pub fn mark(&self) -> RecordsMark {
        self.mark
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::SystemFiles;
    use std::io::Write;
    use stepscope_types::{Estimate, EventKind, EventRecord, Measurement, Step, StopReason, Uncertainty};

    /// A disk in memory that takes `space` bytes and then is full.
    #[derive(Debug, Default)]
    struct SmallDisk {
        bytes: Vec<u8>,
        space: usize,
        cuts_fail: bool,
    }

    impl Write for SmallDisk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = self.space.saturating_sub(self.bytes.len()).min(bytes.len());
            if room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.bytes.extend(&bytes[..room]);
            Ok(room)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl RecordFile for SmallDisk {
        fn cut(&mut self, length: u64) -> io::Result<()> {
            if self.cuts_fail {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            self.bytes.truncate(length as usize);
            Ok(())
        }

        fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn records() -> Vec<Record> {
        let measured = |step| {
            let estimate = Estimate::new(0.1 * step as f64, "nat", Uncertainty::Exact);
            Record::Measurement(Measurement::new(Step(step), 0.5, "train/loss", estimate.into()))
        };
        let ended = EventKind::RunEnded { reason: StopReason::Finished };
        let end = Record::Event(EventRecord { step: Step(3), epoch: 1.0, kind: ended, timing: None });
        vec![measured(0), measured(1), measured(2), end]
    }

    fn text(records: &[Record]) -> Vec<u8> {
        let mut writer = RecordWriter::new(SmallDisk { space: usize::MAX, ..SmallDisk::default() }, "all".to_owned());
        writer.append(records).unwrap();
        writer.file.bytes
    }

    #[test]
    fn a_record_is_a_line_and_the_same_records_are_the_same_bytes() {
        let all = text(&records());
        assert_eq!(all, text(&records()));
        let parsed: Vec<Record> =
            std::str::from_utf8(&all).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(parsed, records());
        assert_eq!(all.last(), Some(&b'\n'));
    }

    #[test]
    fn a_disk_that_fills_up_at_any_byte_leaves_whole_lines() {
        let (records, all) = (records(), text(&records()));
        for space in 0..all.len() {
            let mut writer = RecordWriter::new(SmallDisk { space, ..SmallDisk::default() }, "small".to_owned());
            let outcome = writer.append(&records[..1]).and_then(|()| writer.append(&records[1..]));
            assert!(outcome.is_err(), "{space}");
            let whole = all[..space].iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
            assert_eq!(writer.file.bytes, all[..whole], "{space}");
            assert_eq!(writer.mark.length, whole as u64, "{space}");
        }
    }

    #[test]
    fn after_a_full_disk_the_rest_can_be_appended() {
        let (records, all) = (records(), text(&records()));
        for (space, cuts_fail) in (0..all.len()).flat_map(|space| [(space, false), (space, true)]) {
            let disk = SmallDisk { space, cuts_fail, ..SmallDisk::default() };
            let mut writer = RecordWriter::new(disk, "small".to_owned());
            let Err(RecordError::Append { num_written, length, num_records, .. }) = writer.append(&records) else {
                panic!("{space}")
            };
            let lines = all[..length as usize].iter().filter(|&&byte| byte == b'\n').count();
            assert_eq!((num_written, num_records), (lines, 4));
            (writer.file.space, writer.file.cuts_fail) = (usize::MAX, false);
            writer.append(&records[num_written..]).unwrap();
            assert_eq!(writer.file.bytes, all, "{space}, {cuts_fail}");
        }
    }

    #[test]
    fn while_a_torn_line_cannot_be_cut_nothing_is_appended_to_it() {
        let disk = SmallDisk { space: 10, cuts_fail: true, ..SmallDisk::default() };
        let mut writer = RecordWriter::new(disk, "torn".to_owned());
        assert!(writer.append(&records()).is_err());
        writer.file.space = usize::MAX;
        assert!(writer.append(&records()).is_err());
        assert_eq!(writer.file.bytes.len(), 10);
    }

    #[test]
    fn the_message_says_what_is_safe() {
        let all = text(&records());
        let first = all.iter().position(|&byte| byte == b'\n').unwrap() + 1;
        let mut writer =
            RecordWriter::new(SmallDisk { space: first + 3, ..SmallDisk::default() }, "metrics.jsonl".to_owned());
        assert_eq!(
            writer.append(&records()).unwrap_err().to_string(),
            format!(
                "metrics.jsonl: cannot append records (no storage space): the file holds whole lines up to byte {first}, 1 of the 4 new records among them; free some space and run again"
            )
        );
    }

    #[test]
    fn a_real_file_is_cut_and_goes_on_where_it_was_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut writer = RecordWriter::create(&SystemFiles, &path).unwrap();
        writer.append(&records()[..2]).unwrap();
        writer.file.write_all(b"{\"torn").unwrap();
        writer.torn = true;
        writer.append(&records()[2..]).unwrap();
        writer.sync().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), text(&records()));
        let whole = writer.mark();
        let checksum = crc32c::crc32c(&text(&records()));
        assert_eq!(whole, RecordsMark { length: text(&records()).len() as u64, crc32c: checksum });
        drop(writer);
        let half = text(&records()[..2]);
        let mark = RecordsMark { length: half.len() as u64, crc32c: crc32c::crc32c(&half) };
        let mut writer = RecordWriter::reopen(&SystemFiles, &path, mark).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), half, "what follows the mark is gone");
        writer.append(&records()[2..]).unwrap();
        assert_eq!((std::fs::read(&path).unwrap(), writer.mark()), (text(&records()), whole));
        let message = RecordWriter::create(&SystemFiles, &path).unwrap_err().to_string();
        assert!(message.contains("metrics.jsonl: cannot be created"), "{message}");
    }
}
