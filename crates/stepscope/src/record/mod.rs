//! A run on disk: the folder, its manifest `run.json`, and its records `metrics.jsonl`.
//!
//! The training loop writes nothing itself; what is here is one sink of its events. Whatever goes wrong while
//! writing, a folder holds a whole manifest or none, a record file holds whole lines, and a checkpoint is whole or not
//! there. [`resume_point`] says from where a run that stopped can go on.

mod error;
pub mod files;
mod jsonl;
mod kept;
mod lock;
mod read;
mod resume;
mod run_folder;
mod run_sink;

pub use error::RecordError;
pub use files::{Files, RecordFile, SystemFiles};
pub use jsonl::RecordWriter;
pub use lock::RunLock;
pub use read::{RecordReader, parse_records, read_records, records_without_timing};
pub use resume::{ResumePoint, resume_point};
pub use run_folder::RunFolder;
pub use run_sink::RunSink;
