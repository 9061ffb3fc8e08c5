//! Records -> statistics -> page: what a finished run is turned into.
//!
//! [`Run`] reads a run's folder, [`Page`] renders one or several runs and a [`Story`] about them as one HTML file
//! that needs no network, [`Table`] and [`number`] format for the terminal and the page alike, and [`statistics`]
//! holds the few estimators that a comparison of runs needs. Nothing here trains, prints or writes a file.
//!
//! ```no_run
//! use stepscope_report::{Page, Run, Story};
//! let runs = [Run::load("runs/rate-0.1")?];
//! let html = Page::new("Quickstart").story(Story::new("The measured rate wins")).runs(&runs).render();
//! # Ok::<(), stepscope_report::LoadError>(())
//! ```

pub mod advice;
mod control_words;
mod groups;
pub mod number;
mod page;
mod references;
mod run;
pub mod statistics;
mod story;
mod summary;
mod table;

pub use groups::{Group, Groups, LEVEL};
pub use page::{Page, SnapshotAverage, SnapshotAverages, escape};
pub use run::{Follower, LoadError, Point, Run, Series};
pub use story::Story;
pub use summary::{Number, RunSummary, summary_table};
pub use table::{Align, Table};

#[cfg(test)]
#[path = "../tests/common/mod.rs"]
mod synthetic;
