//! The folder of a sweep, with runs that were written and not trained.

use std::fs;
use std::path::Path;

use stepscope_types::{
    DataManifest, EventKind, EventRecord, Manifest, ModelManifest, Record, RunSpec, Seeds, Software, Step, StopReason,
};

use super::*;
use crate::record::{RunFolder, RunLock};

fn sweep() -> Sweep {
    Sweep::parse("name = \"s\"\noptimizer.learning_rate = 0.1\nsweep.seeds = 2\n", "s.toml", &[]).unwrap()
}

fn manifest(spec: &RunSpec) -> Manifest {
    let text = |text: &str| text.to_owned();
    Manifest {
        format: Manifest::FORMAT,
        name: spec.name.clone(),
        process: text("training"),
        spec: spec.clone(),
        seeds: Seeds::from_root(0),
        data: DataManifest {
            name: text("d"),
            sha256: String::new(),
            num_train_examples: 1,
            num_test_examples: 1,
            num_classes: 2,
            shape: [1, 1, 1],
        },
        model: ModelManifest { description: text("m"), num_params: 1 },
        software: Software { stepscope: text("0"), burn: text("0"), device: text("cpu"), threads: 1 },
        started_unix_seconds: 0,
    }
}

/// Writes what training would have written up to `step`; with `end`, to its end.
fn write_run(folder: &Path, spec: &RunSpec, step: u64, end: bool) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join(RunFolder::MANIFEST), serde_json::to_vec(&manifest(spec)).unwrap()).unwrap();
    let event = |step, kind| Record::Event(EventRecord { step: Step(step), epoch: 0.0, kind, timing: None });
    let mut records = vec![event(0, EventKind::RunStarted), event(step, EventKind::RunStarted)];
    if end {
        records.push(event(step, EventKind::RunEnded { reason: StopReason::Finished }));
    }
    let lines: String = records.iter().map(|record| serde_json::to_string(record).unwrap() + "\n").collect();
    fs::write(folder.join(RunFolder::RECORDS), lines).unwrap();
}

fn write_checkpoint(folder: &Path) {
    fs::create_dir_all(folder.join("checkpoints")).unwrap();
    fs::write(folder.join("checkpoints/step-5"), "state").unwrap();
}

fn start(folder: &SweepFolder, run: &SweepRun) -> Attempt {
    match folder.take_up(run).unwrap() {
        Work::Start(attempt) => attempt,
        other => panic!("{other:?}"),
    }
}

/// Forgets an attempt as a process does that is killed: its locks are gone, its files stay.
fn crash(attempt: Attempt) -> std::path::PathBuf {
    attempt.folder().to_owned()
}

#[test]
fn a_run_is_waiting_then_held_then_done_and_never_taken_up_again() {
    let root = tempfile::tempdir().unwrap();
    let sweep = sweep();
    let folder = SweepFolder::create(root.path(), &sweep).unwrap();
    let run = &sweep.runs[0];
    assert_eq!(folder.state(&run.id), RunState::Waiting);
    let attempt = start(&folder, run);
    assert!(matches!(folder.take_up(run).unwrap(), Work::Held));
    assert_eq!(folder.state(&run.id), RunState::Running { step: None });
    write_run(attempt.folder(), &run.spec, 9, false);
    assert_eq!(folder.state(&run.id), RunState::Running { step: Some(Step(9)) });
    write_run(attempt.folder(), &run.spec, 20, true);
    assert_eq!(attempt.publish().unwrap(), Published::Ours(StopReason::Finished));
    assert!(matches!(folder.take_up(run).unwrap(), Work::Finished(StopReason::Finished)));
    assert_eq!(folder.state(&run.id), RunState::Done { step: Step(20), reason: StopReason::Finished });
    assert!(!root.path().join("attempts").exists(), "no trace of the work stays");
    let records = folder.run_path(&run.id).join(RunFolder::RECORDS);
    assert!(fs::metadata(records).unwrap().permissions().readonly());
    assert_eq!(folder.state(&sweep.runs[1].id), RunState::Waiting);
}

