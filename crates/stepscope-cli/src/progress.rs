//! Progress on stderr: one line that a person can read at a glance.

use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use stepscope::train::{Event, Sink, SinkError};
use stepscope::types::{Measurement, quantity};
use stepscope_report::number::significant;

/// Draws step, loss, learning rate x sharpness against its limit, a gauge where there is one, and the time left.
///
/// Nothing is shown where stderr is not a terminal.
pub(crate) struct ProgressSink {
    bar: ProgressBar,
    latest: Latest,
}

/// What the line says of a run.
struct Latest {
    limit: f64,
    /// The measured training loss; before the first one, that of the mini-batches, smoothed.
    loss: Option<f64>,
    batch_loss: Option<f64>,
    effective_sharpness: Option<f64>,
    gauge: Option<f64>,
}

/// Share of a new mini-batch loss in the smoothed one.
const SMOOTHING: f64 = 0.05;

impl Latest {
    fn take(&mut self, measurement: &Measurement) {
        let Some(value) = measurement.value else { return };
        match measurement.name.as_str() {
            name if name == quantity::TRAIN_LOSS.name => self.loss = Some(value),
            name if name == quantity::EFFECTIVE_SHARPNESS.name => self.effective_sharpness = Some(value),
            name if name == quantity::BATCH_LOSS.name => {
                self.batch_loss = Some(self.batch_loss.map_or(value, |known| known + SMOOTHING * (value - known)));
            }
            name if name.ends_with("gauge") => self.gauge = Some(value),
            _ => {}
        }
    }

    fn line(&self) -> String {
        let loss = self.loss.or(self.batch_loss).map(|loss| format!("loss {}", significant(loss)));
        let sharpness = self.effective_sharpness.map(|value| {
            let past = if value > self.limit { " (past it)" } else { "" };
            format!("rate x sharpness {} of {:.1}{past}", significant(value), self.limit)
        });
        let gauge = self.gauge.map(|gauge| format!("gauge {}", significant(gauge)));
        [loss, sharpness, gauge].into_iter().flatten().collect::<Vec<_>>().join("  ")
    }
}

impl ProgressSink {
    /// A bar labelled with the run's name. `momentum` sets the limit 2 (1 + momentum).
    pub(crate) fn new(name: &str, momentum: f64) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        let style = ProgressStyle::with_template("{prefix:>18.bold} {bar:20.cyan/dim} {pos}/{len}  {msg}  {eta} left");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        // A name is free text, and a terminal obeys control characters.
        bar.set_prefix(name.replace(char::is_control, "\u{fffd}"));
        bar.enable_steady_tick(Duration::from_millis(200));
        let limit = 2.0 * (1.0 + momentum);
        Self { bar, latest: Latest { limit, loss: None, batch_loss: None, effective_sharpness: None, gauge: None } }
    }

    /// Says something on stderr, above the bar.
    pub(crate) fn warner(&self) -> Arc<dyn Fn(&str) + Send + Sync> {
        let bar = self.bar.clone();
        Arc::new(move |message| bar.suspend(|| warn(message)))
    }
}

impl Sink for ProgressSink {
    fn receive(&mut self, event: &Event) -> Result<(), SinkError> {
        // What nobody sees is not composed: recording is to cost nothing.
        if self.bar.is_hidden() {
            return Ok(());
        }
        match event {
            Event::RunStarted { num_steps, .. } => self.bar.set_length(*num_steps),
            Event::RunResumed { step, num_steps, .. } => {
                self.bar.set_length(*num_steps);
                self.bar.set_position(step.0);
                self.bar.reset_eta();
            }
            Event::Checkpoint(_) | Event::Spectrum(_) => {}
            Event::StepTaken { batch_loss, .. } => {
                self.latest.take(batch_loss);
                self.bar.set_position(batch_loss.step.0 + 1);
                if self.latest.loss.is_none() {
                    self.bar.set_message(self.latest.line());
                }
            }
            Event::Measured(measurement) => {
                self.latest.take(measurement);
                self.bar.set_message(self.latest.line());
            }
            // The page says what was left out and what was decided.
            Event::ReadingsLeftOut { .. } | Event::Decided { .. } => {}
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

/// Prints every record on stdout as it is made: the lines of `metrics.jsonl`, for programs that follow a run.
#[derive(Default)]
pub(crate) struct EventLines {
    /// Nobody reads any more: what is trained is worth keeping all the same.
    closed: bool,
}

impl Sink for EventLines {
    fn receive(&mut self, event: &Event) -> Result<(), SinkError> {
        if self.closed {
            return Ok(());
        }
        let mut stdout = std::io::stdout().lock();
        let write = |record| -> std::io::Result<()> {
            serde_json::to_writer(&mut stdout, record)?;
            stdout.write_all(b"\n")
        };
        match event.records().iter().try_for_each(write) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            written => written.map_err(|error| SinkError(Box::new(error))),
        }
    }
}

/// A warning on stderr.
pub(crate) fn warn(message: &str) {
    // Nothing is left to do where even stderr is gone.
    let _ = writeln!(std::io::stderr(), "warning: {message}");
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

#[cfg(test)]
mod tests {
    use super::*;
    use stepscope::types::{Estimate, Step, Uncertainty};

    fn measured(name: &str, value: f64) -> Measurement {
        Measurement::new(Step(1), 0.0, name, Estimate::new(value, "1", Uncertainty::Exact).into())
    }

    #[test]
    fn the_line_says_loss_sharpness_against_its_limit_and_the_gauge_and_nothing_it_does_not_know() {
        let mut latest = Latest { limit: 3.8, loss: None, batch_loss: None, effective_sharpness: None, gauge: None };
        assert_eq!(latest.line(), "");
        latest.take(&measured("train/batch_loss", 2.0));
        latest.take(&measured("train/batch_loss", 1.0));
        assert_eq!(latest.line(), "loss 1.95");
        latest.take(&measured("train/loss", 0.5));
        latest.take(&measured("curvature/effective_sharpness", 1.234));
        latest.take(&measured("line/half_rate_gauge", 0.51));
        latest.take(&measured("noise/gradient_noise_scale", 300.0));
        assert_eq!(latest.line(), "loss 0.500  rate x sharpness 1.23 of 3.8  gauge 0.510");
        latest.take(&measured("curvature/effective_sharpness", 4.0));
        assert!(latest.line().contains("4.00 of 3.8 (past it)"));
    }
}
