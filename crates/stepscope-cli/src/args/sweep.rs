//! The flags of the commands that train many runs.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use stepscope::sweep::Shard;
use stepscope::types::spec::DeviceKind;

use super::{Format, device};

#[derive(Debug, Args)]
pub(crate) struct SweepArguments {
    /// A specification with a `[sweep]` table, a TOML file (`stepscope spec` shows one)
    #[arg(value_name = "SPEC")]
    pub(crate) spec: PathBuf,
    /// Change a key of the specification: --set sweep.seeds=5
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// What to compute on, instead of train.device: cpu, cuda, wgpu
    #[arg(long, value_name = "NAME", value_parser = device)]
    pub(crate) device: Option<DeviceKind>,
    /// Folder of the sweep [default: sweeps/<name>]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) limits: Limits,
    /// Say which runs there are, and train and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct RunShardArguments {
    /// A specification with a `[sweep]` table, a TOML file
    #[arg(value_name = "SPEC")]
    pub(crate) spec: PathBuf,
    /// Which share of the runs: 2/8 is the second of eight
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Shard,
    /// Change a key of the specification
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// What to compute on, instead of train.device: cpu, cuda, wgpu
    #[arg(long, value_name = "NAME", value_parser = device)]
    pub(crate) device: Option<DeviceKind>,
    /// Folder of the sweep, the same for every share [default: sweeps/<name>]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) limits: Limits,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// Folder of a sweep, of a run, or of several runs
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// What runs at the same time may use.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Limits {
    /// Runs at a time [default: cores / threads per run]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Threads of each run; the last bits of results depend on it
    #[arg(long, default_value = "1", value_name = "T")]
    pub(crate) threads_per_run: NonZeroUsize,
    /// Memory of all runs together, as 8GB or 512MB [default: 80 % of what is available]
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<Memory>,
}

/// An amount of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Memory {
    pub(crate) bytes: u64,
}

impl FromStr for Memory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("'{text}' is no amount of memory: expected a number above 0 with kB, MB, GB or TB");
        let lower = text.trim().to_lowercase();
        let digits = lower.trim_end_matches(|c: char| c.is_alphabetic()).trim_end();
        let factor = match lower[digits.len()..].trim() {
            "kb" => 1e3,
            "mb" => 1e6,
            "gb" => 1e9,
            "tb" => 1e12,
            "kib" => 1024f64,
            "mib" => 1024f64.powi(2),
            "gib" => 1024f64.powi(3),
            "tib" => 1024f64.powi(4),
            _ => return Err(refused()),
        };
        let bytes = digits.parse::<f64>().map_err(|_| refused())? * factor;
        // An f64 holds whole numbers to 2^53: 9 petabytes.
        if (1.0..=9e15).contains(&bytes) { Ok(Self { bytes: bytes as u64 }) } else { Err(refused()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_a_number_with_a_unit() {
        let bytes = |text: &str| text.parse::<Memory>().map(|memory| memory.bytes);
        assert_eq!(bytes("8GB"), Ok(8_000_000_000));
        assert_eq!(bytes("1.5 gib"), Ok(3 << 29));
        assert_eq!(bytes("512MB"), Ok(512_000_000));
        for bad in ["", "8", "GB", "-1GB", "0MB", "1e99GB", "nanGB", "8 giga", "infGB"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }
}
