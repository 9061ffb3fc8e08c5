//! The settings of every update: constant, shaped over the run, or listed in a file.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use stepscope_theory::{Sampling, Schedule, ScheduleShape, Sgd};
use stepscope_types::schedule::{self, RunClock, ScheduleSpec, Scheduled};
use stepscope_types::{BatchSize, Momentum};

use super::csv_rows::cells;
use super::error::{Place, SourceError, shown};
use super::lines::Lines;
use super::literal::parse_assignments;

/// Most changes of settings in a file.
const MAX_PIECES: usize = 1_000_000;

const COLUMNS: &str = "a header with step, learning_rate and, where they change, momentum and batch_size";

/// Learning rate, momentum and noise factor of each update.
#[derive(Debug, Clone, PartialEq)]
pub enum SettingsPlan {
    /// The same at every step.
    Constant(Sgd),
    /// A learning rate with a warm-up and an anneal over `steps`; momentum and noise factor as in `sgd`.
    Shaped {
        /// Momentum and noise factor; its learning rate is that of the shape's peak.
        sgd: Sgd,
        /// The learning rate over the run.
        shape: ScheduleShape,
        /// Length of the run.
        steps: u64,
    },
    /// Schedules in words, the same that a specification takes.
    Scheduled(ScheduledSettings),
    /// Settings with the first step at which they hold, ascending, the first at step 0.
    Pieces(Vec<(u64, Sgd)>),
}

/// Settings of which some follow schedules in words, and the others stay.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduledSettings {
    /// What stays. Where something follows a schedule: its largest learning rate, its largest momentum, the noise of its smallest batch.
    pub strongest: Sgd,
    /// The learning rate of every step, with its words.
    pub learning_rate: Option<InWords>,
    /// The momentum of every step.
    pub momentum: Option<InWords>,
    /// The batch size of every step, and how batches are drawn.
    pub batch_size: Option<(InWords, Sampling)>,
}

/// A schedule with the words that it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct InWords {
    /// The words.
    pub spec: ScheduleSpec,
    /// Their numbers.
    pub schedule: schedule::Schedule,
}

/// The words for what follows a schedule.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScheduleWords<'a> {
    /// Of the learning rate.
    pub learning_rate: Option<&'a str>,
    /// Of the momentum.
    pub momentum: Option<&'a str>,
    /// Of the batch size, with the size it starts from where the words do not say.
    pub batch_size: Option<(&'a str, BatchSize)>,
}

impl InWords {
    fn read(text: &str, base: f64, of: Scheduled, clock: &RunClock) -> Result<Self, SourceError> {
        let refuse = |reason: String| SourceError::literal(text, "a schedule", reason);
        let spec: ScheduleSpec =
            text.parse().map_err(|error: schedule::ParseScheduleError| refuse(error.to_string()))?;
        if spec.gauged().is_some() {
            return Err(refuse("a gauged schedule follows what a run measures: predict wsd in its place".to_owned()));
        }
        let schedule = spec.resolve(base, of, clock).map_err(|error| refuse(error.to_string()))?;
        Ok(Self { spec, schedule })
    }
}

impl ScheduledSettings {
    fn at(&self, step: u64) -> Sgd {
        let value = |words: &InWords| words.schedule.at(step as f64);
        let noise = |(words, sampling): &(InWords, Sampling)| noise_factor(*sampling, value(words));
        let strongest = self.strongest;
        Sgd {
            learning_rate: self.learning_rate.as_ref().map_or(strongest.learning_rate, value),
            momentum: self.momentum.as_ref().map_or(strongest.momentum, value),
            // Its smallest and its largest size were accepted when it was read.
            noise_factor: self.batch_size.as_ref().and_then(|size| noise(size).ok()).unwrap_or(strongest.noise_factor),
        }
    }
}

/// γ of batches of a scheduled size, which is rounded to whole examples as a run rounds it.
fn noise_factor(sampling: Sampling, size: f64) -> Result<f64, String> {
    let batch = BatchSize::new(size.round().max(1.0) as u64).map_err(|error| error.to_string())?;
    sampling.noise_factor(batch).map_err(|error| error.to_string())
}

