//! What waits between the training thread and the one that sends.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::target::{End, Point};

/// A bounded queue of values with an end.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    capacity: usize,
}

/// What both threads know.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Values that the server does not have yet, oldest first; the front ones may be on their way.
    pub(super) waiting: VecDeque<Point>,
    /// Values that came while the queue was full, or after the server refused.
    pub(super) num_dropped: u64,
    pub(super) num_sent: u64,
    pub(super) end: Option<End>,
    /// No more values will come.
    pub(super) is_last: bool,
    /// Nobody waits for the sending thread any more.
    pub(super) is_abandoned: bool,
    /// The sending thread has nothing left to do.
    pub(super) is_done: bool,
}

impl State {
    /// Whether nothing is sent any more.
    fn is_over(&self) -> bool {
        self.is_done || self.is_abandoned
    }
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), capacity }
    }

    /// No code panics while it holds the lock, so that what it guards is whole.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a value. Where the queue is full it is counted as dropped, or, with `patience`, room is waited for; once no
    /// room came for so long, nothing is sent any more.
    pub(super) fn push(&self, point: Point, patience: Option<Duration>) {
        let is_full = |state: &State| state.waiting.len() >= self.capacity && !state.is_over();
        let mut state = self.lock();
        if let Some(patience) = patience
            && is_full(&state)
        {
            drop(state);
            state = self.wait(Instant::now() + patience, |state| !is_full(state));
            state.is_abandoned |= is_full(&state);
        }
        if state.is_over() || is_full(&state) {
            state.num_dropped += 1;
        } else {
            state.waiting.push_back(point);
            // The sender collects for a while anyway: waking it for every value would cost a switch of threads each.
            if state.waiting.len() == 1 {
                self.changed.notify_all();
            }
        }
    }

    /// Changes what both threads know, and wakes the other one.
    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Sleeps until `deadline`, or until `is_enough` of the state; the state it woke to.
    pub(super) fn wait(&self, deadline: Instant, is_enough: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if is_enough(&state) || left.is_zero() {
                return state;
            }
            let woken = self.changed.wait_timeout(state, left.min(Duration::from_secs(3600)));
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
