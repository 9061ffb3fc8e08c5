//! Records in the formats of other tools: TensorBoard event files, Parquet and CSV tables, MLflow, Trackio.
//!
//! `metrics.jsonl` is the record of a run; everything here is made from its records and can be made again. What is
//! written while a run trains and what is exported afterwards goes through the same [`RecordSink`]s, so both agree.
//!
//! | to | with | error of a value |
//! |---|---|---|
//! | TensorBoard | [`tensorboard::TensorBoardSink`], or [`tensorboard::EventFileWriter`] for anything else | its kind, in the tag's description |
//! | pandas, polars, DuckDB, R | [`table::ParquetTable`], [`table::CsvTable`] | columns `lo`, `hi`, `error`, `error_kind` |
//! | MLflow | [`remote::RemoteSink`] over [`remote::Mlflow`] | none: a metric there is a float |
//! | Trackio | [`remote::RemoteSink`] over [`remote::Trackio`] | none: a metric there is a float |

mod error;
mod partial_file;
pub mod remote;
mod sink;
pub mod specification;
pub mod table;
pub mod tensorboard;
#[cfg(test)]
mod testing;

pub use error::ExportError;
pub use sink::{RecordSink, TableSink};
