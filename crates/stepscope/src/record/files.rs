//! What a run does with files, behind a trait: the system, or in tests a disk that fails or loses power.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

/// What a record file can do: a [`File`], or something that fails on demand in a test.
pub trait RecordFile: Debug + Write {
    /// Cuts the file to `length` bytes; what is written next goes there.
    fn cut(&mut self, length: u64) -> io::Result<()>;
    /// Returns once everything written is on the device.
    fn sync(&mut self) -> io::Result<()>;
}

impl RecordFile for File {
    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)?;
        self.seek(SeekFrom::Start(length)).map(|_| ())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

impl RecordFile for Box<dyn RecordFile + Send> {
    fn cut(&mut self, length: u64) -> io::Result<()> {
        (**self).cut(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        (**self).sync()
    }
}

/// Every file operation of a run. Each is one step between which a process may die.
pub trait Files: Debug + Send + Sync {
    /// Creates a folder with its parents; one that is there is fine.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Creates a file, or empties the one that is there.
    fn create(&self, path: &Path) -> io::Result<Box<dyn RecordFile + Send>>;
    /// Opens a file for writing as it is, and creates it where it is not there.
    fn open(&self, path: &Path) -> io::Result<Box<dyn RecordFile + Send>>;
    /// The whole contents.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Gives a file another name; one of that name is replaced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Returns once the contents of a file are on the device, whoever wrote them.
    fn sync(&self, path: &Path) -> io::Result<()>;
    /// Returns once the names in a folder are on the device.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// The names in a folder.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Whether something of that name is there, a dangling link included.
    fn is_there(&self, path: &Path) -> bool;
}

/// The file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemFiles;

impl Files for SystemFiles {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn RecordFile + Send>> {
        Ok(Box::new(File::create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn RecordFile + Send>> {
        Ok(Box::new(OpenOptions::new().write(true).create(true).truncate(false).open(path)?))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        OpenOptions::new().write(true).open(path)?.sync_data()
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        // Where folders cannot be opened, nothing can be done.
        File::open(path).map_or(Ok(()), |folder| folder.sync_all())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn is_there(&self, path: &Path) -> bool {
        path.symlink_metadata().is_ok()
    }
}
