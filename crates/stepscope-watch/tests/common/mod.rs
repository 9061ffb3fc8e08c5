//! Runs written as training writes them, and servers that show them.
#![allow(dead_code, clippy::unwrap_used, reason = "every test file uses a part, and a panic is the message")]

#[path = "../../../stepscope-report/tests/common/mod.rs"]
pub(crate) mod synthetic;
pub(crate) mod webdriver;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use stepscope_types::{Manifest, Record};
use stepscope_watch::{Options, Server};

/// A folder of runs that tests write to.
pub(crate) struct Runs(tempfile::TempDir);

impl Runs {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes the manifest of a run; gives back its record file.
    pub(crate) fn begin(&self, folder: &str, manifest: &Manifest) -> PathBuf {
        let folder = self.path().join(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("metrics.jsonl"), "").unwrap();
        fs::write(folder.join("run.json"), serde_json::to_string(manifest).unwrap()).unwrap();
        folder.join("metrics.jsonl")
    }
}

/// Appends records, as a training process does.
pub(crate) fn append(records: &Path, new: &[Record]) {
    let lines: String = new.iter().map(|record| serde_json::to_string(record).unwrap() + "\n").collect();
    OpenOptions::new().append(true).open(records).unwrap().write_all(lines.as_bytes()).unwrap();
}

/// Runs a server on a thread of its own until the test ends; gives back its address.
pub(crate) fn serve(options: Options) -> String {
    let server = Server::bind(options).unwrap();
    let url = server.url();
    std::thread::spawn(move || server.run().unwrap());
    url
}

/// Options for one folder on a free port.
pub(crate) fn options(runs: &Runs) -> Options {
    Options { port: Some(0), ..Options::new([runs.path()]) }
}
