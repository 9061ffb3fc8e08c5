//! Writes one event file.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use stepscope_types::Spectrum;

use super::event::{self, Data, Moment};
use super::frame;
use super::histogram::Histogram;
use super::protobuf::Message;
use crate::ExportError;

/// What the name of every event file begins with.
const PREFIX: &str = "events.out.tfevents.";

/// How long events may wait in memory. TensorBoard itself looks every five seconds.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How many bytes of events may wait in memory.
const MOST_WAITING: usize = 64 << 10;

/// Writes scalars, histograms and text to a new event file, which TensorBoard may read meanwhile.
///
/// Events are handed to the system in whole records after a second or 64 KiB, whichever comes first, and when the writer
/// is dropped; a process that is killed loses what waited. A reader takes a record that is cut off for one that is still
/// being written. One folder is one run: TensorBoard follows its newest file.
///
/// Cost: 30 to 100 bytes an event in the file.
///
/// Source: `curvature`, section 6.2.
///
/// ```
/// use stepscope_export::tensorboard::{EventFileWriter, Moment, read_event_file};
/// use stepscope_types::{Spectrum, Step};
/// let folder = tempfile::tempdir()?;
/// let mut events = EventFileWriter::create(folder.path())?;
/// let at = Moment { step: Step(10), wall_time: 1.7e9 };
/// events.describe("train/loss", "Mean loss, in nats.");
/// events.scalar("train/loss", at, 0.25)?;
/// events.histogram("curvature/spectrum", at, &Spectrum::new(vec![2.0, 0.1], vec![0.01, 0.99])?)?;
/// events.text("run/note", at, "A **note** in Markdown")?;
/// events.flush()?;
/// assert_eq!(read_event_file(events.path())?.len(), 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EventFileWriter {
    file: File,
    path: PathBuf,
    waiting: Vec<u8>,
    last_flush: Instant,
    descriptions: HashMap<String, String>,
    known_tags: HashSet<String>,
}

impl EventFileWriter {
    /// Creates a file in `folder`, which is created with its parents. Its name sorts behind those of the event files that
    /// are there, so that TensorBoard reads it after them.
    ///
    /// # Errors
    /// [`ExportError::Refused`].
    pub fn create(folder: &Path) -> Result<Self, ExportError> {
        fs::create_dir_all(folder).map_err(ExportError::refused(folder, "be created"))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        let seconds = newest(folder).map_or(now as u64, |newest| (now as u64).max(newest + 1));
        let (file, path) = create_named(folder, seconds)?;
        let mut writer = Self {
            file,
            path,
            waiting: Vec::new(),
            last_flush: Instant::now(),
            descriptions: HashMap::new(),
            known_tags: HashSet::new(),
        };
        frame::push(&mut writer.waiting, event::version(now).as_bytes());
        writer.flush()?;
        Ok(writer)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What TensorBoard shows beside a tag, in Markdown. It goes with the tag's first value: later it has no effect.
    pub fn describe(&mut self, tag: &str, markdown: &str) {
        self.describe_once(tag, || markdown.to_owned());
    }

    /// As [`EventFileWriter::describe`], made only where it is needed.
    pub(super) fn describe_once(&mut self, tag: &str, markdown: impl FnOnce() -> String) {
        if !self.known_tags.contains(tag) {
            self.descriptions.insert(tag.to_owned(), markdown());
        }
    }

    /// A number, which the file holds with 24 bits.
    ///
    /// # Errors
    /// [`ExportError::Refused`].
    pub fn scalar(&mut self, tag: &str, at: Moment, value: f64) -> Result<(), ExportError> {
        self.value(tag, at, &Data::Scalar(value as f32))
    }

    /// A spectrum or spectral density: eigenvalues with their weights, each in a bucket of its own that ends half-way to
    /// its neighbours. More than 1000 are gathered into 1000 buckets of equal width.
    ///
    /// # Errors
    /// [`ExportError::Refused`].
    pub fn histogram(&mut self, tag: &str, at: Moment, spectrum: &Spectrum) -> Result<(), ExportError> {
        self.value(tag, at, &Data::Histogram(&Histogram::of(spectrum)))
    }

    /// A text in Markdown.
    ///
    /// # Errors
    /// [`ExportError::Refused`].
    pub fn text(&mut self, tag: &str, at: Moment, markdown: &str) -> Result<(), ExportError> {
        self.value(tag, at, &Data::Text(markdown))
    }

    /// Says that a process begins, or goes on, at this step: what a process before it wrote at this step or later is
    /// dropped by TensorBoard. The first process of a run has to say so too.
    ///
    /// # Errors
    /// [`ExportError::Refused`].
    pub fn session_start(&mut self, at: Moment) -> Result<(), ExportError> {
        self.push(&event::session_start(at))
    }

    /// Content for one of TensorBoard's plugins.
    pub(super) fn plugin(
        &mut self,
        tag: &str,
        at: Moment,
        name: &'static str,
        content: &Message,
    ) -> Result<(), ExportError> {
        self.value(tag, at, &Data::Plugin { name, content })
    }

    /// Hands everything that waits to the system.
    ///
    /// # Errors
    /// [`ExportError::Refused`].
    pub fn flush(&mut self) -> Result<(), ExportError> {
        self.last_flush = Instant::now();
        let outcome = self.file.write_all(&self.waiting);
        // Even where it failed: part of it may be in the file, and a second copy of that part would break the records.
        self.waiting.clear();
        outcome.map_err(ExportError::refused(&self.path, "append events"))
    }

    fn value(&mut self, tag: &str, at: Moment, data: &Data<'_>) -> Result<(), ExportError> {
        let is_first = !self.known_tags.contains(tag);
        let description = if is_first { self.descriptions.remove(tag) } else { None };
        if is_first {
            self.known_tags.insert(tag.to_owned());
        }
        self.push(&event::value(at, tag, data, is_first, description.as_deref()))
    }

    fn push(&mut self, event: &Message) -> Result<(), ExportError> {
        frame::push(&mut self.waiting, event.as_bytes());
        if self.waiting.len() >= MOST_WAITING || self.last_flush.elapsed() >= LONGEST_WAIT {
            self.flush()?;
        }
        Ok(())
    }
}

impl Drop for EventFileWriter {
    fn drop(&mut self) {
        // Whoever wants to know calls `flush`.
        let _ = self.flush();
    }
}

/// Whether a folder holds an event file.
pub fn has_event_files(folder: &Path) -> bool {
    newest(folder).is_some()
}

/// The time in the name of the newest event file of a folder.
fn newest(folder: &Path) -> Option<u64> {
    let names = fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.strip_prefix(PREFIX)?.split('.').next()?.parse().ok()).max()
}

/// `events.out.tfevents.<seconds>.<host>.<process>.<number>`, a name that is free.
fn create_named(folder: &Path, seconds: u64) -> Result<(File, PathBuf), ExportError> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let (host, process) = (host_name(), std::process::id());
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{PREFIX}{seconds:010}.{host}.{process}.{number}"));
        match OpenOptions::new().append(true).create_new(true).open(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(ExportError::refused(&path, "be created")(error)),
        }
    }
}

/// The machine's name as far as it can be had without system calls; it only tells files apart.
fn host_name() -> String {
    let from_file = || fs::read_to_string("/etc/hostname").ok();
    let name = std::env::var("HOSTNAME").ok().or_else(|| std::env::var("COMPUTERNAME").ok()).or_else(from_file);
    let is_safe = |c: &char| c.is_ascii_alphanumeric() || *c == '-' || *c == '_';
    let name: String = name.unwrap_or_default().trim().chars().take_while(is_safe).take(64).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}
