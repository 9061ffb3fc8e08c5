//! What is asked: flags and files turned into a problem, settings and times, with everything that is wrong found first.

use std::path::Path;

use anyhow::anyhow;
use stepscope::models::describe;
use stepscope::predict::{
    InWords, ModeTable, PredictAdvice, ScheduleWords, SettingsPlan, SourceError, TangentError, parse_power_law,
    parse_tail, read_features, read_settings, read_spectrum, read_spectrum_pair, tangent_problem,
};
use stepscope::theory::{Closure, KernelData, PowerLaw, Problem, Sampling, Schedule, Sgd};
use stepscope::types::BatchSize;
use stepscope::types::schedule::ScheduleSpec;
use stepscope_report::number::{count, significant};

use crate::args::{PredictArguments, PredictFormat};
use crate::commands::predict::refused;
use crate::commands::read_spec;
use crate::execute::load;
use crate::failure::Failure;
use crate::progress::Busy;

/// Steps where nothing was said about them.
const DEFAULT_STEPS: u64 = 1000;
/// Most steps of a curve that is printed whole.
const LONGEST_PRINTED: u64 = 10_000_000;
/// Power laws up to this many modes are listed mode by mode; beyond, bins with exact sums stand for the tail.
const MOST_LISTED: f64 = 2e6;
/// Bins per decade of larger ones.
const LAW_RESOLUTION: u32 = 512;
/// Most single modes that lines of higher multiplicity are written out into, for runs of SGD itself.
const MOST_EXPANDED: f64 = 20_000.0;

/// A question that can be answered.
pub(super) struct Question {
    pub(super) problem: Problem,
    /// The spectrum in words.
    pub(super) source: String,
    pub(super) plan: SettingsPlan,
    pub(super) batch_size: Option<u64>,
    pub(super) steps: u64,
    /// The times of `--at`; none where the whole curve is wanted.
    pub(super) asked: Vec<u64>,
    /// Where the spectrum ends.
    pub(super) smallest_eigenvalue: Option<f64>,
    /// What reading has to say.
    pub(super) notes: Vec<String>,
}

/// A source of modes, before anything is known of batches.
struct Source {
    problem: Problem,
    words: String,
    smallest_eigenvalue: Option<f64>,
    notes: Vec<String>,
}

impl Question {
    pub(super) fn read(arguments: &PredictArguments) -> Result<Self, Failure> {
        let (steps, asked) = horizon(arguments)?;
        let closure = arguments.tau.as_deref().map(tau).transpose()?;
        let Source { mut problem, words, smallest_eigenvalue, mut notes } = Source::read(arguments, closure, steps)?;
        problem.sampling = match (arguments.examples, &problem.data) {
            (Some(num_examples), _) => Sampling::Finite { num_examples },
            (None, Some(data)) if !arguments.stream => Sampling::Finite { num_examples: data.num_examples() as u64 },
            _ => Sampling::Stream,
        };
        let label_noise = problem.model.label_noise() + arguments.label_noise;
        problem.model = problem.model.with_label_noise(label_noise).map_err(refused)?;
        let noise_factor = match arguments.batch_size {
            Some(batch) => noise_factor(problem.sampling, batch)?,
            None => 0.0,
        };
        let sgd = Sgd::from_numbers(arguments.learning_rate, arguments.momentum, noise_factor).map_err(refused)?;
        let plan = plan(arguments, sgd, problem.sampling, steps)?;
        if plan.strongest().noise_factor == 0.0 && arguments.batch_size.is_none() {
            notes.push(PredictAdvice::FullBatch.to_string());
        }
        if plan.constant().is_none() {
            let learning_rate = plan.strongest().learning_rate;
            notes.push(PredictAdvice::JudgedByPeak { learning_rate }.to_string());
        }
        let batch_size = arguments.batch_size;
        Ok(Self { problem, source: words, plan, batch_size, steps, asked, smallest_eigenvalue, notes })
    }

