//! The flags of `stepscope measure`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use stepscope::types::spec::{DeviceKind, Instrument, MeasureMode};

use super::{Format, device};

#[derive(Debug, Args)]
pub(crate) struct MeasureArguments {
    /// Folder of the run
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// The step, one of those with a checkpoint, or several: 100,200 or 100..500 or all [default: the last one saved]
    #[arg(long = "step", value_name = "N", value_delimiter = ',')]
    pub(crate) steps: Vec<StepRange>,
    /// Instrument to read, by its name in `measure.instruments`; may be given several times [default: those of the preset
    /// "standard"]
    #[arg(long = "probe", value_name = "NAME", value_parser = instrument)]
    pub(crate) probes: Vec<Instrument>,
    /// Where batch normalisation takes its statistics from: eval, frozen-full, train-batch [default: that of the
    /// run; with --between frozen-full]
    #[arg(long, value_name = "MODE", value_parser = mode)]
    pub(crate) mode: Option<MeasureMode>,
    /// Drop features while measuring, by one mask that stays the same
    #[arg(long)]
    pub(crate) dropout: bool,
    /// Change a key of the run's `[measure]` table for these readings: --set measure.examples=4096
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// What to compute on, if not on what the run was trained: cpu, cuda, wgpu
    #[arg(long, value_name = "NAME", value_parser = device)]
    pub(crate) device: Option<DeviceKind>,
    /// Instead: the loss along a line through the weights
    #[arg(long, value_enum, value_name = "DIRECTION", conflicts_with_all = ["between", "plane", "probes"])]
    pub(crate) line: Option<Direction>,
    /// Instead: the loss on a plane through the weights: --plane sharpest,random
    #[arg(long, value_enum, value_name = "DIRECTION,DIRECTION", value_delimiter = ',', num_args = 1, conflicts_with_all = ["between", "probes"])]
    pub(crate) plane: Vec<Direction>,
    /// Instead: the loss on the line from these weights (0) to those of another run (1)
    #[arg(long, value_name = "DIR", conflicts_with = "probes")]
    pub(crate) between: Option<PathBuf>,
    /// The other run's step [default: its last one saved; of several steps, the same]
    #[arg(long, value_name = "N", requires = "between")]
    pub(crate) between_step: Option<u64>,
    /// First position on a line or on both sides of a plane [default: -1]
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    pub(crate) from: Option<f64>,
    /// Last position [default: 2 between runs, 4 steps along the gradient, otherwise 1]
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    pub(crate) to: Option<f64>,
    /// Points on a line or on each side of a plane [default: 61 on a line, 21 on a plane]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=10_000))]
    pub(crate) points: Option<u64>,
    /// Also write the readings or points to a file, as CSV
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Do not keep the result in the run's folder, from where `report` and `watch` draw it
    #[arg(long)]
    pub(crate) no_save: bool,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// Some of a run's checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepRange {
    /// That of one step.
    One(u64),
    /// Those from a step to another, both included.
    Between(u64, u64),
    /// Every one.
    All,
}

impl FromStr for StepRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse::<u64>().ok();
        let range = match text.trim().split_once("..") {
            _ if text.trim() == "all" => Some(Self::All),
            Some((low, high)) => number(low).zip(number(high)).filter(|(low, high)| low <= high).map(Self::between),
            None => number(text).map(Self::One),
        };
        range.ok_or_else(|| "expected a step (300), a range (100..500) or all".to_owned())
    }
}

impl StepRange {
    fn between((low, high): (u64, u64)) -> Self {
        Self::Between(low, high)
    }
}

/// A direction in weight space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Direction {
    /// Down the gradient over the probe examples, in steps of the learning rate
    Gradient,
    /// The top eigenvector of the Hessian, of length 1
    Sharpest,
    /// Random, each layer's part as long as its weights
    Random,
}

/// The instrument of that name.
fn instrument(name: &str) -> Result<Instrument, String> {
    by_word(name, &Instrument::ALL, Instrument::word)
}

/// The mode of that name.
fn mode(name: &str) -> Result<MeasureMode, String> {
    by_word(name, &[MeasureMode::Eval, MeasureMode::FrozenFull, MeasureMode::TrainBatch], MeasureMode::word)
}

fn by_word<T: Copy>(name: &str, known: &[T], word: impl Fn(T) -> &'static str) -> Result<T, String> {
    known.iter().copied().find(|&known| word(known) == name).ok_or_else(|| {
        let words: Vec<&str> = known.iter().copied().map(word).collect();
        let meant = stepscope::spec::nearest(name, words.iter().copied());
        let hint = meant.map(|meant| format!("did you mean {meant}? ")).unwrap_or_default();
        format!("{hint}expected one of {}", words.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_numbers_ranges_or_all_and_nothing_else() {
        for (text, expected) in [
            ("300", StepRange::One(300)),
            ("100..500", StepRange::Between(100, 500)),
            ("7..7", StepRange::Between(7, 7)),
            ("all", StepRange::All),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for bad in ["", "-1", "1.5", "5..1", "1..", "..2", "every", "1..2..3"] {
            assert!(bad.parse::<StepRange>().is_err(), "{bad}");
        }
    }
}
