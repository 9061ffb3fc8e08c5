//! Runs in the formats of other tools, through the program.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::Case;
use stepscope_export::tensorboard::{LoggedData, read_event_file};

const SPEC: &str = r#"
name = "short"

[model]
hidden = [8]

[train]
duration = "30st"

[optimizer]
learning_rate = 0.1

[measure]
every = "10st"
examples = 64
noise_batches = 8
"#;

fn event_files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.to_str().unwrap().contains("tfevents")).collect()
}

/// Tag, step and value of every scalar, in order.
fn scalars(file: &Path) -> Vec<(String, u64, f32)> {
    let events = read_event_file(file).unwrap().into_iter();
    events
        .filter_map(|event| match event.data {
            LoggedData::Scalar { tag, value, .. } => Some((tag, event.step, value)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_run_written_live_and_one_exported_afterwards_are_the_same_and_so_is_the_table() {
    let case = Case::new();
    case.write("spec.toml", SPEC);
    let answer = case.run(&["train", "spec.toml", "--out", "runs/a", "--tensorboard"]);
    assert_eq!(answer.status, 0, "{}", answer.stderr);
    let live = event_files(&case.path("runs/a"));
    assert_eq!(live.len(), 1);

    let export =
        ["export", "runs", "--tensorboard", "logs", "--parquet", "m.parquet", "--csv", "m.csv", "--format", "json"];
    let answer = case.run(&export);
    assert_eq!(answer.status, 0, "{}", answer.stderr);
    let summary: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap();
    assert_eq!(summary["runs"], 1);
    assert_eq!(summary["written"], serde_json::json!(["m.parquet", "m.runs.parquet", "m.csv", "logs/a"]));
    let exported = event_files(&case.path("logs/a"));
    assert_eq!(scalars(&live[0]), scalars(&exported[0]));

    let records = fs::read_to_string(case.path("runs/a/metrics.jsonl")).unwrap();
    assert_eq!(summary["records"], records.lines().count());
    let values = records.lines().filter_map(|line| {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        record["value"].as_f64().map(|value| value as f32)
    });
    assert!(values.eq(scalars(&live[0]).into_iter().map(|(_, _, value)| value)), "every value is a scalar");
    let measurements = records.lines().filter(|line| line.contains("\"measurement\"")).count();
    assert_eq!(fs::read_to_string(case.path("m.csv")).unwrap().lines().count(), 1 + measurements);
    assert!(case.path("m.parquet").is_file() && case.path("m.runs.parquet").is_file());
    let advice = read_event_file(&exported[0]).unwrap();
    assert!(advice.iter().any(|event| matches!(&event.data, LoggedData::Text { tag, .. } if tag == "run/advice")));

    // Anew, the old events are gone.
    let answer = case.run(&["train", "spec.toml", "--out", "runs/a", "--tensorboard", "--force"]);
    assert_eq!(answer.status, 0, "{}", answer.stderr);
    assert_eq!(event_files(&case.path("runs/a")).len(), 1);
}

#[test]
fn a_server_that_is_away_does_not_stop_a_run_and_is_mentioned() {
    let case = Case::new();
    case.write("spec.toml", SPEC);
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{address}");
    let answer = case.run(&["train", "spec.toml", "--out", "out", "--mlflow", &url]);
    assert_eq!(answer.status, 0, "{}", answer.stderr);
    assert_eq!(answer.stderr.matches("does not answer").count(), 1, "{}", answer.stderr);
    assert!(answer.stderr.contains("values were not sent"), "{}", answer.stderr);
    assert!(case.path("out/report.html").is_file());
}

#[test]
fn what_cannot_be_meant_is_refused_before_anything_is_written() {
    let case = Case::new();
    case.write("spec.toml", SPEC);
    let train = ["train", "spec.toml", "--out", "out", "--trackio", "localhost:7860"];
    case.refuses(&train, &["localhost:7860", "http://127.0.0.1:7860"], "out");
    case.refuses(&["export", "nowhere", "--csv", "out"], &["nowhere"], "out");
    case.refuses(&["export", "."], &["--parquet"], "out");
}