#[test]
fn of_two_finished_attempts_one_is_the_result_and_the_other_is_gone() {
    let root = tempfile::tempdir().unwrap();
    let sweep = sweep();
    let (folder, run) = (SweepFolder::create(root.path(), &sweep).unwrap(), &sweep.runs[0]);
    let first = start(&folder, run);
    // As after a cut network: the lock is held, and yet a second process gets it.
    fs::remove_file(folder.attempts_path(&run.id).join(RunLock::FILE)).unwrap();
    let second = start(&folder, run);
    assert_ne!(first.folder(), second.folder(), "no folder is written by two");
    write_run(first.folder(), &run.spec, 20, true);
    write_run(second.folder(), &run.spec, 20, true);
    let live = RunLock::take(first.folder()).unwrap();
    let (first_path, second_path) = (first.folder().to_owned(), second.folder().to_owned());
    assert_eq!(second.publish().unwrap(), Published::Ours(StopReason::Finished));
    assert!(first_path.exists() && !second_path.exists(), "what another process writes to is left alone");
    let result = folder.run_path(&run.id);
    fs::write(result.join("mark"), "").unwrap();
    drop(live);
    assert_eq!(first.publish().unwrap(), Published::AlreadyThere(StopReason::Finished));
    assert!(result.join("mark").exists(), "the result was not replaced");
    assert!(!first_path.exists() && !root.path().join("attempts").exists());
}

#[test]
fn who_goes_on_with_an_attempt_goes_on_with_a_copy_of_the_furthest() {
    let root = tempfile::tempdir().unwrap();
    let sweep = sweep();
    let (folder, run) = (SweepFolder::create(root.path(), &sweep).unwrap(), &sweep.runs[0]);
    let near = crash(start(&folder, run));
    write_run(&near, &run.spec, 5, false);
    write_checkpoint(&near);
    let far = near.with_file_name("attempt-far");
    write_run(&far, &run.spec, 15, false);
    write_checkpoint(&far);
    let without_checkpoint = near.with_file_name("attempt-without");
    write_run(&without_checkpoint, &run.spec, 99, false);
    assert_eq!(folder.state(&run.id), RunState::Interrupted { step: Some(Step(99)) });
    let Work::Resume(attempt) = folder.take_up(run).unwrap() else { panic!() };
    assert_eq!(Progress::of(attempt.folder()).unwrap().step, Step(15));
    assert!(attempt.folder().join("checkpoints/step-5").exists());
    assert!(attempt.folder() != far && !far.exists());
    let anew = attempt.begin_anew().unwrap();
    assert!(!anew.folder().exists());
}

#[test]
fn who_was_taken_for_dead_finds_out_and_leaves_the_run_to_the_other() {
    let root = tempfile::tempdir().unwrap();
    let sweep = sweep();
    let (folder, run) = (SweepFolder::create(root.path(), &sweep).unwrap(), &sweep.runs[0]);
    let first = start(&folder, run);
    fs::write(first.log_path(), "").unwrap();
    write_run(first.folder(), &run.spec, 5, false);
    write_checkpoint(first.folder());
    assert!(!first.was_taken_over());
    fs::remove_file(folder.attempts_path(&run.id).join(RunLock::FILE)).unwrap();
    let Work::Resume(second) = folder.take_up(run).unwrap() else { panic!() };
    assert!(first.was_taken_over());
    // Its process writes on and makes a folder again that was removed.
    write_checkpoint(first.folder());
    let (first_path, second_path) = (first.folder().to_owned(), second.folder().to_owned());
    first.abandon();
    assert!(!first_path.exists() && second_path.exists());
    write_run(&second_path, &run.spec, 20, true);
    assert_eq!(second.publish().unwrap(), Published::Ours(StopReason::Finished));
    write_checkpoint(&first_path);
    assert!(matches!(folder.take_up(run).unwrap(), Work::Finished(_)));
    assert!(!root.path().join("attempts").exists(), "what came late is tidied by the next that looks");
}

