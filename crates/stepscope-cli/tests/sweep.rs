//! Sweeps as a user and an engine meet them: processes, exit statuses, folders.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::Case;

const SPEC: &str = r#"
name = "tiny"
[data]
train_examples = 64
[model]
hidden = [4]
[train]
duration = "20st"
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
optimizer.learning_rate = [0.05, 0.2]
"#;

fn case() -> Case {
    let case = Case::new();
    case.write("sweep.toml", SPEC);
    case
}

/// The folders of finished runs by name.
fn results(out: &Path) -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path());
    let runs = entries.filter(|path| path.join("run.json").exists());
    runs.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path)).collect()
}

/// The records of finished runs by name, without their times.
fn records(out: &Path) -> BTreeMap<String, String> {
    let text = |path: &Path| stepscope::record::records_without_timing(&path.join("metrics.jsonl")).unwrap();
    results(out).into_iter().map(|(name, path)| (name, text(&path))).collect()
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_sweep_trains_every_run_once_and_compares_them() {
    let case = case();
    let plan = case.run(&["sweep", "sweep.toml", "--out", "out", "--dry-run"]);
    assert_eq!(plan.status, 0, "{}", plan.stderr);
    assert!(plan.stdout.contains("learning_rate=0.05 seed=1") && plan.stdout.contains("4 runs"), "{}", plan.stdout);
    assert!(!case.path("out").exists(), "a plan writes nothing");

    let sweep = |extra: &[&str]| case.run(&[&["sweep", "sweep.toml", "--out", "out", "--jobs", "2"], extra].concat());
    let answer = sweep(&[]);
    assert_eq!(answer.status, 0, "{}", answer.stderr);
    assert!(answer.stdout.contains("4 runs: 4 done now"), "{}", answer.stdout);
    assert!(answer.stdout.contains("optimizer.learning_rate") && answer.stdout.contains(" to "), "{}", answer.stdout);
    assert!(answer.stderr.contains("tiny learning_rate=0.2 seed=1: done"), "{}", answer.stderr);
    let page = fs::read_to_string(case.path("out/report.html")).unwrap();
    assert!(page.contains("tiny learning_rate=0.05 seed=0"));
    assert!(!case.path("out/attempts").exists());

    let before: Vec<_> = results(&case.path("out"))
        .into_values()
        .map(|path| fs::metadata(path.join("metrics.jsonl")).unwrap().modified().unwrap())
        .collect();
    let again = sweep(&["--format", "json"]);
    assert_eq!(again.status, 0, "{}", again.stderr);
    let answer = json(&again.stdout);
    let runs = answer["runs"].as_array().unwrap();
    assert!(runs.len() == 4 && runs.iter().all(|run| run["before"] == true && run["reason"] == "finished"));
    assert_eq!(answer["settings"].as_array().unwrap().len(), 2, "seeds are pooled");
    assert_eq!(answer["settings"][0]["num_runs"], 2);
    let after: Vec<_> = results(&case.path("out"))
        .into_values()
        .map(|path| fs::metadata(path.join("metrics.jsonl")).unwrap().modified().unwrap())
        .collect();
    assert_eq!(before, after, "a result is never written again");

    // A sweep that was changed keeps what it shares with the one before.
    let wider = sweep(&["--set", "sweep.seeds=3", "--set", "name=wider"]);
    assert!(wider.stdout.contains("6 runs: 2 done now, 4 done before"), "{}{}", wider.stdout, wider.stderr);
    let status = json(&case.run(&["status", "out", "--format", "json"]).stdout);
    assert_eq!(status["counts"]["done"], 6);
}

#[test]
fn shares_of_any_count_give_the_records_of_one_process() {
    let case = case();
    let share = |shard: &str| {
        let answer = case.run(&["run-shard", "sweep.toml", "--out", "shares", "--shard", shard, "--jobs", "1"]);
        assert_eq!(answer.status, 0, "{}", answer.stderr);
        answer.stdout
    };
    share("2/3");
    let status = case.run(&["status", "shares"]).stdout;
    assert!(status.contains("waiting") && status.contains("tiny: 1 done, 3 waiting of 4 runs"), "{status}");
    share("2/2");
    share("1/2");
    assert!(share("1/1").contains("4 runs: 4 done before"));
    assert_eq!(case.run(&["sweep", "sweep.toml", "--out", "whole"]).status, 0);
    let whole = records(&case.path("whole"));
    assert_eq!(whole.len(), 4);
    assert_eq!(records(&case.path("shares")), whole);
}

#[test]
fn a_run_that_fails_stops_no_other_and_divergence_is_a_result() {
    let case = case();
    let set = "sweep.grid={data.name=[\"optdigits\", \"nowhere\"], optimizer.learning_rate=[0.1, 1e30]}";
    let arguments =
        ["run-shard", "sweep.toml", "--shard", "1/1", "--out", "out", "--set", "sweep.seeds=1", "--set", set];
    let answer = case.run(&arguments);
    assert_eq!(answer.status, 2, "{}", answer.stderr);
    assert!(
        answer.stderr.contains("4 runs: 2 done now, 2 failed") && answer.stderr.contains("nowhere"),
        "{}",
        answer.stderr
    );
    let status = json(&case.run(&["status", "out", "--format", "json"]).stdout);
    assert_eq!((&status["counts"]["done"], &status["counts"]["failed"]), (&2.into(), &2.into()));
    let runs = status["runs"].as_array().unwrap();
    assert_eq!(runs.iter().filter(|run| run["reason"] == "diverged").count(), 1);
    assert!(runs.iter().any(|run| run["message"].as_str().is_some_and(|message| message.contains("nowhere"))));
    let diverging =
        [&arguments[..8], &["--set", "sweep.seeds=1", "--set", "sweep.grid.optimizer.learning_rate=[1e30]"]].concat();
    assert_eq!(case.run(&diverging[..]).status, 0);
}

#[test]
fn bad_input_is_refused_with_status_2_and_nothing_is_written() {
    let case = case();
    let share = |shard| ["run-shard", "sweep.toml", "--out", "out", "--shard", shard];
    case.refuses(&share("0/3"), &["'0/3' is no share", "2/8"], "out");
    case.refuses(&share("4/3"), &["'4/3' is no share"], "out");
    let set = |set| ["sweep", "sweep.toml", "--out", "out", "--set", set];
    case.refuses(&set("sweep.grid.train.batch_sise=[8]"), &["sweep.grid.train.batch_size"], "out");
    case.refuses(&set("sweep.grid.train.batch_size=[0]"), &["train.batch_size", "got 0"], "out");
    case.refuses(&["sweep", "sweep.toml", "--out", "out", "--memory", "8"], &["'8' is no amount of memory"], "out");
    case.refuses(&["train", "sweep.toml", "--out", "out"], &["sweep.toml:16: sweep", "stepscope sweep"], "out");
    case.write("one.toml", "optimizer.learning_rate = 0.1\ntrain.duration = \"5st\"\n");
    case.refuses(&["sweep", "one.toml", "--out", "out"], &["one.toml: sweep: is missing"], "out");
    case.refuses(&["status", "out"], &["out"], "out");
    let small = ["--set", "model.hidden=[4]", "--set", "measure.enabled=false", "--set", "average.enabled=false"];
    assert_eq!(case.run(&[&["train", "one.toml", "--out", "single"], &small[..]].concat()).status, 0);
    case.refuses(&["sweep", "sweep.toml", "--out", "single"], &["single: holds a single run"], "single/sweep.json");
    let status = case.run(&["status", "single"]);
    assert!(status.status == 0 && status.stdout.contains("1 done of 1 runs"), "{}", status.stdout);
}
