//! A run in a process of its own, so that whatever happens to it happens to it alone.

use std::fs::{self, File};
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use anyhow::Context;
use stepscope::sweep::{Attempt, RunFailure};

use super::budget::peak_memory;
/// How many bytes of what a process said are looked at for its last message.
const LAST_WORDS: usize = 4096;

/// A run that is being trained.
pub(super) struct Child {
    attempt: Attempt,
    process: std::process::Child,
    began: Instant,
    resumed: bool,
}

impl Child {
    /// Starts training. `resumed` goes on from the attempt's newest checkpoint.
    pub(super) fn start(attempt: Attempt, resumed: bool, threads: NonZeroUsize) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("the program's own file cannot be found")?;
        let log = attempt.log_path();
        let log_file = File::create(&log).with_context(|| format!("{}: cannot be created", log.display()))?;
        let mut command = Command::new(&program);
        if resumed {
            command.arg("resume").arg(attempt.folder());
        } else {
            command.arg("train").arg(attempt.write_spec()?).arg("--out").arg(attempt.folder());
        }
        // A file and no pipe: a run that outlives its parent must still be able to say something.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log_file);
        command.env("RAYON_NUM_THREADS", threads.to_string());
        apart(&mut command);
        let process = command.spawn().with_context(|| format!("{}: cannot be started", program.display()))?;
        Ok(Self { attempt, process, began: Instant::now(), resumed })
    }

    pub(super) fn attempt(&self) -> &Attempt {
        &self.attempt
    }

    pub(super) fn into_attempt(self) -> Attempt {
        self.attempt
    }

    pub(super) fn was_resumed(&self) -> bool {
        self.resumed
    }

    pub(super) fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// The largest memory so far, in bytes, where the system tells.
    pub(super) fn peak_memory(&self) -> Option<u64> {
        peak_memory(self.process.id())
    }

    /// The exit status, once there is one.
    pub(super) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.process.try_wait()
    }

    /// Asks the run to save its state and end.
    pub(super) fn stop(&mut self) {
        // The standard library sends one signal, which cannot be caught; `kill` of the shell sends any. Where there is no shell the
        // run is ended: what it has saved so far is intact.
        let kill = format!("kill -TERM {}", self.process.id());
        let sent = Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status();
        if !sent.is_ok_and(|status| status.success()) {
            self.kill();
        }
    }

    /// Ends the run now.
    pub(super) fn kill(&mut self) {
        // A process that has ended by itself cannot be killed, and need not be.
        let _ = self.process.kill();
    }

    /// Why the run came to nothing.
    pub(super) fn failure(&self, status: ExitStatus) -> RunFailure {
        let said = last_message(&self.attempt.log_path());
        RunFailure { bad_input: status.code() == Some(2), message: said.unwrap_or_else(|| how_it_ended(status)) }
    }
}

/// Keeps the terminal's Ctrl-C from the run: it is passed on once, by whoever started the run.
#[cfg(unix)]
fn apart(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
}

#[cfg(not(unix))]
fn apart(_: &mut Command) {}

fn how_it_ended(status: ExitStatus) -> String {
    let hint = if status.code().is_none() { ": was it out of memory?" } else { "" };
    format!("the training process ended with {status}{hint}")
}

/// The last message of a process, from the file that it wrote to.
fn last_message(log: &Path) -> Option<String> {
    let bytes = fs::read(log).ok()?;
    let tail = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(LAST_WORDS)..]).into_owned();
    let message = tail.rsplit_once("error: ").map(|(_, message)| message).or_else(|| tail.trim().lines().last())?;
    let one_line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    (!one_line.is_empty()).then_some(one_line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_message_is_the_error_or_else_the_last_line() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let said = |text: &str| {
            fs::write(&log, text).unwrap();
            last_message(&log)
        };
        assert_eq!(said("note\nerror: data: not\n  found\n").unwrap(), "data: not found");
        assert_eq!(said("thread 'main' panicked at x\nout of range\n").unwrap(), "out of range");
        assert_eq!(said(" \n"), None);
        assert_eq!(said(&format!("{}error: late", "ä".repeat(LAST_WORDS))).unwrap(), "late");
    }
}
