//! TensorBoard event files, written and read without a protobuf library.
//!
//! A file is a sequence of framed records, each a protobuf message `Event`; the first says which version the file has.
//! Source: `curvature`, section 6.2; the layout is that of TensorBoard's own writer.

mod event;
mod frame;
mod histogram;
mod hyperparameters;
mod protobuf;
mod read;
mod sink;
mod writer;

pub use event::Moment;
pub use read::{LoggedData, LoggedEvent, read_event_file};
pub use sink::TensorBoardSink;
pub use writer::{EventFileWriter, has_event_files};
