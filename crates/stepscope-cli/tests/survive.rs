//! Runs that are killed, stopped, locked, damaged, and go on.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::Case;

/// Everything that has a state is in it: momentum, schedules, a measured learning rate, probes, averages.
const SPEC: &str = r#"
name = "tough"

[data]
train_examples = 512
test_examples = 128

[model]
hidden = [12]
normalisation = "batch"
dropout = 0.2

[train]
duration = "240st"
batch_size = 16

[optimizer]
learning_rate = "measured"
momentum = 0.5

[schedule]
batch_size = "cyclic(to = 24, every = 50st, shape = discrete)"
momentum = "cyclic(to = 0, every = 80st)"

[line_search]
every = "20st"
num_batches = 2

[measure]
mode = "frozen-full"
dropout = true
instruments = ["loss", "sharpness", "break-even", "gradient-noise", "critical-sharpness", "distance", "hessian-spectrum"]
budget = "1500%"
every = "30st"
examples = 64
max_products = 4
noise_batches = 8

[average]
start = "40st"
two_point_gap = "100st"
more_ema_half_lives = ["20st"]
ema_every = "3st"
ema_warm_up = "ramp"
window = "60st"
lawa_epochs = 3
swa_every = "7st"
power_widths = [0.05, 0.1]
evaluate_every = "50st"

[checkpoint]
every = "15st"
"#;

fn case() -> Case {
    let case = Case::new();
    case.write("spec.toml", SPEC);
    case
}

