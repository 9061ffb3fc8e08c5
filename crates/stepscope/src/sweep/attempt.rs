//! One process's work on a run: taken up, given a name, or left for later.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use stepscope_types::{Manifest, StopReason};

use super::error::SweepError;
use super::files::{copy_folder, sync_folder, unique_name, write_whole};
use super::state::{Progress, RunFailure};
use super::{RunId, SweepFolder, SweepRun};
use crate::checkpoint::Checkpoints;
use crate::record::{RecordError, RunFolder, RunLock};
use crate::spec;

const PREFIX: &str = "attempt";
/// A copy that is not whole yet, which nobody goes on with.
const PARTIAL: &str = "partial";

/// What there is to do for a run.
#[derive(Debug)]
pub enum Work {
    /// Nothing: it is finished.
    Finished(StopReason),
    /// Nothing now: another process works on it.
    Held,
    /// Train it from the beginning, into [`Attempt::folder`], which does not exist yet.
    Start(Attempt),
    /// Go on in [`Attempt::folder`] from its newest checkpoint.
    Resume(Attempt),
}

/// How a finished attempt ended up.
#[derive(Debug, Clone, PartialEq)]
pub enum Published {
    /// It is the result.
    Ours(StopReason),
    /// Another process had finished the same run before; this attempt is gone.
    AlreadyThere(StopReason),
}

/// The right to work on a run, and a folder that no other process writes to.
///
/// The right ends when this is dropped, or with the process.
#[derive(Debug)]
pub struct Attempt {
    sweep: SweepFolder,
    run: SweepRun,
    folder: PathBuf,
    _claim: RunLock,
}

impl SweepFolder {
    /// Takes up a run where nobody else works on it.
    ///
    /// A finished attempt that its process could not name any more gets its name here. Of unfinished ones the furthest is
    /// copied, and the copy gone on with: should its writer still live behind a cut network, it writes to the original.
    ///
    /// # Errors
    /// [`SweepError`] where files cannot be read or written, or where something else stands in the run's place.
    pub fn take_up(&self, run: &SweepRun) -> Result<Work, SweepError> {
        // Another process may tidy up between two operations here; whatever it did, the next look sees it.
        const LOOKS: usize = 5;
        let mut refused = None;
        for _ in 0..LOOKS {
            match self.look(run) {
                Err(SweepError::Refused { path, action, source }) if source.kind() == io::ErrorKind::NotFound => {
                    refused = Some(SweepError::Refused { path, action, source });
                }
                answer => return answer,
            }
        }
        refused.map_or(Ok(Work::Held), Err)
    }

    fn look(&self, run: &SweepRun) -> Result<Work, SweepError> {
        let attempts = self.attempts_path(&run.id);
        if let Some(reason) = self.finished(run)? {
            if !RunLock::is_taken(&attempts) {
                self.tidy(&run.id);
            }
            return Ok(Work::Finished(reason));
        }
        fs::create_dir_all(&attempts).map_err(SweepError::refused(&attempts, "be created"))?;
        let Some(claim) = claim(&attempts)? else { return Ok(Work::Held) };
        // Only now is it certain that nobody finishes it in this moment.
        if let Some(reason) = self.finished(run)? {
            return Ok(Work::Finished(reason));
        }
        let earlier = earlier_attempts(&attempts)?;
        if earlier.iter().any(|folder| RunLock::is_taken(folder)) {
            // Its own process is gone and has left a child behind, which trains on.
            return Ok(Work::Held);
        }
        let ended = |folder: &&PathBuf| Progress::of(folder).is_some_and(|progress| progress.ended.is_some());
        let attempt = |folder| Attempt { sweep: self.clone(), run: run.clone(), folder, _claim: claim };
        if let Some(folder) = earlier.iter().find(ended) {
            return match attempt(folder.clone()).publish()? {
                Published::Ours(reason) | Published::AlreadyThere(reason) => Ok(Work::Finished(reason)),
            };
        }
        // Why an earlier attempt failed says nothing about this one.
        let _ = fs::remove_file(attempts.join(RunFailure::FILE));
        let folder = attempts.join(unique_name(PREFIX));
        match furthest(&earlier) {
            Some(from) => {
                go_on_from(from, &folder)?;
                Ok(Work::Resume(attempt(folder)))
            }
            None => Ok(Work::Start(attempt(folder))),
        }
    }

