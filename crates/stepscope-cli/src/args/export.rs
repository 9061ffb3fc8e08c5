//! Flags about other tools that get records.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::Format;

/// Who else gets a run's records while it trains.
#[derive(Debug, Default, Args)]
pub(crate) struct LiveArguments {
    /// Write TensorBoard event files into the run's folder: tensorboard --logdir runs
    #[arg(long)]
    pub(crate) tensorboard: bool,
    #[command(flatten)]
    pub(crate) servers: ServerArguments,
}

/// Servers that take in runs.
#[derive(Debug, Default, Args)]
pub(crate) struct ServerArguments {
    /// Send values to an MLflow tracking server, e.g. http://127.0.0.1:5000
    #[arg(long, value_name = "URL")]
    pub(crate) mlflow: Option<String>,
    /// Send values to a Trackio dashboard, e.g. http://127.0.0.1:7860/?write_token=...
    #[arg(long, value_name = "URL")]
    pub(crate) trackio: Option<String>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("to").args(["parquet", "csv", "tensorboard", "mlflow", "trackio", "spectra"]).required(true).multiple(true))]
pub(crate) struct ExportArguments {
    /// Folders of runs, or folders that hold such folders
    #[arg(required = true, value_name = "DIR")]
    pub(crate) folders: Vec<PathBuf>,
    /// One table of every measurement, and beside it one of the runs (FILE.runs.parquet)
    #[arg(long, value_name = "FILE")]
    pub(crate) parquet: Option<PathBuf>,
    /// One table of every measurement
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
    /// One table of the nodes of every spectral density that was kept, as CSV
    #[arg(long, value_name = "FILE")]
    pub(crate) spectra: Option<PathBuf>,
    /// Event files, a folder for each run
    #[arg(long, value_name = "DIR")]
    pub(crate) tensorboard: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) servers: ServerArguments,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}
