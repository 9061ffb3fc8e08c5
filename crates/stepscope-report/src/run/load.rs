//! Reading a run's folder, with every fault named by file and line.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Deserialize;
use stepscope_types::Manifest;
use thiserror::Error;

use super::{Run, kept, line};

pub(super) const MANIFEST: &str = "run.json";
pub(super) const RECORDS: &str = "metrics.jsonl";

/// No record, and no manifest, comes near this: what is longer is no run's file, and is not read into memory.
const LONGEST_LINE: u64 = 16 << 20;

/// Why a run could not be read.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A file of the run's folder does not exist.
    #[error("{}: not found; the folder of a run holds run.json and metrics.jsonl", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A folder was to hold runs and holds none.
    #[error("{}: no run here; expected run.json in it, or in folders in it", path.display())]
    NoRuns {
        /// The folder.
        path: PathBuf,
    },
    /// The system refused to read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The run was written by a newer version.
    #[error("{}: written in format {found}, this version reads formats up to {known}: read it with a newer stepscope", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// The format found.
        found: u32,
        /// The newest format this version knows.
        known: u32,
    },
    /// The manifest does not hold what it should.
    #[error("{}: {message}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What was expected, with line and column.
        message: String,
    },
    /// A complete line is no record.
    #[error("{}:{line}: not a record: {message}; remove the line to read the rest", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: u64,
        /// What was expected, with the column.
        message: String,
    },
    /// A line, or the manifest, is longer than any that is written.
    #[error("{}:{line}: longer than {LONGEST_LINE} bytes, which no run writes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: u64,
    },
}

/// The one key that every format has.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

pub(super) fn load(folder: &Path) -> Result<Run, LoadError> {
    let mut run = Run::empty(read_manifest(&folder.join(MANIFEST))?);
    let path = folder.join(RECORDS);
    let mut end = End::default();
    read_records(&mut BufReader::with_capacity(1 << 16, open(&path)?), &path, &mut run, &mut end)?;
    // A line that does not end was being written when the process died.
    if !end.rest.is_empty() && line::push(&end.rest, &mut run).is_err() {
        run.notes.push(format!("{RECORDS}: line {}, the last, was cut off and is left out", end.num_lines + 1));
    }
    run.sort();
    run.kept = kept::load(folder, &run);
    Ok(run)
}

/// Loads runs side by side, on as many threads as the machine has cores; the answers are in the order of `folders`.
pub(super) fn load_all(folders: &[PathBuf]) -> Vec<Result<Run, LoadError>> {
    let num_threads = std::thread::available_parallelism().map_or(1, usize::from).min(folders.len());
    if num_threads <= 1 {
        return folders.iter().map(|folder| load(folder)).collect();
    }
    let next = AtomicUsize::new(0);
    let take = || {
        let mut loaded = Vec::new();
        while let Some((index, folder)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            folders.get(index).map(|folder| (index, folder))
        } {
            loaded.push((index, load(folder)));
        }
        loaded
    };
    let mut loaded: Vec<(usize, Result<Run, LoadError>)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..num_threads).map(|_| scope.spawn(take)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    });
    loaded.sort_by_key(|(index, _)| *index);
    loaded.into_iter().map(|(_, run)| run).collect()
}

pub(super) fn discover(folder: &Path) -> Result<Vec<PathBuf>, LoadError> {
    if folder.join(MANIFEST).is_file() {
        return Ok(vec![folder.to_owned()]);
    }
    let failed = |source| at(folder, source);
    let entries = fs::read_dir(folder).map_err(failed)?;
    let paths: Vec<PathBuf> = entries.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>().map_err(failed)?;
    let mut runs: Vec<PathBuf> = paths.into_iter().filter(|path| path.join(MANIFEST).is_file()).collect();
    runs.sort();
    if runs.is_empty() { Err(LoadError::NoRuns { path: folder.to_owned() }) } else { Ok(runs) }
}

pub(super) fn at(path: &Path, source: io::Error) -> LoadError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => LoadError::Missing { path },
        _ => LoadError::Io { path, source },
    }
}

pub(super) fn open(path: &Path) -> Result<File, LoadError> {
    File::open(path).map_err(|source| at(path, source))
}

pub(super) fn read_manifest(path: &Path) -> Result<Manifest, LoadError> {
    let mut text = Vec::new();
    open(path)?.take(LONGEST_LINE + 1).read_to_end(&mut text).map_err(|source| at(path, source))?;
    if text.len() as u64 > LONGEST_LINE {
        return Err(LoadError::TooLong { path: path.to_owned(), line: 1 });
    }
    let broken = |error: serde_json::Error| LoadError::Manifest { path: path.to_owned(), message: error.to_string() };
    // The format first: a newer layout would otherwise be refused for some key that this version does not know.
    let Format { format } = serde_json::from_slice(&text).map_err(broken)?;
    if format > Manifest::FORMAT {
        return Err(LoadError::NewerFormat { path: path.to_owned(), found: format, known: Manifest::FORMAT });
    }
    serde_json::from_slice(&text).map_err(broken)
}

/// How far a record file was read.
#[derive(Debug, Default)]
pub(super) struct End {
    /// Bytes of whole lines.
    pub(super) num_bytes: u64,
    /// Whole lines.
    pub(super) num_lines: u64,
    /// What follows them: the beginning of a line.
    pub(super) rest: Vec<u8>,
}