    /// The settings in words, on one line.
    pub(super) fn settings(&self) -> String {
        let sgd = self.plan.strongest();
        let rate = match &self.plan {
            SettingsPlan::Constant(_) => format!("learning rate {}", sgd.learning_rate),
            SettingsPlan::Shaped { shape, .. } => format!(
                "learning rate up to {} (warm-up {}, anneal {} of the run)",
                sgd.learning_rate, shape.warmup_fraction, shape.anneal_fraction
            ),
            SettingsPlan::Scheduled(settings) => match &settings.learning_rate {
                Some(InWords { spec, .. }) => format!("learning rate up to {}, {spec}", sgd.learning_rate),
                None => format!("learning rate {}", sgd.learning_rate),
            },
            SettingsPlan::Pieces(pieces) => {
                format!("learning rate up to {} ({} settings listed)", sgd.learning_rate, count(pieces.len() as u64))
            }
        };
        let (momentum, size) = match &self.plan {
            SettingsPlan::Scheduled(settings) => (settings.momentum.as_ref(), settings.batch_size.as_ref()),
            _ => (None, None),
        };
        let momentum = match momentum {
            Some(InWords { spec, .. }) => format!("momentum up to {}, {spec}", sgd.momentum),
            None => format!("momentum {}", sgd.momentum),
        };
        let follows = size.map_or(String::new(), |(InWords { spec, .. }, _)| format!(", {spec}"));
        let batch = match (self.batch_size, self.problem.sampling) {
            (None, _) => "full batch".to_owned(),
            (Some(batch), Sampling::Stream) => format!("batch size {} from a stream", count(batch)),
            (Some(batch), Sampling::Finite { num_examples }) => {
                format!("batch size {} of {} examples", count(batch), count(num_examples))
            }
        };
        let closure = self.problem.model.closure();
        let short = |number: f64| (number * 1e4).round() / 1e4;
        let noise = match self.problem.model.label_noise() {
            0.0 => String::new(),
            variance => format!(", label noise {}", significant(variance)),
        };
        let tau = format!("tau ({}, {})", short(closure.tau1()), short(closure.tau2()));
        format!("{rate}, {momentum}, {batch}{follows}, {tau}{noise}, {} steps", count(self.steps))
    }
}

/// Steps and asked times.
fn horizon(arguments: &PredictArguments) -> Result<(u64, Vec<u64>), Failure> {
    let last = arguments.at.iter().copied().max();
    let steps = arguments.steps.or(last.map(|last| last.max(1))).unwrap_or(DEFAULT_STEPS);
    if let Some(last) = last.filter(|&last| last > steps) {
        return Err(Failure::bad_input(anyhow!("--at {last}: lies behind the last of {steps} steps: raise --steps")));
    }
    let is_whole = arguments.at.is_empty() && arguments.format != PredictFormat::Text;
    if is_whole && steps > LONGEST_PRINTED {
        return Err(Failure::bad_input(anyhow!(
            "--steps {steps}: a whole curve is printed up to {LONGEST_PRINTED} steps: ask for single times with --at"
        )));
    }
    Ok((steps, arguments.at.clone()))
}

fn tau(text: &str) -> Result<Closure, Failure> {
    let pair = text.split_once(',').and_then(|(a, b)| Some((a.trim().parse().ok()?, b.trim().parse().ok()?)));
    let (tau1, tau2) =
        pair.ok_or_else(|| Failure::bad_input(anyhow!("--tau {text}: expected two numbers, like 1,1 or 1,-1")))?;
    Closure::new(tau1, tau2).map_err(|error| Failure::bad_input(anyhow::Error::new(error).context("--tau")))
}

fn noise_factor(sampling: Sampling, batch: u64) -> Result<f64, Failure> {
    let batch = BatchSize::new(batch).map_err(Failure::bad_input)?;
    sampling.noise_factor(batch).map_err(|error| Failure::bad_input(anyhow::Error::new(error).context("--batch-size")))
}

