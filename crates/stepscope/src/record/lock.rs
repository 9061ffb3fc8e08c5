//! One process a run folder.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::error::RecordError;

/// The right to write into a run folder, for as long as it lives.
///
/// The system holds the lock for the process and takes it back however the process ends, so a crash leaves none behind. The
/// file itself stays and says who was last.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunLock {
    /// Name of the file inside a run's folder.
    pub const FILE: &str = "run.lock";

    /// Takes the right to write into `folder`, which is there.
    ///
    /// # Errors
    /// [`RecordError::Locked`] with the holder, where another process has it.
    pub fn take(folder: &Path) -> Result<Self, RecordError> {
        let path = folder.join(Self::FILE);
        let refused = |action| {
            let path = path.display().to_string();
            move |source| RecordError::Refused { path, action, source }
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(refused("be opened"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Without its words the refusal is still a refusal.
                let _ = file.take(200).read_to_string(&mut holder);
                let holder = if holder.trim().is_empty() { "another process" } else { holder.trim() }.to_owned();
                return Err(RecordError::Locked { folder: folder.display().to_string(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(refused("be locked")(source)),
        }
        let words = format!("process {} on {}\n", std::process::id(), host());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(words.as_bytes()))
            .map_err(refused("be written"))?;
        Ok(Self { _file: file })
    }

    /// Whether some process has the right to write into `folder` now. Nothing is created.
    pub fn is_taken(folder: &Path) -> bool {
        // Asked for as a reader would, so that two who ask do not see each other as the holder.
        let Ok(file) = File::open(folder.join(Self::FILE)) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }
}

/// The machine's name, as far as it can be had without asking the network.
fn host() -> String {
    let from_kernel = fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| fs::read_to_string("/etc/hostname"));
    let name =
        from_kernel.ok().or_else(|| std::env::var("HOSTNAME").ok()).or_else(|| std::env::var("COMPUTERNAME").ok());
    name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).unwrap_or_else(|| "this machine".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_with_the_name_of_the_first_until_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!RunLock::is_taken(folder.path()));
        let first = RunLock::take(folder.path()).unwrap();
        assert!(RunLock::is_taken(folder.path()));
        let message = RunLock::take(folder.path()).unwrap_err().to_string();
        assert!(message.contains(&format!("process {} on ", std::process::id())), "{message}");
        drop(first);
        assert!(!RunLock::is_taken(folder.path()));
        RunLock::take(folder.path()).unwrap();
    }
}
