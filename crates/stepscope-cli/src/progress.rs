//! Progress on stderr: one line that a person can read at a glance.

use std::collections::HashMap;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use stepscope::train::{Event, Sink, SinkError};
use stepscope::types::quantity;

/// Draws step, loss, and learning rate x sharpness against its limit. Silent where stderr is not a terminal.
pub(crate) struct ProgressSink {
    bar: ProgressBar,
    limit: f64,
    latest: HashMap<&'static str, f64>,
}

impl ProgressSink {
    /// A bar labelled with the run's name. `momentum` sets the limit 2 (1 + momentum).
    pub(crate) fn new(name: &str, momentum: f64) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        let style = ProgressStyle::with_template("{prefix:>18.bold} {bar:24.cyan/dim} {pos}/{len} {msg} {eta:>4}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_prefix(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, limit: 2.0 * (1.0 + momentum), latest: HashMap::new() }
    }

    fn message(&self) -> String {
        let show = |quantity: &quantity::Quantity, label: &str, suffix: &str| {
            self.latest.get(quantity.name).map(|value| format!("{label} {value:.3}{suffix}"))
        };
        let limit = format!("/{:.1}", self.limit);
        let parts =
            [show(&quantity::TRAIN_LOSS, "loss", ""), show(&quantity::EFFECTIVE_SHARPNESS, "rate x sharpness", &limit)];
        parts.into_iter().flatten().collect::<Vec<_>>().join("  ")
    }
}

impl Sink for ProgressSink {
    fn receive(&mut self, event: &Event) -> Result<(), SinkError> {
        match event {
            Event::RunStarted { num_steps, .. } => self.bar.set_length(*num_steps),
            Event::RunResumed { step, num_steps, .. } => {
                self.bar.set_length(*num_steps);
                self.bar.set_position(step.0);
                self.bar.reset_eta();
            }
            Event::Checkpoint(_) => {}
            Event::StepTaken { .. } => self.bar.inc(1),
            Event::Measured(measurement) => {
                if let (Some(known), Some(value)) = (quantity::by_name(&measurement.name), measurement.value) {
                    self.latest.insert(known.name, value);
                    self.bar.set_message(self.message());
                }
            }
            Event::RunEnded { .. } => self.bar.finish_and_clear(),
        }
        Ok(())
    }
}

impl Drop for ProgressSink {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Work shorter than this shows nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Says on stderr what is being computed, once it takes longer than a second. Gone without a trace when dropped.
pub(crate) struct Busy {
    bar: ProgressBar,
    /// Dropping it ends the wait of the thread that shows the bar.
    alive: Option<Sender<()>>,
    waiting: Option<JoinHandle<()>>,
}

impl Busy {
    /// Work of unknown length.
    pub(crate) fn new(what: &str) -> Self {
        Self::with_bar(ProgressBar::hidden(), "{spinner} {prefix} {msg} ({elapsed})", what)
    }

    /// Work that is counted.
    pub(crate) fn counting(what: &str, length: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::hidden());
        Self::with_bar(bar, "{prefix} {bar:24.cyan/dim} {pos}/{len} {eta:>4}", what)
    }

    fn with_bar(bar: ProgressBar, template: &str, what: &str) -> Self {
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(what.to_owned());
        let (alive, ended) = channel::<()>();
        let shown = bar.clone();
        let waiting = std::thread::spawn(move || {
            if ended.recv_timeout(PATIENCE).is_err_and(|error| error == std::sync::mpsc::RecvTimeoutError::Timeout) {
                shown.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
                shown.enable_steady_tick(Duration::from_millis(200));
            }
        });
        Self { bar, alive: Some(alive), waiting: Some(waiting) }
    }

    /// What is being done now.
    pub(crate) fn say(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    /// So much more is done.
    pub(crate) fn advance(&self, amount: u64) {
        self.bar.inc(amount);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        drop(self.alive.take());
        if let Some(waiting) = self.waiting.take() {
            // The thread does nothing that could fail.
            let _ = waiting.join();
        }
        self.bar.finish_and_clear();
    }
}
