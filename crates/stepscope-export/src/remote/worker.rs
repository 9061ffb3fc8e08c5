//! The thread that sends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::queue::{Queue, State};
use super::sink::{Patience, Warn};
use super::target::{Point, SendError, Target};

/// A day: longer than any pause, short enough to be added to any time.
const LONG: Duration = Duration::from_secs(86400);

/// Sends what is in the queue until its end, until the server refuses, or until nobody waits any more.
pub(super) struct Worker<T> {
    target: T,
    queue: Arc<Queue>,
    patience: Patience,
    warn: Warn,
    has_warned: bool,
}

/// Why the thread stops before its time.
enum Stop {
    /// The server said no.
    Refused(String),
    /// Nobody waits.
    Abandoned,
}

impl<T: Target> Worker<T> {
    pub(super) fn new(target: T, queue: Arc<Queue>, patience: Patience, warn: Warn) -> Self {
        Self { target, queue, patience, warn, has_warned: false }
    }

    pub(super) fn run(mut self) {
        if let Err(Stop::Refused(reason)) = self.try_run() {
            let name = self.target.name();
            (self.warn)(&format!(
                "{name} refuses ({reason}): nothing more is sent there, the run goes on and is recorded"
            ));
        }
        self.queue.change(|state| {
            state.is_done = true;
            state.num_dropped += state.waiting.len() as u64;
            state.waiting.clear();
        });
    }

    fn try_run(&mut self) -> Result<(), Stop> {
        self.insist(Target::open)?;
        while let Some(batch) = self.next_batch()? {
            self.insist(|target| target.send(&batch))?;
            self.queue.change(|state| {
                state.waiting.drain(..batch.len());
                state.num_sent += batch.len() as u64;
            });
        }
        let end = self.queue.lock().end.clone();
        end.map_or(Ok(()), |end| self.insist(|target| target.close(&end)))
    }

    /// The values of the next request; `None` where none are left and none will come. They stay in the queue until the
    /// server has them, so that the bound of the queue counts them.
    fn next_batch(&mut self) -> Result<Option<Vec<Point>>, Stop> {
        let is_over = |state: &State| state.is_last || state.is_abandoned;
        drop(self.queue.wait(Instant::now() + LONG, |state| !state.waiting.is_empty() || is_over(state)));
        loop {
            // Values are collected for a while, and sent earlier only at the end or where the request is full.
            let most = self.patience.most_collected;
            let collected = Instant::now() + self.patience.collect;
            let mut state = self.queue.wait(collected, |state| state.waiting.len() >= most || is_over(state));
            if state.is_abandoned {
                return Err(Stop::Abandoned);
            }
            if state.waiting.is_empty() && state.is_last {
                return Ok(None);
            }
            // What fills the queue has to go, also where the target would rather wait for more.
            let is_last = state.is_last || state.waiting.len() >= self.patience.capacity;
            let waiting = state.waiting.make_contiguous();
            let length = self.target.batch_length(waiting, is_last);
            if length > 0 {
                return Ok(Some(waiting[..length].to_vec()));
            }
            drop(state);
            drop(self.queue.wait(Instant::now() + self.patience.collect, is_over));
        }
    }

    /// Asks until the server agrees or refuses, ever less often.
    fn insist(&mut self, mut ask: impl FnMut(&mut T) -> Result<(), SendError>) -> Result<(), Stop> {
        let mut pause = self.patience.first_pause;
        loop {
            match ask(&mut self.target) {
                Ok(()) => return Ok(()),
                Err(SendError::Refused(reason)) => return Err(Stop::Refused(reason)),
                Err(SendError::Away(reason)) => self.say_away(&reason),
            }
            let was_last = self.queue.lock().is_last;
            // The end is worth one try at once; after it the pauses are short, because someone waits.
            let wake = |state: &State| state.is_abandoned || (state.is_last && !was_last);
            let length = if was_last { pause.min(self.patience.pause_at_end) } else { pause };
            if self.queue.wait(Instant::now() + length, wake).is_abandoned {
                return Err(Stop::Abandoned);
            }
            pause = (2 * pause).min(self.patience.longest_pause);
        }
    }

    fn say_away(&mut self, reason: &str) {
        if !self.has_warned {
            self.has_warned = true;
            let name = self.target.name();
            (self.warn)(&format!(
                "{name} does not answer ({reason}): the run goes on, values wait and are sent once it does"
            ));
        }
    }
}
