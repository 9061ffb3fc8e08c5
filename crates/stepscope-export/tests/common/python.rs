//! Python with the readers of others, where it can be had.
#![allow(clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Packages that are installed into the tests' own environment. The script knows pandas and polars too.
const PACKAGES: [&str; 2] = ["tensorboard", "pyarrow"];

/// Runs `tests/read_back.py`; `None`, with the reason on stderr, where it cannot be run. Set `STEPSCOPE_TEST_PYTHON` to
/// an interpreter that has the packages to use that one.
pub fn read_back(arguments: &[&str]) -> Option<serde_json::Value> {
    let python = interpreter()?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/read_back.py");
    let output = Command::new(python).arg(script).args(arguments).output().ok()?;
    if output.status.code() == Some(3) {
        eprintln!("skipped: {}", String::from_utf8_lossy(&output.stderr).trim());
        return None;
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn interpreter() -> Option<&'static PathBuf> {
    static INTERPRETER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = INTERPRETER.get_or_init(|| {
        if let Some(given) = std::env::var_os("STEPSCOPE_TEST_PYTHON") {
            return Some(given.into());
        }
        // Beside the build's own outputs, so that it is made once.
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readers");
        let python = folder.join("bin/python");
        let complete = folder.join("complete");
        if !complete.exists() {
            run(Command::new("python3").arg("-m").arg("venv").arg(&folder))?;
            run(Command::new(&python)
                .args(["-m", "pip", "install", "--quiet", "--timeout", "10", "--retries", "0"])
                .args(PACKAGES))?;
            std::fs::write(&complete, "").ok()?;
        }
        Some(python)
    });
    if found.is_none() {
        eprintln!("skipped: no Python with {} can be had here", PACKAGES.join(", "));
    }
    found.as_ref()
}

fn run(command: &mut Command) -> Option<()> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?;
    status.success().then_some(())
}
