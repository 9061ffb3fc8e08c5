//! The commands, one file each: they parse, call the library and print.

mod data;
pub(crate) mod report;
mod spec;
mod train;

use std::io::Write;

use crate::args::{Arguments, Command, DataCommand};
use crate::failure::Failure;
use crate::quickstart;

/// Runs the command that was asked for.
pub(crate) fn dispatch(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::Quickstart(arguments) => quickstart::run(&arguments),
        Command::Train(arguments) => train::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Data { command: DataCommand::List { format } } => data::list(format),
        Command::Spec(arguments) => spec::run(&arguments),
    }
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
