//! The flags of `stepscope predict`, and how their values are read.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};
use stepscope::theory::Average;

/// Predicts the loss of mini-batch SGD before it is run, from a curvature spectrum.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("source").required(true).args(["spectrum", "power_law", "features", "tangent_kernel"]))]
pub(crate) struct PredictArguments {
    /// Spectrum: CSV, JSON Lines or .npy with eigenvalue, coefficient (squared initial error) and, if not 1, multiplicity
    #[arg(long, value_name = "FILE", help_heading = "What is trained")]
    pub(crate) spectrum: Option<PathBuf>,
    /// Coefficients, where the spectrum is a .npy vector of eigenvalues
    #[arg(long, value_name = "FILE.npy", requires = "spectrum", help_heading = "What is trained")]
    pub(crate) coefficients: Option<PathBuf>,
    /// The spectrum is a measured head of one with these sums: trace=12.5,loss=0.4,modes=400
    #[arg(long, value_name = "SUMS", requires = "spectrum", help_heading = "What is trained")]
    pub(crate) tail: Option<String>,
    /// Power law: nu=1.5,kappa=3,modes=1000 and, if not 1, scale
    #[arg(long, value_name = "LAW", help_heading = "What is trained")]
    pub(crate) power_law: Option<String>,
    /// Features of a linear model, one example a row
    #[arg(long, value_name = "X.npy", requires = "targets", help_heading = "What is trained")]
    pub(crate) features: Option<PathBuf>,
    /// Its targets
    #[arg(long, value_name = "Y.npy", requires = "features", help_heading = "What is trained")]
    pub(crate) targets: Option<PathBuf>,
    /// A specification with data.targets = "number": the tangents of its initial network, as model.linearised trains them
    #[arg(long, value_name = "SPEC.toml", help_heading = "What is trained")]
    pub(crate) tangent_kernel: Option<PathBuf>,
    /// How gradient noise follows the error: 1,1 interpolating kernels, 1,-1 Gaussian features [default: 1,1; fitted to features]
    #[arg(long, value_name = "T1,T2", allow_hyphen_values = true, help_heading = "What is trained")]
    pub(crate) tau: Option<String>,
    /// Variance of the label noise
    #[arg(long, value_name = "S2", default_value_t = 0.0, value_parser = label_noise, allow_negative_numbers = true, help_heading = "What is trained")]
    pub(crate) label_noise: f64,

    /// Learning rate; the peak of a schedule
    #[arg(long, value_name = "A", value_parser = learning_rate, allow_negative_numbers = true, help_heading = "How")]
    pub(crate) learning_rate: f64,
    /// Momentum, above -1 and below 1
    #[arg(long, value_name = "B", default_value_t = 0.0, value_parser = momentum, allow_negative_numbers = true, help_heading = "How")]
    pub(crate) momentum: f64,
    /// Examples in a batch [default: all of them, no gradient noise]
    #[arg(long, value_name = "S", value_parser = positive_count, allow_negative_numbers = true, help_heading = "How")]
    pub(crate) batch_size: Option<u64>,
    /// Batches are drawn from N examples without replacement [default: the features' rows, else a stream]
    #[arg(long, value_name = "N", value_parser = positive_count, conflicts_with_all = ["stream", "features", "tangent_kernel"], help_heading = "How")]
    pub(crate) examples: Option<u64>,
    /// Batches are drawn from an endless stream
    #[arg(long, help_heading = "How")]
    pub(crate) stream: bool,
    /// Steps [default: the last of --at, else 1000]
    #[arg(long, value_name = "T", value_parser = positive_count, allow_negative_numbers = true, help_heading = "How")]
    pub(crate) steps: Option<u64>,
    /// Only the losses after these numbers of steps
    #[arg(long, value_name = "T1,T2,...", value_delimiter = ',', value_parser = count, help_heading = "How")]
    pub(crate) at: Vec<u64>,
    /// Words that a specification takes too (cosine, "wsd(warmup = 100st, cooldown = 0.2dur)"), warmup=0.4,warmup-power=1,anneal=0.2,anneal-power=1 (fractions of the run), or a CSV with step, learning_rate and, where they change, momentum, batch_size
    #[arg(long, value_name = "SCHEDULE|FILE", help_heading = "How")]
    pub(crate) schedule: Option<String>,
    /// The momentum of every step, in the words of a specification: "piecewise(0.9, 0.5 at 0.8dur)"
    #[arg(long, value_name = "SCHEDULE", help_heading = "How")]
    pub(crate) momentum_schedule: Option<String>,
    /// The batch size of every step, in the words of a specification: "step(every = 0.25dur, factor = 2)"
    #[arg(long, value_name = "SCHEDULE", requires = "batch_size", help_heading = "How")]
    pub(crate) batch_size_schedule: Option<String>,
    /// Averages of the weights: ema:0.99, tail:500, window:100, two-point:10, power:3
    #[arg(long, value_name = "NAME:N,...", value_delimiter = ',', value_parser = average, help_heading = "How")]
    pub(crate) average: Vec<NamedAverage>,

