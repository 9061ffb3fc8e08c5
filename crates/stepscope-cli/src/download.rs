//! Progress of a download on stderr.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar with bytes and time left; silent where stderr is not a terminal, gone when dropped.
pub(crate) struct DownloadBar {
    bar: ProgressBar,
}

impl DownloadBar {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        let style =
            ProgressStyle::with_template("{prefix} {bar:24.cyan/dim} {bytes}/{total_bytes} {bytes_per_sec} {eta:>4}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Self { bar }
    }

    /// So many bytes of the file are here; `length` is what the server says there will be.
    pub(crate) fn show(&self, file: &str, bytes: u64, length: Option<u64>) {
        if self.bar.prefix() != file {
            self.bar.set_prefix(file.to_owned());
            self.bar.reset();
        }
        self.bar.set_length(length.unwrap_or(bytes).max(bytes));
        self.bar.set_position(bytes);
    }
}

impl Drop for DownloadBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
