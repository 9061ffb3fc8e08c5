//! Requests from outside to stop: Ctrl-C, and the signals with which schedulers end a job.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use signal_hook::consts::SIGINT;
#[cfg(unix)]
use signal_hook::consts::{SIGTERM, SIGUSR1};
use stepscope::train::Interrupt;

/// Exit status after Ctrl-C, as shells have it: 128 and the number of the signal.
pub(crate) const STATUS_CTRL_C: u8 = 130;
/// Exit status after a signal that means "save, and be started again": EX_TEMPFAIL of `sysexits.h`.
pub(crate) const STATUS_TRY_AGAIN: u8 = 75;

/// Listens for signals, and turns the first into a request to the run. The default listens to nothing.
#[derive(Default)]
pub(crate) struct Signals {
    pub(crate) interrupt: Interrupt,
    received: Arc<AtomicI32>,
}

impl Signals {
    /// Begins to listen, for as long as the process lives. Where the system refuses, signals end the process as they always
    /// do, and what was saved until then is intact.
    pub(crate) fn listen() -> Self {
        let signals = Self { interrupt: Interrupt::default(), received: Arc::default() };
        #[cfg(unix)]
        if let Ok(mut stream) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGUSR1]) {
            let (interrupt, received) = (signals.interrupt.clone(), Arc::clone(&signals.received));
            std::thread::spawn(move || {
                for signal in stream.forever() {
                    if signal == SIGINT && received.load(Ordering::Relaxed) == SIGINT {
                        // A checkpoint that is being written is left as a temporary file, which is never read.
                        std::process::exit(i32::from(STATUS_CTRL_C));
                    }
                    received.store(signal, Ordering::Relaxed);
                    interrupt.request();
                    if signal == SIGINT {
                        say("\nfinishing the step and saving; Ctrl-C again stops now");
                    }
                }
            });
        }
        signals
    }

    /// The exit status that the signal received asks for.
    pub(crate) fn status(&self) -> u8 {
        if self.received.load(Ordering::Relaxed) == SIGINT { STATUS_CTRL_C } else { STATUS_TRY_AGAIN }
    }
}

/// A word on stderr beside the progress bar.
pub(crate) fn say(text: &str) {
    // Nothing is left to do where even stderr is gone.
    let _ = writeln!(std::io::stderr(), "{text}");
}
