//! Lines of a text file one at a time, with a limit on their length.

use std::io::{BufRead, Read};
use std::path::Path;

use super::error::{Place, SourceError};

/// Longest line that is taken, in bytes: three numbers need a hundred.
const LONGEST_LINE: usize = 64 * 1024;

/// Reads line by line; one line is in memory at a time, whatever the file.
pub(super) struct Lines<'a, R> {
    path: &'a Path,
    reader: R,
    number: usize,
    buffer: Vec<u8>,
}

impl<'a, R: BufRead> Lines<'a, R> {
    pub(super) fn new(path: &'a Path, reader: R) -> Self {
        Self { path, reader, number: 0, buffer: Vec::new() }
    }

    /// The next line that is not blank, without its line end, and its number.
    ///
    /// # Errors
    /// [`SourceError`] for a failing read, a line that is too long or no UTF-8.
    pub(super) fn next_line(&mut self) -> Result<Option<(Place<'a>, &str)>, SourceError> {
        loop {
            self.buffer.clear();
            let limit = LONGEST_LINE as u64 + 1;
            let count = self.reader.by_ref().take(limit).read_until(b'\n', &mut self.buffer);
            if count.map_err(SourceError::read(self.path))? == 0 {
                return Ok(None);
            }
            self.number += 1;
            if self.number == 1 && self.buffer.starts_with(b"\xef\xbb\xbf") {
                self.buffer.drain(..3);
            }
            if self.buffer.len() > LONGEST_LINE || !self.buffer.trim_ascii().is_empty() {
                break;
            }
        }
        let place = Place { path: self.path, line: self.number, column: 1 };
        if self.buffer.len() > LONGEST_LINE {
            let got = format!("a line of more than {LONGEST_LINE} bytes");
            return Err(place.error(got, "one mode a line", "put every mode on a line of its own"));
        }
        match std::str::from_utf8(&self.buffer) {
            Ok(text) => Ok(Some((place, text.trim_end_matches(['\n', '\r'])))),
            Err(error) => {
                let before = String::from_utf8_lossy(&self.buffer[..error.valid_up_to()]).chars().count();
                let got = format!("the byte 0x{:02x}", self.buffer[error.valid_up_to()]);
                let advice = "save the file as UTF-8 text, or give a .npy file as numpy.save writes it";
                Err(place.at_column(before + 1).error(got, "UTF-8 text", advice))
            }
        }
    }
}