impl SettingsPlan {
    /// Reads `warmup=0.4,warmup-power=2,anneal=0.2,anneal-power=1` (fractions of the run; powers are 1 unless given) around
    /// the learning rate of `sgd` as peak; `constant` is none.
    ///
    /// # Errors
    /// [`SourceError::Literal`] for anything else, fractions outside 0..=1 and powers that are not above 0.
    pub fn parse(text: &str, sgd: Sgd, steps: u64) -> Result<Self, SourceError> {
        if text.trim() == "constant" {
            return Ok(Self::Constant(sgd));
        }
        let found = parse_assignments(text, &["warmup", "warmup-power", "anneal", "anneal-power"])?;
        let value = |name: &str| found.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        for (name, value) in &found {
            let is_power = name.ends_with("power");
            let accepted = if is_power { value.is_finite() && *value > 0.0 } else { (0.0..=1.0).contains(value) };
            if !accepted {
                let expected = if is_power { "a power above 0" } else { "a fraction of the run between 0 and 1" };
                return Err(SourceError::literal(&format!("{name}={value}"), expected, "warmup=0.4,anneal=0.2 is one"));
            }
        }
        let shape = ScheduleShape {
            peak: sgd.learning_rate,
            warmup_fraction: value("warmup").unwrap_or(0.0),
            warmup_power: value("warmup-power").unwrap_or(1.0),
            anneal_fraction: value("anneal").unwrap_or(0.0),
            anneal_power: value("anneal-power").unwrap_or(1.0),
        };
        Ok(Self::Shaped { sgd, shape, steps })
    }

    /// Settings along the words of [`ScheduleSpec`], which start at those of `sgd`, over `steps`; `steps_per_epoch` is the length of an
    /// epoch, where there is one: not where the batch size changes.
    ///
    /// # Errors
    /// [`SourceError::Literal`] for a text that is no schedule, one that does not fit, a batch larger than the examples, and a gauged
    /// schedule, which only a run can follow.
    pub fn scheduled(
        words: ScheduleWords<'_>,
        sgd: Sgd,
        sampling: Sampling,
        steps: u64,
        steps_per_epoch: Option<f64>,
    ) -> Result<Self, SourceError> {
        let steps_per_epoch = steps_per_epoch.filter(|_| words.batch_size.is_none());
        let clock = RunClock::Steps { num_steps: steps, steps_per_epoch };
        let read = |text: &str, base, of| InWords::read(text, base, of, &clock);
        let bounds = |words: &InWords| words.schedule.bounds(steps as f64);
        let mut strongest = sgd;
        let rate =
            words.learning_rate.map(|text| read(text, sgd.learning_rate, Scheduled::LearningRate)).transpose()?;
        if let Some(rate) = &rate {
            strongest.learning_rate = bounds(rate).1;
        }
        let momentum = words.momentum.map(|text| read(text, sgd.momentum, Scheduled::Momentum)).transpose()?;
        if let Some(momentum) = &momentum {
            strongest.momentum = bounds(momentum).1;
        }
        let size = words.batch_size.map(|(text, base)| read(text, base.get() as f64, Scheduled::BatchSize));
        let size = size.transpose()?;
        if let (Some(size), Some((text, _))) = (&size, words.batch_size) {
            let (smallest, largest) = bounds(size);
            let noise =
                |size| noise_factor(sampling, size).map_err(|error| SourceError::literal(text, "a schedule", error));
            noise(largest)?;
            strongest.noise_factor = noise(smallest)?;
        }
        let batch_size = size.map(|size| (size, sampling));
        Ok(Self::Scheduled(ScheduledSettings { strongest, learning_rate: rate, momentum, batch_size }))
    }

    /// The settings by which the run is judged: those of the largest effective learning rate.
    pub fn strongest(&self) -> Sgd {
        let stronger = |a: &Sgd, b: &Sgd| a.effective_learning_rate().total_cmp(&b.effective_learning_rate());
        match self {
            Self::Constant(sgd) | Self::Shaped { sgd, .. } => *sgd,
            Self::Scheduled(settings) => settings.strongest,
            Self::Pieces(pieces) => {
                let standing = Sgd { learning_rate: 0.0, momentum: 0.0, noise_factor: 0.0 };
                pieces.iter().map(|(_, sgd)| *sgd).max_by(stronger).unwrap_or(standing)
            }
        }
    }
}

impl Schedule for SettingsPlan {
    fn settings(&self, step: u64) -> Sgd {
        match self {
            Self::Constant(sgd) => *sgd,
            // Behind its end a shape has no value; what is asked there is never run.
            Self::Shaped { sgd, shape, steps } => {
                sgd.with_learning_rate(shape.learning_rate(step.min(steps.saturating_sub(1)), *steps))
            }
            Self::Scheduled(settings) => settings.at(step),
            Self::Pieces(pieces) => {
                let behind = pieces.partition_point(|(from, _)| *from <= step);
                pieces.get(behind.saturating_sub(1)).map_or(self.strongest(), |(_, sgd)| *sgd)
            }
        }
    }

    fn constant(&self) -> Option<Sgd> {
        match self {
            Self::Constant(sgd) => Some(*sgd),
            Self::Shaped { .. } | Self::Scheduled(_) | Self::Pieces(_) => None,
        }
    }
}

