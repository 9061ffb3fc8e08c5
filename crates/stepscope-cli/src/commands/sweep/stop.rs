//! Requests from outside to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::failure::Failure;

/// What has been asked for since the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    /// Nothing.
    None,
    /// To save and end.
    Save,
    /// To end now: Ctrl-C for the second time.
    Now,
}

/// Listens for Ctrl-C and for the signals with which engines announce that a machine is taken away.
pub(super) struct Stop {
    interrupted: Arc<AtomicBool>,
    announced: Arc<AtomicBool>,
    /// Whether something was asked for before.
    asked: bool,
}

impl Stop {
    /// Listens from now on, in place of the system's default, which would end the process.
    pub(super) fn listen() -> Result<Self, Failure> {
        let stop = Self { interrupted: Arc::default(), announced: Arc::default(), asked: false };
        let mut signals = vec![(SIGINT, &stop.interrupted), (SIGTERM, &stop.announced)];
        #[cfg(unix)]
        signals.push((signal_hook::consts::SIGUSR1, &stop.announced));
        for (signal, flag) in signals {
            signal_hook::flag::register(signal, Arc::clone(flag)).map_err(Failure::failed)?;
        }
        Ok(stop)
    }

    /// What was asked for since the last call. Engines announce more than once, and to several processes: only Ctrl-C
    /// grows more urgent.
    pub(super) fn request(&mut self) -> Request {
        let interrupted = self.interrupted.swap(false, Ordering::Relaxed);
        let announced = self.announced.swap(false, Ordering::Relaxed);
        let before = self.asked;
        self.asked |= interrupted || announced;
        match (before, interrupted, announced) {
            (true, true, _) => Request::Now,
            (false, true, _) | (false, _, true) => Request::Save,
            _ => Request::None,
        }
    }

    /// Whether anything was asked for.
    pub(super) fn was_asked(&self) -> bool {
        self.asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_request_saves_and_only_a_second_interrupt_is_more_urgent() {
        let mut stop = Stop { interrupted: Arc::default(), announced: Arc::default(), asked: false };
        assert_eq!((stop.request(), stop.was_asked()), (Request::None, false));
        stop.announced.store(true, Ordering::Relaxed);
        assert_eq!((stop.request(), stop.request(), stop.was_asked()), (Request::Save, Request::None, true));
        stop.announced.store(true, Ordering::Relaxed);
        assert_eq!(stop.request(), Request::None, "announced twice");
        stop.interrupted.store(true, Ordering::Relaxed);
        assert_eq!(stop.request(), Request::Now);
    }
}
