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
    let other = &between["other"];
    assert!(other["curvature_at_ends"][0]["value"].as_f64().unwrap().is_finite(), "{between}");
    assert_eq!(other["run"], "b", "the folder: both have one specification's name");
    assert_eq!((&other["same_start"], &other["same_batches"]), (&Value::Bool(true), &Value::Bool(true)));
    assert_eq!(between["mode"], "eval", "no batch normalisation, no statistics");
    let csv = std::fs::read_to_string(case.path("line.csv")).unwrap();
    assert_eq!(csv.lines().next(), Some("step,x,train_loss,train_accuracy,test_loss,test_accuracy"));
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

    // What was measured stands on the page of the run, whose own records are as they were.
    let page = report(&case, "a");
    for words in
        ["Line between two runs", "Line through the weights", "Training loss on a plane", "measured afterwards"]
    {
        assert!(page.contains(words), "{words}");
    }
}

fn report(case: &Case, run: &str) -> String {
    let answer = case.run(&["report", run]);
    assert_eq!(answer.status, 0, "{}", answer.stderr);
    std::fs::read_to_string(case.path(&format!("{run}/report.html"))).unwrap()
}

#[test]
fn a_spectrum_is_kept_drawn_exported_and_predicted_from() {
    let case = trained();
    let answer = case.run(&["measure", "a", "--step", "all", "--probe", "hessian-spectrum"]);
    assert_eq!(answer.status, 0, "{}", answer.stderr);
    let file = "a/spectra/step-000000020-hessian.json";
    let spectrum: Value = serde_json::from_str(&std::fs::read_to_string(case.path(file)).unwrap()).unwrap();
    assert_eq!((&spectrum["kind"], &spectrum["step"]), (&"spectral-density".into(), &20.into()));
    let page = report(&case, "a");
    assert!(page.contains("Density of the Hessian") && page.contains("Dashed: step 10."), "both steps are drawn");
    assert_eq!(case.run(&["export", "a", "--spectra", "nodes.csv", "--csv", "all.csv"]).status, 0);
    let nodes = std::fs::read_to_string(case.path("nodes.csv")).unwrap();
    let num_nodes: usize =
        spectrum["probes"].as_array().unwrap().iter().map(|p| p["eigenvalues"].as_array().unwrap().len()).sum();
    assert_eq!(nodes.matches("a,20,hessian,eval,").count(), num_nodes + 24);
    let rows = std::fs::read_to_string(case.path("all.csv")).unwrap();
    assert!(rows.contains("a (measured afterwards),10,"), "{rows}");
    // The loss that the gradient's measure says can be gained is predicted, and what has no minimum is said.
    let predict = [
        "predict",
        "--spectrum",
        file,
        "--learning-rate",
        "0.05",
        "--batch-size",
        "16",
        "--examples",
        "200",
        "--steps",
        "5",
    ];
    let answer = case.run(&predict);
    assert_eq!(answer.status, 0, "{}", answer.stderr);
    assert!(
        (answer.stdout + &answer.stderr).contains("of the eigenvalues are at or below zero"),
        "negative directions are named"
    );
    case.write("cut.json", &std::fs::read(case.path(file)).unwrap()[..200]);
    case.refuses(
        &["predict", "--spectrum", "cut.json", "--learning-rate", "0.05"],
        &["cut.json", "cannot be read", "measure"],
        "nothing",
    );
}