    /// Find the best of these for the last step: learning-rate, momentum, batch-size, schedule
    #[arg(long, value_name = "WHAT,...", value_delimiter = ',', value_enum, help_heading = "What else")]
    pub(crate) optimize: Vec<Free>,
    /// Run SGD itself this often beside the prediction
    #[arg(long, value_name = "RUNS", value_parser = positive_count, help_heading = "What else")]
    pub(crate) monte_carlo: Option<u64>,
    /// Seed of these runs
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "What else")]
    pub(crate) seed: u64,
    /// Relative error that is allowed where the spectrum is too large to step every mode
    #[arg(long, value_name = "SHARE", default_value_t = 1e-3, value_parser = accuracy, help_heading = "What else")]
    pub(crate) accuracy: f64,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t, help_heading = "What else")]
    pub(crate) format: PredictFormat,
    /// Draw the curve into a file
    #[arg(long, value_name = "FILE.svg", help_heading = "What else")]
    pub(crate) plot: Option<PathBuf>,
}

/// How a prediction is printed: `text` for people, `json` for programs, `csv` for tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum PredictFormat {
    #[default]
    Text,
    Json,
    Csv,
}

/// What a search may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Free {
    LearningRate,
    Momentum,
    BatchSize,
    Schedule,
}

/// An average with the name it was asked by.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NamedAverage {
    pub(crate) name: String,
    pub(crate) average: Average,
}

fn number(text: &str, expected: &str, accepted: impl Fn(f64) -> bool) -> Result<f64, String> {
    text.trim().parse().ok().filter(|value| accepted(*value)).ok_or_else(|| format!("expected {expected}"))
}

fn learning_rate(text: &str) -> Result<f64, String> {
    number(text, "a finite learning rate above 0", |rate| rate.is_finite() && rate > 0.0)
}

fn momentum(text: &str) -> Result<f64, String> {
    number(text, "a momentum above -1 and below 1: at 1 nothing ever slows down", |momentum| momentum.abs() < 1.0)
}

fn label_noise(text: &str) -> Result<f64, String> {
    number(text, "a finite variance of at least 0", |variance| variance.is_finite() && variance >= 0.0)
}

fn accuracy(text: &str) -> Result<f64, String> {
    number(text, "a share above 1e-12 and below 1", |share| share > 1e-12 && share < 1.0)
}

/// A whole number, also written like 1e7.
fn count(text: &str) -> Result<u64, String> {
    let whole = |value: &f64| (0.0..=1e15).contains(value) && value.fract() == 0.0;
    let scientific = || text.trim().parse::<f64>().ok().filter(whole).map(|value| value as u64);
    let found = text.trim().parse().ok().filter(|value| *value <= 1_000_000_000_000_000).or_else(scientific);
    found.ok_or_else(|| "expected a whole number of at most 1e15".to_owned())
}

fn positive_count(text: &str) -> Result<u64, String> {
    let found = count(text).ok().filter(|value| *value > 0);
    found.ok_or_else(|| "expected a whole number from 1 to 1e15".to_owned())
}

pub(super) fn average(text: &str) -> Result<NamedAverage, String> {
    let form = "expected ema:DECAY, tail:FIRST-STEP, window:STEPS, two-point:GAP or power:EXPONENT";
    let (kind, value) = text.trim().split_once(':').ok_or(form)?;
    let average = match kind {
        "ema" => {
            let decay = number(value, "a decay of at least 0 and below 1, like ema:0.99", |d| (0.0..1.0).contains(&d))?;
            Average::Ema { rate: 1.0 - decay }
        }
        "tail" => Average::Tail { from: count(value)? },
        "window" => Average::Window { length: positive_count(value)? },
        "two-point" => Average::TwoPoint { gap: positive_count(value)? },
        "power" => {
            let expected = "a finite exponent of at least 0, like power:3";
            Average::PowerFunction { exponent: number(value, expected, |e| e.is_finite() && e >= 0.0)? }
        }
        _ => return Err(form.to_owned()),
    };
    Ok(NamedAverage { name: text.trim().to_owned(), average })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_may_have_an_exponent() {
        assert_eq!((count("1e7"), count("0"), count(" 12 ")), (Ok(10_000_000), Ok(0), Ok(12)));
        for bad in ["-1", "1.5", "1e16", "99999999999999999999", "NaN", "inf", "", "x"] {
            assert!(count(bad).is_err(), "{bad}");
        }
        assert!(positive_count("0").is_err());
    }

    #[test]
    fn averages_are_read_with_their_parameter() {
        assert_eq!(average("window:5").unwrap().average, Average::Window { length: 5 });
        assert_eq!(average("ema:0.75").unwrap().average, Average::Ema { rate: 0.25 });
        for bad in ["ema", "ema:1", "ema:x", "window:0", "two-point:-1", "mean:3"] {
            assert!(average(bad).is_err(), "{bad}");
        }
    }
}
