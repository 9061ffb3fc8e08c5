//! A run whose process dies, or whose machine loses power, between any two file operations.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use stepscope::checkpoint::spec_hash;
use stepscope::data::Dataset;
use stepscope::record::{Files, RecordFile, RunFolder, RunSink, resume_point};
use stepscope::train::{Event, Run, Sink, SinkError};
use stepscope::types::spec::LearningRateSpec;
use stepscope::types::{Manifest, Record, RunSpec, StopReason, TrainingDuration};

/// What is on a disk: contents by inode, and names. Each has a part that is sure to survive a loss of power.
#[derive(Debug, Clone, Default)]
struct Disk {
    contents: Vec<Contents>,
    names: BTreeMap<PathBuf, usize>,
    safe_names: BTreeMap<PathBuf, usize>,
}

#[derive(Debug, Clone, Default)]
struct Contents {
    bytes: Vec<u8>,
    safe: Vec<u8>,
}

/// What happens at the operation where it ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    /// The process is killed: what was done is done.
    Kill,
    /// The power goes: of what no sync made safe, nothing is left.
    PowerKeepsNothing,
    /// The power goes: names are there and contents are half there.
    PowerKeepsHalf,
    /// The disk is full: the process lives and gets an error.
    Full,
}

#[derive(Debug, Default)]
struct Machine {
    disk: Disk,
    num_operations: usize,
    /// The operation at which it ends, and how.
    end: Option<(usize, End)>,
    is_over: bool,
}

impl Machine {
    /// Counts an operation; refuses it where the end has come.
    fn operate(&mut self) -> io::Result<()> {
        self.num_operations += 1;
        if self.end.is_some_and(|(at, _)| self.num_operations > at) {
            self.is_over = true;
        }
        match self.end {
            Some((at, End::Full)) if self.num_operations == at + 1 => Err(io::ErrorKind::StorageFull.into()),
            Some((_, End::Full)) => Ok(()),
            _ if self.is_over => Err(io::Error::other("the machine is off")),
            _ => Ok(()),
        }
    }

    /// The disk that the next process finds.
    fn after(&self) -> Disk {
        let mut disk = self.disk.clone();
        match self.end {
            Some((_, End::PowerKeepsNothing)) => {
                disk.names = disk.safe_names.clone();
                disk.contents.iter_mut().for_each(|contents| contents.bytes = contents.safe.clone());
            }
            Some((_, End::PowerKeepsHalf)) => {
                for contents in &mut disk.contents {
                    let common = contents.bytes.iter().zip(&contents.safe).take_while(|(a, b)| a == b).count();
                    let half = common + (contents.bytes.len() - common) / 2;
                    contents.bytes.truncate(half);
                    // What was cut off may be back.
                    if contents.bytes.len() < contents.safe.len() {
                        contents.bytes = contents.safe.clone();
                    }
                }
            }
            _ => {}
        }
        disk.safe_names = disk.names.clone();
        disk.contents.iter_mut().for_each(|contents| contents.safe = contents.bytes.clone());
        disk
    }
}

#[derive(Debug, Clone)]
struct TestFiles(Arc<Mutex<Machine>>);

#[derive(Debug)]
struct TestFile {
    machine: Arc<Mutex<Machine>>,
    inode: usize,
}

impl Write for TestFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut machine = self.machine.lock().unwrap();
        // Two operations, so that a process can die in the middle of a write.
        let (first, second) = bytes.split_at(bytes.len() / 2);
        for part in [first, second] {
            machine.operate()?;
            machine.disk.contents[self.inode].bytes.extend(part);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl RecordFile for TestFile {
    fn cut(&mut self, length: u64) -> io::Result<()> {
        let mut machine = self.machine.lock().unwrap();
        machine.operate()?;
        machine.disk.contents[self.inode].bytes.resize(length as usize, 0);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut machine = self.machine.lock().unwrap();
        machine.operate()?;
        let contents = &mut machine.disk.contents[self.inode];
        contents.safe = contents.bytes.clone();
        Ok(())
    }
}

impl TestFiles {
    fn on(disk: Disk, end: Option<(usize, End)>) -> Self {
        Self(Arc::new(Mutex::new(Machine { disk, end, ..Machine::default() })))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Disk) -> io::Result<T>) -> io::Result<T> {
        let mut machine = self.0.lock().unwrap();
        machine.operate()?;
        change(&mut machine.disk)
    }

    fn look<T>(&self, look: impl FnOnce(&Disk) -> io::Result<T>) -> io::Result<T> {
        look(&self.0.lock().unwrap().disk)
    }

    fn file(&self, inode: usize) -> io::Result<Box<dyn RecordFile + Send>> {
        Ok(Box::new(TestFile { machine: Arc::clone(&self.0), inode }))
    }
}

fn find(disk: &Disk, path: &Path) -> io::Result<usize> {
    disk.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
}

impl Files for TestFiles {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn RecordFile + Send>> {
        let inode = self.change(|disk| {
            let inode = disk.names.get(path).copied().unwrap_or_else(|| {
                disk.contents.push(Contents::default());
                disk.contents.len() - 1
            });
            disk.contents[inode].bytes.clear();
            disk.names.insert(path.to_owned(), inode);
            Ok(inode)
        })?;
        self.file(inode)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn RecordFile + Send>> {
        match self.look(|disk| find(disk, path)) {
            Ok(inode) => self.file(inode),
            Err(_) => self.create(path),
        }
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.look(|disk| Ok(disk.contents[find(disk, path)?].bytes.clone()))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|disk| {
            let inode = disk.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
            disk.names.insert(to.to_owned(), inode);
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change(|disk| disk.names.remove(path).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into()))
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        let inode = self.look(|disk| find(disk, path))?;
        TestFile { machine: Arc::clone(&self.0), inode }.sync()
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        self.change(|disk| {
            let is_inside = |path: &&PathBuf| path.parent() == Some(folder);
            disk.safe_names.retain(|path, _| path.parent() != Some(folder));
            let now: Vec<_> = disk.names.keys().filter(is_inside).cloned().collect();
            for path in now {
                let inode = disk.names[&path];
                disk.safe_names.insert(path, inode);
            }
            Ok(())
        })
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.look(|disk| {
            let inside = disk.names.keys().filter(|path| path.parent() == Some(folder));
            Ok(inside.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect())
        })
    }

