//! A run that is still being written.

use std::fs::Metadata;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Run;
use super::kept::{self, Stamps};
use super::load::{self, End, LoadError, MANIFEST, RECORDS};

/// Bytes before the place where reading stopped that are looked at again: a file that was cut and grew anew differs in
/// them, if only in a time.
const TAIL: u64 = 256;

/// Keeps a [`Run`] up to date with its folder while the files grow.
///
/// [`Follower::poll`] reads what was appended since; where the files were cut by a resume, replaced or removed it begins
/// again. Cost of a poll that finds nothing new: two looks at the file system.
#[derive(Debug)]
pub struct Follower {
    folder: PathBuf,
    state: Option<State>,
}

#[derive(Debug)]
struct State {
    run: Run,
    manifest: Stamp,
    end: End,
    /// The last bytes before the place where reading stopped.
    tail: Vec<u8>,
    /// Length of the file when it was last read, a torn line included.
    seen: u64,
    kept: Stamps,
}

/// What changes when a file is replaced.
type Stamp = (u64, Option<SystemTime>);

fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.len(), metadata.modified().ok())
}

impl Follower {
    /// Follows the run in `folder`, which need not be there yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), state: None }
    }

    /// The folder of the run.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The run as of the last poll; `None` while there is none.
    pub fn run(&self) -> Option<&Run> {
        self.state.as_ref().map(|state| &state.run)
    }

    /// Reads what is new; the answer is whether anything changed.
    ///
    /// A record file that is missing beside a manifest is a run without records. A folder that is gone is a change,
    /// not an error.
    ///
    /// # Errors
    /// [`LoadError`] where a file is broken or cannot be read; what was read before stays, and the next poll tries again.
    pub fn poll(&mut self) -> Result<bool, LoadError> {
        let Ok(manifest) = self.folder.join(MANIFEST).metadata() else {
            return Ok(self.state.take().is_some());
        };
        let manifest = stamp(&manifest);
        let path = self.folder.join(RECORDS);
        let length = path.metadata().map_or(0, |metadata| metadata.len());
        let changed = match &mut self.state {
            Some(state) if state.manifest == manifest && state.still_holds(&path, length)? => {
                state.read_on(&path, length)?
            }
            _ => {
                let run = Run::empty(load::read_manifest(&self.folder.join(MANIFEST))?);
                let kept = Stamps::default();
                let mut state = State { run, manifest, end: End::default(), tail: Vec::new(), seen: 0, kept };
                state.read_on(&path, length)?;
                self.state = Some(state);
                true
            }
        };
        let kept_changed = self.state.as_mut().is_some_and(|state| state.read_kept(&self.folder));
        Ok(changed || kept_changed)
    }
}

impl State {
    /// Whether the file begins as it did: it was neither cut nor replaced.
    fn still_holds(&self, path: &Path, length: u64) -> Result<bool, LoadError> {
        if length < self.end.num_bytes {
            return Ok(false);
        }
        if length == self.seen || self.end.num_bytes == 0 {
            return Ok(true);
        }
        let mut tail = vec![0; self.tail.len()];
        let mut file = load::open(path)?;
        let read =
            file.seek(SeekFrom::Start(self.end.num_bytes - tail.len() as u64)).and_then(|_| file.read_exact(&mut tail));
        read.map_err(|source| load::at(path, source))?;
        Ok(tail == self.tail)
    }

    /// Reads what was measured at checkpoints, where that changed.
    fn read_kept(&mut self, folder: &Path) -> bool {
        let stamps = kept::stamps(folder);
        if stamps == self.kept {
            return false;
        }
        self.kept = stamps;
        self.run.kept = kept::load(folder, &self.run);
        true
    }

    fn read_on(&mut self, path: &Path, length: u64) -> Result<bool, LoadError> {
        if length == self.seen {
            return Ok(false);
        }
        let failed = |source| load::at(path, source);
        let mut file = load::open(path)?;
        file.seek(SeekFrom::Start(self.end.num_bytes)).map_err(failed)?;
        // What grows on while it is read belongs to the next poll.
        let mut reader = BufReader::new(file.take(length - self.end.num_bytes));
        let before = self.end.num_lines;
        let read = load::read_records(&mut reader, path, &mut self.run, &mut self.end);
        let grew = self.end.num_lines > before;
        if grew {
            self.run.sort();
        }
        read?;
        self.seen = length;
        self.tail = vec![0; self.end.num_bytes.min(TAIL) as usize];
        let mut file = load::open(path)?;
        let start = SeekFrom::Start(self.end.num_bytes - self.tail.len() as u64);
        file.seek(start).and_then(|_| file.read_exact(&mut self.tail)).map_err(failed)?;
        Ok(grew)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic;
    use std::fs;
    use std::io::Write;

    fn line(step: u64, value: f64) -> String {
        serde_json::to_string(&synthetic::loss(step, value)).unwrap() + "\n"
    }

    fn append(path: &Path, text: &str) {
        fs::OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn values(follower: &Follower) -> Vec<f64> {
        follower.run().unwrap().series("train/loss").values().map(|(_, value)| value).collect()
    }

    /// A folder with a manifest, the path of its records, and who follows it.
    fn followed() -> (tempfile::TempDir, PathBuf, Follower) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(MANIFEST), serde_json::to_string(&synthetic::manifest("run", 0.1)).unwrap())
            .unwrap();
        let records = folder.path().join(RECORDS);
        let follower = Follower::new(folder.path());
        (folder, records, follower)
    }

