//! A run on disk: the folder, its manifest `run.json`, and its records `metrics.jsonl`.
//!
//! The training loop writes nothing itself; what is here is one sink of its events. Whatever goes wrong while
//! writing, a folder holds a whole manifest or none, and a record file holds whole lines.

mod error;
mod jsonl;
mod lock;
mod read;
mod run_folder;

pub use error::RecordError;
pub use jsonl::{RecordFile, RecordWriter};
pub use lock::RunLock;
pub use read::{read_records, records_without_timing};
pub use run_folder::RunFolder;
