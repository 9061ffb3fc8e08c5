//! Files beside a run's records: spectra, which are too large for them, and what was measured at its checkpoints after the fact. The
//! records themselves stay as they are.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use stepscope_types::{Measurement, Record, SavedSection, SavedSpectrum};

use super::error::RecordError;
use super::files::Files;
use super::run_folder::{RunFolder, refused};

/// A file that is being written; it gets its name once it is whole.
const PARTIAL: &str = ".partial";
/// How the names of kept files begin and end.
const STEP: &str = "step-";
const JSON: &str = ".json";

impl RunFolder {
    /// The folder of lines and planes: a [`SavedSection`] a file.
    pub const SECTIONS: &str = "sections";

    /// Keeps a section as JSON in [`RunFolder::SECTIONS`]; one of the same kind at the same step is replaced.
    ///
    /// # Errors
    /// [`RecordError::Refused`]; a file that was there is then as it was.
    pub fn keep_section(&self, section: &SavedSection) -> Result<PathBuf, RecordError> {
        self.keep(Self::SECTIONS, &section.file_name(), section)
    }

    /// The folder of spectral densities: a [`SavedSpectrum`] a file.
    pub const SPECTRA: &str = "spectra";

    /// Keeps a spectral density as JSON in [`RunFolder::SPECTRA`]; one of the same matrix at the same step is replaced.
    ///
    /// # Errors
    /// [`RecordError::Refused`]; a file that was there is then as it was.
    pub fn keep_spectrum(&self, spectrum: &SavedSpectrum) -> Result<PathBuf, RecordError> {
        self.keep(Self::SPECTRA, &spectrum.file_name(), spectrum)
    }

    /// The file of readings taken at checkpoints, in the format of the records.
    pub const READINGS: &str = "measured.jsonl";

    /// Adds readings to [`RunFolder::READINGS`], by step; one of the same quantity at the same step, over as many examples and
    /// in the same mode, is replaced. The run's own records are not touched. Lines of the file that are no records are dropped.
    ///
    /// # Errors
    /// [`RecordError::Refused`]; the file is then as it was.
    pub fn keep_readings(&self, readings: &[Measurement]) -> Result<(), RecordError> {
        let path = self.path().join(Self::READINGS);
        let old = match self.files().read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other.map_err(|source| refused(&path, "be read", source))?,
        };
        let old = old.split(|&byte| byte == b'\n').filter_map(|line| match serde_json::from_slice(line) {
            Ok(Record::Measurement(measurement)) => Some(measurement),
            _ => None,
        });
        let replaced = |old: &Measurement| readings.iter().any(|new| same_reading(old, new));
        let mut all: Vec<Measurement> = old.filter(|old| !replaced(old)).collect();
        all.extend_from_slice(readings);
        all.sort_by_key(|measurement| measurement.step);
        let lines = || -> serde_json::Result<Vec<u8>> {
            let mut text = Vec::new();
            for measurement in all {
                serde_json::to_writer(&mut text, &Record::Measurement(measurement))?;
                text.push(b'\n');
            }
            Ok(text)
        };
        let text = lines().map_err(|error| refused(&path, "be written", error.into()))?;
        write_whole(self.files(), &path, &text).map_err(|source| refused(&path, "be written", source))
    }

    fn keep(&self, folder: &str, name: &str, content: &impl Serialize) -> Result<PathBuf, RecordError> {
        let folder = self.path().join(folder);
        let path = folder.join(name);
        let refused = |source| refused(&path, "be written", source);
        let text = serde_json::to_vec(content).map_err(|error| refused(error.into()))?;
        self.files().create_dir(&folder).map_err(refused)?;
        write_whole(self.files(), &path, &text).map_err(refused)?;
        Ok(path)
    }

    /// Removes what was kept of a run that is replaced; files that stepscope did not write stay.
    pub(super) fn remove_kept(&self) -> Result<(), RecordError> {
        let readings = self.path().join(Self::READINGS);
        if self.files().is_there(&readings) {
            self.files().remove(&readings).map_err(|source| refused(&readings, "be removed", source))?;
        }
        for folder in [Self::SECTIONS, Self::SPECTRA] {
            let folder = self.path().join(folder);
            let names = match self.files().list(&folder) {
                Ok(names) => names,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(refused(&folder, "be read", source)),
            };
            for name in names.iter().filter(|name| is_ours(name)) {
                let file = folder.join(name);
                self.files().remove(&file).map_err(|source| refused(&file, "be removed", source))?;
            }
        }
        Ok(())
    }
}

