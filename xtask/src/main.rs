//! The workspace's own checks, run as `cargo xtask <command>`.
//!
//! Everything CI asks of a change can be run here, on one machine, with one command: `cargo xtask validate`.
//! Conventions that the compiler does not know are small functions with a name and a reason in [`tidy`].

// A program of checks speaks to its caller on stdout and stderr; only the libraries must not.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod devices;
mod docs;
mod licences;
mod source;
mod tidy;
mod tree;
mod validate;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
The checks of this workspace.

Usage: cargo xtask <command>

  validate [--skip-tests] [--list]   everything CI checks, cheapest first; stops at the first failure
  tidy [--list]                      the conventions that the compiler does not check
  devices                            compiles the features cuda and wgpu, which CI leaves out: half an hour when cold
  licences                           whether every dependency's licence is one we accept
  docs [--check]                     writes docs/quantities.md from the list of recorded quantities
  help                               this text

Exit status: 0 all is well, 1 something was found, 2 bad usage.";

/// What a command can end with.
enum Outcome {
    /// Nothing to mend.
    Clean,
    /// Something to mend, already printed.
    Findings,
    /// The command line made no sense.
    Usage(String),
}

/// A failure of the checks themselves: a file that cannot be read, a program that cannot be started.
type Fault = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&root(), &words) {
        Ok(Outcome::Clean) => ExitCode::SUCCESS,
        Ok(Outcome::Findings) => ExitCode::FAILURE,
        Ok(Outcome::Usage(message)) => {
            eprintln!("{message}\n\n{USAGE}");
            ExitCode::from(2)
        }
        Err(fault) => {
            eprintln!("xtask: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn run(root: &Path, words: &[&str]) -> Result<Outcome, Fault> {
    match words {
        ["validate", options @ ..] => match validate::Options::parse(options) {
            Ok(options) => validate::run(root, &options),
            Err(message) => Ok(Outcome::Usage(message)),
        },
        ["tidy"] => tidy::run(root),
        ["tidy", "--list"] => Ok(tidy::list()),
        ["licences"] => licences::run(root),
        ["devices"] => devices::run(root),
        ["docs"] => docs::write(root),
        ["docs", "--check"] => docs::check(root),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(Outcome::Clean)
        }
        [] => Ok(Outcome::Usage("no command was given".to_owned())),
        words => Ok(Outcome::Usage(format!("`{}` is not a command of xtask", words.join(" ")))),
    }
}

/// The workspace root: the folder above this package, wherever the checkout lies when cargo runs us.
fn root() -> PathBuf {
    let package =
        std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().map_or(package.clone(), Path::to_path_buf)
}
