//! Whether the features for other devices still compile, and what the devices that are here compute.
//!
//! Not part of CI: every set of features compiles Burn anew.

use std::path::Path;
use std::process::Command;

use crate::{Fault, Outcome};

/// Features of the program, one device each.
const FEATURES: [&str; 2] = ["cuda", "wgpu"];

/// Compiles each feature alone, then builds the program with both and lets it check the devices that it finds.
///
/// In a target folder of its own, so that the usual one keeps its build.
pub(crate) fn run(root: &Path) -> Result<Outcome, Fault> {
    let target = root.join("target").join("devices");
    let checks =
        FEATURES.map(|feature| vec!["check", "--workspace", "--release", "--all-targets", "--features", feature]);
    let both = FEATURES.join(",");
    let program = vec!["run", "--release", "--features", both.as_str(), "--", "devices", "--check"];
    for words in checks.into_iter().chain([program]) {
        println!("cargo {}", words.join(" "));
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo).args(&words).env("CARGO_TARGET_DIR", &target).current_dir(root).status()?;
        if !status.success() {
            println!("devices: `cargo {}` failed", words.join(" "));
            return Ok(Outcome::Findings);
        }
    }
    println!("devices: both features compile; what the devices compute is above");
    Ok(Outcome::Clean)
}
