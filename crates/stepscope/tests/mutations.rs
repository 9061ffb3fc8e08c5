//! A thousand damaged files of every kind that is read back: no panic, no huge allocation, nothing wrong taken for right.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;

use stepscope::checkpoint::{Checkpoint, RecordsMark, SavedTensor, State, import_weights, spec_hash};
use stepscope::data::{IdxFile, IdxKind};
use stepscope::record::{RunFolder, parse_records, resume_point};
use stepscope::spectral::random::RandomStream;
use stepscope::types::spec::LearningRateSpec;
use stepscope::types::{Estimate, EventKind, EventRecord, Measurement, Record, RunSpec, Step, Uncertainty};

/// One random change of the kinds that disks, networks, editors and programs make.
fn mutated(bytes: &[u8], random: &mut RandomStream) -> Vec<u8> {
    let mut below = |bound: usize| random.u64_below(NonZeroU64::new(bound as u64).unwrap()) as usize;
    let mut out = bytes.to_vec();
    let at = below(out.len());
    let length = (1 + below(16)).min(out.len() - at);
    match below(8) {
        0 | 1 => out[at] ^= 1 << below(8),
        2 => out[at] = below(256) as u8,
        3 => drop(out.drain(at..at + length)),
        4 => out.truncate(at),
        5 => drop(out.splice(at..at, vec![below(256) as u8; length])),
        // Lengths and counts become huge.
        6 => out[at..at + length].fill(0xFF),
        _ => {
            let copy = out[at..at + length].to_vec();
            let to = below(out.len());
            drop(out.splice(to..to, copy));
        }
    }
    out
}

fn spec() -> RunSpec {
    RunSpec::with_learning_rate(LearningRateSpec::Measured)
}

fn checkpoint(records: &[u8]) -> Checkpoint {
    let mut state = State::default();
    state.put("sampler/position", &7_u64);
    state.put("divergence/first_loss", &Some(2.25));
    state.put_vector("probes/1-sharpness/warm_start", vec![0.1, -0.2, f64::MIN_POSITIVE]);
    state.put_tensor("network/layers.0.weight", SavedTensor::from_numbers(vec![2, 3], false, vec![0.5; 6]));
    state.put_tensor("network/layers.0.bias", SavedTensor::from_numbers(vec![3], true, vec![0.1; 3]));
    let mark = RecordsMark { length: records.len() as u64, crc32c: crc32c::crc32c(records) };
    Checkpoint { step: Step(40), spec: spec_hash(&spec()), records: mark, wall_seconds: 1.5, state: Arc::new(state) }
}

fn records() -> Vec<u8> {
    let started = EventRecord { step: Step(0), epoch: 0.0, kind: EventKind::RunStarted, timing: None };
    let measured = |step: u64| {
        let estimate = Estimate::new(1.0 / (step + 1) as f64, "nat", Uncertainty::StandardError(0.1));
        Record::Measurement(Measurement::new(Step(step), step as f64, "train/loss", estimate.into()))
    };
    let records: Vec<Record> = [Record::Event(started)].into_iter().chain((0..8).map(measured)).collect();
    records.iter().flat_map(|record| (serde_json::to_string(record).unwrap() + "\n").into_bytes()).collect()
}

/// Most memory that the process ever had, in kilobytes, where the system says.
fn peak_kilobytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find(|line| line.starts_with("VmPeak"))?.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn a_thousand_damaged_files_are_refused_or_read_for_what_they_are() {
    let mut random = RandomStream::named(11, "mutations");
    let before = peak_kilobytes();
    damaged_checkpoints(&mut random, 300);
    damaged_weights(&mut random, 100);
    damaged_specifications(&mut random, 250);
    damaged_run_folders(&mut random, 150);
    damaged_data(&mut random, 250);
    if let (Some(before), Some(after)) = (before, peak_kilobytes()) {
        assert!(after - before < 256 << 10, "{} kB more than at the start", after - before);
    }
}

fn damaged_checkpoints(random: &mut RandomStream, count: usize) {
    let good = checkpoint(&records());
    let bytes = good.encode("good").unwrap();
    assert_eq!(Checkpoint::decode(&bytes, "good").unwrap(), good);
    for _ in 0..count {
        let mut damaged = mutated(&bytes, random);
        match Checkpoint::decode(&damaged, "bad.safetensors") {
            Ok(_) => assert_eq!(damaged, bytes, "taken for a checkpoint"),
            Err(error) => {
                assert!(error.is_broken_file() && error.to_string().starts_with("bad.safetensors: "), "{error}")
            }
        }
        // With the checksum made right again the parser itself is at work. It must not panic, whatever it says.
        if damaged.len() > 4 {
            let end = damaged.len() - 4;
            let sum = crc32c::crc32c(&damaged[..end]);
            damaged[end..].copy_from_slice(&sum.to_le_bytes());
            let _ = Checkpoint::decode(&damaged, "bad.safetensors");
        }
    }
    // Every single bit, which a random choice would miss some of.
    for bit in 0..8 * bytes.len() {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Checkpoint::decode(&damaged, "bad").is_err(), "bit {bit}");
    }
}

