//! What a person, or the log of an engine, sees of the runs while they go on.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use stepscope::types::StopReason;

use super::executor::Ending;
use crate::signals::say;

/// A bar on a terminal; elsewhere a line for each run that ends.
pub(super) struct Announcer {
    bar: ProgressBar,
    lines: bool,
}

impl Announcer {
    pub(super) fn new(name: &str, num_runs: usize) -> Self {
        let bar = ProgressBar::with_draw_target(Some(num_runs as u64), ProgressDrawTarget::stderr_with_hz(10));
        let style =
            ProgressStyle::with_template("{prefix:>18.bold} {bar:24.cyan/dim} {pos}/{len} runs  {msg} {eta:>4}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_prefix(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, lines: !std::io::stderr().is_terminal() }
    }

    /// So many runs are being trained now.
    pub(super) fn running(&self, count: usize) {
        self.bar.set_message(format!("{count} running"));
    }

    /// A run is over, after `seconds` where it was trained here.
    pub(super) fn ended(&self, name: &str, ending: &Ending, seconds: Option<f64>) {
        self.bar.inc(1);
        let took = seconds.map(|seconds| format!(" after {seconds:.1} s")).unwrap_or_default();
        let line = match ending {
            // Finished before: nothing happened.
            Ending::Done { before: true, .. } if seconds.is_none() => return,
            Ending::Done { reason: StopReason::Finished, .. } if !self.lines => return,
            Ending::Done { reason: StopReason::Finished, .. } => format!("{name}: done{took}"),
            Ending::Done { reason: StopReason::Diverged { message, .. }, .. } => {
                format!("{name}: diverged{took}: {message}")
            }
            Ending::Failed(failure) => format!("{name}: failed{took}: {}", failure.message),
            Ending::Interrupted => format!("{name}: stopped{took}"),
            Ending::Elsewhere => format!("{name}: another process trains it"),
        };
        self.say(&line);
    }

    /// A line of its own.
    pub(super) fn say(&self, line: &str) {
        if self.lines {
            say(line);
        } else {
            self.bar.println(line);
        }
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
