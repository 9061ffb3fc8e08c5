//! The flags of `stepscope lr-test`.

use std::path::PathBuf;

use clap::Args;
use stepscope::types::spec::DeviceKind;

use super::{Format, device};

#[derive(Debug, Args)]
pub(crate) struct LrTestArguments {
    /// The specification, a TOML file (`stepscope spec` prints one)
    #[arg(value_name = "SPEC")]
    pub(crate) spec: PathBuf,
    /// Change a key of the specification: --set train.batch_size=128
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// What to compute on, instead of train.device: cpu, cuda, wgpu
    #[arg(long, value_name = "NAME", value_parser = device)]
    pub(crate) device: Option<DeviceKind>,
    /// First learning rate
    #[arg(long, default_value_t = 1e-4, value_name = "X")]
    pub(crate) from: f64,
    /// Last learning rate
    #[arg(long, default_value_t = 30.0, value_name = "X")]
    pub(crate) to: f64,
    /// Updates of one sweep over the learning rates
    #[arg(long, default_value_t = 120, value_name = "N")]
    pub(crate) steps: u64,
    /// Sweeps, each over batches of its own: the error of the suggestion comes from them
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub(crate) sweeps: u64,
    /// Also draw the curves, as SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}
