//! `stepscope average`: the snapshots of a run averaged afterwards.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::Case;
use serde_json::Value;

const SPEC: &str = r#"
name = "kept"

[data]
train_examples = 400
test_examples = 200

[model]
hidden = [8]

[train]
duration = "200st"
batch_size = 8

[optimizer]
learning_rate = 0.3

[measure]
every = "100st"
examples = 64
noise_batches = 8
instruments = ["loss", "sharpness"]

[average]
power_widths = [0.05, 0.1]

[checkpoint]
every = "20st"
keep_every = "20st"
"#;

fn trained(set: &[&str]) -> Case {
    let case = Case::new();
    case.write("spec.toml", SPEC);
    let set = set.iter().flat_map(|set| ["--set", set]);
    let answer = case.run(&["train", "spec.toml", "--out", "run"].into_iter().chain(set).collect::<Vec<_>>());
    assert_eq!(answer.status, 0, "{}", answer.stderr);
    case
}

#[test]
fn the_snapshots_of_a_run_are_averaged_compared_drawn_and_written() {
    let case = trained(&[]);
    let answer = case.run(&["average", "run", "--out", "best.safetensors"]);
    assert_eq!(answer.status, 0, "{}", answer.stderr);
    for words in [
        "kept: 10 snapshots, steps 20 to 200",
        "last iterate",
        "two points, 20 steps apart",
        "LAWA, 4 snapshots",
        "EMA, half-life 20 steps",
        "width 0.1, synthesised",
        "training examples that the run did not use",
        "acts as",
        "averages.html",
    ] {
        assert!(answer.stdout.contains(words), "{words}: {}", answer.stdout);
    }
    let page = fs::read_to_string(case.path("run/averages.html")).unwrap();
    assert!(page.contains("id=\"snapshots\"") && page.contains("class=\"stairs\"") && !page.contains("NaN"));

    let answer = case.run(&["average", "run", "--format", "json", "--two-point", "0.5dur", "--window", "60st"]);
    assert_eq!(answer.status, 0, "{}", answer.stderr);
    let json: Value = serde_json::from_str(&answer.stdout).unwrap();
    let rows = json["rows"].as_array().unwrap();
    let kinds: Vec<&str> = rows.iter().map(|row| row["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["last", "two-point", "window"]);
    let factors = |row: &Value| -> Vec<f64> {
        row["multipliers"].as_array().unwrap().iter().map(|stretch| stretch["multiplier"].as_f64().unwrap()).collect()
    };
    assert_eq!(factors(&rows[1]), [1.0, 0.5]);
    assert!(factors(&rows[2]).iter().zip([1.0, 2.0 / 3.0, 1.0 / 3.0]).all(|(a, b)| (a - b).abs() < 1e-12));
    let lowest = rows.iter().map(|row| row["selection_loss"]["value"].as_f64().unwrap()).fold(f64::MAX, f64::min);
    assert_eq!(json["chosen"]["selection_loss"]["value"].as_f64().unwrap(), lowest);

    // What was written loads as the initial weights of another run.
    let weights = "model.weights=best.safetensors";
    let answer = case.run(&["train", "spec.toml", "--out", "next", "--set", weights, "--set", "train.duration=1st"]);
    assert_eq!(answer.status, 0, "{}", answer.stderr);
}

#[test]
fn the_profile_made_afterwards_is_the_one_that_was_tracked() {
    let case = trained(&[]);
    let answer = case.run(&["average", "run", "--format", "json", "--power", "0.1", "--power", "0.07"]);
    assert_eq!(answer.status, 0, "{}", answer.stderr);
    let json: Value = serde_json::from_str(&answer.stdout).unwrap();
    let error = |row: usize| json["rows"][row]["profile_error"].as_f64().unwrap();
    assert!(error(1) < 1e-6, "a width that was tracked is itself: {}", error(1));
    assert!(error(2) < 0.05, "{}", error(2));
}

#[test]
fn what_cannot_be_averaged_is_refused_by_name() {
    let case = trained(&[]);
    let refuses = |arguments: &[&str], words: &[&str]| {
        case.refuses(&[&["average", "run"], arguments].concat(), words, "run/averages.html");
    };
    refuses(&["--two-point", "30st"], &["two points, 30 steps apart", "20, 40, 60", "those distances"]);
    refuses(&["--window", "1000st"], &["window of 1000 steps", "checkpoint.keep_every"]);
    refuses(&["--lawa", "50"], &["50 snapshots"]);
    refuses(&["--ema", "500st"], &["half-life 500", "shorten it"]);
    refuses(&["--power", "0.9"], &["0.2886"]);
    refuses(&["--curvature", "-1"], &["--curvature -1"]);
    case.refuses(&["average", "nowhere"], &["nowhere"], "nowhere");

    // A snapshot of another network, and one that was cut off.
    let answer = case.run(&["train", "spec.toml", "--out", "other", "--set", "model.hidden=[9]"]);
    assert_eq!(answer.status, 0, "{}", answer.stderr);
    let (ours, name) = (case.path("run/checkpoints"), "step-000000100.safetensors");
    let whole = fs::read(ours.join(name)).unwrap();
    fs::copy(case.path("other/checkpoints").join(name), ours.join(name)).unwrap();
    refuses(&[], &["another architecture", "step 100"]);
    fs::write(ours.join(name), &whole[..whole.len() / 2]).unwrap();
    refuses(&[], &[name, "cut off"]);
    fs::remove_dir_all(&ours).unwrap();
    refuses(&[], &["0 snapshots", "checkpoint.keep_every"]);
}

#[test]
fn every_multiple_of_keep_every_is_kept_whatever_the_other_interval_is() {
    let case = trained(&["checkpoint.every=\"50st\"", "checkpoint.keep_every=\"30st\""]);
    let answer = case.run(&["average", "run"]);
    assert_eq!(answer.status, 0, "{}", answer.stderr);
    // 30, 60, ..., 180, and of the others the newest two: 150 and 200.
    assert!(answer.stdout.contains("kept: 7 snapshots, steps 30 to 200"), "{}", answer.stdout);
}

#[test]
fn averages_that_a_run_cannot_keep_are_refused_before_it_begins() {
    let case = Case::new();
    case.write("spec.toml", SPEC);
    for (set, words) in [
        ("average.ema_half_life=\"400st\"", ["average.ema_half_life", "400 steps", "200"]),
        ("average.more_ema_half_lives=[\"201st\"]", ["average.more_ema_half_lives", "201 steps", "0.1dur"]),
        ("average.window=\"300st\"", ["average.window", "300 steps", "200"]),
        ("average.lawa_epochs=9", ["average.lawa_epochs", "450 steps", "train longer"]),
        ("average.power_widths=[0.5]", ["average.power_widths", "0.5", "0.2886"]),
        ("average.shadow=\"bf16\"", ["average.shadow", "power-function", "full"]),
    ] {
        case.refuses(&["train", "spec.toml", "--out", "run", "--set", set], &words, "run");
    }
    let bf16 = ["--set", "average.shadow=\"bf16\"", "--set", "average.power_widths=[]", "--set"];
    let arguments = |half_life| [&["train", "spec.toml", "--out", "run"][..], &bf16, &[half_life]].concat();
    case.refuses(&arguments("average.ema_half_life=\"190st\""), &["average.shadow", "bf16", "2^-8"], "run");
    assert_eq!(case.run(&arguments("average.ema_half_life=\"20st\"")).status, 0);
}