    /// How the run ended, where its result is there.
    ///
    /// # Errors
    /// [`SweepError::AnotherRun`] where something else stands in its place: it is not touched.
    pub fn finished(&self, run: &SweepRun) -> Result<Option<StopReason>, SweepError> {
        let folder = self.run_path(&run.id);
        if !folder.exists() {
            return Ok(None);
        }
        let another = |reason: &str| {
            Err(SweepError::AnotherRun { folder: folder.display().to_string(), reason: reason.to_owned() })
        };
        let manifest = fs::read(folder.join(RunFolder::MANIFEST)).ok();
        let Some(manifest) = manifest.and_then(|text| serde_json::from_slice::<Manifest>(&text).ok()) else {
            return another("its run.json cannot be read");
        };
        if RunId::of(&manifest.spec) != run.id {
            return another("its specification is another one");
        }
        match Progress::of(&folder).and_then(|progress| progress.ended) {
            Some(reason) => Ok(Some(reason)),
            None => another("its records have no end"),
        }
    }
}

impl SweepFolder {
    /// Removes what a finished run needs no more. What cannot be removed stays and is harmless.
    fn tidy(&self, id: &RunId) {
        let attempts = self.attempts_path(id);
        // A copy whose lock is seen is left alone: it finds the result and removes itself.
        let live = earlier_attempts(&attempts).unwrap_or_default().iter().any(|folder| RunLock::is_taken(folder));
        if !live && fs::remove_dir_all(&attempts).is_ok() {
            // Succeeds for the last run alone, which leaves a folder without a trace of the work.
            let _ = fs::remove_dir(self.path().join("attempts"));
        }
    }
}

impl Attempt {
    /// The run's folder, of this attempt alone.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The run.
    pub fn run(&self) -> &SweepRun {
        &self.run
    }

    /// The file for what the training process says.
    pub fn log_path(&self) -> PathBuf {
        log_of(&self.folder)
    }

    /// Writes the run's specification and says where.
    ///
    /// # Errors
    /// [`SweepError::Refused`].
    pub fn write_spec(&self) -> Result<PathBuf, SweepError> {
        let path = self.folder.with_extension("toml");
        write_whole(&path, spec::to_toml(&self.run.spec).as_bytes())
            .map_err(SweepError::refused(&path, "be written"))?;
        Ok(path)
    }

    /// Whether the run came to its end in this attempt, by being finished or by diverging.
    pub fn is_ended(&self) -> bool {
        Progress::of(&self.folder).is_some_and(|progress| progress.ended.is_some())
    }

    /// Whether another process went on with a copy of this attempt, or finished the run and tidied up: it took this process for
    /// dead, as it must after a cut network.
    pub fn was_taken_over(&self) -> bool {
        // The log is made before training begins and by nobody else, so it is missing only where it was removed.
        !self.log_path().exists()
    }

    /// Removes what is left of an attempt that another process took over.
    pub fn abandon(self) {
        // What cannot be removed stays and is harmless.
        let _ = fs::remove_dir_all(&self.folder);
        if matches!(self.sweep.finished(&self.run), Ok(Some(_))) {
            self.sweep.tidy(&self.run.id);
        }
    }

    /// Gives up what was saved and begins anew, with the same right: for a state that cannot be gone on from.
    ///
    /// # Errors
    /// [`SweepError::Refused`].
    pub fn begin_anew(mut self) -> Result<Self, SweepError> {
        fs::remove_dir_all(&self.folder).map_err(SweepError::refused(&self.folder, "be removed"))?;
        self.folder = self.sweep.attempts_path(&self.run.id).join(unique_name(PREFIX));
        Ok(self)
    }

