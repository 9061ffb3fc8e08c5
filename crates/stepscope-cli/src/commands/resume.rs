//! `stepscope resume DIR`: goes on where a run stopped, however it stopped.

use anyhow::{Context, anyhow};
use stepscope::backend::{BURN_VERSION, Backend};
use stepscope::record::{RunFolder, RunLock, resume_point};
use stepscope::types::{Manifest, RunSpec, StopReason};

use super::train::show;
use crate::args::ResumeArguments;
use crate::commands::print;
use crate::execute::{Followed, go_on, load};
use crate::failure::Failure;
use crate::signals::{Signals, say};

pub(super) fn run(arguments: &ResumeArguments) -> Result<(), Failure> {
    let path = &arguments.folder;
    let folder = RunFolder::open(path).map_err(Failure::of_folder)?;
    let _lock = RunLock::take(path).map_err(Failure::of_folder)?;
    let manifest = folder.manifest().map_err(Failure::of_folder)?;
    let name = &manifest.name;
    if manifest.process != "training" {
        let process = &manifest.process;
        return Err(Failure::BadInput(anyhow!(
            "{}: holds a run of \"{process}\", which is computed at once",
            path.display()
        )));
    }
    if let Some(reason) = folder.ending().map_err(Failure::of_folder)? {
        let how = match &reason {
            StopReason::Finished => "finished",
            StopReason::Diverged { .. } => "ended, it diverged",
        };
        if !folder.report_path().exists() {
            return show(path, name, &reason, arguments.format);
        }
        return print(&format!(
            "{name} has {how} already: there is nothing to go on with. Its page: {}",
            folder.report_path().display()
        ));
    }
    let mut spec = manifest.spec.clone();
    spec.train.device = arguments.device.unwrap_or(spec.train.device);
    spec.validate().with_context(|| folder.manifest_path().display().to_string()).map_err(Failure::BadInput)?;
    let dataset = load(&spec)?;
    if dataset.sha256 != manifest.data.sha256 {
        return Err(Failure::BadInput(anyhow!(
            "{}: the data set {} is not the one that the run began with (its checksum is {}, expected {}): put the old data back, or train anew",
            path.display(),
            manifest.data.name,
            dataset.sha256,
            manifest.data.sha256,
        )));
    }
    tell_changes(&manifest, &spec)?;
    let point = resume_point(&folder, &manifest.spec).map_err(|error| match error {
        stepscope::record::RecordError::Checkpoint(error) => Failure::bad_input(error),
        error => Failure::of_folder(error),
    })?;
    for skipped in &point.skipped {
        say(&format!("passed over: {skipped}"));
    }
    say(&format!("{name} goes on from step {}", point.step()));
    let signals = Signals::listen();
    let followed = Followed { signals: &signals, format: arguments.format, live: &arguments.live };
    let outcome = go_on(&spec, &dataset, &folder, &point, followed)?;
    show(path, name, &outcome.reason, arguments.format)
}

/// Says what may change the last bits of the records from here on.
fn tell_changes(manifest: &Manifest, spec: &RunSpec) -> Result<(), Failure> {
    let backend = Backend::open(spec.train.device, spec.model.precision).map_err(Failure::bad_input)?;
    let then = &manifest.software;
    let (threads_then, threads_now) = (then.threads.to_string(), backend.threads().to_string());
    let changes = [
        ("stepscope", then.stepscope.as_str(), env!("CARGO_PKG_VERSION")),
        ("Burn", &then.burn, BURN_VERSION),
        ("device", &then.device, &backend.description()),
        ("threads", &threads_then, &threads_now),
    ];
    for (what, then, now) in changes.into_iter().filter(|(_, then, now)| then != now) {
        say(&format!("{what} was {then} and is {now}: from here on records may differ in their last digits"));
    }
    Ok(())
}
