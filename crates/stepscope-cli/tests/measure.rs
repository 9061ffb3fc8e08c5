//! `stepscope measure`: readings and sections at checkpoints.
#![allow(clippy::unwrap_used)]

mod common;

use common::Case;
use serde_json::Value;

const SPEC: &str = r#"
name = "small"

[data]
train_examples = 200
test_examples = 50

[model]
hidden = [6]

[train]
duration = "20st"
batch_size = 16

[optimizer]
learning_rate = 0.2

[measure]
every = "20st"
examples = 64
noise_batches = 8

[checkpoint]
every = "10st"
"#;

/// Two runs that differ in their learning rates.
fn trained() -> Case {
    let case = Case::new();
    case.write("spec.toml", SPEC);
    for (out, rate) in [("a", "0.2"), ("b", "0.05")] {
        let rate = format!("optimizer.learning_rate={rate}");
        let answer = case.run(&["train", "spec.toml", "--out", out, "--set", &rate, "--budget", "50%"]);
        assert_eq!(answer.status, 0, "{}", answer.stderr);
    }
    case
}

fn json(case: &Case, arguments: &[&str]) -> Value {
    let answer = case.run(&[arguments, &["--format", "json"]].concat());
    assert_eq!(answer.status, 0, "{}", answer.stderr);
    serde_json::from_str(&answer.stdout).unwrap()
}

#[test]
fn a_saved_run_is_measured_sectioned_and_compared() {
    let case = trained();
    let answer = case.run(&["measure", "a"]);
    assert_eq!(answer.status, 0, "{}", answer.stderr);
    for words in ["small after 20 steps", "Sharpness", "Largest stable learning rate", "Gradient noise"] {
        assert!(answer.stdout.contains(words), "{words}: {}", answer.stdout);
    }
    // One instrument, at an earlier step, twice: the same numbers.
    let reading = || json(&case, &["measure", "a", "--step", "10", "--probe", "sharpness"]);
    let (first, again) = (reading(), reading());
    let sharpness = |readings: &Value| {
        let all = readings["readings"].as_array().unwrap();
        assert!(all.iter().all(|reading| reading["probe"] == "sharpness" && reading["step"] == 10));
        let found = all.iter().find(|reading| reading["name"] == "curvature/hessian_top_eigenvalue");
        found.unwrap()["value"].as_f64().unwrap()
    };
    assert_eq!(sharpness(&first).to_bits(), sharpness(&again).to_bits());

    let between = json(&case, &["measure", "a", "--between", "b", "--points", "31", "--out", "line.csv"]);
    let points = between["train"].as_array().unwrap();
    assert_eq!(points.len(), 31);
    assert_eq!(points[10]["position"][0], 0.0);
    assert!(between["curvature_at_ends"][0].as_f64().unwrap().is_finite(), "{between}");
    let csv = std::fs::read_to_string(case.path("line.csv")).unwrap();
    assert_eq!(csv.lines().next(), Some("x,train_loss,train_accuracy,test_loss,test_accuracy"));
    assert_eq!(csv.lines().count(), 32);
    // Where the line ends is where a line that begins there begins.
    let back = json(&case, &["measure", "b", "--between", "a", "--points", "31"]);
    let (there, here) = (&points[20]["loss"], &back["train"][10]["loss"]);
    assert!((there.as_f64().unwrap() - here.as_f64().unwrap()).abs() < 1e-5, "{there} {here}");

    let line = json(&case, &["measure", "a", "--line", "gradient", "--points", "11"]);
    let loss = |index: usize| line["train"][index]["loss"].as_f64().unwrap();
    assert!(loss(3) < loss(2), "one step of the learning rate down the gradient");
    let plane = json(&case, &["measure", "a", "--plane", "sharpest,random", "--points", "3"]);
    assert_eq!(plane["train"].as_array().unwrap().len(), 9);
}

#[test]
fn a_saved_run_is_measured_in_the_mode_that_is_asked_for() {
    let case = Case::new();
    case.write("spec.toml", SPEC);
    let batch_norm = ["--set", "model.normalisation=batch", "--set", "model.dropout=0.3"];
    assert_eq!(case.run(&[&["train", "spec.toml", "--out", "a"], &batch_norm[..]].concat()).status, 0);
    let readings =
        |more: &[&str]| json(&case, &[&["measure", "a", "--probe", "loss"], more].concat())["readings"].clone();
    let loss = |readings: &Value| readings[0]["value"].as_f64().unwrap();
    let mut losses = Vec::new();
    for (flags, mode) in [
        (&[][..], "eval"),
        (&["--mode", "frozen-full"], "frozen-full"),
        (&["--mode", "train-batch"], "train-batch"),
        (&["--mode", "train-batch", "--dropout"], "train"),
    ] {
        let found = readings(flags);
        assert!(found.as_array().unwrap().iter().all(|reading| reading["mode"] == mode), "{found}");
        losses.push(loss(&found));
    }
    losses.sort_by(f64::total_cmp);
    assert!(losses.windows(2).all(|pair| pair[0] < pair[1]), "modes differ: {losses:?}");
    // Without an instrument named, those that the mode allows; a named one is refused with what helps.
    let answer = case.run(&["measure", "a", "--mode", "train-batch"]);
    assert!(answer.status == 0 && answer.stdout.contains("in mode train-batch"), "{} {}", answer.stdout, answer.stderr);
    let words = ["measure.mode", "gradient-noise", "frozen-full"];
    case.refuses(&["measure", "a", "--mode", "train-batch", "--probe", "gradient-noise"], &words, "nothing");
    case.refuses(&["measure", "a", "--mode", "training"], &["training", "eval, frozen-full, train-batch"], "nothing");
}

#[test]
fn what_cannot_be_measured_is_refused_with_what_to_do() {
    let case = Case::new();
    case.write("spec.toml", SPEC);
    let train = |out, more: &[&str]| case.run(&[&["train", "spec.toml", "--out", out], more].concat());
    assert_eq!(train("a", &[]).status, 0);
    assert_eq!(train("other", &["--set", "model.hidden=[7]"]).status, 0);
    assert_eq!(train("none", &["--set", "checkpoint.enabled=false"]).status, 0);
    let refuses = |arguments: &[&str], words: &[&str]| case.refuses(arguments, words, "nothing");
    refuses(&["measure", "missing"], &["missing"]);
    refuses(&["measure", "a", "--step", "7"], &["7", "10", "20"]);
    refuses(&["measure", "none"], &["no checkpoint", "checkpoint.enabled"]);
    refuses(&["measure", "a", "--probe", "sharpnes"], &["sharpnes", "batch-sharpness", "half-rate-gauge"]);
    refuses(&["measure", "a", "--between", "other"], &["different networks"]);
    refuses(&["measure", "a", "--set", "train.batch_size=4"], &["train.batch_size", "[measure]"]);
    refuses(&["measure", "a", "--line", "random", "--from", "2", "--to", "1"], &["--from 2", "--to 1"]);
    refuses(&["measure", "a", "--plane", "random"], &["--plane", "1 directions", "two"]);
    refuses(&["train", "spec.toml", "--out", "nothing", "--budget", "5"], &["budget", "5%"]);
    // A checkpoint that was cut off.
    let file = case.path("a/checkpoints/step-000000020.safetensors");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    refuses(&["measure", "a"], &["step-000000020"]);
}
