//! Schedules: how learning rate, batch size or momentum go along a run, in words and in numbers.
//!
//! [`ScheduleSpec`] is what a specification says (`"cosine(to = 0.001, warmup = 5ep)"`); [`Schedule`] is what a run of a known
//! length makes of it: a number at every position. Both training and predictions use these.

mod clock;
mod curve;
mod resolve;
mod text;

pub use clock::RunClock;
pub use curve::{Curve, Function, Ramp, Schedule};
pub use resolve::{ScheduleError, Scheduled};
pub use text::ParseScheduleError;

use crate::TrainingDuration;

/// How a setting goes along a run: parts, one after the other.
///
/// Written `kind` or `kind(argument = value, ...)`, joined by ` then `. Every value is in the unit of the setting itself, and the
/// setting's own key (`optimizer.learning_rate`, `train.batch_size`, `optimizer.momentum`) is where a part starts unless `from` says
/// otherwise. Let t be the position in a part behind its warm-up, L what is left of the part, u = t/L:
///
/// | kind | arguments | value |
/// |---|---|---|
/// | `constant` | | from |
/// | `linear` | `to` (0) | from + (to − from)·u |
/// | `polynomial` | `to` (0), `power` (2) | to + (from − to)(1 − u)^power |
/// | `cosine` | `to` (0) | to + (from − to)(1 + cos πu)/2 |
/// | `exponential` | `to`, or `factor` and `every` | from·(to/from)^u, or from·factor^(t/every) |
/// | `step` | `every`, `factor` (0.1) | from·factor^⌊t/every⌋ |
/// | `one-cycle` | `from` (peak/25), `peak`, `to` (from/10⁴), `rise` (0.3 of L), `shape` (`cosine`, `linear`) | from up to peak over `rise`, down to `to` over the rest |
/// | `cyclic` | `to`, `every`, `shape` (`triangular`, `cosine`, `discrete`), `factor` (1) | from, to, from in every period; the swing shrinks by `factor` a period |
/// | `sgdr` | `every`, `to` (0), `grow` (1), `factor` (1) | a cosine from `from` to `to`, begun again after `every`, which grows by `grow` as the peak does by `factor` |
/// | `wsd` | `cooldown` (0.2dur), `to` (0), `shape` (`1-sqrt`, `linear`, `cosine`) | from, and down to `to` over the cooldown at the end; `trapezoid` is `wsd` with `shape = linear` |
/// | `inverse-sqrt` | `scale` (the warm-up) | from·√(scale/(scale + t)) |
/// | `piecewise` | `v, v at d, ...` | the value of the latest d that has come |
/// | `interpolated` | `v, v at d, ...` | a straight line from each to the next |
/// | `gauged` | `cooldown` (0.2dur), `to` (0), `least` (0.1dur) | from, until measured gains say that a cooldown pays (learning rate only) |
///
/// `warmup = d` puts a linear rise over d in front, from `warmup_from`, or such that its steps are 1/(d + 1), 2/(d + 1), ... of
/// `from` (from 0, where positions are epochs); `length = d` ends a part, the warm-up included, and the last one goes on to the end of the run. What comes after the end of a
/// part keeps its last value.
///
/// Conventions. The value at step t is the one that update t uses, t = 0, 1, ...: the first step has u = 0 and the last of L has
/// u = (L − 1)/L, as in optax (`cosine_decay_schedule`, `linear_schedule`, `polynomial_schedule`) and PyTorch (`CosineAnnealingLR`,
/// `LinearLR`, `PolynomialLR` with one scheduler step an update). `step` and `exponential` with a factor are `StepLR` and `ExponentialLR`
/// counted in updates. PyTorch's `OneCycleLR` reaches its peak and its end one update earlier; optax' `cosine_onecycle_schedule`
/// agrees. PyTorch's `CyclicLR` counts half periods. A warm-up whose first step is 0, as optax and transformers have it, is `warmup_from = 0`.
///
/// ```
/// use stepscope_types::schedule::{RunClock, ScheduleSpec, Scheduled};
/// let spec: ScheduleSpec = "wsd(warmup = 10st, cooldown = 0.2dur)".parse()?;
/// let clock = RunClock::steps(100, 50.0);
/// let schedule = spec.resolve(0.5, Scheduled::LearningRate, &clock)?;
/// assert_eq!(schedule.at(50.0), 0.5);
/// assert!(schedule.at(0.0) > 0.0 && schedule.at(99.0) < 0.05);
/// assert_eq!(spec.to_string(), "wsd(warmup = 10st)"); // defaults are left out
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleSpec {
    /// One after the other; at least one.
    pub parts: Vec<SchedulePart>,
}

