//! Every command and flag, once.

mod average;
mod devices;
mod export;
mod lr_test;
mod measure;
mod predict;
mod sweep;
mod translate;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use stepscope::types::spec::{DeviceKind, MeasureBudget};

pub(crate) use average::AverageArguments;
pub(crate) use devices::{DevicesArguments, device, with_device};
pub(crate) use export::{ExportArguments, LiveArguments, ServerArguments};
pub(crate) use lr_test::LrTestArguments;
pub(crate) use measure::{Direction, MeasureArguments, StepRange};
pub(crate) use sweep::{Limits, Memory, RunShardArguments, StatusArguments, SweepArguments};

pub(crate) use predict::{Free, NamedAverage, PredictArguments, PredictFormat};
pub(crate) use translate::{
    EquivalenceArguments, NoiseArguments, ScheduleArguments, TranslateCommand, TranslatedAverage,
};

/// Measures, predicts and controls what the step does in mini-batch SGD: learning rate, batch size, momentum, averaging.
#[derive(Debug, Parser)]
#[command(name = "stepscope", version, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Find a learning rate on real data: four runs, measured, predicted, averaged, with a report (under a minute)
    Quickstart(QuickstartArguments),
    /// Train one run from a specification
    Train(TrainArguments),
    /// Go on with a run that stopped, however it stopped
    Resume(ResumeArguments),
    /// Take the weights of a run out for PyTorch
    Weights {
        #[command(subcommand)]
        command: WeightsCommand,
    },
    /// Measure curvature, noise and stability of a saved run, or the loss on lines and planes around it
    Measure(Box<MeasureArguments>),
    /// Find a learning rate by short sweeps from far too small to far too large ones: the range test
    LrTest(LrTestArguments),
    /// Average the snapshots of a run in every way, say which is best and what schedule it equals
    Average(AverageArguments),
    /// Train every run of a specification with a [sweep] table, several at a time, and compare them
    Sweep(SweepArguments),
    /// Train a share of a sweep's runs: for Slurm arrays, Kubernetes indexed jobs or a shell loop
    RunShard(RunShardArguments),
    /// Say which runs of a sweep, or in a folder, are done, running, failed or waiting
    Status(StatusArguments),
    /// Predict the loss curve of mini-batch SGD before it is run, from a curvature spectrum
    Predict(Box<PredictArguments>),
    /// Say which schedule an average of the weights equals, which batch size a learning rate, and back
    Translate {
        #[command(subcommand)]
        command: TranslateCommand,
    },
    /// Write one self-contained page about one or more runs
    Report(ReportArguments),
    /// Show the page of runs live while they train, in a browser or in the terminal
    Watch(WatchArguments),
    /// Write runs for other tools: Parquet, CSV, TensorBoard, MLflow, Trackio
    Export(ExportArguments),
    /// List the data sets, or download one
    Data {
        #[command(subcommand)]
        command: DataCommand,
    },
    /// Say which devices this build can compute on, and check what one computes
    Devices(DevicesArguments),
    /// Print a specification with every key and its default, or its JSON Schema for editors
    Spec(SpecArguments),
}

#[derive(Debug, Args)]
pub(crate) struct QuickstartArguments {
    /// Folder for the runs and the report
    #[arg(long, default_value = "stepscope-quickstart", value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Data set: optdigits, fashion14, a fetched one, or a folder (`stepscope data list` shows them)
    #[arg(long, default_value = "optdigits", value_name = "NAME")]
    pub(crate) data: String,
    /// Seed of initial weights, order of examples and probes
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,
    /// Replace the runs of an earlier quickstart in the same folder
    #[arg(long)]
    pub(crate) force: bool,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct TrainArguments {
    /// The specification, a TOML file (`stepscope spec` prints one)
    #[arg(value_name = "SPEC")]
    pub(crate) spec: PathBuf,
    /// Change a key of the specification: --set optimizer.learning_rate=0.2
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// What to compute on, instead of train.device: cpu, cuda, wgpu (`stepscope devices` shows what there is)
    #[arg(long, value_name = "NAME", value_parser = device)]
    pub(crate) device: Option<DeviceKind>,
    /// Most that measuring may cost, as a share of the training: --budget 5%
    #[arg(long, value_name = "PERCENT")]
    pub(crate) budget: Option<MeasureBudget>,
    /// Folder of the run [default: runs/<name>]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Replace a run that the folder already holds
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) live: LiveArguments,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct ResumeArguments {
    /// Folder of the run
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// What to compute on, if not on what the run was trained so far: cpu, cuda, wgpu
    #[arg(long, value_name = "NAME", value_parser = device)]
    pub(crate) device: Option<DeviceKind>,
    #[command(flatten)]
    pub(crate) live: LiveArguments,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WeightsCommand {
    /// Write the weights of a checkpoint to a safetensors file with PyTorch's names and layouts
    Export {
        /// Folder of the run
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// The file to write
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The step [default: the last one saved]
        #[arg(long, value_name = "N")]
        step: Option<u64>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ReportArguments {
    /// Folders of runs, or folders that hold such folders
    #[arg(required = true, value_name = "DIR")]
    pub(crate) folders: Vec<PathBuf>,
    /// The page to write [default: report.html in the first folder]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArguments {
    /// Folders of runs, or folders that hold such folders; they may appear later
    #[arg(required = true, value_name = "DIR")]
    pub(crate) folders: Vec<PathBuf>,
    /// Port of the page [default: 7117, or any free one]
    #[arg(long, value_name = "N", conflicts_with = "terminal")]
    pub(crate) port: Option<u16>,
    /// Offer the page beyond this machine, on this address; whoever opens it needs the token in the printed address. A
    /// token of your own, the same after a restart, is taken from the variable STEPSCOPE_WATCH_TOKEN
    #[arg(long, value_name = "ADDR", conflicts_with = "terminal")]
    pub(crate) listen: Option<IpAddr>,
    /// Show curves and readings in the terminal instead
    #[arg(long)]
    pub(crate) terminal: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// List the data sets, with sizes, sources and licences
    List {
        /// How the list is printed
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Download a data set into the cache, checked and resumable
    Fetch(FetchArguments),
}

#[derive(Debug, Args)]
pub(crate) struct FetchArguments {
    /// Names: mnist, fashion-mnist, cifar10, cifar100, imdb
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Fetch from this address instead, where the files have their official names [default: STEPSCOPE_DATA_MIRROR]
    #[arg(long, value_name = "URL")]
    pub(crate) mirror: Option<String>,
    /// Folder to fetch into [default: STEPSCOPE_DATA, else stepscope/data in the user's cache]
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct SpecArguments {
    /// Print the JSON Schema instead
    #[arg(long)]
    pub(crate) schema: bool,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}
