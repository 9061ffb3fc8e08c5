//! From where a run that stopped can go on.

use stepscope_types::{RunSpec, Step};

use super::error::RecordError;
use super::run_folder::RunFolder;
use crate::checkpoint::{Checkpoint, CheckpointError, RecordsMark, spec_hash};

/// Where a run goes on.
#[derive(Debug)]
pub struct ResumePoint {
    /// The newest checkpoint that can be used; `None` to begin again.
    pub checkpoint: Option<Checkpoint>,
    /// What was passed over, newest first, each with its reason.
    pub skipped: Vec<String>,
}

impl ResumePoint {
    /// The step from which the run goes on.
    pub fn step(&self) -> Step {
        self.checkpoint.as_ref().map_or(Step(0), |checkpoint| checkpoint.step)
    }

    /// How far the records are kept.
    pub fn records(&self) -> RecordsMark {
        self.checkpoint.as_ref().map_or_else(RecordsMark::default, |checkpoint| checkpoint.records)
    }
}

/// The newest checkpoint of `folder` that is whole and whose records are there as they were when it was saved.
///
/// Broken files are passed over. Nothing is changed yet: [`RunFolder::checkpoints`] and
/// [`RunFolder::reopen_records`] drop what lies after the point.
///
/// # Errors
/// [`RecordError`] where a checkpoint is sound but must not be used: from a newer version, or of another specification.
pub fn resume_point(folder: &RunFolder, spec: &RunSpec) -> Result<ResumePoint, RecordError> {
    let (checkpoints, expected) = (folder.checkpoints(), spec_hash(spec));
    let records = folder.record_bytes()?;
    let mut skipped = Vec::new();
    for step in checkpoints.steps()?.into_iter().rev() {
        let checkpoint = match checkpoints.load(step) {
            Ok(checkpoint) => checkpoint,
            Err(error) if error.is_broken_file() => {
                skipped.push(error.to_string());
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let file = || checkpoints.path(step).display().to_string();
        if checkpoint.spec != expected {
            let short = |hash: &str| hash.chars().take(12).collect();
            let (got, expected) = (short(&checkpoint.spec), short(&expected));
            return Err(CheckpointError::OtherSpec { file: file(), got, expected }.into());
        }
        if checkpoint.step != step {
            skipped.push(format!("{}: holds step {} under the name of another", file(), checkpoint.step));
            continue;
        }
        match fits(&records, checkpoint.records) {
            Ok(()) => return Ok(ResumePoint { checkpoint: Some(checkpoint), skipped }),
            Err(reason) => skipped.push(format!("{}: {reason}", file())),
        }
    }
    Ok(ResumePoint { checkpoint: None, skipped })
}

/// Whether the records up to `mark` are those that were written.
fn fits(records: &[u8], mark: RecordsMark) -> Result<(), String> {
    let part = usize::try_from(mark.length).ok().and_then(|length| records.get(..length));
    match part {
        None => Err(format!("counts on {} bytes of records, of which {} are there", mark.length, records.len())),
        Some(part) if crc32c::crc32c(part) != mark.crc32c => {
            Err("the records before it are not those that were written".to_owned())
        }
        Some(_) => Ok(()),
    }
}
