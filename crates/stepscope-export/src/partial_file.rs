//! A file that appears under its name once it is whole.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::ExportError;

/// A file under a temporary name beside its own; it is removed again unless it is finished.
#[derive(Debug)]
pub(crate) struct PartialFile {
    path: PathBuf,
    temporary: PathBuf,
    is_finished: bool,
}

impl PartialFile {
    /// The file, which takes the place of one that is there once it is finished.
    pub(crate) fn create(path: &Path) -> Result<(Self, File), ExportError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".partial");
        let temporary = path.with_file_name(name);
        let file = File::create(&temporary).map_err(ExportError::refused(&temporary, "be created"))?;
        Ok((Self { path: path.to_owned(), temporary, is_finished: false }, file))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until the device has the file, and gives it its name.
    pub(crate) fn finish(&mut self, file: &File) -> Result<(), ExportError> {
        file.sync_all()
            .and_then(|()| fs::rename(&self.temporary, &self.path))
            .map_err(ExportError::refused(&self.path, "be written"))?;
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.is_finished {
            // What stays is written over the next time.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}
