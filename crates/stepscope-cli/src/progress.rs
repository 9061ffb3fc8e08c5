//! Progress on stderr: one line that a person can read at a glance.

use std::collections::HashMap;
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
