//! The program `stepscope`: experiments on the step of mini-batch SGD, from the command line.

mod args;
mod commands;
mod download;
mod execute;
mod exports;
mod failure;
mod memory;
mod progress;
mod quickstart;
mod signals;
mod wrap;

use std::process::ExitCode;

use clap::Parser;

// Measured against the system's allocator in `docs/performance.md`: training steps allocate and free tensors all the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = args::Arguments::parse();
    memory::keep();
    // Training runs on this thread: it computes, instead of waking others up and waiting for them.
    stepscope::backend::compute_on_this_thread();
    match commands::dispatch(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
