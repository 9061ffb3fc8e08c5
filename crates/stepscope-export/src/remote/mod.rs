//! Runs on a server, live: MLflow and Trackio, without ever slowing or stopping training.
//!
//! A thread of its own sends what is recorded, in order. While the server is away or slow, values wait in memory up to a
//! bound; the server is tried again, ever less often; this is said once. At the end the thread gets a deadline. Whatever
//! was not sent is in `metrics.jsonl` still, and exporting the run sends it again: both servers know by the run's identity
//! and the value's place what they have already.
//!
//! Both keep floats: errors, units and reasons stay in the records.

mod http;
mod mlflow;
mod queue;
mod sink;
mod target;
mod trackio;
mod worker;

pub use mlflow::Mlflow;
pub use sink::{Delivery, Patience, RemoteSink, Warn};
pub use target::{End, Point, SendError, Target};
pub use trackio::Trackio;
