//! The folder of a run.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stepscope_types::{EventKind, Manifest, Record, StopReason};

use super::error::RecordError;
use super::files::{Files, SystemFiles};
use super::jsonl::RecordWriter;
use super::kept::write_whole;
use crate::checkpoint::{CheckpointWriter, Checkpoints, RecordsMark, Retention};

/// A manifest that is being written; it gets its name once it is whole ([`write_whole`]).
const PARTIAL_MANIFEST: &str = "run.json.partial";

/// The folder of one run.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
    files: Arc<dyn Files>,
}

impl RunFolder {
    /// The file that says what ran.
    pub const MANIFEST: &str = "run.json";
    /// The file of records.
    pub const RECORDS: &str = "metrics.jsonl";
    /// What the names of event files, which TensorBoard reads, begin with.
    pub const EVENT_FILES: &str = "events.out.tfevents.";
    /// The page.
    pub const REPORT: &str = "report.html";

    /// A folder for a new run: creates it with its parents, or takes one that holds no run.
    ///
    /// With `force`, a run that is there is removed, and nothing but the files that stepscope writes. Nothing is
    /// created or removed before everything that can be checked was checked, permission to write included.
    ///
    /// # Errors
    /// [`RecordError`]: the folder holds a run, is a file, or cannot be created or written to.
    pub fn create(path: &Path, force: bool) -> Result<Self, RecordError> {
        Self::check(path, force)?;
        Self::create_on(Arc::new(SystemFiles), path)
    }

    /// As [`RunFolder::create`] with `force`, over another file layer.
    ///
    /// # Errors
    /// [`RecordError::Refused`].
    pub fn create_on(files: Arc<dyn Files>, path: &Path) -> Result<Self, RecordError> {
        let folder = Self { path: path.to_owned(), files };
        let files = &folder.files;
        files.create_dir(path).map_err(|source| refused(path, "be created", source))?;
        let probe = path.join(PARTIAL_MANIFEST);
        files.create(&probe).map_err(|source| refused(path, "be written to", source))?;
        // The manifest goes first: a folder without one is no run, should the removal be cut short.
        for name in [Self::MANIFEST, Self::RECORDS, Self::REPORT, PARTIAL_MANIFEST] {
            let file = path.join(name);
            if files.is_there(&file) {
                files.remove(&file).map_err(|source| refused(&file, "be removed", source))?;
            }
        }
        let names = files.list(path).map_err(|source| refused(path, "be read", source))?;
        for name in names.iter().filter(|name| name.starts_with(Self::EVENT_FILES)) {
            let file = path.join(name);
            files.remove(&file).map_err(|source| refused(&file, "be removed", source))?;
        }
        folder.checkpoints().remove_after(None)?;
        folder.remove_kept()?;
        Ok(folder)
    }

    /// Whether [`RunFolder::create`] would take the folder, without touching it: for a command that fills several.
    ///
    /// # Errors
    /// [`RecordError`]: the folder holds a run and there is no `force`, or it is a file.
    pub fn check(path: &Path, force: bool) -> Result<(), RecordError> {
        if path.exists() && !path.is_dir() {
            return Err(RecordError::NotAFolder { folder: path.display().to_string() });
        }
        let found = [Self::MANIFEST, Self::RECORDS].into_iter().find(|name| SystemFiles.is_there(&path.join(name)));
        match (found, force) {
            (Some(found), false) => Err(RecordError::HoldsARun { folder: path.display().to_string(), found }),
            _ => Ok(()),
        }
    }

    /// The folder of a run that is there.
    ///
    /// # Errors
    /// [`RecordError::NoRun`] where it has no manifest.
    pub fn open(path: &Path) -> Result<Self, RecordError> {
        Self::open_on(Arc::new(SystemFiles), path)
    }

    /// As [`RunFolder::open`], over another file layer.
    ///
    /// # Errors
    /// [`RecordError::NoRun`] where it has no manifest.
    pub fn open_on(files: Arc<dyn Files>, path: &Path) -> Result<Self, RecordError> {
        if files.is_there(&path.join(Self::MANIFEST)) {
            Ok(Self { path: path.to_owned(), files })
        } else {
            Err(RecordError::NoRun { folder: path.display().to_string(), file: Self::MANIFEST })
        }
    }

