//! Whether the features for other devices still compile and under which licences, and what the devices that are here compute.
//!
//! Not part of CI: every set of features compiles Burn anew.

use std::path::Path;
use std::process::Command;

use crate::{Fault, Outcome, licences};

/// Features of the program, one device each; what a build of the program needs besides.
const FEATURES: [(&str, &str); 2] = [
    ("wgpu", "nothing but a linker"),
    ("cuda", "the LLVM of CubeCL, which its first build fetches from GitHub and keeps in the user's data folder"),
];

/// Checks the licences of both, compiles each feature alone, then builds the program with it and lets it check the devices that it finds.
///
/// In a target folder of its own, so that the usual one keeps its build.
pub(crate) fn run(root: &Path) -> Result<Outcome, Fault> {
    let mut outcome = licences::with_features(root, &FEATURES.map(|(feature, _)| feature).join(","))?;
    for (feature, needs) in FEATURES {
        let check = ["check", "--workspace", "--release", "--all-targets", "--features", feature];
        let program = ["run", "--release", "--features", feature, "--", "devices", "--check", "--device", feature];
        // Types are checked without what only a linker needs: build scripts that fetch it leave it out for documentation.
        if !cargo(root, &check, true)? {
            println!("devices: the feature {feature} does not compile");
            outcome = Outcome::Findings;
        } else if !cargo(root, &program, false)? {
            println!("devices: see above; to build the program, {feature} needs {needs}");
            outcome = Outcome::Findings;
        }
    }
    if matches!(outcome, Outcome::Clean) {
        println!("devices: both features compile; what the devices compute is above");
    }
    Ok(outcome)
}

fn cargo(root: &Path, words: &[&str], types_only: bool) -> Result<bool, Fault> {
    println!("{}cargo {}", if types_only { "DOCS_RS=1 " } else { "" }, words.join(" "));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(words).env("CARGO_TARGET_DIR", root.join("target").join("devices")).current_dir(root);
    if types_only {
        command.env("DOCS_RS", "1");
    }
    Ok(command.status()?.success())
}
