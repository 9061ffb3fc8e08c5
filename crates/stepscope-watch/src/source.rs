//! The runs of some folders, as far as they are written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stepscope_report::{Follower, LoadError, Run};

/// Follows every run in some folders; runs may appear and vanish.
#[derive(Debug)]
pub(crate) struct Source {
    folders: Vec<PathBuf>,
    followers: BTreeMap<PathBuf, Follower>,
    problems: Vec<String>,
}

impl Source {
    /// Watches folders of runs, and folders that hold such folders. They need not be there yet.
    pub(crate) fn new(folders: Vec<PathBuf>) -> Self {
        Self { folders, followers: BTreeMap::new(), problems: Vec::new() }
    }

    /// Reads what is new; the answer is whether anything changed.
    pub(crate) fn poll(&mut self) -> bool {
        let mut problems = Vec::new();
        let mut found: Vec<PathBuf> = Vec::new();
        for folder in &self.folders {
            match Run::discover(folder) {
                Ok(runs) => found.extend(runs),
                // Not yet, or no longer: the page says that there is no run.
                Err(LoadError::NoRuns { .. } | LoadError::Missing { .. }) => {}
                Err(error) => problems.push(error.to_string()),
            }
        }
        let before = self.followers.len();
        self.followers.retain(|path, _| found.contains(path));
        let mut changed = self.followers.len() != before;
        for path in found {
            let follower = self.followers.entry(path.clone()).or_insert_with(|| Follower::new(path));
            match follower.poll() {
                Ok(new) => changed |= new,
                Err(error) => problems.push(error.to_string()),
            }
        }
        changed |= problems != self.problems;
        self.problems = problems;
        changed
    }

    /// The runs as of the last poll, by folder.
    pub(crate) fn runs(&self) -> Vec<Run> {
        self.followers.values().filter_map(|follower| follower.run().cloned()).collect()
    }

    /// What cannot be read at present, and why.
    pub(crate) fn problems(&self) -> &[String] {
        &self.problems
    }

    /// The name of what is watched: that of the first folder.
    pub(crate) fn title(&self) -> String {
        let name = |path: &Path| path.file_name().map(|name| name.display().to_string());
        let first = self.folders.first();
        first
            .and_then(|path| name(&path.canonicalize().ok()?).or_else(|| name(path)))
            .unwrap_or_else(|| "runs".to_owned())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test a panic is the message")]

    use super::*;
    use crate::server::synthetic;
    use std::fs;

    fn write(folder: &Path, name: &str) -> PathBuf {
        let run = folder.join(name);
        fs::create_dir_all(&run).unwrap();
        fs::write(run.join("metrics.jsonl"), "").unwrap();
        fs::write(run.join("run.json"), serde_json::to_string(&synthetic::manifest(name, 0.1)).unwrap()).unwrap();
        run
    }

    #[test]
    fn runs_that_appear_and_vanish_are_followed_and_a_broken_one_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let mut source = Source::new(vec![parent.path().join("later")]);
        assert!(!source.poll() && source.runs().is_empty() && source.problems().is_empty());
        let first = write(&parent.path().join("later"), "a");
        let second = write(&parent.path().join("later"), "b");
        assert!(source.poll());
        assert_eq!(source.runs().iter().map(Run::name).collect::<Vec<_>>(), ["a", "b"]);
        assert!(!source.poll());
        fs::write(second.join("metrics.jsonl"), "nonsense\n").unwrap();
        assert!(source.poll());
        assert!(source.problems()[0].contains("metrics.jsonl:1: not a record"), "{:?}", source.problems());
        assert!(!source.poll(), "the same problem is no news");
        fs::remove_dir_all(first).unwrap();
        assert!(source.poll());
        assert_eq!(source.runs().iter().map(Run::name).collect::<Vec<_>>(), ["b"]);
    }
}