/// A part of a schedule: [`ScheduleSpec`] has the table.
#[derive(Debug, Clone, PartialEq)]
pub struct SchedulePart {
    /// How it goes.
    pub kind: ScheduleKind,
    /// Where it starts, in place of the setting's own value.
    pub from: Option<f64>,
    /// A linear rise in front.
    pub warmup: Option<TrainingDuration>,
    /// Where the rise starts.
    pub warmup_from: Option<f64>,
    /// How long the part lasts, its warm-up included; until the end of the run where it is absent.
    pub length: Option<TrainingDuration>,
}

/// How a part of a schedule goes: [`ScheduleSpec`] has the table.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the arguments stand in the table of `ScheduleSpec`")]
pub enum ScheduleKind {
    Constant,
    Linear { to: f64 },
    Polynomial { to: f64, power: f64 },
    Cosine { to: f64 },
    Exponential { decay: ExponentialDecay },
    Step { every: TrainingDuration, factor: f64 },
    OneCycle { peak: Option<f64>, to: Option<f64>, rise: Option<TrainingDuration>, shape: Shape },
    Cyclic { to: f64, every: TrainingDuration, shape: Shape, factor: f64 },
    Sgdr { every: TrainingDuration, to: f64, grow: f64, factor: f64 },
    Wsd { cooldown: TrainingDuration, to: f64, shape: Shape },
    InverseSqrt { scale: Option<TrainingDuration> },
    Piecewise { first: f64, changes: Vec<(f64, TrainingDuration)> },
    Interpolated { first: f64, changes: Vec<(f64, TrainingDuration)> },
    Gauged(Gauged),
}

/// How far an exponential decay goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ExponentialDecay {
    /// To a value above 0 at the end of the part.
    To(f64),
    /// By a factor in each so many.
    Factor {
        /// Above 0.
        factor: f64,
        /// The time it takes.
        every: TrainingDuration,
    },
}

/// The form of a rise, a decay or a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Straight.
    Linear,
    /// Half a cosine: flat at both ends.
    Cosine,
    /// from + (to − from)·√u: fast at first, flat at the end (Hägele et al. 2024).
    OneMinusSqrt,
    /// Straight up and straight down (Smith 2015).
    Triangular,
    /// Half a period at one value, half at the other.
    Discrete,
}

/// A learning rate that is kept while it pays and cooled down when the measured gains say so.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gauged {
    /// Length of the cooldown, which always fits into the run.
    pub cooldown: TrainingDuration,
    /// Where it ends.
    pub to: f64,
    /// No decision before.
    pub least: TrainingDuration,
}

impl ScheduleSpec {
    /// Whether a text begins with the word of a kind: then it is a schedule, or a slip in one.
    pub fn is_meant_by(text: &str) -> bool {
        let word = text.trim_start().split(['(', ' ']).next().unwrap_or_default();
        text::is_kind(word)
    }

    /// Length and form of the cooldown at the end, where the last part has one.
    pub fn cooldown(&self) -> Option<(TrainingDuration, Shape)> {
        match &self.parts.last()?.kind {
            ScheduleKind::Wsd { cooldown, shape, .. } => Some((*cooldown, *shape)),
            ScheduleKind::Gauged(gauged) => Some((gauged.cooldown, Shape::OneMinusSqrt)),
            _ => None,
        }
    }

    /// The gauged part, where there is one.
    pub fn gauged(&self) -> Option<&Gauged> {
        self.parts.iter().find_map(|part| match &part.kind {
            ScheduleKind::Gauged(gauged) => Some(gauged),
            _ => None,
        })
    }
}

impl Shape {
    /// Every shape with its word.
    pub const ALL: [(Self, &str); 5] = [
        (Self::Linear, "linear"),
        (Self::Cosine, "cosine"),
        (Self::OneMinusSqrt, "1-sqrt"),
        (Self::Triangular, "triangular"),
        (Self::Discrete, "discrete"),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(shape, _)| *shape == self).map_or("", |(_, word)| word)
    }
}

#[cfg(test)]
mod tests;
