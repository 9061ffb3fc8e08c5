//! Event files read back: for tests, and for whoever wants to look into one without TensorBoard.

use std::fs;
use std::path::Path;

use super::event::{SESSION_START, field};
use super::frame::{self, Frame};
use super::protobuf::{Value, fields};
use crate::ExportError;

/// One record of an event file.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedEvent {
    /// Seconds since 1970.
    pub wall_time: f64,
    /// Updates applied before it; 0 where the record has none.
    pub step: u64,
    /// What it holds.
    pub data: LoggedData,
}

/// What a record holds.
#[derive(Debug, Clone, PartialEq)]
pub enum LoggedData {
    /// The layout of the file: its first record.
    FileVersion(String),
    /// A process began or went on here.
    SessionStart,
    /// A number of a tag.
    Scalar {
        /// The tag.
        tag: String,
        /// The number.
        value: f32,
        /// What is shown beside the tag; with its first value only.
        description: Option<String>,
    },
    /// A histogram of a tag.
    Histogram {
        /// The tag.
        tag: String,
        /// The left end of the first bucket.
        min: f64,
        /// The right end of each bucket, ascending.
        limits: Vec<f64>,
        /// The weight in each bucket.
        weights: Vec<f64>,
        /// What is shown beside the tag; with its first value only.
        description: Option<String>,
    },
    /// A text of a tag.
    Text {
        /// The tag.
        tag: String,
        /// The text.
        text: String,
    },
    /// Something else that is in order: content of a plugin, or of another writer.
    Other,
}

/// The records of an event file, in its order. A last record that is cut off, as a process that was killed leaves it, is
/// left out.
///
/// # Errors
/// [`ExportError::Refused`], or [`ExportError::EventFile`] with the place of the first record that is damaged.
pub fn read_event_file(path: &Path) -> Result<Vec<LoggedEvent>, ExportError> {
    let bytes = fs::read(path).map_err(ExportError::refused(path, "be read"))?;
    let broken = |rest: &[u8], what: &str| ExportError::EventFile {
        path: path.display().to_string(),
        offset: (bytes.len() - rest.len()) as u64,
        what: what.to_owned(),
    };
    let (mut events, mut rest) = (Vec::new(), bytes.as_slice());
    loop {
        match frame::first(rest) {
            Frame::CutOff => return Ok(events),
            Frame::Broken(what) => return Err(broken(rest, what)),
            Frame::Whole { payload, rest: next } => {
                events.push(event(payload).ok_or_else(|| broken(rest, "the record holds no event"))?);
                rest = next;
            }
        }
    }
}

fn event(payload: &[u8]) -> Option<LoggedEvent> {
    let mut event = LoggedEvent { wall_time: 0.0, step: 0, data: LoggedData::Other };
    for (number, value) in fields(payload)? {
        match number {
            field::event::WALL_TIME => event.wall_time = value.double()?,
            field::event::STEP => event.step = value.varint()?,
            field::event::FILE_VERSION => event.data = LoggedData::FileVersion(value.text()?),
            field::event::SUMMARY => {
                if let Some(value) = find(value.bytes()?, field::summary::VALUE)? {
                    event.data = summary_value(value.bytes()?)?;
                }
            }
            field::event::SESSION_LOG => {
                let status = find(value.bytes()?, field::session::STATUS)?.and_then(Value::varint);
                if status == Some(SESSION_START) {
                    event.data = LoggedData::SessionStart;
                }
            }
            _ => {}
        }
    }
    Some(event)
}

/// The first field of that number: `None` where the bytes are no message, `Some(None)` where it has no such field.
fn find(bytes: &[u8], number: u32) -> Option<Option<Value<'_>>> {
    Some(fields(bytes)?.into_iter().find(|(field, _)| *field == number).map(|(_, value)| value))
}

fn summary_value(bytes: &[u8]) -> Option<LoggedData> {
    let tag = find(bytes, field::value::TAG)??.text()?;
    let description = match find(bytes, field::value::METADATA)? {
        Some(metadata) => find(metadata.bytes()?, field::metadata::DESCRIPTION)?.and_then(Value::text),
        None => None,
    };
    if let Some(value) = find(bytes, field::value::SIMPLE_VALUE)? {
        return Some(LoggedData::Scalar { tag, value: value.float()?, description });
    }
    if let Some(histogram) = find(bytes, field::value::HISTOGRAM)? {
        let part = |number| find(histogram.bytes()?, number)?;
        return Some(LoggedData::Histogram {
            tag,
            min: part(1)?.double()?,
            limits: part(6)?.packed_doubles()?,
            weights: part(7)?.packed_doubles()?,
            description,
        });
    }
    if let Some(tensor) = find(bytes, field::value::TENSOR)? {
        let text = find(tensor.bytes()?, field::tensor::STRING)?.and_then(Value::text);
        return Some(
            text.filter(|text| !text.is_empty()).map_or(LoggedData::Other, |text| LoggedData::Text { tag, text }),
        );
    }
    Some(LoggedData::Other)
}
