//! The files of the checkout, read once: what git tracks, and what it would track.

use std::path::Path;
use std::process::Command;

use crate::Fault;
use crate::source::Source;

/// A file of the project.
pub(crate) struct File {
    /// Path from the root, with forward slashes.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// The text; `None` for a binary file.
    pub text: Option<String>,
    /// The code, for a Rust file.
    pub source: Option<Source>,
}

/// All files of the project.
pub(crate) struct Tree {
    files: Vec<File>,
    /// Path beginnings of Rust modules that exist only under `#[cfg(test)]`.
    test_modules: Vec<String>,
}

impl Tree {
    /// Reads the checkout at `root`: tracked files, and untracked ones that git does not ignore.
    pub(crate) fn read(root: &Path) -> Result<Self, Fault> {
        let mut files = Vec::new();
        for path in listed_by_git(root)? {
            let place = root.join(&path);
            // A tracked file may be deleted in the checkout, and a link or submodule is not ours to read.
            if place.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
                let bytes = std::fs::read(&place).map_err(|error| format!("cannot read {path}: {error}"))?;
                files.push((path, bytes));
            }
        }
        Ok(Self::new(files))
    }

    fn new(files: Vec<(String, Vec<u8>)>) -> Self {
        let files: Vec<File> = files
            .into_iter()
            .map(|(path, bytes)| {
                let size = bytes.len() as u64;
                let text = String::from_utf8(bytes).ok();
                let source = text.as_deref().filter(|_| path.ends_with(".rs")).map(Source::new);
                File { path, size, text, source }
            })
            .collect();
        let test_modules = files.iter().flat_map(test_module_paths).collect();
        Self { files, test_modules }
    }

    /// A tree made of the given texts.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        Self::new(files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect())
    }

    /// Every file.
    pub(crate) fn files(&self) -> &[File] {
        &self.files
    }

    /// The file of exactly that path.
    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The text of the file of exactly that path.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.file(path).and_then(|file| file.text.as_deref())
    }

    /// Whether a file or folder of that path exists; `""` is the root.
    pub(crate) fn has(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        path.is_empty() || self.files.iter().any(|file| file.path == path || file.path.starts_with(&folder))
    }

    /// Every file with a text.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&File, &str)> {
        self.files.iter().filter_map(|file| file.text.as_deref().map(|text| (file, text)))
    }

    /// Every Rust file.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&File, &Source)> {
        self.files.iter().filter_map(|file| file.source.as_ref().map(|source| (file, source)))
    }

    /// Every Rust file of the library crates, test files left out.
    pub(crate) fn library_sources(&self) -> impl Iterator<Item = (&File, &Source)> {
        self.rust().filter(|(file, _)| {
            let inside = file.path.strip_prefix("crates/").and_then(|path| path.split_once('/'));
            inside.is_some_and(|(name, path)| name != "stepscope-cli" && path.starts_with("src/"))
                && !self.is_test_file(&file.path)
        })
    }

    /// Every manifest of a workspace member, with the member's folder.
    pub(crate) fn manifests(&self) -> impl Iterator<Item = (&File, &str, &str)> {
        self.texts().filter_map(|(file, text)| {
            let folder = file.path.strip_suffix("/Cargo.toml")?;
            let is_member = folder == "xtask"
                || folder.strip_prefix("crates/").is_some_and(|name| !name.is_empty() && !name.contains('/'));
            is_member.then_some((file, folder, text))
        })
    }

    /// Whether a Rust file holds tests, benches or examples only.
    pub(crate) fn is_test_file(&self, path: &str) -> bool {
        let in_test_folder = path.split('/').any(|part| ["tests", "benches", "examples"].contains(&part));
        let stem = path.rsplit('/').next().and_then(|name| name.strip_suffix(".rs")).unwrap_or_default();
        in_test_folder
            || stem == "tests"
            || stem.ends_with("_tests")
            || self.test_modules.iter().any(|module| {
                path.strip_prefix(module.as_str()).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            })
    }
}

/// Where the modules that `file` declares under `#[cfg(test)]` lie, without `.rs`.
fn test_module_paths(file: &File) -> Vec<String> {
    let Some(source) = &file.source else { return Vec::new() };
    let stem = file.path.trim_end_matches(".rs");
    let is_root_of_folder = ["/mod", "/lib", "/main"].iter().any(|name| stem.ends_with(name));
    let folder = if is_root_of_folder { stem.rsplit_once('/').map_or("", |(folder, _)| folder) } else { stem };
    source.test_modules_elsewhere().into_iter().map(|name| format!("{folder}/{name}")).collect()
}

fn listed_by_git(root: &Path) -> Result<Vec<String>, Fault> {
    let output = Command::new("git")
        // A checkout owned by another user, as in a container, is still ours to list.
        .args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cannot start git, which lists the files to check: {error}"))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        return Err(format!("git cannot list the files of {}: {}", root.display(), message.trim()).into());
    }
    let list = String::from_utf8(output.stdout)?;
    let mut paths: Vec<String> = list.split_terminator('\0').map(str::to_owned).collect();
    paths.sort();
    paths.dedup();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_declared_for_tests_only_are_test_files() {
        let tree = Tree::of(&[
            ("crates/a/src/lib.rs", "#[cfg(test)]\nmod twin;\nmod real;\n"),
            ("crates/a/src/twin.rs", ""),
            ("crates/a/src/real.rs", "#[cfg(test)]\nmod dense;\n"),
            ("crates/a/src/real/dense.rs", ""),
        ]);
        let shipped: Vec<&str> = tree.library_sources().map(|(file, _)| file.path.as_str()).collect();
        assert_eq!(shipped, ["crates/a/src/lib.rs", "crates/a/src/real.rs"]);
    }

    #[test]
    fn tests_benches_and_the_program_are_no_library_sources() {
        let tree = Tree::of(&[
            ("crates/a/tests/t.rs", ""),
            ("crates/a/benches/b.rs", ""),
            ("crates/a/src/tests.rs", ""),
            ("crates/a/src/io_tests.rs", ""),
            ("crates/stepscope-cli/src/main.rs", ""),
            ("xtask/src/main.rs", ""),
        ]);
        assert_eq!(tree.library_sources().count(), 0);
    }

    #[test]
    fn folders_and_the_root_exist_when_they_hold_files() {
        let tree = Tree::of(&[("docs/a.md", "")]);
        assert!(tree.has("docs") && tree.has("docs/a.md") && tree.has(""));
        assert!(!tree.has("doc") && !tree.has("docs/a"));
    }
}