/// Reads settings from CSV: a line holds from its step on until the next. What has no column is as in `sgd`.
///
/// # Errors
/// [`SourceError`] with file, line and column: no header, steps that do not rise from 0, numbers out of range.
pub fn read_settings(path: &Path, sgd: Sgd, sampling: Sampling) -> Result<SettingsPlan, SourceError> {
    let file = File::open(path).map_err(SourceError::read(path))?;
    let mut lines = Lines::new(path, BufReader::new(file));
    let mut columns: Option<Vec<Setting>> = None;
    let mut pieces: Vec<(u64, Sgd)> = Vec::new();
    while let Some((place, line)) = lines.next_line()? {
        let Some(known) = &columns else {
            columns = Some(header(place, line)?);
            continue;
        };
        let (step, settings) = piece(place, line, known, sgd, sampling)?;
        let expected = if pieces.is_empty() { "step 0 first" } else { "a later step than on the line before" };
        let in_order = pieces.last().map_or(step == 0, |(earlier, _)| step > *earlier);
        if !in_order {
            return Err(place.error(format!("step {step}"), expected, "list the steps in order, from 0"));
        }
        if pieces.len() == MAX_PIECES {
            return Err(place.error(format!("more than {MAX_PIECES} lines"), "at most that many", "list changes only"));
        }
        pieces.push((step, settings));
    }
    if pieces.is_empty() {
        return Err(SourceError::file(path, "no settings", COLUMNS, "write step,learning_rate and then 0,0.1"));
    }
    Ok(SettingsPlan::Pieces(pieces))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Setting {
    Step,
    LearningRate,
    Momentum,
    BatchSize,
}

fn header(place: Place<'_>, line: &str) -> Result<Vec<Setting>, SourceError> {
    let mut columns = Vec::new();
    for (start, cell) in cells(line) {
        let setting = match cell {
            "step" => Setting::Step,
            "learning_rate" => Setting::LearningRate,
            "momentum" => Setting::Momentum,
            "batch_size" => Setting::BatchSize,
            _ => return Err(place.at_column(start).error(shown(cell), COLUMNS, "rename or remove the column")),
        };
        if columns.contains(&setting) {
            return Err(place.at_column(start).error(
                format!("a second column {cell}"),
                COLUMNS,
                "remove one of the two",
            ));
        }
        columns.push(setting);
    }
    if columns.contains(&Setting::Step) && columns.contains(&Setting::LearningRate) {
        Ok(columns)
    } else {
        Err(place.error(shown(line.trim()), COLUMNS, "write step,learning_rate on the first line"))
    }
}

fn piece(
    place: Place<'_>,
    line: &str,
    columns: &[Setting],
    mut sgd: Sgd,
    sampling: Sampling,
) -> Result<(u64, Sgd), SourceError> {
    if cells(line).count() != columns.len() {
        let got = format!("{} of {} columns", cells(line).count(), columns.len());
        return Err(place.error(got, "as many on every line", "complete the line, or remove it"));
    }
    let mut from = 0;
    for ((start, cell), setting) in cells(line).zip(columns) {
        let here = place.at_column(start);
        let refuse = |expected| here.error(shown(cell), expected, "mend the number");
        let number = || cell.parse::<f64>().ok();
        match setting {
            Setting::Step => from = cell.parse().map_err(|_| refuse("a step, a whole number from 0"))?,
            Setting::LearningRate => {
                sgd.learning_rate = number()
                    .filter(|rate| rate.is_finite() && *rate >= 0.0)
                    .ok_or_else(|| refuse("a finite learning rate of at least 0"))?;
            }
            Setting::Momentum => {
                sgd.momentum = number()
                    .and_then(|momentum| Momentum::new(momentum).ok())
                    .ok_or_else(|| refuse("a momentum between -1 and 1, both excluded"))?
                    .get();
            }
            Setting::BatchSize => {
                let batch = cell.parse().ok().and_then(|batch| BatchSize::new(batch).ok());
                let batch = batch.ok_or_else(|| refuse("a batch size, a whole number from 1"))?;
                sgd.noise_factor = sampling
                    .noise_factor(batch)
                    .map_err(|error| here.error(shown(cell), "a batch within the examples", error.to_string()))?;
            }
        }
    }
    Ok((from, sgd))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sgd() -> Sgd {
        Sgd::from_numbers(0.5, 0.25, 0.125).unwrap()
    }

    fn read(text: &str) -> Result<SettingsPlan, SourceError> {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("s.csv");
        std::fs::write(&path, text).unwrap();
        read_settings(&path, sgd(), Sampling::Finite { num_examples: 100 })
    }

    #[test]
    fn listed_settings_hold_until_the_next_line_and_keep_what_has_no_column() {
        let plan = read("batch_size,step,learning_rate\n4,0,0.1\n8,10,0.05\n").unwrap();
        let at = |step| plan.settings(step);
        assert_eq!(
            (at(0).learning_rate, at(9).learning_rate, at(10).learning_rate, at(99).learning_rate),
            (0.1, 0.1, 0.05, 0.05)
        );
        assert_eq!(at(0).momentum, 0.25);
        assert_eq!(at(0).noise_factor, (100.0 - 4.0) / (99.0 * 4.0));
        assert_eq!(plan.strongest(), at(0));
        assert_eq!(plan.constant(), None);
    }

    #[test]
    fn lists_with_mistakes_are_refused_by_line_and_column() {
        for (text, words) in [
            ("", "no settings"),
            ("0,0.1\n", "s.csv:1:1"),
            ("step,rate\n0,0.1\n", "s.csv:1:6"),
            ("step,momentum\n0,0.1\n", "step,learning_rate"),
            ("step,learning_rate\n5,0.1\n", "step 0 first"),
            ("step,learning_rate\n0,0.1\n0,0.2\n", "s.csv:3:1"),
            ("step,learning_rate\n0,-0.1\n", "s.csv:2:3"),
            ("step,learning_rate,momentum\n0,0.1,1\n", "s.csv:2:7"),
            ("step,learning_rate,batch_size\n0,0.1,101\n", "larger than the 100 examples"),
            ("step,learning_rate\n0\n", "1 of 2 columns"),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains(words), "{text:?}: {message}");
        }
    }

    #[test]
    fn a_schedule_in_words_is_that_of_a_run() {
        let read = |text, epoch| {
            let words = ScheduleWords { learning_rate: Some(text), ..ScheduleWords::default() };
            SettingsPlan::scheduled(words, sgd(), Sampling::Stream, 100, epoch)
        };
        let plan = read("wsd(warmup = 1ep, shape = linear)", Some(10.0)).unwrap();
        let rate = |step| plan.settings(step).learning_rate;
        assert_eq!((rate(10), rate(80), rate(90), rate(100)), (0.5, 0.5, 0.25, 0.0));
        assert_eq!((plan.strongest(), plan.constant()), (sgd(), None));
        for (bad, words) in [
            ("wsd(shape = round)", "expected one of 1-sqrt, linear, cosine"),
            ("wsd(warmup = 99st)", "the cooldown takes 20 steps and there are 1"),
            ("gauged", "predict wsd"),
        ] {
            let message = read(bad, None).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn momentum_and_batch_size_follow_schedules_of_their_own() {
        let sampling = Sampling::Finite { num_examples: 100 };
        let read = |momentum, sizes| {
            let batch_size = Some((sizes, BatchSize::new(10).unwrap()));
            let words = ScheduleWords { learning_rate: None, momentum: Some(momentum), batch_size };
            SettingsPlan::scheduled(words, sgd(), sampling, 100, Some(10.0))
        };
        let plan = read("piecewise(0.9, 0.5 at 50st)", "step(every = 50st, factor = 4)").unwrap();
        let (early, late) = (plan.settings(49), plan.settings(50));
        assert_eq!((early.learning_rate, early.momentum, late.momentum), (0.5, 0.9, 0.5));
        let noise = |batch: f64| (100.0 - batch) / (99.0 * batch);
        assert_eq!((early.noise_factor, late.noise_factor), (noise(10.0), noise(40.0)));
        let strongest = plan.strongest();
        assert_eq!((strongest.momentum, strongest.noise_factor, plan.constant()), (0.9, noise(10.0), None));
        for (momentum, sizes, words) in [
            ("linear(to = 1)", "constant", "a momentum above -1 and below 1"),
            ("constant", "linear(to = 200)", "larger than the 100 examples"),
            ("constant", "wsd(cooldown = 1ep)", "the batch size changes"),
        ] {
            let message = read(momentum, sizes).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn shapes_rise_to_their_peak_and_fall_from_it() {
        let plan = SettingsPlan::parse("warmup=0.5,anneal=0.25,anneal-power=2", sgd(), 100).unwrap();
        let rate = |step| plan.settings(step).learning_rate;
        assert!((rate(0) - 0.5 * 0.005 / 0.5).abs() < 1e-15);
        assert_eq!(rate(60), 0.5);
        assert!((rate(99) - 0.5 * (0.005_f64 / 0.25).powi(2)).abs() < 1e-15);
        assert_eq!(rate(1000), rate(99));
        assert_eq!(SettingsPlan::parse("constant", sgd(), 100).unwrap(), SettingsPlan::Constant(sgd()));
        for bad in ["warmup=1.5", "anneal-power=0", "cooldown=1", "warmup"] {
            assert!(SettingsPlan::parse(bad, sgd(), 100).is_err(), "{bad}");
        }
    }
}
