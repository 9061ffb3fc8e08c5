//! The commands, one file each: they parse, call the library and print.

mod average;
mod data;
mod devices;
mod export;
mod lr_test;
mod measure;
mod predict;
pub(crate) mod report;
mod resume;
mod run_shard;
mod spec;
mod status;
mod sweep;
mod train;
mod translate;
mod watch;
mod weights;

use std::io::Write;
use std::path::Path;

use anyhow::Context;

use crate::args::{Arguments, Command, DataCommand, WeightsCommand};
use crate::failure::Failure;
use crate::quickstart;

/// Runs the command that was asked for.
pub(crate) fn dispatch(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::Quickstart(arguments) => quickstart::run(&arguments),
        Command::Train(arguments) => train::run(&arguments),
        Command::Resume(arguments) => resume::run(&arguments),
        Command::Weights { command: WeightsCommand::Export { folder, file, step } } => {
            weights::export(&folder, &file, step)
        }
        Command::Measure(arguments) => measure::run(&arguments),
        Command::LrTest(arguments) => lr_test::run(&arguments),
        Command::Average(arguments) => average::run(&arguments),
        Command::Sweep(arguments) => sweep::run(&arguments),
        Command::RunShard(arguments) => run_shard::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Predict(arguments) => predict::run(&arguments),
        Command::Translate { command } => translate::run(&command),
        Command::Report(arguments) => report::run(&arguments),
        Command::Watch(arguments) => watch::run(arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Data { command: DataCommand::List { format } } => data::list(format),
        Command::Data { command: DataCommand::Fetch(arguments) } => data::fetch(&arguments),
        Command::Devices(arguments) => devices::run(&arguments),
        Command::Spec(arguments) => spec::run(&arguments),
    }
}

/// Reads the file of a specification.
fn read_spec(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .with_context(|| format!("{}: cannot read the specification", path.display()))
        .map_err(Failure::BadInput)
}

/// Prints a result on stdout.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush()).map_err(Failure::failed)
}

/// Prints a result on stdout as JSON.
pub(crate) fn print_json<T: serde::Serialize>(value: &T) -> Result<(), Failure> {
    print(&serde_json::to_string_pretty(value).map_err(Failure::failed)?)
}

/// Prints a result on stdout as JSON on one line: the last of several.
pub(crate) fn print_line<T: serde::Serialize>(value: &T) -> Result<(), Failure> {
    print(&serde_json::to_string(value).map_err(Failure::failed)?)
}

/// Writes a file whole or not at all.
pub(crate) fn write_whole(path: &Path, text: &(impl AsRef<[u8]> + ?Sized)) -> Result<(), Failure> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    std::fs::write(&temporary, text)
        .and_then(|()| std::fs::rename(&temporary, path))
        .with_context(|| format!("{}: cannot be written", path.display()))
        .map_err(|error| {
            // What was half written must not stay.
            let _ = std::fs::remove_file(&temporary);
            Failure::Failed(error)
        })
}