    #[test]
    fn a_run_that_appears_grows_and_vanishes_is_followed() {
        let (folder, records, mut follower) = followed();
        fs::rename(folder.path().join(MANIFEST), folder.path().join("later")).unwrap();
        assert!(!follower.poll().unwrap() && follower.run().is_none());
        fs::rename(folder.path().join("later"), folder.path().join(MANIFEST)).unwrap();
        assert!(follower.poll().unwrap());
        assert!(values(&follower).is_empty());
        append(&records, &(line(0, 4.0) + &line(1, 3.0)));
        assert!(follower.poll().unwrap());
        assert!(!follower.poll().unwrap(), "nothing is new");
        append(&records, &line(2, 2.0));
        assert!(follower.poll().unwrap());
        assert_eq!(values(&follower), [4.0, 3.0, 2.0]);
        fs::remove_file(folder.path().join(MANIFEST)).unwrap();
        assert!(follower.poll().unwrap() && follower.run().is_none());
    }

    #[test]
    fn what_is_measured_afterwards_appears_and_a_broken_file_is_named() {
        let (folder, records, mut follower) = followed();
        append(&records, &line(0, 4.0));
        follower.poll().unwrap();
        append(&folder.path().join("measured.jsonl"), &line(3, 2.5));
        assert!(follower.poll().unwrap());
        let afterwards = follower.run().unwrap().measured_afterwards().unwrap();
        assert_eq!(afterwards.series("train/loss").last().unwrap().1, 2.5);
        assert_eq!(values(&follower), [4.0], "the run's own records are not mixed with them");
        let sections = folder.path().join("sections");
        fs::create_dir(&sections).unwrap();
        fs::write(sections.join("step-000000003-line-random.json"), "{").unwrap();
        assert!(follower.poll().unwrap());
        let run = follower.run().unwrap();
        let notes: Vec<&str> = run.notes().collect();
        assert!(notes[0].starts_with("sections/step-000000003-line-random.json cannot be read"), "{notes:?}");
        assert!(run.sections().is_empty() && !follower.poll().unwrap());
    }

    #[test]
    fn a_line_that_arrives_in_pieces_counts_once_whole() {
        let (_folder, records, mut follower) = followed();
        let text = line(0, 4.0) + &line(1, 3.0);
        for (index, byte) in text.bytes().enumerate() {
            append(&records, &char::from(byte).to_string());
            follower.poll().unwrap();
            assert_eq!(values(&follower).len(), text[..=index].matches('\n').count(), "{index}");
        }
    }

    #[test]
    fn a_file_cut_by_a_resume_is_read_anew_even_if_it_grew_beyond() {
        let (_folder, records, mut follower) = followed();
        let first: String = (0..10).map(|step| line(step, 1.0)).collect();
        append(&records, &first);
        follower.poll().unwrap();
        let cut: String = (0..5).map(|step| line(step, 1.0)).chain((5..20).map(|step| line(step, 0.5))).collect();
        fs::write(&records, &cut).unwrap();
        assert!(follower.poll().unwrap());
        assert_eq!(values(&follower), [[1.0; 5].as_slice(), &[0.5; 15]].concat());
        fs::write(&records, line(0, 9.0)).unwrap();
        assert!(follower.poll().unwrap());
        assert_eq!(values(&follower), [9.0]);
    }

    #[test]
    fn a_broken_line_is_named_and_what_came_before_stays() {
        let (_folder, records, mut follower) = followed();
        append(&records, &(line(0, 4.0) + &line(1, 3.0)));
        follower.poll().unwrap();
        append(&records, "nonsense\n");
        let message = follower.poll().unwrap_err().to_string();
        assert!(message.contains("metrics.jsonl:3: not a record"), "{message}");
        assert_eq!(values(&follower), [4.0, 3.0]);
    }
}
