//! Data and devices that are not as they should be, one by one: what the program says, how it ends, and what it leaves.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;

use common::Case;

/// A specification on the folder `data` of its case.
const SPEC: &str = "[data]\nname = \"data\"\n[optimizer]\nlearning_rate = 0.1\n[train]\nduration = \"2st\"\nbatch_size = 2\n\
                    [measure]\nenabled = false\n[average]\nenabled = false\n";

/// CIFAR-10's files with two records each; `cut` bytes are missing from the third.
fn cifar10(cut: usize) -> Case {
    let case = Case::new();
    std::fs::create_dir(case.path("data")).unwrap();
    let record = |label: u8, pixel: u8| [&[label][..], &[pixel; 3072]].concat();
    for batch in 1..=5 {
        let mut bytes = [record(0, 10 * batch), record(1, 200)].concat();
        bytes.truncate(bytes.len() - if batch == 3 { cut } else { 0 });
        case.write(&format!("data/data_batch_{batch}.bin"), bytes);
    }
    case.write("data/test_batch.bin", [record(0, 5), record(1, 250)].concat());
    case.write("spec.toml", SPEC);
    case
}

const TRAIN: [&str; 4] = ["train", "spec.toml", "--out", "out"];

#[test]
fn cifar_files_of_the_wrong_length_are_refused_by_name() {
    let case = cifar10(0);
    let answer = case.run(&TRAIN);
    assert_eq!(answer.status, 0, "whole files train: {}", answer.stderr);
    for cut in [1, 3000, 3073 + 1] {
        let case = cifar10(cut);
        case.refuses(&TRAIN, &["data_batch_3.bin", &format!("got {} bytes", 2 * 3073 - cut), "3073"], "out");
    }
}

#[test]
fn the_folder_that_an_archive_unpacks_to_is_found() {
    let case = cifar10(0);
    std::fs::create_dir(case.path("outer")).unwrap();
    std::fs::rename(case.path("data"), case.path("outer/cifar-10-batches-bin")).unwrap();
    std::fs::rename(case.path("outer"), case.path("data")).unwrap();
    let answer = case.run(&TRAIN);
    assert_eq!(answer.status, 0, "{}", answer.stderr);
}

#[test]
fn a_download_that_ends_early_is_a_failure_that_leaves_a_part_and_no_file() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            // Promises a thousand bytes, sends ten, whatever was asked for.
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\nconnection: close\r\n\r\n0123456789");
        }
    });
    let case = Case::new();
    let answer = case.run(&["data", "fetch", "mnist", "--mirror", &address, "--cache", "cache"]);
    assert_eq!(answer.status, 1, "{}{}", answer.stdout, answer.stderr);
    assert_eq!(answer.stderr.matches("error:").count(), 1, "{}", answer.stderr);
    assert!(answer.stderr.contains(&address) && answer.stderr.contains("train-images"), "{}", answer.stderr);
    assert!(!case.path("cache/mnist/train-images-idx3-ubyte.gz").exists());
    // What is not whole is not taken for the data set.
    case.write("spec.toml", SPEC.replace("\"data\"", "\"mnist\""));
    let program = assert_cmd::Command::cargo_bin("stepscope").unwrap();
    let mut train = program;
    let refused = train.current_dir(&case.folder).env("STEPSCOPE_DATA", "cache").args(TRAIN).output().unwrap();
    let message = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{message}");
    assert!(message.contains("stepscope data fetch mnist"), "{message}");
}

#[test]
fn a_cache_that_cannot_be_written_is_bad_input() {
    let case = Case::new();
    case.write("file", "");
    // A file where a folder should be, and a folder below one: refused to every user, also to root.
    for cache in ["file", "file/below"] {
        case.refuses(
            &["data", "fetch", "mnist", "--mirror", "http://127.0.0.1:9", "--cache", cache],
            &["cannot be written", cache],
            "mnist",
        );
    }
}