fn damaged_weights(random: &mut RandomStream, count: usize) {
    use stepscope::backend::Backend;
    use stepscope::checkpoint::{export_weights, named_tensors};
    use stepscope::models::Model;
    use stepscope::types::spec::{ModelSpec, Precision};
    let spec = ModelSpec { hidden: Some(vec![3]), ..ModelSpec::default() };
    let network = Model::new(&spec, [1, 2, 2], 2, RandomStream::new(1, 0), &Backend::cpu(Precision::F32)).unwrap();
    let bytes = export_weights(&network).unwrap();
    let same = import_weights(network.clone(), &bytes, "good").unwrap();
    assert_eq!(named_tensors(&same), named_tensors(&network));
    for _ in 0..count {
        let damaged = mutated(&bytes, random);
        // The format has no checksum: other finite numbers are other weights. Names, shapes and lengths are held.
        match import_weights(network.clone(), &damaged, "bad.safetensors") {
            Ok(network) => {
                let tensors = named_tensors(&network);
                assert!(tensors.values().all(|tensor| tensor.to_numbers().iter().all(|number| number.is_finite())));
            }
            Err(error) => assert!(error.to_string().starts_with("bad.safetensors: "), "{error}"),
        }
    }
}

fn damaged_specifications(random: &mut RandomStream, count: usize) {
    let text = stepscope::spec::example();
    for _ in 0..count {
        let damaged = String::from_utf8_lossy(&mutated(text.as_bytes(), random)).into_owned();
        match stepscope::spec::parse(&damaged, "bad.toml", &[]) {
            Ok(spec) => assert_eq!(spec.validate(), Ok(())),
            Err(error) => assert!(error.to_string().starts_with("bad.toml"), "{error}"),
        }
    }
}

/// Records and manifest.
fn damaged_run_folders(random: &mut RandomStream, count: usize) {
    let folder = tempfile::tempdir().unwrap();
    let good = records();
    let manifest = format!(
        r#"{{"format":1,"name":"run","process":"training","spec":{},"seeds":{{"root":0}},"data":{{"name":"optdigits","sha256":"00","num_train_examples":9,"num_test_examples":9,"num_classes":2,"shape":[1,2,2]}},"model":{{"description":"mlp","num_params":9}},"software":{{"stepscope":"0","burn":"0","device":"cpu","threads":1}},"started_unix_seconds":1}}"#,
        serde_json::to_string(&spec()).unwrap()
    );
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write(RunFolder::MANIFEST, manifest.as_bytes());
    write(RunFolder::RECORDS, &good);
    let run = RunFolder::open(folder.path()).unwrap();
    run.checkpoints().save(&checkpoint(&good)).unwrap();
    assert_eq!(run.manifest().unwrap().spec, spec());
    assert_eq!(resume_point(&run, &spec()).unwrap().step(), Step(40));
    for _ in 0..count {
        let damaged = mutated(&good, random);
        write(RunFolder::RECORDS, &damaged);
        let _ = (parse_records(&damaged, "bad.jsonl"), run.ending().unwrap());
        let point = resume_point(&run, &spec()).unwrap();
        // What follows the records that a checkpoint counts on is cut anyway.
        assert!(point.checkpoint.is_none() || damaged.starts_with(&good), "changed records were gone on from");
        write(RunFolder::MANIFEST, &mutated(manifest.as_bytes(), random));
        let _ = run.manifest();
    }
}

fn damaged_data(random: &mut RandomStream, count: usize) {
    let mut images = vec![0, 0, 8, 3];
    [6_u32, 3, 3].iter().for_each(|length| images.extend(length.to_be_bytes()));
    images.extend((0..54_u8).map(|pixel| pixel.wrapping_mul(37)));
    let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    zip.write_all(&images).unwrap();
    let zipped = zip.finish().unwrap();
    let whole = IdxFile::parse(&images, IdxKind::Images, "good").unwrap();
    for index in 0..count {
        let (good, is_zipped) = if index % 2 == 0 { (&images, false) } else { (&zipped, true) };
        let damaged = mutated(good, random);
        match IdxFile::parse(&damaged, IdxKind::Images, "bad.idx") {
            Ok(read) => {
                assert_eq!(read.dimensions().iter().product::<usize>(), read.payload().len());
                // Gzip has a checksum of its own: what is accepted is what was packed.
                assert!(!is_zipped || read == whole, "damaged gzip was taken");
            }
            Err(error) => assert!(error.to_string().starts_with("bad.idx: "), "{error}"),
        }
    }
    assert!(IdxFile::read(Path::new("/nowhere"), IdxKind::Images).is_err());
}