    fn is_there(&self, path: &Path) -> bool {
        self.look(|disk| find(disk, path)).is_ok()
    }
}

/// Waits for every checkpoint, so that the operations of a run come in the same order every time.
struct InStep(RunSink);

impl Sink for InStep {
    fn receive(&mut self, event: &Event) -> Result<(), SinkError> {
        self.0.receive(event)?;
        if let Event::Checkpoint(_) = event {
            self.0.finish().map_err(|error| SinkError(Box::new(error)))?;
        }
        Ok(())
    }
}

const FOLDER: &str = "/run";

/// What `train` does in a folder without a run, and `resume` in one with a run that has not ended.
fn train_or_resume(spec: &RunSpec, dataset: &Dataset, files: &TestFiles) -> Result<(), Box<dyn std::error::Error>> {
    let layer: Arc<dyn Files> = Arc::new(files.clone());
    let mut run = Run::prepare(spec, dataset)?;
    let (folder, records) = match RunFolder::open_on(Arc::clone(&layer), Path::new(FOLDER)) {
        Ok(folder) => {
            let manifest: Manifest = folder.manifest()?;
            assert_eq!(manifest.spec, *spec, "a manifest is whole or not there");
            if folder.ending()?.is_some() {
                return Ok(());
            }
            let point = resume_point(&folder, spec)?;
            if let Some(checkpoint) = &point.checkpoint {
                run = run.resumed_from(checkpoint)?;
            }
            folder.checkpoints().remove_after(point.checkpoint.as_ref().map(|saved| saved.step))?;
            let records = folder.reopen_records(point.records())?;
            (folder, records)
        }
        Err(_) => {
            let folder = RunFolder::create_on(layer, Path::new(FOLDER))?;
            folder.write_manifest(&run.manifest(0))?;
            let records = folder.create_records()?;
            (folder, records)
        }
    };
    let writer = folder.checkpoint_writer(run.retention(), spec_hash(spec));
    let mut sink = InStep(RunSink::new(records, Some(writer)));
    run.train(Vec::new(), &mut sink)?;
    Ok(())
}

fn records(files: &TestFiles) -> String {
    let bytes = files.read(&Path::new(FOLDER).join(RunFolder::RECORDS)).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.ends_with('\n'));
    text.lines()
        .map(|line| {
            serde_json::to_string(&serde_json::from_str::<Record>(line).unwrap().without_timing()).unwrap() + "\n"
        })
        .collect()
}

fn spec() -> RunSpec {
    let mut spec = RunSpec::with_learning_rate(LearningRateSpec::Measured);
    spec.data.train_examples = Some(64);
    spec.data.test_examples = Some(16);
    spec.model.hidden = Some(vec![4]);
    spec.train.duration = TrainingDuration::Steps(6);
    spec.line_search.every = TrainingDuration::Steps(2);
    spec.line_search.num_batches = 2;
    spec.measure.every = TrainingDuration::Steps(3);
    spec.measure.examples = 16;
    spec.measure.max_products = 3;
    spec.measure.noise_batches = 8;
    spec.checkpoint.every = TrainingDuration::Steps(1);
    spec
}

#[test]
fn whatever_happens_between_two_file_operations_the_records_end_up_the_same() {
    let spec = spec();
    let dataset = Dataset::load(&spec.data).unwrap();
    let whole = TestFiles::on(Disk::default(), None);
    train_or_resume(&spec, &dataset, &whole).unwrap();
    let expected = records(&whole);
    let num_operations = whole.0.lock().unwrap().num_operations;
    assert!(num_operations > 60, "{num_operations} operations are little to die between");
    for end in [End::Kill, End::PowerKeepsNothing, End::PowerKeepsHalf, End::Full] {
        for at in 0..num_operations {
            let files = TestFiles::on(Disk::default(), Some((at, end)));
            let outcome = train_or_resume(&spec, &dataset, &files);
            assert!(files.0.lock().unwrap().is_over, "{end:?} at {at}");
            // A full disk may have refused something that nobody needs, such as the removal of an old checkpoint.
            assert!(outcome.is_err() || matches!(end, End::Full) || at + 4 > num_operations, "{end:?} at {at}");
            let disk = files.0.lock().unwrap().after();
            let again = TestFiles::on(disk, None);
            train_or_resume(&spec, &dataset, &again).unwrap_or_else(|error| panic!("{end:?} at {at}: {error:?}"));
            assert_eq!(records(&again), expected, "{end:?} at {at} of {num_operations}");
            let folder = RunFolder::open_on(Arc::new(again.clone()), Path::new(FOLDER)).unwrap();
            assert_eq!(folder.ending().unwrap(), Some(StopReason::Finished));
            let checkpoints = folder.checkpoints();
            let steps = checkpoints.steps().unwrap();
            assert_eq!(steps.last().unwrap().0, 6, "{end:?} at {at}: the last state is there");
            checkpoints.load(*steps.last().unwrap()).unwrap();
        }
    }
}