    /// How its files are reached.
    pub(super) fn files(&self) -> &dyn Files {
        self.files.as_ref()
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Path of the manifest.
    pub fn manifest_path(&self) -> PathBuf {
        self.path.join(Self::MANIFEST)
    }

    /// Path of the records.
    pub fn records_path(&self) -> PathBuf {
        self.path.join(Self::RECORDS)
    }

    /// Path of the page.
    pub fn report_path(&self) -> PathBuf {
        self.path.join(Self::REPORT)
    }

    /// The checkpoints of the run.
    pub fn checkpoints(&self) -> Checkpoints {
        Checkpoints::open_on(Arc::clone(&self.files), &self.path)
    }

    /// A writer of checkpoints beside this folder's records. `spec` is the hash of the run's specification.
    pub fn checkpoint_writer(&self, retention: Retention, spec: String) -> CheckpointWriter {
        CheckpointWriter::new(self.checkpoints(), retention, spec, Arc::clone(&self.files), self.records_path())
    }

    /// Writes the manifest under a temporary name, waits until the device has it, and renames it: a reader
    /// finds a whole manifest or none.
    ///
    /// # Errors
    /// [`RecordError::Refused`]; the temporary file is then removed, and a manifest that was there stays.
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<(), RecordError> {
        let path = self.manifest_path();
        let write = || -> io::Result<()> {
            let mut text = serde_json::to_vec_pretty(manifest)?;
            text.push(b'\n');
            write_whole(self.files.as_ref(), &path, &text)
        };
        write().map_err(|source| refused(&path, "be written", source))
    }

    /// The manifest.
    ///
    /// # Errors
    /// [`RecordError`]: it cannot be read, is no manifest, or has a newer format.
    pub fn manifest(&self) -> Result<Manifest, RecordError> {
        let path = self.manifest_path();
        let invalid = |reason: String| RecordError::Manifest { file: path.display().to_string(), reason };
        let bytes = self.files.read(&path).map_err(|source| refused(&path, "be read", source))?;
        let format =
            serde_json::from_slice::<serde_json::Value>(&bytes).ok().and_then(|value| value["format"].as_u64());
        if let Some(newer) = format.filter(|&format| format > u64::from(Manifest::FORMAT)) {
            return Err(invalid(format!(
                "it has format {newer}, and this stepscope reads formats up to {}: use the version that wrote it",
                Manifest::FORMAT
            )));
        }
        serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))
    }

    /// Creates the record file of a new run.
    ///
    /// # Errors
    /// [`RecordError::Refused`], also if the file is there.
    pub fn create_records(&self) -> Result<RecordWriter, RecordError> {
        let records = RecordWriter::create(self.files.as_ref(), &self.records_path())?;
        self.files.sync_dir(&self.path).map_err(|source| refused(&self.path, "be written to the device", source))?;
        Ok(records)
    }

    /// Goes on with the record file up to `mark`, and cuts what follows; creates it where it is not there.
    ///
    /// # Errors
    /// [`RecordError::Refused`].
    pub fn reopen_records(&self, mark: RecordsMark) -> Result<RecordWriter, RecordError> {
        let records = RecordWriter::reopen(self.files.as_ref(), &self.records_path(), mark)?;
        self.files.sync_dir(&self.path).map_err(|source| refused(&self.path, "be written to the device", source))?;
        Ok(records)
    }

    /// The bytes of the record file; none where there is no file.
    ///
    /// # Errors
    /// [`RecordError::Refused`].
    pub fn record_bytes(&self) -> Result<Vec<u8>, RecordError> {
        let path = self.records_path();
        match self.files.read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other.map_err(|source| refused(&path, "be read", source)),
        }
    }

    /// How the run ended; `None` for one that has not come to its end.
    ///
    /// # Errors
    /// [`RecordError::Refused`].
    pub fn ending(&self) -> Result<Option<StopReason>, RecordError> {
        let bytes = self.record_bytes()?;
        let Some(whole) = bytes.strip_suffix(b"\n") else { return Ok(None) };
        let start = whole.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
        Ok(match serde_json::from_slice::<Record>(&whole[start..]) {
            Ok(Record::Event(event)) => match event.kind {
                EventKind::RunEnded { reason } => Some(reason),
                EventKind::RunStarted | EventKind::ReadingsLeftOut { .. } | EventKind::Decided { .. } => None,
            },
            _ => None,
        })
    }
}

