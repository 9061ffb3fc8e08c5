//! The live view as text: loss, learning rate x sharpness against its limit, the latest readings, and the time left.

mod view;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::WatchError;
use crate::source::Source;
pub use view::View;

/// How often the files are looked at.
const POLL: Duration = Duration::from_millis(250);

/// Shows the runs in `folders` until `q`, Escape or Ctrl-C.
///
/// The terminal is given back as it was also after an error or a panic.
///
/// # Errors
/// [`WatchError::Terminal`] where the terminal cannot be drawn on, as when output is not a terminal.
pub fn show<Folder: Into<PathBuf>>(folders: impl IntoIterator<Item = Folder>) -> Result<(), WatchError> {
    let mut source = Source::new(folders.into_iter().map(Into::into).collect());
    source.poll();
    let mut terminal = ratatui::try_init().map_err(WatchError::Terminal)?;
    // Restores when this function is left, however that happens; a panic's message then lands on the usual screen.
    let _restore = Restore;
    let mut view = View::new(source.title(), source.runs());
    let mut looked = Instant::now();
    loop {
        terminal.draw(|frame| view.draw(frame)).map_err(WatchError::Terminal)?;
        if event::poll(POLL.saturating_sub(looked.elapsed())).map_err(WatchError::Terminal)? {
            if let Event::Key(key) = event::read().map_err(WatchError::Terminal)?
                && press(&mut view, key)
            {
                return Ok(());
            }
            continue;
        }
        looked = Instant::now();
        if source.poll() {
            view.take(source.runs(), source.problems().first().cloned());
        }
    }
}

struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Acts on a key; the answer is whether the view is to end.
fn press(view: &mut View, key: KeyEvent) -> bool {
    if key.kind != KeyEventKind::Press {
        return false;
    }
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => return true,
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return true,
        KeyCode::Char('l') => view.toggle_log(),
        KeyCode::Down | KeyCode::Right | KeyCode::Tab | KeyCode::Char('j') => view.select(1),
        KeyCode::Up | KeyCode::Left | KeyCode::BackTab | KeyCode::Char('k') => view.select(-1),
        _ => {}
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_escape_and_control_c_end_the_view_and_nothing_else_does() {
        let mut view = View::new("runs".to_owned(), Vec::new());
        let mut ends = |code, modifiers| press(&mut view, KeyEvent::new(code, modifiers));
        assert!(ends(KeyCode::Char('q'), KeyModifiers::NONE));
        assert!(ends(KeyCode::Esc, KeyModifiers::NONE));
        assert!(ends(KeyCode::Char('c'), KeyModifiers::CONTROL));
        for code in [KeyCode::Char('c'), KeyCode::Char('l'), KeyCode::Down, KeyCode::Up, KeyCode::Enter, KeyCode::Tab] {
            assert!(!ends(code, KeyModifiers::NONE), "{code:?}");
        }
    }
}