#[test]
fn a_device_that_is_absent_is_named_with_its_feature_or_driver_and_nothing_is_written() {
    let case = cifar10(0);
    let listed = case.run(&["devices", "--format", "json"]);
    assert_eq!(listed.status, 0, "{}", listed.stderr);
    let devices: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    let devices = devices.as_array().unwrap();
    let words: Vec<&str> = devices.iter().map(|device| device["device"].as_str().unwrap()).collect();
    assert_eq!(words, ["cpu", "cuda", "wgpu"]);
    assert_eq!(devices[0]["available"], true);
    for device in devices.iter().filter(|device| device["available"] == false) {
        let word = device["device"].as_str().unwrap();
        let needed = match (device["reason"].as_str().unwrap().contains("--features"), word) {
            (true, _) => format!("--features {word}"),
            (false, "cuda") => "nvidia-smi".to_owned(),
            (false, _) => "vulkaninfo".to_owned(),
        };
        case.refuses(&[&TRAIN[..], &["--device", word]].concat(), &[word, &needed, "device cpu"], "out");
        let key = format!("train.device={word}");
        case.refuses(&[&TRAIN[..], &["--set", &key]].concat(), &[word, &needed], "out");
    }
    case.refuses(&[&TRAIN[..], &["--device", "gpu"]].concat(), &["cpu, cuda or wgpu"], "out");
}

#[test]
fn every_command_that_computes_takes_a_device() {
    let case = cifar10(0);
    case.write("sweep.toml", format!("{SPEC}[sweep]\nseeds = 1\n"));
    case.write(
        "kept.toml",
        SPEC.replace("2st\"", "4st\"").replace("0.1", "1e-4") + "[checkpoint]\nevery = \"1st\"\nkeep_every = \"1st\"\n",
    );
    assert_eq!(case.run(&["train", "kept.toml", "--out", "run", "--device", "cpu"]).status, 0);
    // Its end is not recorded any more: it wants to go on from its last checkpoint.
    let records = std::fs::read_to_string(case.path("run/metrics.jsonl")).unwrap();
    let unfinished: Vec<&str> = records.lines().filter(|line| !line.contains("run-ended")).collect();
    assert_eq!(unfinished.len() + 1, records.lines().count());
    case.write("run/metrics.jsonl", unfinished.join("\n") + "\n");
    let shard = ["run-shard", "sweep.toml", "--shard", "1/1", "--out", "out"];
    let commands: [&[&str]; 6] = [
        &["resume", "run"],
        &["sweep", "sweep.toml", "--out", "out"],
        &shard,
        &["lr-test", "kept.toml", "--steps", "10", "--sweeps", "2"],
        &["measure", "run", "--probe", "loss", "--set", "measure.examples=4"],
        &["average", "run", "--out", "out"],
    ];
    let refused = case.run(&["train", "kept.toml", "--device", "cuda", "--out", "out"]).status == 2;
    for command in commands {
        let with = |device: &'static str| [command, &["--device", device]].concat();
        if refused {
            case.refuses(&with("cuda"), &["device cuda", "use device cpu"], "out");
        }
        let answer = case.run(&with("cpu"));
        assert_eq!(answer.status, 0, "{command:?}: {}{}", answer.stdout, answer.stderr);
        let _ = std::fs::remove_dir_all(case.path("out"));
        let _ = std::fs::remove_file(case.path("out"));
    }
}

#[test]
fn the_device_of_a_run_is_in_its_manifest_and_the_check_skips_what_is_not_there() {
    let case = cifar10(0);
    assert_eq!(case.run(&[&TRAIN[..], &["--device", "cpu"]].concat()).status, 0);
    let manifest: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(case.path("out/run.json")).unwrap()).unwrap();
    assert_eq!(manifest["software"]["device"], "cpu (flex), f32");
    assert_eq!(manifest["spec"]["train"]["device"], "cpu");
    let checked = case.run(&["devices", "--check", "--device", "cuda"]);
    assert!(checked.stdout.contains("cuda: skipped") || checked.stdout.contains("cuda: mlp"), "{}", checked.stdout);
    assert_eq!(checked.status, 0, "{}", checked.stderr);
}