/// Whether one reading says what the other says anew.
fn same_reading(a: &Measurement, b: &Measurement) -> bool {
    a.step == b.step && a.name == b.name && a.num_examples == b.num_examples && a.mode == b.mode
}

fn is_ours(name: &str) -> bool {
    let name = name.strip_suffix(PARTIAL).unwrap_or(name);
    name.starts_with(STEP) && name.ends_with(JSON)
}

/// Writes under another name, waits until the device has it, and renames: a reader finds a whole file or none.
pub(super) fn write_whole(files: &dyn Files, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(PARTIAL);
    let partial = path.with_file_name(name);
    let write = || -> io::Result<()> {
        let mut file = files.create(&partial)?;
        file.write_all(bytes)?;
        file.sync()?;
        drop(file);
        files.rename(&partial, path)?;
        // The name is on the device once the folder is.
        path.parent().map_or(Ok(()), |folder| files.sync_dir(folder))
    };
    write().inspect_err(|_| {
        // The error that is reported is the first one; a partial file that stays is overwritten next time.
        let _ = files.remove(&partial);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use stepscope_types::{Estimate, Mode, SectionDirection, SectionPoint, Step, Uncertainty};

    fn section(loss: f64) -> SavedSection {
        SavedSection {
            format: SavedSection::FORMAT,
            run: "a".to_owned(),
            step: Step(7),
            directions: vec![SectionDirection { kind: "random".into(), name: "random".into(), length: 1.0 }],
            other: None,
            mode: Mode::Eval,
            num_train_examples: 1,
            num_test_examples: 0,
            train: vec![SectionPoint { position: vec![0.0], loss, loss_error: 0.1, accuracy: 0.5 }],
            test: Vec::new(),
        }
    }

    fn run(root: &Path) -> RunFolder {
        let folder = RunFolder::create(root, true).unwrap();
        fs::write(folder.manifest_path(), "{}").unwrap();
        folder
    }

    #[test]
    fn a_section_is_replaced_by_one_of_its_kind_and_removed_with_its_run() {
        let root = tempfile::tempdir().unwrap();
        let folder = run(root.path());
        folder.keep_section(&section(0.5)).unwrap();
        let path = folder.keep_section(&section(0.25)).unwrap();
        assert_eq!(path, root.path().join("sections/step-000000007-line-random.json"));
        let back: SavedSection = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(back, section(0.25));
        fs::write(root.path().join("sections/mine.json"), "mine").unwrap();
        run(root.path());
        let left: Vec<_> =
            fs::read_dir(root.path().join("sections")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["mine.json"]);
    }

    #[test]
    fn readings_are_sorted_by_step_and_replace_their_like_alone() {
        let root = tempfile::tempdir().unwrap();
        let folder = run(root.path());
        let reading = |step: u64, value: f64, examples: u64| {
            let estimate = Estimate::new(value, "nat", Uncertainty::Exact).over_examples(examples);
            Measurement::new(Step(step), 0.0, "train/loss", estimate.into())
        };
        folder.keep_readings(&[reading(20, 1.0, 64), reading(10, 2.0, 64)]).unwrap();
        let torn = fs::read_to_string(root.path().join("measured.jsonl")).unwrap() + "{\"record\":";
        fs::write(root.path().join("measured.jsonl"), torn).unwrap();
        folder.keep_readings(&[reading(20, 0.5, 64), reading(20, 0.75, 128)]).unwrap();
        let text = fs::read_to_string(root.path().join(RunFolder::READINGS)).unwrap();
        let read = |line: &str| match serde_json::from_str(line) {
            Ok(Record::Measurement(measurement)) => (measurement.step.0, measurement.value),
            other => panic!("{other:?}"),
        };
        assert_eq!(text.lines().map(read).collect::<Vec<_>>(), [(10, Some(2.0)), (20, Some(0.5)), (20, Some(0.75))]);
        run(root.path());
        assert!(!root.path().join(RunFolder::READINGS).exists(), "the readings were those of the old run");
    }

    #[test]
    fn a_section_that_cannot_be_written_leaves_nothing_half_done() {
        let root = tempfile::tempdir().unwrap();
        let folder = run(root.path());
        fs::create_dir_all(root.path().join("sections/step-000000007-line-random.json")).unwrap();
        let message = folder.keep_section(&section(0.5)).unwrap_err().to_string();
        assert!(message.contains("step-000000007-line-random.json: cannot be written"), "{message}");
        assert_eq!(fs::read_dir(root.path().join("sections")).unwrap().count(), 1, "no partial file");
    }
}
