//! Runs as tidy tables: one row a measurement, one column for everything that is known about it.
//!
//! | column | type | holds |
//! |---|---|---|
//! | `run` | text | which run |
//! | `step`, `epoch` | integer, float | when |
//! | `metric` | text | the name of the quantity |
//! | `value` | float or none | the value; none where it is not resolved |
//! | `lo`, `hi` | float or none | ends of the error |
//! | `error` | float or none | standard error or residual; 0 where exact; none for an interval |
//! | `error_kind` | text or none | `exact`, `standard_error`, `residual`, `interval` |
//! | `level` | float or none | coverage of an interval |
//! | `unit` | text | unit of all of these |
//! | `n_examples`, `n_products` | integer | what the value rests on, and cost |
//! | `mode` | text | `eval`, `train`, `none` |
//! | `unresolved` | text or none | why there is no value |
//! | `wall_seconds`, `cost_seconds` | float or none | since the run began; spent on the measurement |

mod columns;
mod csv;
mod parquet_file;
mod parquet_table;
mod row;
mod runs;

pub use csv::CsvTable;
pub use parquet_table::ParquetTable;
