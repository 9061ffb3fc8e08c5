//! Sweeps whose processes are killed, stopped and started twice: each ends with one correct folder a run.
#![cfg(unix)]
#![allow(clippy::panic, clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::Case;

/// Runs that take long enough to be met in the middle.
const SPEC: &str = r#"
name = "killed"
[data]
train_examples = 64
test_examples = 64
[model]
hidden = [4]
[train]
duration = "2500st"
batch_size = 8
[measure]
enabled = false
[average]
enabled = false
[optimizer]
momentum = 0.5
[sweep]
seeds = 2
[sweep.grid]
optimizer.learning_rate = [0.05, 0.1]
"#;

const PATIENCE: Duration = Duration::from_secs(120);

fn case() -> Case {
    let case = Case::new();
    case.write("sweep.toml", SPEC);
    case
}

fn spawn(case: &Case, arguments: &[&str]) -> Child {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("stepscope"));
    command.current_dir(&case.folder).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn share<'a>(out: &'a str, shard: &'a str) -> [&'a str; 8] {
    ["run-shard", "sweep.toml", "--out", out, "--jobs", "1", "--shard", shard]
}

fn signal(process: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &process.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        sleep(Duration::from_millis(2));
    }
}

/// Folders of runs that are being trained and have at least `bytes` of records.
fn begun(out: &Path, bytes: u64) -> Vec<PathBuf> {
    let entries = |path: &Path| -> Vec<PathBuf> {
        fs::read_dir(path).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect()
    };
    let attempts = entries(&out.join("attempts")).iter().flat_map(|run| entries(run)).collect::<Vec<_>>();
    let long = |path: &PathBuf| fs::metadata(path.join("metrics.jsonl")).is_ok_and(|file| file.len() >= bytes);
    attempts.into_iter().filter(long).collect()
}

fn finished(out: &Path) -> usize {
    fs::read_dir(out)
        .into_iter()
        .flatten()
        .filter(|entry| entry.as_ref().unwrap().path().join("run.json").exists())
        .count()
}

/// The records of finished runs by name, without their times.
fn records(out: &Path) -> BTreeMap<String, String> {
    let paths = fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path());
    let runs = paths.filter(|path| path.join("run.json").exists());
    let text = |path: PathBuf| {
        let records = stepscope::record::records_without_timing(&path.join("metrics.jsonl")).unwrap();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), records)
    };
    runs.map(text).collect()
}

/// What an uninterrupted sweep writes.
fn uninterrupted(case: &Case) -> BTreeMap<String, String> {
    let answer = case.run(&["sweep", "sweep.toml", "--out", "reference"]);
    assert_eq!(answer.status, 0, "{}", answer.stderr);
    let reference = records(&case.path("reference"));
    assert_eq!(reference.len(), 4);
    reference
}

/// Starts shares of `count` until each says that there is nothing left, as an engine does.
fn complete(case: &Case, out: &str, count: usize) {
    for index in 1..=count {
        let began = Instant::now();
        loop {
            let answer = case.run(&share(out, &format!("{index}/{count}")));
            match answer.status {
                0 => break,
                75 => assert!(began.elapsed() < PATIENCE, "{}", answer.stderr),
                other => panic!("{other}: {}", answer.stderr),
            }
            sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn a_share_that_is_killed_in_the_middle_is_finished_by_shares_of_another_count() {
    let case = case();
    let reference = uninterrupted(&case);
    let out = case.path("out");
    let mut killed = spawn(&case, &share("out", "1/1"));
    wait_for("one run done and one begun", || finished(&out) >= 1 && !begun(&out, 20_000).is_empty());
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(finished(&out) < 4, "killed too late to say anything");
    complete(&case, "out", 3);
    assert_eq!(records(&out), reference);
    assert!(!out.join("attempts").exists(), "nothing is left over");
}

#[test]
fn a_share_that_is_told_to_stop_saves_and_says_75_and_the_rest_is_done_later() {
    let case = case();
    let reference = uninterrupted(&case);
    let out = case.path("out");
    for name in ["-TERM", "-USR1"] {
        let mut stopped = spawn(&case, &share("out", "1/1"));
        wait_for("a run to be trained", || case.run(&["status", "out"]).stdout.contains("1 running"));
        wait_for("its first records", || !begun(&out, 1000).is_empty());
        signal(&stopped, name);
        assert_eq!(stopped.wait().unwrap().code(), Some(75), "{name}");
    }
    let status = case.run(&["status", "out"]).stdout;
    assert!(!status.contains("running") && status.contains("1 interrupted"), "{status}");
    complete(&case, "out", 2);
    assert_eq!(records(&out), reference);
}

#[test]
fn two_copies_of_a_share_share_its_runs_and_end_with_one_folder_each() {
    let case = case();
    let reference = uninterrupted(&case);
    let copies: Vec<Child> = (0..3).map(|_| spawn(&case, &share("out", "1/1"))).collect();
    for mut copy in copies {
        let status = copy.wait().unwrap().code();
        assert!(matches!(status, Some(0 | 75)), "{status:?}");
    }
    complete(&case, "out", 1);
    assert_eq!(records(&case.path("out")), reference);
    assert!(!case.path("out/attempts").exists());
}

#[test]
fn two_copies_that_do_not_see_each_others_locks_end_with_one_correct_folder_each() {
    let case = case();
    let reference = uninterrupted(&case);
    let out = case.path("out");
    let mut first = spawn(&case, &share("out", "1/1"));
    wait_for("a run begun", || !begun(&out, 1000).is_empty());
    // As after a cut network: both hold what each takes for the only lock.
    let attempt = begun(&out, 1000).remove(0);
    fs::remove_file(attempt.join("run.lock")).unwrap_or(());
    fs::remove_file(attempt.with_file_name("run.lock")).unwrap();
    let mut second = spawn(&case, &share("out", "1/1"));
    for copy in [&mut first, &mut second] {
        let status = copy.wait().unwrap().code();
        assert!(matches!(status, Some(0 | 75)), "{status:?}");
    }
    complete(&case, "out", 1);
    assert_eq!(records(&out), reference);
    assert!(!out.join("attempts").exists(), "nothing is left over");
}
