//! A folder of its own for every test, and the program run in it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;

use assert_cmd::Command;
use tempfile::TempDir;

/// A temporary folder in which the program runs.
pub struct Case {
    pub folder: TempDir,
}

/// What the program answered.
pub struct Answer {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Case {
    pub fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    pub fn run(&self, arguments: &[&str]) -> Answer {
        let output =
            Command::cargo_bin("stepscope").unwrap().current_dir(&self.folder).args(arguments).output().unwrap();
        Answer {
            status: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The program must refuse with status 2, in one message that holds all of `words`, and leave no `output`.
    pub fn refuses(&self, arguments: &[&str], words: &[&str], output: &str) {
        let answer = self.run(arguments);
        assert_eq!(answer.status, 2, "{arguments:?}: {}{}", answer.stdout, answer.stderr);
        assert_eq!(answer.stderr.matches("error:").count(), 1, "{}", answer.stderr);
        for word in words {
            assert!(answer.stderr.contains(word), "{arguments:?}: '{word}' is missing: {}", answer.stderr);
        }
        assert!(!answer.stderr.contains("panicked"), "{}", answer.stderr);
        assert_eq!(answer.stdout, "");
        assert!(!self.path(output).exists(), "something was written");
    }
}