/// The schedule of a flag: words that a specification takes too, a shape where it has an `=`, else a file.
fn plan(arguments: &PredictArguments, sgd: Sgd, sampling: Sampling, steps: u64) -> Result<SettingsPlan, Failure> {
    let of_flags = "--schedule, --momentum-schedule, --batch-size-schedule";
    let read = |flag| move |error: SourceError| Failure::bad_input(anyhow::Error::new(error).context(flag));
    let PredictArguments { momentum_schedule, batch_size_schedule, batch_size, .. } = arguments;
    let in_words = |text: &&str| ScheduleSpec::is_meant_by(text) && text.trim() != "constant";
    let others = momentum_schedule.is_some() || batch_size_schedule.is_some();
    match arguments.schedule.as_deref() {
        Some(text) if others && !ScheduleSpec::is_meant_by(text) => Err(Failure::bad_input(anyhow!(
            "--schedule {text}: goes with --momentum-schedule and --batch-size-schedule only in the words of a specification; \
             a file has columns for all three"
        ))),
        text if others || text.as_ref().is_some_and(in_words) => {
            let epoch = match (sampling, batch_size) {
                (Sampling::Finite { num_examples }, Some(batch)) => Some(num_examples as f64 / *batch as f64),
                (Sampling::Finite { .. }, None) => Some(1.0),
                (Sampling::Stream, _) => None,
            };
            let size = batch_size_schedule.as_deref().zip(*batch_size);
            let size =
                size.map(|(text, base)| Ok::<_, Failure>((text, BatchSize::new(base).map_err(Failure::bad_input)?)));
            let words = ScheduleWords {
                learning_rate: text,
                momentum: momentum_schedule.as_deref(),
                batch_size: size.transpose()?,
            };
            SettingsPlan::scheduled(words, sgd, sampling, steps, epoch).map_err(read(of_flags))
        }
        None => Ok(SettingsPlan::Constant(sgd)),
        Some(text) if text.trim() == "constant" => Ok(SettingsPlan::Constant(sgd)),
        Some(text) if text.contains('=') => SettingsPlan::parse(text, sgd, steps).map_err(read("--schedule")),
        Some(path) => read_settings(path.as_ref(), sgd, sampling).map_err(read("--schedule")),
    }
}

impl Source {
    fn read(arguments: &PredictArguments, closure: Option<Closure>, steps: u64) -> Result<Self, Failure> {
        let given = closure.unwrap_or(Closure::INTERPOLATING);
        if let Some(path) = &arguments.tangent_kernel {
            return Self::of_tangents(path, closure);
        }
        match (&arguments.spectrum, &arguments.power_law, &arguments.features, &arguments.targets) {
            (Some(path), ..) => {
                let table = match &arguments.coefficients {
                    Some(coefficients) => read_spectrum_pair(path, coefficients),
                    None => read_spectrum(path),
                };
                let name = path.display().to_string();
                Self::of_table(table.map_err(Failure::bad_input)?, &name, arguments, given)
            }
            (_, Some(text), ..) => {
                let law = parse_power_law(text)
                    .map_err(|error| Failure::bad_input(anyhow::Error::new(error).context("--power-law")))?;
                let effective_rate = arguments.learning_rate / (1.0 - arguments.momentum);
                Self::of_law(law, given, 1e-6 / (effective_rate * steps as f64))
            }
            (.., Some(features), Some(targets)) => {
                let data = read_features(features, targets).map_err(Failure::bad_input)?;
                let words = format!("{} examples of {}", count(data.num_examples() as u64), features.display());
                Self::of_data(data, words, closure)
            }
            _ => Err(Failure::bad_input(anyhow!(
                "give --spectrum, --power-law, --tangent-kernel, or --features with --targets"
            ))),
        }
    }

