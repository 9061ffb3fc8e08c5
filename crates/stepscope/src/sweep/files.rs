//! File operations that are whole or not done.

use std::collections::hash_map::RandomState;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::path::Path;

/// A name that no other process takes: 64 bits from the system's source of randomness.
pub(super) fn unique_name(prefix: &str) -> String {
    format!("{prefix}-{:016x}", RandomState::new().build_hasher().finish())
}

/// Writes a file under a name of its own, waits for the device, and renames it: a reader finds the old bytes or the
/// new ones, also when several processes write at once.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let partial = path.with_file_name(unique_name(&format!(".{name}")));
    let write = || {
        let mut file = File::create_new(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    write().inspect_err(|_| {
        // The error that counts is the first one; what stays behind is a hidden file that nobody reads.
        let _ = fs::remove_file(&partial);
    })
}

/// Copies a folder with everything below it, but for names that `skip` says, and waits until the device has it.
pub(super) fn copy_folder(from: &Path, to: &Path, skip: &dyn Fn(&str) -> bool) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type()? {
            _ if skip(&entry.file_name().to_string_lossy()) => {}
            kind if kind.is_dir() => copy_folder(&source, &target, skip)?,
            kind if kind.is_file() => {
                fs::copy(&source, &target)?;
                File::open(&target)?.sync_all()?;
            }
            // A run writes files and folders; a link leads elsewhere and is not followed.
            _ => {}
        }
    }
    sync_folder(to);
    Ok(())
}

/// Waits until the device has the names in a folder. Where folders cannot be opened, nothing can be done.
pub(super) fn sync_folder(path: &Path) {
    if let Ok(folder) = File::open(path) {
        let _ = folder.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.json");
        write_whole(&path, b"first").unwrap();
        write_whole(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert!(write_whole(&folder.path().join("nowhere/list.json"), b"").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_copy_has_everything_but_what_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("checkpoints/3")).unwrap();
        for name in ["metrics.jsonl", "lock", "checkpoints/3/state"] {
            fs::write(from.join(name), name).unwrap();
        }
        copy_folder(&from, &to, &|name| name == "lock").unwrap();
        assert_eq!(fs::read_to_string(to.join("checkpoints/3/state")).unwrap(), "checkpoints/3/state");
        assert!(to.join("metrics.jsonl").exists() && !to.join("lock").exists());
        assert!(copy_folder(&from, &to, &|_| false).is_err(), "a copy goes to a name that is free");
    }
}
