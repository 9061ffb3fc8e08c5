//! What is known of a run from its files alone.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde::{Deserialize, Serialize};
use stepscope_types::{EventKind, Record, Step, StopReason};

use super::attempt::earlier_attempts;
use super::{RunId, SweepFolder};
use crate::record::{RunFolder, RunLock};

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum RunState {
    /// Its result is there, and why it ended.
    Done {
        /// Updates applied.
        step: Step,
        /// Why it ended.
        #[serde(flatten)]
        reason: StopReason,
    },
    /// A live process works on it.
    Running {
        /// The newest step in its records, where there is one.
        step: Option<Step>,
    },
    /// Its last attempt failed, and nobody works on it.
    Failed {
        /// Why.
        #[serde(flatten)]
        failure: RunFailure,
    },
    /// It was begun, is not finished, and nobody works on it.
    Interrupted {
        /// The newest step in its records, where there is one.
        step: Option<Step>,
    },
    /// Nothing has been done for it.
    Waiting,
}

/// Why an attempt came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFailure {
    /// Whether the input is at fault, so that trying again helps only once it is changed.
    pub bad_input: bool,
    /// What the training process said last, or how it ended.
    pub message: String,
}

impl RunFailure {
    /// The file, beside the attempts.
    pub(super) const FILE: &str = "failure.json";
}

/// How far a run folder's records go.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// The step of the last whole record.
    pub step: Step,
    /// Why the run ended, where the last record says so.
    pub ended: Option<StopReason>,
}

impl Progress {
    /// Reads the last whole record, and nothing before it: the cost does not grow with the run.
    ///
    /// `None` where there is no manifest, no record, or none within the last 64 kB.
    pub fn of(folder: &Path) -> Option<Self> {
        const LONGEST: u64 = 64 << 10;
        if !folder.join(RunFolder::MANIFEST).is_file() {
            return None;
        }
        let mut file = File::open(folder.join(RunFolder::RECORDS)).ok()?;
        let length = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LONGEST))).ok()?;
        let mut tail = Vec::new();
        file.take(LONGEST).read_to_end(&mut tail).ok()?;
        // What follows the last line end was being written when the process died.
        let whole = &tail[..tail.iter().rposition(|&byte| byte == b'\n')?];
        let line = whole.rsplit(|&byte| byte == b'\n').next()?;
        let record: Record = serde_json::from_slice(line).ok()?;
        let step = record.step();
        let ended = match record {
            Record::Event(event) => match event.kind {
                EventKind::RunEnded { reason } => Some(reason),
                _ => None,
            },
            Record::Measurement(_) => None,
        };
        Some(Self { step, ended })
    }
}

impl RunState {
    /// The state of a run folder that stands by itself.
    pub fn of_folder(folder: &Path) -> Self {
        let progress = Progress::of(folder);
        let step = progress.as_ref().map(|progress| progress.step);
        match progress {
            Some(Progress { step, ended: Some(reason) }) => Self::Done { step, reason },
            _ if RunLock::is_taken(folder) => Self::Running { step },
            _ => Self::Interrupted { step },
        }
    }

    /// The state in a word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Done { reason: StopReason::Finished, .. } => "done",
            Self::Done { .. } => "done (diverged)",
            Self::Running { .. } => "running",
            Self::Failed { .. } => "failed",
            Self::Interrupted { .. } => "interrupted",
            Self::Waiting => "waiting",
        }
    }
}

impl SweepFolder {
    /// The state of the run of that name.
    pub fn state(&self, id: &RunId) -> RunState {
        let folder = self.run_path(id);
        if let Some(Progress { step, ended: Some(reason) }) = Progress::of(&folder) {
            return RunState::Done { step, reason };
        }
        let attempts = self.attempts_path(id);
        let folders = earlier_attempts(&attempts).unwrap_or_default();
        let step = folders.iter().filter_map(|folder| Progress::of(folder)).map(|progress| progress.step).max();
        // The locks of attempts only where nobody has the claim: who asks touches a lock for a moment.
        if RunLock::is_taken(&attempts) || folders.iter().any(|folder| RunLock::is_taken(folder)) {
            return RunState::Running { step };
        }
        let failure = fs::read(attempts.join(RunFailure::FILE)).ok();
        match failure.and_then(|text| serde_json::from_slice(&text).ok()) {
            Some(failure) => RunState::Failed { failure },
            None if folders.is_empty() => RunState::Waiting,
            None => RunState::Interrupted { step },
        }
    }
}
