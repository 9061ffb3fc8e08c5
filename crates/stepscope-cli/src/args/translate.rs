//! The flags of `stepscope translate`.

use clap::{Args, Subcommand};

use super::Format;
use super::predict::{NamedAverage, average};

/// What is translated into what.
#[derive(Debug, Subcommand)]
pub(crate) enum TranslateCommand {
    /// The schedules of the learning rate that an average of the weights equals: ema:0.99, window:100, two-point:10, tail:500, power:3
    Average(TranslatedAverage),
    /// The averages of the weights that a schedule of the learning rate equals: "trapezoid(cooldown = 100st)"
    Schedule(ScheduleArguments),
    /// The schedule of the batch size with the noise of one of the learning rate: "step(every = 30ep, factor = 0.1)"
    LearningRate(NoiseArguments),
    /// The schedule of the learning rate with the noise of one of the batch size: "step(every = 30ep, factor = 10)"
    BatchSize(NoiseArguments),
}

#[derive(Debug, Args)]
pub(crate) struct TranslatedAverage {
    /// The average, as `predict --average` takes it
    #[arg(value_name = "NAME:N", value_parser = average)]
    pub(crate) average: NamedAverage,
    #[command(flatten)]
    pub(crate) how: EquivalenceArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ScheduleArguments {
    /// The schedule, as a specification takes it
    #[arg(value_name = "SCHEDULE")]
    pub(crate) schedule: String,
    #[command(flatten)]
    pub(crate) how: EquivalenceArguments,
}

#[derive(Debug, Args)]
pub(crate) struct EquivalenceArguments {
    /// Steps of the run
    #[arg(long, value_name = "T", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) steps: u64,
    /// Learning rate times curvature, for the equivalence at one curvature with the same batches
    #[arg(long, value_name = "A")]
    pub(crate) rate: Option<f64>,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct NoiseArguments {
    /// The schedule, as a specification takes it
    #[arg(value_name = "SCHEDULE")]
    pub(crate) schedule: String,
    /// Learning rate: where a schedule of it starts; otherwise the constant one
    #[arg(long, value_name = "A")]
    pub(crate) learning_rate: f64,
    /// Batch size: where a schedule of it starts; otherwise the constant one
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) batch_size: u64,
    /// Momentum
    #[arg(long, value_name = "B", default_value_t = 0.0, allow_negative_numbers = true)]
    pub(crate) momentum: f64,
    /// Momentum of the translated run [default: the same]
    #[arg(long, value_name = "B", allow_negative_numbers = true)]
    pub(crate) to_momentum: Option<f64>,
    /// What stays constant in the translated run: a learning rate, or a batch size [default: that of the smallest batch, or the largest rate]
    #[arg(long, value_name = "VALUE")]
    pub(crate) to: Option<f64>,
    /// Epochs of the run
    #[arg(long, value_name = "E", default_value_t = 100.0)]
    pub(crate) epochs: f64,
    /// No batch is larger [default: 64 times the batch size]
    #[arg(long, value_name = "S")]
    pub(crate) largest: Option<u64>,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}