#[test]
fn a_process_left_behind_is_waited_for_and_its_result_gets_its_name() {
    let root = tempfile::tempdir().unwrap();
    let sweep = sweep();
    let (folder, run) = (SweepFolder::create(root.path(), &sweep).unwrap(), &sweep.runs[0]);
    let left = crash(start(&folder, run));
    write_run(&left, &run.spec, 5, false);
    let live = RunLock::take(&left).unwrap();
    assert!(matches!(folder.take_up(run).unwrap(), Work::Held));
    assert_eq!(folder.state(&run.id), RunState::Running { step: Some(Step(5)) });
    write_run(&left, &run.spec, 20, true);
    drop(live);
    assert!(matches!(folder.take_up(run).unwrap(), Work::Finished(StopReason::Finished)));
    assert!(folder.run_path(&run.id).exists());
}

#[test]
fn a_failure_is_told_until_the_run_is_taken_up_again() {
    let root = tempfile::tempdir().unwrap();
    let sweep = sweep();
    let (folder, run) = (SweepFolder::create(root.path(), &sweep).unwrap(), &sweep.runs[0]);
    let failure = RunFailure { bad_input: true, message: "no such data".into() };
    start(&folder, run).fail(&failure).unwrap();
    assert_eq!(folder.state(&run.id), RunState::Failed { failure });
    drop(start(&folder, run));
    assert_eq!(folder.state(&run.id), RunState::Waiting);
}

#[test]
fn what_is_not_the_run_of_its_name_is_refused_and_left_as_it_is() {
    let root = tempfile::tempdir().unwrap();
    let sweep = sweep();
    let (folder, run) = (SweepFolder::create(root.path(), &sweep).unwrap(), &sweep.runs[0]);
    let place = folder.run_path(&run.id);
    for spec in [Some(&sweep.runs[1].spec), None] {
        fs::create_dir_all(&place).unwrap();
        spec.into_iter().for_each(|spec| write_run(&place, spec, 20, true));
        let error = folder.take_up(run).unwrap_err();
        assert!(matches!(error, SweepError::AnotherRun { .. }) && error.is_bad_input(), "{error}");
        fs::remove_dir_all(&place).unwrap();
    }
    write_run(root.path(), &run.spec, 20, true);
    assert!(matches!(SweepFolder::create(root.path(), &sweep), Err(SweepError::SingleRun { .. })));
}

#[test]
fn the_list_comes_back_and_damage_is_refused_by_file() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(SweepFolder::open(root.path()).unwrap(), None);
    let sweep = sweep();
    let folder = SweepFolder::create(root.path(), &sweep).unwrap();
    let (opened, list) = SweepFolder::open(root.path()).unwrap().unwrap();
    assert_eq!((opened, list.name.as_str(), list.runs.len()), (folder, "s", 2));
    let file = root.path().join(SweepFolder::LIST);
    let whole = fs::read_to_string(&file).unwrap();
    for damaged in [whole[..whole.len() / 2].to_owned(), whole.replace("\"format\": 1", "\"format\": 2"), {
        whole.replace(list.runs[0].id.as_str(), "../../somewhere")
    }] {
        fs::write(&file, damaged).unwrap();
        let message = SweepFolder::open(root.path()).unwrap_err().to_string();
        assert!(message.contains("sweep.json: is no list of a sweep's runs"), "{message}");
    }
}

#[test]
fn the_last_record_is_found_whatever_comes_after_it() {
    let root = tempfile::tempdir().unwrap();
    let spec = &sweep().runs[0].spec;
    write_run(root.path(), spec, 20, true);
    let records = root.path().join(RunFolder::RECORDS);
    let whole = fs::read_to_string(&records).unwrap();
    for length in 0..=whole.len() {
        fs::write(&records, &whole.as_bytes()[..length]).unwrap();
        let progress = Progress::of(root.path());
        match whole[..length].matches('\n').count() {
            0 => assert_eq!(progress, None),
            lines => assert_eq!(progress.unwrap().ended.is_some(), lines == 3),
        }
    }
}
