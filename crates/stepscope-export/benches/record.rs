//! What it costs a training step to record 50 scalars: `cargo bench -p stepscope-export`.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use common::{manifest, measured};
use stepscope_export::RecordSink;
use stepscope_export::remote::{End, Patience, Point, RemoteSink, SendError, Target};
use stepscope_export::tensorboard::TensorBoardSink;
use stepscope_types::{Record, Step, Uncertainty};

/// Scalars a step.
const SCALARS: u64 = 50;

fn main() {
    divan::main();
}

fn step() -> Vec<Record> {
    (0..SCALARS)
        .map(|index| measured(7, &format!("probe/{index}"), 0.1 + index as f64, Uncertainty::StandardError(1e-3)))
        .collect()
}

fn record(sink: &mut impl RecordSink, records: &[Record]) {
    records.iter().for_each(|record| sink.record(record).unwrap());
}

/// The lines of `metrics.jsonl`, for comparison.
#[divan::bench]
fn lines_of_json(bencher: divan::Bencher) {
    let folder = tempfile::tempdir().unwrap();
    let mut file = File::create(folder.path().join("metrics.jsonl")).unwrap();
    let (records, mut text) = (step(), Vec::new());
    bencher.bench_local(|| {
        text.clear();
        for record in &records {
            serde_json::to_writer(&mut text, record).unwrap();
            text.push(b'\n');
        }
        file.write_all(&text).unwrap();
    });
}

#[divan::bench]
fn event_file(bencher: divan::Bencher) {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = TensorBoardSink::create(folder.path(), &manifest("bench"), Step(0)).unwrap();
    let records = step();
    bencher.bench_local(|| record(&mut sink, &records));
}

/// A server that is as fast as can be.
struct Nowhere;

impl Target for Nowhere {
    fn name(&self) -> String {
        "nowhere".to_owned()
    }
    fn batch_length(&self, waiting: &[Point], _is_last: bool) -> usize {
        waiting.len()
    }
    fn open(&mut self) -> Result<(), SendError> {
        Ok(())
    }
    fn send(&mut self, _points: &[Point]) -> Result<(), SendError> {
        Ok(())
    }
    fn close(&mut self, _end: &End) -> Result<(), SendError> {
        Ok(())
    }
}

#[divan::bench]
fn queue_of_a_server(bencher: divan::Bencher) {
    let mut sink = RemoteSink::start(Nowhere, &manifest("bench"), Patience::default(), Arc::new(|_: &str| ())).unwrap();
    let records = step();
    bencher.bench_local(|| record(&mut sink, &records));
}
