//! The flags of `stepscope average`.

use std::path::PathBuf;

use clap::Args;
use stepscope::types::TrainingDuration;
use stepscope::types::spec::DeviceKind;

use super::{Format, device};

#[derive(Debug, Args)]
pub(crate) struct AverageArguments {
    /// Folder of the run; it has kept snapshots where checkpoint.keep_every was set
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Only these averages, any of them several times: the midpoint of the last snapshot and the one so long before
    #[arg(long, value_name = "LENGTH")]
    pub(crate) two_point: Vec<TrainingDuration>,
    /// The mean of the snapshots of the last steps, epochs or share of the run: 300st, 2ep, 0.1dur
    #[arg(long, value_name = "LENGTH")]
    pub(crate) window: Vec<TrainingDuration>,
    /// The mean of the last N snapshots
    #[arg(long, value_name = "N")]
    pub(crate) lawa: Vec<u64>,
    /// The mean of all snapshots from a place of the run on
    #[arg(long, value_name = "FROM")]
    pub(crate) swa: Vec<TrainingDuration>,
    /// The exponential moving average of this half-life
    #[arg(long, value_name = "HALF-LIFE")]
    pub(crate) ema: Vec<TrainingDuration>,
    /// The power-function average of this relative width, of every iterate where the run tracked average.power_widths
    #[arg(long, value_name = "WIDTH")]
    pub(crate) power: Vec<f64>,
    /// Curvature at which the rate an average acts as is stated [default: the run's last sharpness]
    #[arg(long, value_name = "H", allow_hyphen_values = true)]
    pub(crate) curvature: Option<f64>,
    /// Write the weights of the best average to a safetensors file, as `weights export` does
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// What to compute on, if not on what the run was trained: cpu, cuda, wgpu
    #[arg(long, value_name = "NAME", value_parser = device)]
    pub(crate) device: Option<DeviceKind>,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}
