//! The files beside a run's records: its spectra, and what was measured at its checkpoints after the fact.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use stepscope_types::{SavedSection, SavedSpectrum};

use super::load::{self, End};
use super::{Run, Series};

/// The folder of lines and planes.
const SECTIONS: &str = "sections";
/// The folder of spectral densities.
const SPECTRA: &str = "spectra";
/// Readings at checkpoints, in the format of the records.
const READINGS: &str = "measured.jsonl";
/// A file longer than this is none that is written here.
const LONGEST_FILE: u64 = 64 << 20;

/// Spectra, sections, and readings that are not of the run's own making.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Kept {
    pub(crate) sections: Vec<SavedSection>,
    /// By step.
    pub(crate) spectra: Vec<SavedSpectrum>,
    pub(super) readings: BTreeMap<String, Series>,
    /// What cannot be read.
    pub(super) notes: Vec<String>,
}

/// What changes when a file is added, replaced or removed.
pub(super) type Stamps = [Option<(u64, Option<SystemTime>)>; 3];

pub(super) fn stamps(folder: &Path) -> Stamps {
    let stamp = |name: &str| {
        let metadata = folder.join(name).metadata().ok()?;
        Some((metadata.len(), metadata.modified().ok()))
    };
    [SECTIONS, SPECTRA, READINGS].map(stamp)
}

/// Reads all of it. A file that cannot be read is left out and named: the run itself is none the worse.
pub(super) fn load(folder: &Path, of: &Run) -> Kept {
    let mut kept = Kept::default();
    kept.sections = files(&folder.join(SECTIONS), &mut kept.notes);
    kept.spectra = files(&folder.join(SPECTRA), &mut kept.notes);
    let num_files = kept.sections.len() + kept.spectra.len();
    kept.sections.retain(|section| section.format <= SavedSection::FORMAT);
    kept.spectra.retain(|spectrum| spectrum.format <= SavedSpectrum::FORMAT && !spectrum.probes.is_empty());
    let num_newer = num_files - kept.sections.len() - kept.spectra.len();
    if num_newer > 0 {
        kept.notes
            .push(format!("{num_newer} files of {SECTIONS} and {SPECTRA} are of a newer version and are left out"));
    }
    readings(folder, of, &mut kept);
    kept
}

/// The files of a folder that hold a `T`, by name.
fn files<T: DeserializeOwned>(folder: &Path, notes: &mut Vec<String>) -> Vec<T> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let read = |path: &PathBuf| -> Result<T, String> {
        let mut text = Vec::new();
        let file = fs::File::open(path).map_err(|error| error.to_string())?;
        file.take(LONGEST_FILE).read_to_end(&mut text).map_err(|error| error.to_string())?;
        serde_json::from_slice(&text).map_err(|error| error.to_string())
    };
    paths
        .iter()
        .filter_map(|path| match read(path) {
            Ok(found) => Some(found),
            Err(error) => {
                notes.push(format!("{} cannot be read and is left out: {error}", shown(path)));
                None
            }
        })
        .collect()
}

/// The name of a file with that of its folder.
fn shown(path: &Path) -> String {
    let parts: Vec<_> = path.components().rev().take(2).map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/")
}

fn readings(folder: &Path, of: &Run, kept: &mut Kept) {
    let path = folder.join(READINGS);
    let Ok(file) = fs::File::open(&path) else { return };
    let mut run = Run::empty(of.manifest.clone());
    let mut end = End::default();
    let mut reader = std::io::BufReader::new(file);
    if let Err(error) = load::read_records(&mut reader, &path, &mut run, &mut end) {
        kept.notes.push(error.to_string());
    }
    run.sort();
    kept.readings = run.series;
}