/// Reads whole lines until the end, from where `end` says that reading stopped before; `end` moves with every line.
pub(super) fn read_records(
    reader: &mut impl BufRead,
    path: &Path,
    run: &mut Run,
    end: &mut End,
) -> Result<(), LoadError> {
    let text = &mut end.rest;
    loop {
        text.clear();
        let line = end.num_lines + 1;
        let length = reader.take(LONGEST_LINE + 1).read_until(b'\n', text).map_err(|source| at(path, source))?;
        if length as u64 > LONGEST_LINE {
            return Err(LoadError::TooLong { path: path.to_owned(), line });
        }
        if text.last() != Some(&b'\n') {
            return Ok(());
        }
        if let Err(error) = line::push(text, run) {
            return Err(LoadError::Record { path: path.to_owned(), line, message: error.to_string() });
        }
        end.num_bytes += length as u64;
        end.num_lines += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic;
    use stepscope_types::Step;
    use tempfile::TempDir;

    fn folder(manifest: &str, records: &[u8]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(MANIFEST), manifest).unwrap();
        fs::write(folder.path().join(RECORDS), records).unwrap();
        folder
    }

    fn good_manifest() -> String {
        serde_json::to_string_pretty(&synthetic::manifest("run", 0.1)).unwrap()
    }

    fn lines(num_steps: u64) -> String {
        let records = (0..num_steps).map(|step| synthetic::loss(step, 1.0 / (step + 1) as f64));
        records.map(|record| serde_json::to_string(&record).unwrap() + "\n").collect()
    }

    #[test]
    fn a_file_cut_at_any_byte_loses_at_most_the_line_that_was_cut() {
        let whole = lines(3);
        for length in 0..=whole.len() {
            let folder = folder(&good_manifest(), &whole.as_bytes()[..length]);
            let run = Run::load(folder.path()).unwrap();
            let num_points = run.series("train/loss").points().len();
            // A line is complete with its last brace, before its line end is written.
            let complete = whole[..length].matches("}\n").count() + usize::from(whole[..length].ends_with("\"eval\"}"));
            assert_eq!(num_points, complete, "cut after {length} bytes");
            let is_cut = length > 0 && !whole[..length].ends_with('\n') && !whole[..length].ends_with("\"eval\"}");
            assert_eq!(run.notes().count(), usize::from(is_cut), "cut after {length} bytes");
        }
    }

    #[test]
    fn a_broken_line_that_is_not_the_last_is_named_by_file_and_number() {
        for broken in ["{\"record\":\"measurement\"", "", "[]", "\u{0}\u{0}"] {
            let folder = folder(&good_manifest(), format!("{}{broken}\n{}", lines(2), lines(1)).as_bytes());
            let error = Run::load(folder.path()).unwrap_err();
            assert!(matches!(&error, LoadError::Record { line: 3, .. }), "{error}");
            assert!(error.to_string().contains("metrics.jsonl:3: not a record"), "{error}");
        }
    }

    #[test]
    fn a_newer_format_is_refused_by_its_number_even_where_nothing_else_is_known() {
        let folder = folder(r#"{"format": 7, "shape": "unheard of"}"#, b"");
        let message = Run::load(folder.path()).unwrap_err().to_string();
        assert!(message.contains("run.json: written in format 7, this version reads formats up to 1"), "{message}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = |folder: &TempDir| Run::load(folder.path()).unwrap_err().to_string();
        assert!(missing(&folder).contains("run.json: not found"));
        fs::write(folder.path().join(MANIFEST), good_manifest()).unwrap();
        assert!(missing(&folder).contains("metrics.jsonl: not found"));
    }

    #[test]
    fn a_manifest_without_a_key_says_which_and_where() {
        let folder = folder(&good_manifest().replace("\"process\"", "\"prozess\""), b"");
        let message = Run::load(folder.path()).unwrap_err().to_string();
        assert!(message.contains("run.json: missing field `process` at line"), "{message}");
    }

    #[test]
    fn a_line_longer_than_any_record_is_refused_without_reading_it_all() {
        let path = Path::new("metrics.jsonl");
        // Endless: this returns only because reading stops.
        let mut endless = BufReader::new(io::repeat(b'x'));
        let mut run = Run::empty(synthetic::manifest("run", 0.1));
        let error = read_records(&mut endless, path, &mut run, &mut End::default()).unwrap_err();
        assert!(matches!(error, LoadError::TooLong { line: 1, .. }), "{error}");
    }

    #[test]
    fn runs_are_found_in_a_folder_and_in_a_folder_of_folders() {
        let parent = tempfile::tempdir().unwrap();
        assert!(matches!(Run::discover(parent.path()), Err(LoadError::NoRuns { .. })));
        assert!(matches!(Run::discover(parent.path().join("nowhere")), Err(LoadError::Missing { .. })));
        for name in ["b", "a", "not-a-run"] {
            fs::create_dir(parent.path().join(name)).unwrap();
        }
        for name in ["b", "a"] {
            fs::write(parent.path().join(name).join(MANIFEST), good_manifest()).unwrap();
        }
        let (a, b) = (parent.path().join("a"), parent.path().join("b"));
        assert_eq!(Run::discover(parent.path()).unwrap(), [a.clone(), b]);
        assert_eq!(Run::discover(&a).unwrap(), [a]);
    }

    #[test]
    fn a_whole_run_reads_back_what_was_written() {
        let (manifest, records) = synthetic::diverging_run();
        let text: String = records.iter().map(|record| serde_json::to_string(record).unwrap() + "\n").collect();
        let folder = folder(&serde_json::to_string(&manifest).unwrap(), text.as_bytes());
        let run = Run::load(folder.path()).unwrap();
        assert!(run == Run::from_records(manifest, records), "a number lost its last bit, or a record is lost");
        assert_eq!(run.notes().count(), 0);
        assert!(run.last_step() > Step(0));
    }
}