pub(super) fn refused(path: &Path, action: &'static str, source: io::Error) -> RecordError {
    RecordError::Refused { path: path.display().to_string(), action, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use stepscope_types::spec::LearningRateSpec;
    use stepscope_types::{DataManifest, ModelManifest, RunSpec, Seeds, Software};

    fn manifest(name: &str) -> Manifest {
        let text = |text: &str| text.to_owned();
        Manifest {
            format: Manifest::FORMAT,
            name: text(name),
            process: text("training"),
            spec: RunSpec::with_learning_rate(LearningRateSpec::Measured),
            seeds: Seeds::from_root(7),
            data: DataManifest {
                name: text("optdigits"),
                sha256: "0".repeat(64),
                num_train_examples: 3823,
                num_test_examples: 1797,
                num_classes: 10,
                shape: [1, 8, 8],
            },
            model: ModelManifest { description: text("mlp 64-10 relu"), num_params: 650 },
            software: Software { stepscope: text("0"), burn: text("0"), device: text("cpu"), threads: 1 },
            started_unix_seconds: 1,
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = entries.collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_folder_comes_with_its_parents_and_empty() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(&root.path().join("a/b/c"), false).unwrap();
        assert!(names(folder.path()).is_empty());
        folder.write_manifest(&manifest("first")).unwrap();
        folder.create_records().unwrap();
        assert_eq!(names(folder.path()), [RunFolder::RECORDS, RunFolder::MANIFEST]);
    }

    #[test]
    fn the_manifest_comes_back_and_its_bytes_are_the_same_twice() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(root.path(), false).unwrap();
        folder.write_manifest(&manifest("first")).unwrap();
        let bytes = fs::read(folder.manifest_path()).unwrap();
        assert_eq!(serde_json::from_slice::<Manifest>(&bytes).unwrap(), manifest("first"));
        folder.write_manifest(&manifest("first")).unwrap();
        assert_eq!(fs::read(folder.manifest_path()).unwrap(), bytes);
    }

    #[test]
    fn a_folder_with_a_run_is_refused_and_left_as_it_was() {
        for found in [RunFolder::MANIFEST, RunFolder::RECORDS] {
            let root = tempfile::tempdir().unwrap();
            fs::write(root.path().join(found), "old").unwrap();
            let message = RunFolder::create(root.path(), false).unwrap_err().to_string();
            assert!(message.contains(&format!("holds a run already ({found} is there)")), "{message}");
            assert_eq!(names(root.path()), [found]);
        }
    }

    #[test]
    fn force_removes_the_files_of_a_run_and_no_other() {
        let root = tempfile::tempdir().unwrap();
        for name in
            ["run.json", "metrics.jsonl", "report.html", "events.out.tfevents.1.host.2.3", "notes.txt", "spec.toml"]
        {
            fs::write(root.path().join(name), "old").unwrap();
        }
        fs::create_dir(root.path().join("figures")).unwrap();
        RunFolder::create(root.path(), true).unwrap().create_records().unwrap();
        assert_eq!(names(root.path()), ["figures", "metrics.jsonl", "notes.txt", "spec.toml"]);
        assert_eq!(fs::read(root.path().join("metrics.jsonl")).unwrap(), b"");
    }

    #[test]
    fn a_file_in_the_place_of_the_folder_or_of_a_parent_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("taken");
        fs::write(&file, "mine").unwrap();
        for force in [false, true] {
            assert!(matches!(RunFolder::create(&file, force), Err(RecordError::NotAFolder { .. })));
            assert!(matches!(RunFolder::create(&file.join("below"), force), Err(RecordError::Refused { .. })));
        }
        assert_eq!(fs::read(&file).unwrap(), b"mine");
    }

    #[test]
    fn a_manifest_that_cannot_be_renamed_leaves_no_partial_file() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(root.path(), false).unwrap();
        fs::create_dir(folder.manifest_path()).unwrap();
        let message = folder.write_manifest(&manifest("first")).unwrap_err().to_string();
        assert!(message.contains("run.json: cannot be written"), "{message}");
        assert_eq!(names(root.path()), [RunFolder::MANIFEST]);
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_may_not_be_written_to_is_refused_with_its_run_intact() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("locked");
        fs::create_dir(&path).unwrap();
        fs::write(path.join(RunFolder::MANIFEST), "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o555)).unwrap();
        // Permissions do not bind the superuser, for whom there is nothing to test.
        let bound = File::create(path.join("try")).is_err();
        if bound {
            let message = RunFolder::create(&path, true).unwrap_err().to_string();
            assert!(message.contains("locked: cannot be written to"), "{message}");
            assert_eq!(names(&path), [RunFolder::MANIFEST]);
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}