    fn of_tangents(path: &Path, closure: Option<Closure>) -> Result<Self, Failure> {
        let text = read_spec(path)?;
        let spec = stepscope::spec::parse(&text, &path.display().to_string(), &[]).map_err(Failure::bad_input)?;
        let dataset = load(&spec)?;
        let busy = Busy::new("computing the tangent kernel");
        let data = tangent_problem(&spec, &dataset).map_err(|error| match error {
            TangentError::Theory(error) => refused(error),
            error => Failure::bad_input(anyhow::Error::new(error).context(path.display().to_string())),
        })?;
        drop(busy);
        let words = format!(
            "{} examples of {} through the tangents of {}",
            count(data.num_examples() as u64),
            dataset.name,
            describe(&spec.model, dataset.shape, dataset.num_outputs)
        );
        Self::of_data(data, words, closure)
    }

    fn of_table(
        mut table: ModeTable,
        name: &str,
        arguments: &PredictArguments,
        closure: Closure,
    ) -> Result<Self, Failure> {
        if arguments.monte_carlo.is_some() {
            table = table.expanded(MOST_EXPANDED);
        }
        let num_lines = count(table.num_lines() as u64);
        let in_file =
            |error| Failure::bad_input(anyhow::Error::new(error).context(format!("{name}: cannot be predicted")));
        if let Some(text) = &arguments.tail {
            let tail =
                parse_tail(text).map_err(|error| Failure::bad_input(anyhow::Error::new(error).context("--tail")))?;
            let (model, eigenvalue_exponent, target_exponent) = table.head_model(tail, closure).map_err(in_file)?;
            let advice = PredictAdvice::TailAssumed { eigenvalue_exponent, target_exponent };
            let words = format!("the {num_lines} modes of {name} and a tail up to {} modes", count(tail.num_modes));
            let problem = Problem::of_model(model);
            return Ok(Self { problem, words, smallest_eigenvalue: None, notes: vec![advice.to_string()] });
        }
        let smallest_eigenvalue = table.smallest_eigenvalue();
        let what = if table.multiplicities().is_some() { "lines" } else { "modes" };
        let (model, warnings) = table.model(closure).map_err(in_file)?;
        let notes = warnings.iter().map(ToString::to_string).collect();
        let words = format!("the {num_lines} {what} of {name}");
        Ok(Self { problem: Problem::of_model(model), words, smallest_eigenvalue, notes })
    }

    fn of_law(law: PowerLaw, closure: Closure, unmoved: f64) -> Result<Self, Failure> {
        let PowerLaw { eigenvalue_exponent, target_exponent, modes, .. } = law;
        let number = if modes.is_finite() { count(modes as u64) } else { "endless".to_owned() };
        let words = format!("a power law with nu = {eigenvalue_exponent}, kappa = {target_exponent}, {number} modes");
        let last = law.eigenvalue_scale * modes.powf(-eigenvalue_exponent);
        let problem = if modes <= MOST_LISTED {
            Problem::of_power_law(law, closure)
        } else {
            let model = law.binned_model(closure, LAW_RESOLUTION, unmoved.max(f64::MIN_POSITIVE));
            model.map(|model| Problem { power_law: Some(law), ..Problem::of_model(model) })
        };
        let problem = problem.map_err(|error| Failure::bad_input(anyhow::Error::new(error).context("--power-law")))?;
        Ok(Self { problem, words, smallest_eigenvalue: Some(last).filter(|last| *last > 0.0), notes: Vec::new() })
    }

    fn of_data(data: KernelData, words: String, closure: Option<Closure>) -> Result<Self, Failure> {
        let smallest_eigenvalue = data.eigenvalues().iter().copied().filter(|&value| value > 0.0).reduce(f64::min);
        let mut notes = Vec::new();
        let closure = match closure {
            Some(closure) => closure,
            None => {
                let fit = data.fit_closure();
                let closure = fit.closure().map_err(refused)?;
                let (tau1, tau2) = (closure.tau1(), closure.tau2());
                notes.push(PredictAdvice::ClosureFitted { tau1, tau2, fitted_tau2: fit.tau2 }.to_string());
                closure
            }
        };
        let problem = Problem::of_data(data, closure).map_err(refused)?;
        Ok(Self { problem, words, smallest_eigenvalue, notes })
    }
}
