//! The program as a user meets it: commands, exit status, messages, files.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;

use common::Case;

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

/// A folder with the specification [`SPEC`] in it.
fn case() -> Case {
    let case = Case::new();
    case.write("spec.toml", SPEC);
    case
}

/// The program must refuse, and leave no run behind.
fn refused(case: &Case, arguments: &[&str], words: &[&str]) {
    case.refuses(arguments, words, "out");
}

fn records(folder: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    assert!(text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_words_of_the_quickstart_can_be_had_again_from_its_files() {
    let case = case();
    let answer = case.run(&["quickstart", "--format", "json", "--seed", "3", "--out", "q"]);
    assert_eq!(answer.status, 0, "{}", answer.stderr);
    let json: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap();
    assert_eq!(json["learning_rate"], 0.1);
    let names: Vec<&str> = json["runs"].as_array().unwrap().iter().map(|run| run["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["too-small", "good", "too-large", "measured", "good-predicted"]);
    assert!(json["headline"].as_str().unwrap().contains("0.1"), "{}", json["headline"]);
    let run = |name: &str| json["runs"].as_array().unwrap().iter().find(|run| run["name"] == name).unwrap().clone();
    let loss = |name: &str| run(name)["test_loss"]["value"].as_f64().unwrap();
    assert!(loss("good") < loss("too-small") && loss("measured") < loss("too-small"));
    assert!(run("too-large")["max_effective_sharpness"].as_f64().unwrap() > 2.0);
    assert!(run("good")["ema_gain"]["value"].is_f64() && run("good")["two_point_gain"]["value"].is_f64());
    let page = fs::read_to_string(case.path("q/report.html")).unwrap();
    assert!(page.contains("good-predicted") && !page.contains("https://cdn"));

    // The words are a function of the files: `report` finds the same ones without training.
    assert_eq!(case.run(&["report", "q", "--out", "again.html"]).status, 0);
    let again = fs::read_to_string(case.path("again.html")).unwrap();
    assert!(again.contains(json["headline"].as_str().unwrap()));

    let again = case.run(&["quickstart", "--out", "q"]);
    assert_eq!(again.status, 2, "the folder holds runs");
    assert!(again.stderr.contains("--force"), "{}", again.stderr);
}

#[test]
fn train_writes_a_run_folder_that_report_reads() {
    let case = case();
    let answer = case.run(&["train", "spec.toml", "--out", "out", "--set", "optimizer.learning_rate=0.2"]);
    assert_eq!(answer.status, 0, "{}", answer.stderr);
    assert!(answer.stdout.contains("short finished after 30 steps"), "{}", answer.stdout);
    let manifest: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(case.path("out/run.json")).unwrap()).unwrap();
    assert_eq!(manifest["spec"]["optimizer"]["learning_rate"], 0.2);
    assert_eq!(manifest["data"]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(records(&case.path("out")).last().unwrap()["reason"], "finished");
    let answer = case.run(&["report", "out", "--out", "page.html"]);
    assert_eq!((answer.status, answer.stdout.trim()), (0, "page.html"));
    assert!(fs::read_to_string(case.path("page.html")).unwrap().contains("short"));
}

#[test]
fn json_prints_every_record_as_it_is_made_and_a_summary_last() {
    let case = case();
    let answer = case.run(&["train", "spec.toml", "--format", "json", "--out", "out"]);
    let mut lines: Vec<&str> = answer.stdout.lines().collect();
    let last: serde_json::Value = serde_json::from_str(lines.pop().unwrap()).unwrap();
    assert_eq!((&last["record"], &last["outcome"]), (&"summary".into(), &"finished".into()));
    let records = fs::read_to_string(case.path("out/metrics.jsonl")).unwrap();
    assert_eq!(lines, records.lines().collect::<Vec<_>>());
}

#[test]
fn two_processes_with_one_spec_write_the_same_records_apart_from_times() {
    let case = case();
    let text = |out: &str| -> Vec<String> {
        assert_eq!(case.run(&["train", "spec.toml", "--out", out]).status, 0);
        let without_timing = |mut record: serde_json::Value| {
            record.as_object_mut().unwrap().remove("timing");
            record.to_string()
        };
        records(&case.path(out)).into_iter().map(without_timing).collect()
    };
    assert_eq!(text("a"), text("b"));
}

#[test]
fn a_folder_that_holds_a_run_is_refused_unless_forced() {
    let case = case();
    let train = |extra: &[&str]| case.run(&[&["train", "spec.toml", "--out", "out"], extra].concat());
    assert_eq!(train(&[]).status, 0);
    let before = fs::read_to_string(case.path("out/metrics.jsonl")).unwrap();
    let refused = train(&[]);
    assert_eq!(refused.status, 2);
    assert!(refused.stderr.contains("holds a run already"), "{}", refused.stderr);
    assert_eq!(fs::read_to_string(case.path("out/metrics.jsonl")).unwrap(), before);
    assert_eq!(train(&["--force"]).status, 0);
}

#[test]
fn specifications_with_mistakes_are_refused_by_file_line_and_key() {
    let case = case();
    let with = |from: &str, to: &str| {
        assert!(SPEC.contains(from));
        fs::write(case.path("bad.toml"), SPEC.replace(from, to)).unwrap();
        &["train", "bad.toml", "--out", "out"]
    };
    refused(&case, with("learning_rate", "learnin_rate"), &["bad.toml:11", "learnin_rate", "learning_rate"]);
    refused(&case, with("[measure]", "[mesure]"), &["mesure", "measure"]);
    refused(&case, with("0.1", "nan"), &["optimizer.learning_rate", "bad.toml:11"]);
    refused(&case, with("0.1", "inf"), &["optimizer.learning_rate"]);
    refused(&case, with("0.1", "-0.1"), &["optimizer.learning_rate", "-0.1"]);
    refused(&case, with("0.1", "\"fast\""), &["optimizer.learning_rate", "measured"]);
    refused(&case, with("\"30st\"", "30"), &["train.duration", "300st"]);
    refused(&case, with("\"30st\"", "\"30st\"\nbatch_size = -32"), &["train.batch_size", "-32"]);
    refused(&case, with("\"30st\"", "\"30st\"\nbatch_size = 4000"), &["train.batch_size", "3823"]);
    refused(&case, with("[8]", "[8"), &["bad.toml"]);
    refused(&case, &["train", "nowhere.toml", "--out", "out"], &["nowhere.toml"]);
    refused(
        &case,
        &["train", "spec.toml", "--out", "out", "--set", "train.batch_sise=8"],
        &["batch_sise", "batch_size"],
    );
    refused(&case, &["train", "spec.toml", "--out", "out", "--set", "nonsense"], &["nonsense"]);
    refused(&case, &["quickstart", "--data", "optdigit", "--out", "out"], &["optdigit", "optdigits"]);
}

#[test]
fn damaged_data_is_refused_by_file_and_cause() {
    let case = case();
    let data = case.path("data");
    fs::create_dir(&data).unwrap();
    // 40 images of 2x2, 10 labels; what is wrong is changed one at a time.
    let images = |count: u32, pixels: usize| {
        let mut bytes = vec![0, 0, 8, 3];
        [count, 2, 2].iter().for_each(|n| bytes.extend(n.to_be_bytes()));
        bytes.extend((0..pixels).map(|pixel| pixel as u8));
        bytes
    };
    let labels = |highest: u8| {
        let mut bytes = vec![0, 0, 8, 1, 0, 0, 0, 40];
        bytes.extend((0..40u8).map(|example| if example == 7 { highest } else { example % 3 }));
        bytes
    };
    let write = |train_images: Vec<u8>, test_labels: Vec<u8>| {
        fs::write(data.join("train-images-idx3-ubyte"), train_images).unwrap();
        fs::write(data.join("train-labels-idx1-ubyte"), labels(2)).unwrap();
        fs::write(data.join("t10k-images-idx3-ubyte"), images(40, 160)).unwrap();
        fs::write(data.join("t10k-labels-idx1-ubyte"), test_labels).unwrap();
    };
    let train = [
        "train",
        "spec.toml",
        "--out",
        "out",
        "--set",
        "data.name=data",
        "--set",
        "train.batch_size=8",
        "--set",
        "measure.examples=20",
    ];
    write(images(40, 160), labels(2));
    assert_eq!(case.run(&[&train[..3], &["fine"], &train[4..]].concat()).status, 0);
    write(images(40, 159), labels(2));
    refused(&case, &train, &["train-images-idx3-ubyte"]);
    write(images(u32::MAX, 160), labels(2));
    refused(&case, &train, &["train-images-idx3-ubyte"]);
    write(images(40, 160), labels(9));
    refused(&case, &train, &["label", "9"]);
    let mut wrong_magic = images(40, 160);
    wrong_magic[2] = 13;
    write(wrong_magic, labels(2));
    refused(&case, &train, &["train-images-idx3-ubyte"]);
}

#[cfg(unix)]
#[test]
fn a_full_disk_ends_the_run_with_status_1_and_keeps_what_was_recorded() {
    let case = case();
    // A limit on the size of files stands in for the disk: 8 blocks of 1024 bytes. The signal is ignored so that writing fails as on a
    // full disk.
    let program = assert_cmd::cargo::cargo_bin("stepscope");
    let full = |out: &str, more: &str| {
        let train = format!("train spec.toml --out {out} {more}");
        let script = format!("trap '' XFSZ; ulimit -f 8; exec {} {train}", program.display());
        let output =
            std::process::Command::new("bash").args(["-c", &script]).current_dir(&case.folder).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        stderr
    };
    let stderr = full("out", "--set checkpoint.enabled=false");
    assert!(stderr.contains("metrics.jsonl") && stderr.contains("free some space"), "{stderr}");
    let records = records(&case.path("out"));
    assert!(records.len() > 5, "{} records", records.len());
    assert_eq!(case.run(&["report", "out", "--out", "page.html"]).status, 0);
    // With checkpoints either file may be the first that finds no room; once there is some the run goes on.
    let stderr = full("saving", "");
    assert!(stderr.contains("saving/") && stderr.contains("space"), "{stderr}");
    assert_eq!(case.run(&["resume", "saving"]).status, 0);
    assert_eq!(self::records(&case.path("saving")).last().unwrap()["reason"], "finished");
}

#[test]
fn the_printed_specification_trains_and_the_schema_is_json() {
    let case = case();
    let spec = case.run(&["spec"]);
    assert_eq!(spec.status, 0);
    fs::write(case.path("all.toml"), &spec.stdout).unwrap();
    let set = ["--set", "train.duration=5st", "--set", "measure.examples=32", "--set", "measure.noise_batches=8"];
    let answer = case.run(&[&["train", "all.toml", "--out", "out"], &set[..]].concat());
    assert_eq!(answer.status, 0, "{}", answer.stderr);
    let schema: serde_json::Value = serde_json::from_str(&case.run(&["spec", "--schema"]).stdout).unwrap();
    assert!(schema["properties"]["optimizer"].is_object());
}

#[test]
fn help_fits_a_screen_and_data_sets_are_listed_with_their_licences() {
    let case = case();
    let help = case.run(&["--help"]);
    assert_eq!(help.status, 0);
    assert!(help.stdout.lines().count() <= 40, "{}", help.stdout);
    let list = case.run(&["data", "list"]).stdout;
    assert!(list.contains("optdigits") && list.contains("CC BY 4.0") && list.contains("MIT"), "{list}");
    let json: serde_json::Value =
        serde_json::from_str(&case.run(&["data", "list", "--format", "json"]).stdout).unwrap();
    assert_eq!(json[0]["num_train_examples"], 3823);
    assert_eq!(json[2]["name"], "mnist");
    assert_eq!(case.run(&["trane"]).status, 2);
}

#[test]
fn fetching_names_what_is_wrong_and_leaves_no_half_file() {
    let case = case();
    let unknown = case.run(&["data", "fetch", "mnits"]);
    assert_eq!(unknown.status, 2);
    assert!(unknown.stderr.contains("mnits") && unknown.stderr.contains("fashion-mnist"), "{}", unknown.stderr);
    let embedded = case.run(&["data", "fetch", "optdigits"]);
    assert!(embedded.status == 2 && embedded.stderr.contains("part of the program"), "{}", embedded.stderr);
    // A server that has nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let cache = case.path("cache");
    let absent = case.run(&["data", "fetch", "mnist", "--mirror", &address, "--cache", cache.to_str().unwrap()]);
    assert_eq!(absent.status, 1, "{}", absent.stderr);
    assert!(absent.stderr.contains("answers with status 404") && absent.stderr.contains(&address), "{}", absent.stderr);
    assert!(!cache.join("mnist/train-images-idx3-ubyte.gz").exists());
    std::fs::write(case.path("file"), "").unwrap();
    let refused =
        case.run(&["data", "fetch", "mnist", "--mirror", &address, "--cache", case.path("file").to_str().unwrap()]);
    assert!(refused.status == 2 && refused.stderr.contains("cannot be written"), "{}", refused.stderr);
}