fn start(case: &Case, arguments: &[&str]) -> Child {
    Command::new(assert_cmd::cargo::cargo_bin("stepscope"))
        .args(arguments)
        .current_dir(&case.folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The records without their times.
fn records(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    assert!(text.ends_with('\n'));
    text.lines()
        .map(|line| {
            let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
            record.as_object_mut().unwrap().remove("timing");
            record.to_string()
        })
        .collect()
}

/// Every spectrum that the run kept, by name.
fn spectra(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(folder.join("spectra")) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| (file.file_name().unwrap().into(), fs::read(&file).unwrap())).collect()
}

fn checkpoints(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder.join("checkpoints")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Waits until the run has so many checkpoints, or is over.
fn wait_for_checkpoint(child: &mut Child, folder: &Path) {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(30) && child.try_wait().unwrap().is_none() {
        let saved = fs::read_dir(folder.join("checkpoints"));
        if saved.is_ok_and(|names| names.flatten().any(|name| name.path().extension().unwrap() == "safetensors")) {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Random numbers enough to choose moments.
struct Moments(u64);

impl Moments {
    fn below(&mut self, end: Duration) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        end.mul_f64((self.0 >> 11) as f64 / (1_u64 << 53) as f64)
    }
}

/// `STEPSCOPE_KILLS=200` kills that often; a few are enough to find a state that was forgotten.
#[test]
fn a_run_killed_at_random_moments_ends_with_the_records_of_one_that_was_not() {
    let num_kills: u32 = std::env::var("STEPSCOPE_KILLS").map_or(12, |kills| kills.parse().unwrap());
    let case = case();
    killed_as_often(&case, num_kills);
    assert!(!spectra(&case.path("whole")).is_empty());
}

/// What other methods and directions remember, at a few kills each.
#[test]
fn methods_with_states_of_their_own_survive_too() {
    for optimizer in [
        "method = \"prodigy\"",
        // Batches held in the middle of a measurement, gradients of half an update, weights to go back to.
        "method = \"labpal-sgd\"\nmomentum = 0.5\n\n[labpal]\nupdates_per_measurement = 8\napproximation_batches = 4\n\
         noise_factor = 2.0\nuntrusted_updates = 10",
        "method = \"schedule-free\"\nlearning_rate = 0.5",
        "method = \"momo\"",
        "method = \"ponos\"\nmomentum = 0.3",
        "learning_rate = 0.01\ndirection = \"adam\"\nweight_decay = 0.01",
    ] {
        let case = Case::new();
        let mut spec = SPEC.replace("learning_rate = \"measured\"\nmomentum = 0.5", optimizer);
        if !optimizer.contains("ponos") {
            // The others have no momentum that could follow a schedule.
            spec = spec.replace("momentum = \"cyclic(to = 0, every = 80st)\"\n", "");
        }
        case.write("spec.toml", spec);
        killed_as_often(&case, 2);
    }
}

fn killed_as_often(case: &Case, num_kills: u32) {
    let begin = Instant::now();
    assert_eq!(case.run(&["train", "spec.toml", "--out", "whole"]).status, 0);
    let whole = begin.elapsed();
    let expected = records(&case.path("whole"));
    let whole_spectra = spectra(&case.path("whole"));
    let (mut kills, mut resumes, mut runs) = (0, 0, 0);
    let mut moments = Moments(5);
    while kills < num_kills {
        runs += 1;
        let name = format!("killed-{runs}");
        let mut arguments = vec!["train", "spec.toml", "--out", &name];
        loop {
            let mut child = start(case, &arguments);
            let moment = if kills < num_kills { moments.below(whole.mul_f64(0.9)) } else { Duration::MAX };
            let until = Instant::now();
            while until.elapsed() < moment && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(1).min(moment));
            }
            if let Some(status) = child.try_wait().unwrap() {
                assert_eq!(status.code(), Some(0), "{arguments:?}");
                break;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
            if case.path(&name).join("run.json").exists() {
                resumes += 1;
                arguments = vec!["resume", &name];
            }
        }
        assert_eq!(records(&case.path(&name)), expected, "after {kills} kills");
        assert_eq!(spectra(&case.path(&name)), whole_spectra, "after {kills} kills");
        assert!(case.path(&name).join("report.html").exists());
    }
    assert!(resumes >= num_kills / 3 || num_kills < 6, "{resumes} of {num_kills} kills hit a run that had begun");
}

#[cfg(unix)]
#[test]
fn a_request_to_stop_saves_and_says_how_to_go_on() {
    let case = case();
    assert_eq!(case.run(&["train", "spec.toml", "--out", "whole"]).status, 0);
    for (signal, status) in [("INT", 130), ("TERM", 75), ("USR1", 75)] {
        let mut child = Command::new(assert_cmd::cargo::cargo_bin("stepscope"))
            .args(["train", "spec.toml", "--out", signal])
            .current_dir(&case.folder)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_for_checkpoint(&mut child, &case.path(signal));
        let kill = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{stderr}");
        assert!(stderr.contains(&format!("go on with: stepscope resume {signal}")), "{stderr}");
        let step: u64 = stderr.split("stopped after ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        let newest = checkpoints(&case.path(signal)).pop().unwrap();
        assert!(newest.display().to_string().contains(&format!("step-{step:09}.safetensors")), "{newest:?}, {step}");
        let answer = case.run(&["resume", signal]);
        assert_eq!(answer.status, 0, "{}", answer.stderr);
        assert!(answer.stderr.contains(&format!("goes on from step {step}")), "{}", answer.stderr);
        assert_eq!(records(&case.path(signal)), records(&case.path("whole")));
    }
}

#[test]
fn a_finished_run_says_so_and_a_missing_one_too() {
    let case = case();
    assert_eq!(case.run(&["train", "spec.toml", "--out", "out"]).status, 0);
    let before = fs::read(case.path("out/metrics.jsonl")).unwrap();
    let answer = case.run(&["resume", "out"]);
    assert_eq!(answer.status, 0);
    assert!(answer.stdout.contains("tough has finished already"), "{}", answer.stdout);
    assert_eq!(fs::read(case.path("out/metrics.jsonl")).unwrap(), before);
    case.refuses(&["resume", "nowhere"], &["nowhere: holds no run", "stepscope train"], "nowhere");
}

/// A run of [`SPEC`] in `out` that lost its process somewhere in the middle.
fn interrupted() -> (Case, Vec<PathBuf>) {
    let case = case();
    assert_eq!(case.run(&["train", "spec.toml", "--out", "out"]).status, 0);
    let text = fs::read_to_string(case.path("out/metrics.jsonl")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    // The end is gone, and half a line with it.
    let cut = lines[..lines.len() - 1].join("\n");
    fs::write(case.path("out/metrics.jsonl"), &cut[..cut.len() - 7]).unwrap();
    let checkpoints = checkpoints(&case.path("out"));
    assert_eq!(checkpoints.len(), 2, "checkpoint.keep");
    (case, checkpoints)
}

#[test]
fn broken_checkpoints_are_passed_over_by_name_and_the_records_are_the_same() {
    let (case, saved) = interrupted();
    let text = fs::read(case.path("out/metrics.jsonl")).unwrap();
    assert_eq!(case.run(&["train", "spec.toml", "--out", "whole"]).status, 0);
    let expected = records(&case.path("whole"));
    let [first, second] = [0, 1].map(|index| fs::read(&saved[index]).unwrap());
    let flipped = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        bytes
    };
    // What is broken, what is said, and from where it goes on.
    let cases = [
        (first.clone(), second.clone(), Vec::new(), "from step 240"),
        (first.clone(), flipped(&second), vec!["step-000000240.safetensors: is damaged"], "from step 225"),
        (
            first.clone(),
            second[..second.len() / 2].to_vec(),
            vec!["step-000000240.safetensors: is cut off"],
            "from step 225",
        ),
        (flipped(&first), Vec::new(), vec!["step-000000240", "step-000000225"], "from step 0"),
    ];
    for (first, second, words, from) in cases {
        fs::write(case.path("out/metrics.jsonl"), &text).unwrap();
        fs::write(&saved[0], first).unwrap();
        fs::write(&saved[1], second).unwrap();
        let answer = case.run(&["resume", "out"]);
        assert_eq!(answer.status, 0, "{}", answer.stderr);
        assert!(answer.stderr.contains(from), "{}", answer.stderr);
        assert!(words.iter().all(|word| answer.stderr.contains(word)), "{words:?}: {}", answer.stderr);
        assert_eq!(records(&case.path("out")), expected, "{words:?}");
    }
    // Records that were changed before a checkpoint make it useless: the run begins again.
    let mut changed = text.clone();
    let digit = changed.iter().position(u8::is_ascii_digit).unwrap();
    changed[digit] ^= 1;
    fs::write(case.path("out/metrics.jsonl"), &changed).unwrap();
    let answer = case.run(&["resume", "out"]);
    assert!(
        answer.stderr.contains("not those that were written") && answer.stderr.contains("from step 0"),
        "{}",
        answer.stderr
    );
    assert_eq!(records(&case.path("out")), expected);
}

#[test]
fn what_must_not_be_gone_on_from_is_refused_by_name() {
    let (case, saved) = interrupted();
    let refused = |words: &[&str]| {
        let before = fs::read(case.path("out/metrics.jsonl")).unwrap();
        let answer = case.run(&["resume", "out"]);
        assert_eq!(answer.status, 2, "{}", answer.stderr);
        assert!(words.iter().all(|word| answer.stderr.contains(word)), "{words:?}: {}", answer.stderr);
        assert_eq!(fs::read(case.path("out/metrics.jsonl")).unwrap(), before, "nothing was changed");
    };
    // Another specification's checkpoint under the right name.
    let good = fs::read(&saved[1]).unwrap();
    let other = ["train", "spec.toml", "--out", "other", "--set", "model.hidden=[13]"];
    assert_eq!(case.run(&other).status, 0);
    fs::copy(case.path("other/checkpoints").join(saved[1].file_name().unwrap()), &saved[1]).unwrap();
    refused(&["step-000000240.safetensors: belongs to another run"]);
    fs::write(&saved[1], &good).unwrap();
    // The same with the right hash in it: another architecture.
    let foreign = fs::read(case.path("other/checkpoints").join(saved[1].file_name().unwrap())).unwrap();
    let (own, theirs) = (hash(&good), hash(&foreign));
    fs::write(&saved[1], with_checksum(replace(&foreign, &theirs, &own))).unwrap();
    fs::copy(case.path("other/metrics.jsonl"), case.path("records")).unwrap();
    let keep = fs::read(case.path("out/metrics.jsonl")).unwrap();
    let text = fs::read_to_string(case.path("records")).unwrap();
    let without_end = text.lines().count() - 1;
    let text: String = text.lines().take(without_end).map(|line| format!("{line}\n")).collect();
    fs::write(case.path("out/metrics.jsonl"), text).unwrap();
    refused(&["checkpoint of step 240", "another architecture", "layers.0.bias", "[13]", "[12]"]);
    fs::write(case.path("out/metrics.jsonl"), keep).unwrap();
    // A later format.
    fs::write(&saved[1], with_checksum(replace(&good, "\\\"format\\\":1", "\\\"format\\\":9"))).unwrap();
    refused(&["step-000000240.safetensors: has format 9", "formats up to 1"]);
    fs::write(&saved[1], &good).unwrap();
    // Other data under the same name.
    let manifest = fs::read_to_string(case.path("out/run.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let checksum = json["data"]["sha256"].as_str().unwrap();
    fs::write(case.path("out/run.json"), manifest.replace(checksum, &"0".repeat(64))).unwrap();
    refused(&["out: the data set optdigits is not the one that the run began with"]);
    fs::write(case.path("out/run.json"), manifest.replace("\"format\": 1", "\"format\": 7")).unwrap();
    refused(&["run.json", "format 7"]);
    fs::write(case.path("out/run.json"), &manifest[..manifest.len() / 2]).unwrap();
    refused(&["run.json: is no manifest"]);
    fs::write(case.path("out/run.json"), &manifest).unwrap();
    case.refuses(&["train", "spec.toml", "--out", "out"], &["not come to its end", "stepscope resume out"], "none");
    assert_eq!(case.run(&["resume", "out"]).status, 0);
}

/// The hash of the specification inside a checkpoint.
fn hash(checkpoint: &[u8]) -> String {
    let text = String::from_utf8_lossy(checkpoint);
    text.split("\\\"spec\\\":\\\"").nth(1).unwrap()[..64].to_owned()
}

fn replace(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
    [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat()
}

/// The CRC-32C of everything before the last four bytes, bit by bit.
fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - 4;
    let mut crc = u32::MAX;
    for &byte in &bytes[..end] {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg());
        }
    }
    bytes[end..].copy_from_slice(&(!crc).to_le_bytes());
    bytes
}

#[test]
fn a_second_process_on_one_folder_is_refused_and_told_who_is_there() {
    let case = case();
    let long =
        ["train", "spec.toml", "--out", "out", "--set", "train.duration=100000st", "--set", "measure.every=50000st"];
    let mut first = start(&case, &long);
    wait_for_checkpoint(&mut first, &case.path("out"));
    let begin = Instant::now();
    while !case.path("out/run.json").exists() && begin.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(5));
    }
    for arguments in [vec!["resume", "out"], long.to_vec(), [&long[..], &["--force"]].concat()] {
        let second = case.run(&arguments);
        assert_eq!(second.status, 75, "{}", second.stderr);
        let holder = format!("out: is being written by process {}", first.id());
        assert!(second.stderr.contains(&holder), "{}", second.stderr);
    }
    // A holder that is killed leaves no lock behind.
    first.kill().unwrap();
    first.wait().unwrap();
    let mut again = start(&case, &["resume", "out"]);
    std::thread::sleep(Duration::from_millis(300));
    assert!(again.try_wait().unwrap().is_none(), "it goes on");
    again.kill().unwrap();
    again.wait().unwrap();
}

#[test]
fn a_run_that_diverges_keeps_a_checkpoint_from_before_and_counts_as_ended() {
    let case = Case::new();
    // Larger batches and less momentum would keep the loss within bounds.
    let (before, after) = SPEC.split_once("[schedule]").unwrap();
    case.write("spec.toml", format!("{before}{}", &after[after.find("[line_search]").unwrap()..]));
    // With batch normalisation the first step is already one too many, and nothing was saved before it.
    let changes = [
        "optimizer.learning_rate=60",
        "checkpoint.every=1st",
        "model.normalisation=\"none\"",
        "model.dropout=0.0",
        "measure.dropout=false",
    ];
    let set: Vec<&str> = changes.into_iter().flat_map(|change| ["--set", change]).collect();
    let answer = case.run(&[&["train", "spec.toml", "--out", "out", "--format", "json"], &set[..]].concat());
    assert_eq!(answer.status, 0, "{}", answer.stderr);
    let end = records(&case.path("out")).pop().unwrap();
    let end: serde_json::Value = serde_json::from_str(&end).unwrap();
    assert_eq!(end["reason"], "diverged");
    let last_good = end["last_good_step"].as_u64().unwrap();
    let steps: Vec<u64> = checkpoints(&case.path("out"))
        .iter()
        .map(|path| path.file_stem().unwrap().to_str().unwrap()[5..].parse().unwrap())
        .collect();
    assert!(steps.iter().any(|&step| step <= last_good), "{steps:?}, {last_good}");
    let answer = case.run(&["resume", "out"]);
    assert!(answer.status == 0 && answer.stdout.contains("diverged"), "{}", answer.stdout);
}

#[test]
fn weights_leave_a_run_and_begin_another() {
    let case = case();
    assert_eq!(case.run(&["train", "spec.toml", "--out", "out"]).status, 0);
    let answer = case.run(&["weights", "export", "out", "w.safetensors"]);
    assert_eq!(answer.status, 0, "{}", answer.stderr);
    assert!(answer.stdout.contains("after 240 steps"), "{}", answer.stdout);
    // One step pays for no reading, and is shorter than the averages.
    let changes = [
        "model.weights=\"w.safetensors\"",
        "train.duration=1st",
        "measure.budget=\"1000000%\"",
        "average.enabled=false",
    ];
    let set: Vec<&str> = changes.into_iter().flat_map(|change| ["--set", change]).collect();
    assert_eq!(case.run(&[&["train", "spec.toml", "--out", "more"], &set[..]].concat()).status, 0);
    let loss = |folder: &str, last: bool| {
        let losses: Vec<serde_json::Value> = records(&case.path(folder))
            .iter()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .filter(|record| record["name"] == "train/loss")
            .map(|record| record["value"].clone())
            .collect();
        if last { losses.last().unwrap().clone() } else { losses[0].clone() }
    };
    assert_eq!(loss("more", false), loss("out", true), "it begins where the other ended");
    case.refuses(
        &["weights", "export", "out", "x.safetensors", "--step", "7"],
        &["no checkpoint of step 7", "225, 240"],
        "x.safetensors",
    );
    let other = [&["train", "spec.toml", "--out", "bad", "--set", "model.hidden=[9]"], &set[..]].concat();
    case.refuses(&other, &["w.safetensors", "layers.0", "[12"], "bad");
}