    /// Gives a finished attempt the run's name, unless the run has a result: that one stays, whoever made it.
    ///
    /// The records and the manifest become read-only, and what was left of other attempts is removed.
    ///
    /// # Errors
    /// [`SweepError`] where the folder cannot be renamed, or something else stands in the run's place.
    pub fn publish(self) -> Result<Published, SweepError> {
        let place = self.sweep.run_path(&self.run.id);
        for name in [RunFolder::MANIFEST, RunFolder::RECORDS] {
            let file = self.folder.join(name);
            let set = fs::metadata(&file).and_then(|metadata| {
                let mut permissions = metadata.permissions();
                permissions.set_readonly(true);
                fs::set_permissions(&file, permissions)
            });
            set.map_err(SweepError::refused(&file, "be made read-only"))?;
        }
        // A folder is never renamed onto one that holds something: of two that try, one succeeds.
        let renamed = fs::rename(&self.folder, &place);
        let published = match (self.sweep.finished(&self.run)?, renamed) {
            (Some(reason), Ok(())) => Published::Ours(reason),
            (Some(reason), Err(_)) => Published::AlreadyThere(reason),
            (None, renamed) => {
                let source = renamed.err().unwrap_or_else(|| io::ErrorKind::NotFound.into());
                return Err(SweepError::refused(&place, "be given its finished run")(source));
            }
        };
        sync_folder(self.sweep.path());
        self.abandon();
        Ok(published)
    }

    /// Says for the next process, and for a reader, why there is no result.
    ///
    /// # Errors
    /// [`SweepError::Refused`].
    pub fn fail(self, failure: &RunFailure) -> Result<(), SweepError> {
        let path = self.sweep.attempts_path(&self.run.id).join(RunFailure::FILE);
        let text =
            serde_json::to_vec_pretty(failure).map_err(|e| SweepError::refused(&path, "be written")(e.into()))?;
        write_whole(&path, &text).map_err(SweepError::refused(&path, "be written"))
    }
}

fn log_of(folder: &Path) -> PathBuf {
    folder.with_extension("log")
}

/// The right to work in the folder, unless another process has it.
fn claim(attempts: &Path) -> Result<Option<RunLock>, SweepError> {
    // Whoever asks for the state of a run touches its lock for a moment, which is no reason to leave the run alone.
    const TRIES: u32 = 5;
    for _ in 0..TRIES {
        match RunLock::take(attempts) {
            Ok(lock) => return Ok(Some(lock)),
            Err(RecordError::Locked { .. }) => thread::sleep(Duration::from_millis(10)),
            Err(RecordError::Refused { path, action, source }) => {
                return Err(SweepError::Refused { path, action, source });
            }
            Err(other) => return Err(SweepError::refused(attempts, "be claimed")(io::Error::other(other))),
        }
    }
    Ok(None)
}

/// The run folders of attempts, in the order of their names.
pub(super) fn earlier_attempts(attempts: &Path) -> Result<Vec<PathBuf>, SweepError> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(attempts).map_err(SweepError::refused(attempts, "be read"))? {
        let path = entry.map_err(SweepError::refused(attempts, "be read"))?.path();
        let is_attempt = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
        if is_attempt && path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// The attempt with most records among those that can be gone on with.
fn furthest(attempts: &[PathBuf]) -> Option<&PathBuf> {
    let has_checkpoint = |folder: &&PathBuf| {
        fs::read_dir(folder.join(Checkpoints::FOLDER)).is_ok_and(|mut names| names.next().is_some())
    };
    attempts.iter().filter(has_checkpoint).max_by_key(|folder| Progress::of(folder).map(|progress| progress.step))
}

/// Copies an attempt whose process is gone under a new name, then removes it.
fn go_on_from(from: &Path, to: &Path) -> Result<(), SweepError> {
    let partial = to.with_file_name(unique_name(PARTIAL));
    copy_folder(from, &partial, &|name| name == RunLock::FILE)
        .map_err(SweepError::refused(from, "be copied to go on with"))?;
    fs::rename(&partial, to).map_err(SweepError::refused(to, "be given its copy"))?;
    // The copy is whole and holds all that the original does; one that stays costs space alone.
    let _ = fs::remove_file(log_of(from));
    let _ = fs::remove_dir_all(from);
    Ok(())
}
