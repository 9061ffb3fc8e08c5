//! Event files, read back with our own reader and with TensorBoard's.
#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub)]

mod common;
#[path = "common/python.rs"]
mod python;

use std::fs;
use std::path::Path;

use common::{event, manifest, measured, run, unresolved};
use python::read_back;
use serde_json::{Value, json};
use stepscope_export::RecordSink;
use stepscope_export::tensorboard::{
    EventFileWriter, LoggedData, LoggedEvent, Moment, TensorBoardSink, read_event_file,
};
use stepscope_types::{EventKind, Record, Spectrum, Step, StopReason, Uncertainty};

/// The only event file of a folder.
fn events(folder: &Path) -> Vec<LoggedEvent> {
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    read_event_file(&files[0]).unwrap()
}

fn write(folder: &Path, from: u64, records: &[Record]) {
    let mut sink = TensorBoardSink::create(folder, &manifest("good"), Step(from)).unwrap();
    records.iter().for_each(|record| sink.record(record).unwrap());
    sink.finish().unwrap();
}

/// Step and value of a tag, as recorded.
fn recorded(records: &[Record], tag: &str) -> Vec<(u64, f32)> {
    let value = |record: &Record| match record {
        Record::Measurement(m) if m.name == tag => m.value.map(|value| (m.step.0, value as f32)),
        _ => None,
    };
    records.iter().filter_map(value).collect()
}

#[test]
fn every_value_comes_back_with_its_step_and_time_and_its_description_once() {
    let folder = tempfile::tempdir().unwrap();
    let records = run(50);
    write(folder.path(), 0, &records);
    let events = events(folder.path());
    assert_eq!(events[0].data, LoggedData::FileVersion("brain.Event:2".to_owned()));
    assert_eq!(events[1].data, LoggedData::SessionStart);
    for tag in ["train/batch_loss", "curvature/hessian_top_eigenvalue", "noise/gradient_noise_scale"] {
        let mut descriptions = Vec::new();
        let mut values = Vec::new();
        for event in &events {
            if let LoggedData::Scalar { tag: found, value, description } = &event.data
                && found == tag
            {
                values.push((event.step, *value));
                descriptions.extend(description.clone());
                assert_eq!(event.wall_time, 1.7e9 + 0.25 * event.step as f64);
            }
        }
        assert_eq!(values, recorded(&records, tag));
        assert_eq!(descriptions.len(), 1, "{tag}");
        assert!(descriptions[0].contains("`nat`"), "{descriptions:?}");
    }
}

#[test]
fn what_is_not_resolved_is_a_text_once_for_each_reason_and_the_end_is_one_too() {
    let folder = tempfile::tempdir().unwrap();
    let name = "noise/gradient_noise_scale";
    let reason = StopReason::Diverged { last_good_step: Step(3), message: "loss is NaN: lower the rate".into() };
    let records = [
        unresolved(0, name, "too few batches"),
        unresolved(1, name, "too few batches"),
        unresolved(2, name, "no signal"),
        measured(3, name, 5.0, Uncertainty::Exact),
        unresolved(4, name, "no signal"),
        event(5, EventKind::RunEnded { reason }),
    ];
    write(folder.path(), 0, &records);
    let texts: Vec<(u64, String, String)> = events(folder.path())
        .into_iter()
        .filter_map(|event| match event.data {
            LoggedData::Text { tag, text } if tag != "run/specification" => Some((event.step, tag, text)),
            _ => None,
        })
        .collect();
    let tag = || format!("unresolved/{name}");
    assert_eq!(
        texts,
        [
            (0, tag(), "too few batches".to_owned()),
            (2, tag(), "no signal".to_owned()),
            (4, tag(), "no signal".to_owned()),
            (5, "run/end".to_owned(), "Diverged; its last good step is 3: loss is NaN: lower the rate.".to_owned()),
        ]
    );
}

#[test]
fn a_file_cut_anywhere_is_read_up_to_the_cut_and_a_flipped_bit_is_named_by_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = EventFileWriter::create(folder.path()).unwrap();
    for step in 0..5 {
        writer.scalar("a/b", Moment { step: Step(step), wall_time: 1.0 }, step as f64).unwrap();
    }
    writer.flush().unwrap();
    let (path, bytes) = (writer.path().to_owned(), fs::read(writer.path()).unwrap());
    let whole = read_event_file(&path).unwrap();
    assert_eq!(whole.len(), 6);
    let mut previous = 0;
    for length in 0..bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        let read = read_event_file(&path).unwrap();
        assert!(whole.starts_with(&read) && read.len() >= previous, "cut after {length}");
        previous = read.len();
    }
    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&path, damaged).unwrap();
    let message = read_event_file(&path).unwrap_err().to_string();
    assert!(message.contains("byte ") && message.contains("checksum"), "{message}");
}

