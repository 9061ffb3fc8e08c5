//! Every check that CI makes, in the order in which a mistake costs least time to find.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::{Fault, Outcome, licences, tidy};

/// What `cargo xtask validate` was asked to do.
#[derive(Debug, PartialEq, Eq, Default)]
pub(crate) struct Options {
    skip_tests: bool,
    list: bool,
}

impl Options {
    /// Reads the options behind `validate`.
    pub(crate) fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Self::default();
        for word in words {
            match *word {
                "--skip-tests" => options.skip_tests = true,
                "--list" => options.list = true,
                other => {
                    return Err(format!("`{other}` is not an option of validate: expected --skip-tests or --list"));
                }
            }
        }
        Ok(options)
    }
}

/// How a step is carried out.
enum Work {
    /// Words behind `cargo`, and flags for rustdoc.
    Cargo { words: &'static [&'static str], rustdoc_flags: Option<&'static str> },
    /// A check of our own, which is also `cargo xtask NAME`.
    Own(fn(&Path) -> Result<Outcome, Fault>),
}

/// One check.
struct Step {
    name: &'static str,
    work: Work,
}

const STEPS: &[Step] = &[
    Step { name: "format", work: cargo(&["fmt", "--all", "--check"]) },
    Step { name: "tidy", work: Work::Own(tidy::run) },
    Step { name: "licences", work: Work::Own(licences::run) },
    Step {
        name: "clippy",
        work: cargo(&["clippy", "--workspace", "--release", "--all-targets", "--", "-D", "warnings"]),
    },
    Step {
        name: "docs",
        work: Work::Cargo {
            // Libraries only: the program and the library are both called stepscope, and rustdoc would write both
            // to one folder.
            words: &["doc", "--workspace", "--release", "--no-deps", "--lib"],
            rustdoc_flags: Some("-D warnings"),
        },
    },
    Step { name: TESTS, work: cargo(&["test", "--workspace", "--release"]) },
];

const TESTS: &str = "tests";

const fn cargo(words: &'static [&'static str]) -> Work {
    Work::Cargo { words, rustdoc_flags: None }
}

impl Step {
    /// What to type to run this step alone.
    fn command(&self) -> String {
        match self.work {
            Work::Cargo { words, rustdoc_flags: None } => format!("cargo {}", words.join(" ")),
            Work::Cargo { words, rustdoc_flags: Some(flags) } => {
                format!("RUSTDOCFLAGS=\"{flags}\" cargo {}", words.join(" "))
            }
            Work::Own(_) => format!("cargo xtask {}", self.name),
        }
    }

    fn run(&self, root: &Path) -> Result<Outcome, Fault> {
        let (words, rustdoc_flags) = match self.work {
            Work::Own(check) => return check(root),
            Work::Cargo { words, rustdoc_flags } => (words, rustdoc_flags),
        };
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(words).current_dir(root);
        if let Some(flags) = rustdoc_flags {
            command.env("RUSTDOCFLAGS", flags);
        }
        Ok(if command.status()?.success() { Outcome::Clean } else { Outcome::Findings })
    }
}

/// Runs the steps one after the other until one fails.
pub(crate) fn run(root: &Path, options: &Options) -> Result<Outcome, Fault> {
    let steps: Vec<&Step> = STEPS.iter().filter(|step| !(options.skip_tests && step.name == TESTS)).collect();
    if options.list {
        steps.iter().for_each(|step| println!("{:9} {}", step.name, step.command()));
        return Ok(Outcome::Clean);
    }
    let mut done: Vec<(&str, Duration)> = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        println!("[{}/{}] {}: {}", index + 1, steps.len(), step.name, step.command());
        // What cargo writes next goes to stderr: our line must be out before it.
        std::io::stdout().flush()?;
        let start = Instant::now();
        let outcome = step.run(root)?;
        done.push((step.name, start.elapsed()));
        if !matches!(outcome, Outcome::Clean) {
            println!("{}", summary(&done, steps.len(), "FAILED"));
            println!("To see it again: {}", step.command());
            return Ok(Outcome::Findings);
        }
    }
    println!("{}", summary(&done, steps.len(), "ok"));
    Ok(Outcome::Clean)
}

/// A line a step with its time; `last` says how the last one ended.
fn summary(done: &[(&str, Duration)], num_steps: usize, last: &str) -> String {
    let mut text = String::from("\nvalidate:\n");
    for (index, (name, time)) in done.iter().enumerate() {
        let ending = if index + 1 == done.len() { last } else { "ok" };
        text.push_str(&format!("  {name:9} {:7.1} s  {ending}\n", time.as_secs_f64()));
    }
    let total: Duration = done.iter().map(|(_, time)| *time).sum();
    text.push_str(&format!("  {} of {num_steps} checks in {:.1} s", done.len(), total.as_secs_f64()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_others_refused() {
        assert_eq!(Options::parse(&[]), Ok(Options::default()));
        assert_eq!(Options::parse(&["--skip-tests"]), Ok(Options { skip_tests: true, list: false }));
        assert!(Options::parse(&["--skip-test"]).unwrap_err().contains("`--skip-test` is not an option"));
    }

    #[test]
    fn the_shown_command_is_the_one_that_runs() {
        let commands: Vec<String> = STEPS.iter().map(Step::command).collect();
        assert_eq!(commands[0], "cargo fmt --all --check");
        assert_eq!(commands[1], "cargo xtask tidy");
        assert!(commands[4].starts_with("RUSTDOCFLAGS=\"-D warnings\" cargo doc "), "{}", commands[4]);
    }

    #[test]
    fn the_summary_names_the_step_that_failed() {
        let done = [("format", Duration::from_millis(400)), ("tidy", Duration::from_millis(100))];
        let text = summary(&done, 6, "FAILED");
        assert!(text.contains("format        0.4 s  ok"), "{text}");
        assert!(text.contains("tidy          0.1 s  FAILED"), "{text}");
        assert!(text.ends_with("2 of 6 checks in 0.5 s"), "{text}");
    }
}