#[test]
fn several_steps_are_read_at_once_and_kept_beside_the_records_of_the_run() {
    let case = trained();
    let records = || std::fs::read(case.path("a/metrics.jsonl")).unwrap();
    let before = records();
    let arguments = ["measure", "a", "--step", "all", "--probe", "sharpness", "--no-save"];
    let answer = json(&case, &arguments);
    assert_eq!(answer["steps"], serde_json::json!([10, 20]));
    assert!(!case.path("a/measured.jsonl").exists(), "--no-save keeps nothing");
    let text = case.run(&["measure", "a", "--step", "5..15,20", "--probe", "sharpness", "--out", "r.csv"]).stdout;
    assert!(text.contains("2 numbers of steps"), "{text}");
    let csv = std::fs::read_to_string(case.path("r.csv")).unwrap();
    assert!(csv.starts_with("step,probe,name,") && csv.contains("\n10,sharpness,") && csv.contains("\n20,sharpness,"));
    let kept = std::fs::read_to_string(case.path("a/measured.jsonl")).unwrap();
    let sharpness = |text: &str| text.matches("curvature/hessian_top_eigenvalue").count();
    assert_eq!(sharpness(&kept), 2);
    // Again with more examples: another reading, not the same one anew.
    let more = ["measure", "a", "--step", "20", "--probe", "sharpness", "--set", "measure.examples=128"];
    for _ in 0..2 {
        assert_eq!(case.run(&more).status, 0);
    }
    assert_eq!(sharpness(&std::fs::read_to_string(case.path("a/measured.jsonl")).unwrap()), 3);
    // Two runs at every step.
    let lines = json(&case, &["measure", "a", "--between", "b", "--step", "all", "--points", "4"]);
    let ends = |line: &Value| (line["step"].clone(), line["other"]["step"].clone());
    let lines = lines.as_array().unwrap();
    assert_eq!(lines.iter().map(ends).collect::<Vec<_>>(), [(10.into(), 10.into()), (20.into(), 20.into())]);
    let apart = |line: &Value| line["directions"][0]["length"].as_f64().unwrap();
    assert!(apart(&lines[1]) > apart(&lines[0]), "rates differ: they part from the same start");
    assert_eq!(records(), before);
    // A run that is replaced takes what was measured of it with it.
    assert_eq!(case.run(&["train", "spec.toml", "--out", "a", "--force"]).status, 0);
    assert!(!case.path("a/measured.jsonl").exists());
    assert_eq!(std::fs::read_dir(case.path("a/sections")).map_or(0, Iterator::count), 0);
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
fn sections_are_evaluated_in_the_mode_that_is_asked_for_and_say_which() {
    let case = Case::new();
    // All examples, so that readings and sections look at the same ones.
    case.write("spec.toml", SPEC.replace("examples = 64", "examples = 200"));
    for (out, rate) in [("a", "0.2"), ("b", "0.05")] {
        let rate = format!("optimizer.learning_rate={rate}");
        let arguments = ["train", "spec.toml", "--out", out, "--set", &rate, "--set", "model.normalisation=batch"];
        assert_eq!(case.run(&arguments).status, 0);
    }
    let loss_at = |section: &Value, position: f64| {
        let points = section["train"].as_array().unwrap();
        points.iter().find(|point| point["position"][0] == position).unwrap()["loss"].as_f64().unwrap()
    };
    let reading = |run: &str, mode: &str| {
        let readings = json(&case, &["measure", run, "--probe", "loss", "--mode", mode]);
        readings["readings"][0]["value"].as_f64().unwrap()
    };
    let points = ["--points", "3", "--no-save"];
    let mut losses = Vec::new();
    for (flags, mode) in [
        (&[][..], "eval"),
        (&["--mode", "frozen-full"], "frozen-full"),
        (&["--set", "measure.mode=frozen-full"], "frozen-full"),
        (&["--mode", "train-batch"], "train-batch"),
    ] {
        let line = json(&case, &[&["measure", "a", "--line", "sharpest"], &points[..], flags].concat());
        assert_eq!(line["mode"], mode, "{flags:?}");
        losses.push(loss_at(&line, 0.0));
        if mode != "train-batch" {
            // Batches that make statistics of their own are cut otherwise by a reading.
            assert!((losses[losses.len() - 1] / reading("a", mode) - 1.0).abs() < 1e-6, "{mode}");
        }
    }
    assert_eq!(losses[1], losses[2]);
    assert!((losses[0] - losses[1]).abs() > 1e-4 && (losses[1] - losses[3]).abs() > 1e-4, "modes differ: {losses:?}");

    let between = json(&case, &[&["measure", "a", "--between", "b", "--from", "0", "--to", "1"], &points[..]].concat());
    assert_eq!(between["mode"], "frozen-full", "statistics of each point");
    for (run, position) in [("a", 0.0), ("b", 1.0)] {
        assert!((loss_at(&between, position) / reading(run, "frozen-full") - 1.0).abs() < 1e-6, "{run}");
    }
    let dropped = ["--line", "random", "--mode", "train-batch", "--dropout"];
    let dropped = json(&case, &[&["measure", "a"], &dropped[..], &points[..]].concat());
    assert_eq!(dropped["mode"], "train-batch", "a network without dropout drops nothing");
    let words = ["--between", "eval", "frozen-full", "train-batch"];
    case.refuses(&["measure", "a", "--between", "b", "--mode", "eval"], &words, "nothing");
}

#[test]
fn a_run_that_is_missing_cut_or_damaged_is_named_with_what_is_left() {
    let case = trained();
    let copy = |name: &str| {
        std::fs::create_dir_all(case.path(&format!("{name}/checkpoints"))).unwrap();
        for file in [
            "run.json",
            "metrics.jsonl",
            "checkpoints/step-000000010.safetensors",
            "checkpoints/step-000000020.safetensors",
        ] {
            std::fs::copy(case.path(&format!("a/{file}")), case.path(&format!("{name}/{file}"))).unwrap();
        }
        case.path(&format!("{name}/checkpoints/step-000000020.safetensors"))
    };
    let bytes = std::fs::read(copy("cut")).unwrap();
    std::fs::write(copy("cut"), &bytes[..bytes.len() / 2]).unwrap();
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    std::fs::write(copy("flipped"), flipped).unwrap();
    std::fs::remove_file(copy("gone")).unwrap();
    copy("no-manifest");
    std::fs::remove_file(case.path("no-manifest/run.json")).unwrap();
    let cut = ["cut/checkpoints/step-000000020.safetensors", "cut off", "an earlier one"];
    for (arguments, words) in [
        (&["measure", "cut"][..], &cut[..]),
        (&["measure", "a", "--between", "cut"], &cut),
        (&["measure", "flipped"], &["step-000000020", "is damaged", "checksum", "an earlier one"]),
        (&["measure", "gone", "--step", "20"], &["no checkpoint of step 20", "step", "10"]),
        (&["measure", "no-manifest"], &["no-manifest", "run.json is missing", "stepscope train"]),
    ] {
        case.refuses(arguments, words, "nothing");
    }
    // What is left is measured.
    for run in ["cut", "gone"] {
        let answer = case.run(&["measure", run, "--step", "10", "--probe", "sharpness"]);
        assert_eq!(answer.status, 0, "{run}: {}", answer.stderr);
    }
}

#[test]
fn results_have_names_of_their_own_and_the_device_is_the_one_that_is_there() {
    let case = trained();
    for step in ["10", "20"] {
        let answer =
            case.run(&["measure", "a", "--step", step, "--probe", "hessian-spectrum", "--out", &format!("{step}.csv")]);
        assert_eq!(answer.status, 0, "{}", answer.stderr);
    }
    for file in ["spectra/step-000000010-hessian.json", "spectra/step-000000020-hessian.json", "measured.jsonl"] {
        assert!(case.path(&format!("a/{file}")).exists(), "{file}");
    }
    assert_ne!(std::fs::read(case.path("10.csv")).unwrap(), std::fs::read(case.path("20.csv")).unwrap());
    assert!(case.run(&["spec"]).stdout.contains("device = \"cpu\""));
    case.refuses(&["measure", "a", "--device", "tpu"], &["tpu", "cpu"], "nothing");
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
    refuses(&["measure", "a", "--step", "1..9"], &["from step 1 to 9", "from step 10 to 20", "keep_every"]);
    refuses(&["measure", "a", "--step", "9..1"], &["--step", "9..1", "100..500"]);
    refuses(&["measure", "none"], &["no checkpoint", "checkpoint.enabled"]);
    refuses(&["measure", "a", "--probe", "sharpnes"], &["sharpnes", "did you mean sharpness?", "half-rate-gauge"]);
    refuses(&["measure", "a", "--between", "other"], &["different networks", "64-6-10", "64-7-10"]);
    refuses(&["measure", "a", "--set", "train.batch_size=4"], &["train.batch_size", "[measure]"]);
    refuses(&["measure", "a", "--set", "measure.examples=201"], &["measure.examples=201", "200 examples"]);
    refuses(&["measure", "a", "--set", "measure.noise_batch_size=201"], &["measure.noise_batch_size: 201", "has 200"]);
    refuses(
        &["train", "spec.toml", "--out", "nothing", "--set", "measure.examples=201"],
        &["measure.examples: 201", "has 200"],
    );
    refuses(&["measure", "a", "--line", "random", "--from", "2", "--to", "1"], &["--from 2", "--to 1"]);
    refuses(&["measure", "a", "--plane", "random"], &["--plane", "1 directions", "two"]);
    refuses(&["train", "spec.toml", "--out", "nothing", "--budget", "5"], &["budget", "5%"]);
    // A checkpoint that was cut off.
    let file = case.path("a/checkpoints/step-000000020.safetensors");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    refuses(&["measure", "a"], &["step-000000020"]);
}
