//! The folder of a sweep, and the list of its runs.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::SweepError;
use super::files::write_whole;
use super::{RunId, Setting, Sweep};
use crate::record::RunFolder;

/// The folder in which the processes of a sweep meet; see [the module](super) for what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepFolder {
    path: PathBuf,
}

/// Which runs a sweep has: `sweep.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepList {
    /// Version of this layout; a reader refuses a newer one.
    pub format: u32,
    /// The sweep's name.
    pub name: String,
    /// The runs, in the order of the specification.
    pub runs: Vec<ListedRun>,
}

/// A run in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedRun {
    /// The run's name, which is that of its folder.
    pub id: RunId,
    /// What sets it apart from the other runs.
    pub settings: Vec<Setting>,
}

impl SweepList {
    /// The layout this version writes.
    pub const FORMAT: u32 = 1;
}

impl SweepFolder {
    /// The file that lists the runs.
    pub const LIST: &str = "sweep.json";

    /// Makes `path` the folder of `sweep`, creating it with its parents where needed, and writes the list of runs.
    ///
    /// A list that is there is replaced: all processes of a sweep write the same bytes, and a sweep that was changed since
    /// keeps the results it shares with the one before.
    ///
    /// # Errors
    /// [`SweepError`] where the folder holds a single run, or cannot be written to.
    pub fn create(path: &Path, sweep: &Sweep) -> Result<Self, SweepError> {
        if path.join(RunFolder::MANIFEST).exists() {
            return Err(SweepError::SingleRun { folder: path.display().to_string() });
        }
        fs::create_dir_all(path).map_err(SweepError::refused(path, "be created"))?;
        let listed = |run: &super::SweepRun| ListedRun { id: run.id.clone(), settings: run.settings.clone() };
        let list = SweepList {
            format: SweepList::FORMAT,
            name: sweep.name.clone(),
            runs: sweep.runs.iter().map(listed).collect(),
        };
        let file = path.join(Self::LIST);
        let mut text =
            serde_json::to_vec_pretty(&list).map_err(|error| SweepError::refused(&file, "be written")(error.into()))?;
        text.push(b'\n');
        if fs::read(&file).ok().as_ref() != Some(&text) {
            write_whole(&file, &text).map_err(SweepError::refused(&file, "be written"))?;
        }
        Ok(Self { path: path.to_owned() })
    }

    /// The sweep at `path` with its list, or `None` where there is no list.
    ///
    /// # Errors
    /// [`SweepError`] where the list cannot be read.
    pub fn open(path: &Path) -> Result<Option<(Self, SweepList)>, SweepError> {
        let file = path.join(Self::LIST);
        if !file.exists() {
            return Ok(None);
        }
        let text = fs::read(&file).map_err(SweepError::refused(&file, "be read"))?;
        let unread = |reason: String| SweepError::List { file: file.display().to_string(), reason };
        let list: SweepList = serde_json::from_slice(&text).map_err(|error| unread(error.to_string()))?;
        if list.format > SweepList::FORMAT {
            let (found, known) = (list.format, SweepList::FORMAT);
            return Err(unread(format!("written in format {found}, this version reads formats up to {known}")));
        }
        Ok(Some((Self { path: path.to_owned() }, list)))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the finished run of that name is, or will be.
    pub fn run_path(&self, id: &RunId) -> PathBuf {
        self.path.join(id.as_str())
    }

    /// Where everything is that belongs to the run and is not finished.
    pub(super) fn attempts_path(&self, id: &RunId) -> PathBuf {
        self.path.join("attempts").join(id.as_str())
    }
}
