//! The live view of runs, in a browser and in a terminal.
//!
//! [`Server`] shows the page of `stepscope-report` and keeps it up to date while runs are written; [`terminal`] shows the
//! same runs as text. Both follow the files of the runs and touch nothing: they may start before a run, end before it, and
//! begin again at any time.
//!
//! ```no_run
//! use stepscope_watch::{Options, Server};
//! let server = Server::bind(Options::new(["runs/rate-0.1"]))?;
//! println!("open {}", server.url());
//! server.run()?;
//! # Ok::<(), stepscope_watch::WatchError>(())
//! ```

mod access;
mod error;
mod server;
mod source;
pub mod terminal;

pub use error::WatchError;
pub use server::{DEFAULT_PORT, Options, Server};