#[test]
fn a_later_file_sorts_behind_an_earlier_one_even_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let name = |writer: EventFileWriter| writer.path().file_name().unwrap().to_str().unwrap().to_owned();
    let names: Vec<String> = (0..20).map(|_| name(EventFileWriter::create(folder.path()).unwrap())).collect();
    assert!(names.is_sorted(), "{names:?}");
    assert!(
        names.iter().all(|name| name.starts_with("events.out.tfevents.") && name.split('.').count() == 7),
        "{names:?}"
    );
}

#[test]
fn tensorboards_own_reader_finds_the_same_values_steps_times_and_descriptions() {
    let folder = tempfile::tempdir().unwrap();
    let records = run(50);
    write(folder.path(), 0, &records);
    let Some(found) = read_back(&["tensorboard", folder.path().to_str().unwrap()]) else { return };
    assert_eq!(found["file_version"], 2.0);
    for tag in ["train/batch_loss", "curvature/hessian_top_eigenvalue", "noise/gradient_noise_scale"] {
        let (tag, expected) = (&found["tags"][tag], recorded(&records, tag));
        assert_eq!(tag["plugin"], "scalars");
        assert_eq!(tag["steps"], json!(expected.iter().map(|(step, _)| step).collect::<Vec<_>>()));
        assert_eq!(tag["values"], json!(expected.iter().map(|(_, value)| f64::from(*value)).collect::<Vec<_>>()));
        let times: Vec<f64> = expected.iter().map(|(step, _)| 1.7e9 + 0.25 * *step as f64).collect();
        assert_eq!(tag["wall_times"], json!(times));
    }
    let description = found["tags"]["curvature/hessian_top_eigenvalue"]["description"].as_str().unwrap();
    assert!(description.contains("Sharpness") && description.contains("largest eigenvalue of the Hessian"));
    let specification = &found["tags"]["run/specification"];
    assert_eq!(specification["plugin"], "text");
    assert!(specification["values"][0].as_str().unwrap().contains("| optimizer.learning_rate | 0.1 |"));
    assert_eq!(found["tags"]["run/end"]["values"], json!(["Finished after 50 steps."]));
}

#[test]
fn tensorboards_own_reader_finds_the_buckets_of_a_spectrum() {
    let folder = tempfile::tempdir().unwrap();
    let spectrum = Spectrum::new(vec![8.0, -1.0, 1.0], vec![0.25, 0.5, 0.125]).unwrap();
    let mut writer = EventFileWriter::create(folder.path()).unwrap();
    writer.describe("curvature/spectrum", "Spectral density, in 1/learning-rate.");
    for step in [0, 10] {
        writer.histogram("curvature/spectrum", Moment { step: Step(step), wall_time: 1.0 }, &spectrum).unwrap();
    }
    writer.flush().unwrap();
    let Some(found) = read_back(&["tensorboard", folder.path().to_str().unwrap()]) else { return };
    let tag = &found["tags"]["curvature/spectrum"];
    assert_eq!(tag["plugin"], "histograms");
    assert_eq!(tag["description"], "Spectral density, in 1/learning-rate.");
    assert_eq!(tag["steps"], json!([0, 10]));
    let buckets = json!([[-1.0, 0.0, 0.5], [0.0, 4.5, 0.125], [4.5, 8.0, 0.25]]);
    assert_eq!(tag["values"], json!([buckets, buckets]));
}

#[test]
fn tensorboards_own_reader_drops_what_a_process_that_died_wrote_after_the_step_of_the_resume() {
    let folder = tempfile::tempdir().unwrap();
    let losses = |steps: std::ops::Range<u64>, value| {
        steps.map(|step| measured(step, "train/loss", value, Uncertainty::Exact)).collect::<Vec<_>>()
    };
    write(folder.path(), 0, &losses(0..10, 1.0));
    write(folder.path(), 6, &losses(6..9, 2.0));
    let Some(found) = read_back(&["tensorboard", folder.path().to_str().unwrap()]) else { return };
    let tag = &found["tags"]["train/loss"];
    assert_eq!(tag["steps"], json!([0, 1, 2, 3, 4, 5, 6, 7, 8]));
    assert_eq!(tag["values"], json!([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0]));
}

#[test]
fn tensorboards_own_reader_finds_the_specification_for_its_hparams_tab() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 0, &run(3));
    let Some(found) = read_back(&["hparams", folder.path().to_str().unwrap()]) else { return };
    assert_eq!(found["optimizer.learning_rate"], 0.1);
    assert_eq!(found["average.enabled"], true);
    assert_eq!(found["data.name"], "optdigits");
    assert_eq!(found["status"], 1, "success");
    assert_eq!(found["group_name"].as_str().map(str::len), Some(16));
    assert_ne!(found, Value::Null);
}
