//! Trains runs, several at a time, each in a process of its own.

use std::collections::VecDeque;
use std::process::ExitStatus;
use std::thread;
use std::time::Duration;

use serde::Serialize;
use stepscope::sweep::{Attempt, Published, RunFailure, SweepError, SweepFolder, SweepRun, Work};
use stepscope::types::StopReason;

use super::announce::Announcer;
use super::budget::Budget;
use super::child::Child;
use super::stop::{Request, Stop};
use crate::args::Limits;
use crate::failure::Failure;
use crate::signals::STATUS_TRY_AGAIN;

/// Time between two looks at the processes: short beside any run, long beside the look.
const PAUSE: Duration = Duration::from_millis(20);

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub(crate) enum Ending {
    /// Its result is there.
    Done {
        /// Why the run ended.
        #[serde(flatten)]
        reason: StopReason,
        /// Whether the result was there before.
        before: bool,
    },
    /// It came to nothing.
    Failed(RunFailure),
    /// It was asked to stop, or not begun.
    Interrupted,
    /// Another process works on it.
    Elsewhere,
}

/// A run and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ended {
    pub(crate) run: SweepRun,
    pub(crate) ending: Ending,
}

/// Trains what is not finished of `runs`, in their order, within `limits`.
///
/// A run that fails stops no other one. A request from outside stops them all, and what they have is kept.
pub(crate) fn execute(
    folder: &SweepFolder,
    name: &str,
    runs: Vec<SweepRun>,
    limits: &Limits,
) -> Result<Vec<Ended>, Failure> {
    let mut executor = Executor {
        folder,
        limits,
        budget: Budget::new(limits),
        stop: Stop::listen()?,
        announcer: Announcer::new(name, runs.len()),
        waiting: runs.into(),
        running: Vec::new(),
        ended: Vec::new(),
    };
    let outcome = executor.work();
    if outcome.is_err() {
        // What was started is not left behind: it saves, and goes on the next time.
        executor.running.iter_mut().for_each(Child::stop);
    }
    outcome.map(|()| executor.ended)
}

struct Executor<'a> {
    folder: &'a SweepFolder,
    limits: &'a Limits,
    budget: Budget,
    stop: Stop,
    announcer: Announcer,
    waiting: VecDeque<SweepRun>,
    running: Vec<Child>,
    ended: Vec<Ended>,
}

impl Executor<'_> {
    fn work(&mut self) -> Result<(), Failure> {
        loop {
            self.obey();
            while !self.stop.was_asked() && self.budget.allows_another(self.running.len()) {
                let Some(run) = self.waiting.pop_front() else { break };
                self.begin(run);
            }
            self.announcer.running(self.running.len());
            if self.running.is_empty() && (self.waiting.is_empty() || self.stop.was_asked()) {
                break;
            }
            self.look_after_running()?;
            thread::sleep(PAUSE);
        }
        let left: Vec<SweepRun> = self.waiting.drain(..).collect();
        left.into_iter().for_each(|run| self.ended.push(Ended { run, ending: Ending::Interrupted }));
        Ok(())
    }

    fn obey(&mut self) {
        match self.stop.request() {
            Request::None => {}
            Request::Save => {
                self.announcer.say(&format!("saving {} runs; Ctrl-C again ends them now", self.running.len()));
                self.running.iter_mut().for_each(Child::stop);
            }
            Request::Now => self.running.iter_mut().for_each(Child::kill),
        }
    }

    fn begin(&mut self, run: SweepRun) {
        match self.folder.take_up(&run) {
            Ok(Work::Finished(reason)) => self.end(run, Ending::Done { reason, before: true }, None),
            Ok(Work::Held) => self.end(run, Ending::Elsewhere, None),
            Ok(Work::Start(attempt)) => self.start(attempt, false),
            Ok(Work::Resume(attempt)) => self.start(attempt, true),
            Err(error) => self.end(run, failed(&error), None),
        }
    }

    fn start(&mut self, attempt: Attempt, resumed: bool) {
        let run = attempt.run().clone();
        match Child::start(attempt, resumed, self.limits.threads_per_run) {
            Ok(child) => self.running.push(child),
            Err(error) => {
                let failure = RunFailure { bad_input: false, message: format!("{error:#}") };
                self.end(run, Ending::Failed(failure), None);
            }
        }
    }

    fn look_after_running(&mut self) -> Result<(), Failure> {
        let mut index = 0;
        while let Some(child) = self.running.get_mut(index) {
            child.peak_memory().into_iter().for_each(|bytes| self.budget.saw(bytes));
            match child.ended().map_err(Failure::failed)? {
                None => index += 1,
                Some(status) => {
                    let child = self.running.swap_remove(index);
                    self.budget.saw_an_end();
                    self.settle(child, status);
                }
            }
        }
        Ok(())
    }

    /// A process has ended: its run is finished, taken over, to be gone on with later, to be begun anew, or failed.
    fn settle(&mut self, child: Child, status: ExitStatus) {
        let (seconds, run) = (Some(child.seconds()), child.attempt().run().clone());
        let ending = if child.attempt().was_taken_over() {
            child.into_attempt().abandon();
            self.done_by_another(&run).unwrap_or(Ending::Elsewhere)
        } else if child.attempt().is_ended() {
            match child.into_attempt().publish() {
                Ok(Published::Ours(reason)) => Ending::Done { reason, before: false },
                Ok(Published::AlreadyThere(reason)) => Ending::Done { reason, before: true },
                Err(error) => self.done_by_another(&run).unwrap_or_else(|| failed(&error)),
            }
        } else if let Some(ending) = self.done_by_another(&run) {
            child.into_attempt().abandon();
            ending
        } else if status.code() == Some(i32::from(STATUS_TRY_AGAIN)) || self.stop.was_asked() {
            Ending::Interrupted
        } else if child.was_resumed() && status.code() == Some(2) {
            self.announcer.say(&format!("{}: its saved state cannot be used; it begins anew", run.spec.name));
            match child.into_attempt().begin_anew() {
                Ok(attempt) => return self.start(attempt, false),
                Err(error) => failed(&error),
            }
        } else {
            let failure = child.failure(status);
            // Where not even this can be written, the line on stderr still says it.
            let _ = child.into_attempt().fail(&failure);
            Ending::Failed(failure)
        };
        self.end(run, ending, seconds);
    }

    /// The result, where another process made it in the meantime.
    fn done_by_another(&self, run: &SweepRun) -> Option<Ending> {
        let reason = self.folder.finished(run).ok().flatten()?;
        Some(Ending::Done { reason, before: true })
    }

    fn end(&mut self, run: SweepRun, ending: Ending, seconds: Option<f64>) {
        self.announcer.ended(&run.spec.name, &ending, seconds);
        self.ended.push(Ended { run, ending });
    }
}

fn failed(error: &SweepError) -> Ending {
    Ending::Failed(RunFailure { bad_input: error.is_bad_input(), message: error.to_string() })
}
