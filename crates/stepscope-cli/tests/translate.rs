//! `stepscope translate`, as a person and as a program sees it.
#![allow(clippy::unwrap_used)]

mod common;

use common::Case;
use serde_json::Value;

fn json(case: &Case, arguments: &[&str]) -> Value {
    let answer = case.run(&[arguments, &["--format", "json"]].concat());
    assert_eq!(answer.status, 0, "{}", answer.stderr);
    serde_json::from_str(&answer.stdout).unwrap()
}

fn numbers(document: &Value, equivalence: &str) -> Vec<f64> {
    let rows = document["translations"].as_array().unwrap();
    let row = rows.iter().find(|row| row["equivalence"] == equivalence).unwrap();
    row["numbers"].as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[test]
fn a_window_is_a_trapezoid_and_the_trapezoid_is_the_window() {
    let case = Case::new();
    let schedule = json(&case, &["translate", "average", "window:4", "--steps", "10", "--rate", "0.1"]);
    assert_eq!(numbers(&schedule, "recorded-updates")[..5], [0.25, 0.5, 0.75, 1.0, 1.0]);
    assert_eq!(schedule["translations"][0]["words"], "trapezoid(cooldown = 4st)");
    assert!(schedule["translations"][1]["numbers"].is_null(), "none exists at all curvatures");
    let average = json(&case, &["translate", "schedule", "trapezoid(cooldown = 4st)", "--steps", "10"]);
    assert_eq!(average["translations"][0]["words"], "window:4");
    let text = case.run(&["translate", "average", "two-point:100", "--rate", "0.05"]).stdout;
    assert!(text.contains("piecewise(1, 0.5 at 900st)") && text.contains("acts as 0.509"), "{text}");
}

#[test]
fn the_cyclic_schedules_of_three_factors_translate_into_each_other() {
    let case = Case::new();
    let rate = "cyclic(from = 0.001, to = 0.005, every = 8ep, shape = discrete)";
    let batch = "cyclic(from = 640, to = 128, every = 8ep, shape = discrete)";
    let settings = ["--learning-rate", "0.005", "--batch-size", "128"];
    let found = json(&case, &[&["translate", "learning-rate", rate][..], &settings].concat());
    assert_eq!((found["to"].as_str(), found["learning_rate"].as_f64()), (Some(batch), Some(0.005)));
    assert_eq!((found["exact"].as_bool(), found["largest_deviation"].as_f64()), (Some(true), Some(0.0)));
    let back = json(&case, &[&["translate", "batch-size", batch][..], &settings].concat());
    assert_eq!((back["to"].as_str(), back["batch_size"].as_u64()), (Some(rate), Some(128)));
}

#[test]
fn a_cosine_becomes_stairs_whose_error_is_said_and_which_train_takes() {
    let case = Case::new();
    let settings = ["--learning-rate", "0.2", "--batch-size", "32", "--epochs", "4", "--largest", "512"];
    let found = json(&case, &[&["translate", "learning-rate", "cosine(to = 0.02)"][..], &settings].concat());
    let words = found["to"].as_str().unwrap();
    assert!(words.starts_with("piecewise(32, ") && found["exact"] == false, "{found}");
    let deviation = found["largest_deviation"].as_f64().unwrap();
    assert!(deviation > 0.01 && deviation < 0.08, "{deviation}");
    let spec = format!(
        "[optimizer]\nlearning_rate = 0.2\n[train]\nduration = \"4ep\"\n[measure]\nenabled = false\n[schedule]\nbatch_size = \"{words}\"\n"
    );
    case.write("spec.toml", &spec);
    assert_eq!(case.run(&["train", "spec.toml", "--out", "out"]).status, 0);
}

#[test]
fn what_is_no_average_or_schedule_is_refused() {
    let case = Case::new();
    for (arguments, words) in [
        (&["translate", "average", "mean:3"][..], "expected ema:DECAY"),
        (&["translate", "average", "ema:0.9", "--rate", "3"], "rate a must be above 0 and below 2, got 3"),
        (&["translate", "schedule", "cosin"], "is no kind of schedule"),
        (&["translate", "schedule", "constant(from = 0)"], "is 0 throughout"),
        (&["translate", "learning-rate", "linear", "--learning-rate", "-1", "--batch-size", "8"], "--learning-rate"),
    ] {
        let answer = case.run(arguments);
        assert!(answer.status == 2 && answer.stderr.contains(words), "{arguments:?}: {}", answer.stderr);
    }
}
