//! The checkpoints of a run folder.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stepscope_types::Step;

use super::error::CheckpointError;
use super::format::Checkpoint;
use crate::record::files::{Files, SystemFiles};

/// The folder of checkpoints inside the folder of a run: one file a step, whole or not there.
///
/// ```no_run
/// use stepscope::checkpoint::Checkpoints;
/// let checkpoints = Checkpoints::open(std::path::Path::new("runs/run"));
/// for step in checkpoints.steps()? {
///     let checkpoint = checkpoints.load(step)?;
///     println!("step {step}: {} tensors", checkpoint.state.tensors().len());
/// }
/// # Ok::<(), stepscope::checkpoint::CheckpointError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Checkpoints {
    folder: PathBuf,
    files: Arc<dyn Files>,
}

/// Which checkpoints stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// So many of the newest.
    pub newest: usize,
    /// And those at multiples of so many steps.
    pub multiples_of: Option<u64>,
}

const SUFFIX: &str = ".safetensors";
const PREFIX: &str = "step-";
const PARTIAL: &str = ".partial";

impl Checkpoints {
    /// Name of the folder inside a run's folder.
    pub const FOLDER: &str = "checkpoints";

    /// The checkpoints of the run in `run_folder`; there may be none.
    pub fn open(run_folder: &Path) -> Self {
        Self::open_on(Arc::new(SystemFiles), run_folder)
    }

    /// The same over another file layer.
    pub fn open_on(files: Arc<dyn Files>, run_folder: &Path) -> Self {
        Self { folder: run_folder.join(Self::FOLDER), files }
    }

    /// The file of a step.
    pub fn path(&self, step: Step) -> PathBuf {
        self.folder.join(format!("{PREFIX}{:09}{SUFFIX}", step.0))
    }

    /// The steps of which there is a checkpoint, ascending. A file that is being written has no step yet.
    ///
    /// # Errors
    /// [`CheckpointError::Refused`].
    pub fn steps(&self) -> Result<Vec<Step>, CheckpointError> {
        let mut steps: Vec<Step> = self.names()?.iter().filter_map(|name| step_of(name)).collect();
        steps.sort_unstable();
        Ok(steps)
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`CheckpointError`]: there is none of that step, or it is damaged, cut off, or from a newer version.
    pub fn load(&self, step: Step) -> Result<Checkpoint, CheckpointError> {
        let path = self.path(step);
        let bytes = self.files.read(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => self.no_such_step(step),
            _ => refused(&path, "be read", source),
        })?;
        Checkpoint::decode(&bytes, &path.display().to_string())
    }

    fn no_such_step(&self, step: Step) -> CheckpointError {
        let steps: Vec<String> = self.steps().unwrap_or_default().iter().map(Step::to_string).collect();
        let available =
            if steps.is_empty() { "none".to_owned() } else { format!("those of steps {}", steps.join(", ")) };
        CheckpointError::NoSuchStep { folder: self.folder.display().to_string(), step: step.0, available }
    }

    /// Writes one under a temporary name, waits until the device has it, and renames it.
    ///
    /// # Errors
    /// [`CheckpointError`]; what was there before is untouched, and at most a temporary file is left, which the next one
    /// overwrites.
    pub fn save(&self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        let path = self.path(checkpoint.step);
        let bytes = checkpoint.encode(&path.display().to_string())?;
        let partial = self.folder.join(format!("{PREFIX}{:09}{PARTIAL}", checkpoint.step.0));
        let write = || -> io::Result<()> {
            self.create_folder()?;
            let mut file = self.files.create(&partial)?;
            file.write_all(&bytes)?;
            file.sync()?;
            drop(file);
            self.files.rename(&partial, &path)?;
            self.files.sync_dir(&self.folder)
        };
        write().map_err(|source| {
            // The error that is reported is the first one; a partial file that stays is overwritten or removed later.
            let _ = self.files.remove(&partial);
            refused(&path, "be written", source)
        })
    }

    fn create_folder(&self) -> io::Result<()> {
        if self.files.is_there(&self.folder) {
            return Ok(());
        }
        self.files.create_dir(&self.folder)?;
        self.folder.parent().map_or(Ok(()), |run_folder| self.files.sync_dir(run_folder))
    }

    /// Removes what `retention` does not keep among the checkpoints up to `step`.
    ///
    /// # Errors
    /// [`CheckpointError::Refused`].
    pub fn thin(&self, step: Step, retention: Retention) -> Result<(), CheckpointError> {
        let steps: Vec<Step> = self.steps()?.into_iter().filter(|&saved| saved <= step).collect();
        let num_old = steps.len().saturating_sub(retention.newest);
        let stays = |step: &&Step| retention.multiples_of.is_some_and(|every| step.0.is_multiple_of(every));
        for &old in steps[..num_old].iter().filter(|step| !stays(step)) {
            self.remove(&self.path(old))?;
        }
        Ok(())
    }

    /// Removes every checkpoint after `step` (all of them without one), and files that were never finished.
    ///
    /// # Errors
    /// [`CheckpointError::Refused`].
    pub fn remove_after(&self, step: Option<Step>) -> Result<(), CheckpointError> {
        for name in self.names()? {
            let is_after = step_of(&name).is_some_and(|saved| step.is_none_or(|step| saved > step));
            if is_after || (name.starts_with(PREFIX) && name.ends_with(PARTIAL)) {
                self.remove(&self.folder.join(name))?;
            }
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<(), CheckpointError> {
        self.files.remove(path).map_err(|source| refused(path, "be removed", source))
    }

    fn names(&self) -> Result<Vec<String>, CheckpointError> {
        match self.files.list(&self.folder) {
            Ok(names) => Ok(names),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(refused(&self.folder, "be listed", source)),
        }
    }
}

fn step_of(name: &str) -> Option<Step> {
    name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok().map(Step)
}

fn refused(path: &Path, action: &'static str, source: io::Error) -> CheckpointError {
    CheckpointError::Refused { file: path.display().to_string(), action, source }
}
