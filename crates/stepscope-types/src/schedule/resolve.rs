//! From the words of a schedule to its numbers.

use thiserror::Error;

use super::curve::{Curve, Ramp, Schedule};
use super::{ExponentialDecay, RunClock, ScheduleKind, SchedulePart, ScheduleSpec};
use crate::TrainingDuration;

/// What a schedule is of: that says which values mean something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheduled {
    /// At least 0, also above 1.
    LearningRate,
    /// Rounded to whole examples, at least 1.
    BatchSize,
    /// Between −1 and 1, both excluded.
    Momentum,
}

/// A schedule that does not fit the run, or whose values mean nothing.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ScheduleError {
    /// A length in a unit that this run does not have.
    #[error(
        "\"{got}\" has no length here: this run is counted in {unit}, and an epoch has no fixed number of steps (the batch size changes, or the number of examples is not known); give it in {unit} or as a fraction of the run (\"0.5dur\")"
    )]
    Length {
        /// The length.
        got: TrainingDuration,
        /// What the run is counted in.
        unit: &'static str,
    },
    /// A part that needs more than there is.
    #[error("{what} takes {got} {unit} and there are {room}: shorten it or lengthen {of}")]
    TooLong {
        /// Which length.
        what: &'static str,
        /// How long it is.
        got: f64,
        /// How long it may be.
        room: f64,
        /// What the run is counted in.
        unit: &'static str,
        /// What would have to be longer.
        of: &'static str,
    },
    /// Changes that are not in order.
    #[error(
        "a change at {got} {unit} comes after one at {before}: list changes in the order in which they happen, above 0"
    )]
    Order {
        /// Position of a change.
        got: f64,
        /// Position of the one before.
        before: f64,
        /// What the run is counted in.
        unit: &'static str,
    },
    /// A value that the setting cannot have.
    #[error("reaches {got}, expected {expected}: change from, to or factor")]
    Value {
        /// The value.
        got: f64,
        /// What the setting may be.
        expected: &'static str,
    },
    /// A word that only a learning rate has.
    #[error("\"gauged\" is for schedule.learning_rate alone, by itself: its decisions are about the learning rate")]
    Gauged,
}

impl Scheduled {
    /// The values that it may have, and how they are described.
    pub fn range(self) -> (impl Fn(f64) -> bool, &'static str) {
        let accepts = move |value: f64| match self {
            Self::LearningRate => value >= 0.0 && value.is_finite(),
            Self::BatchSize => (0.5..1e15).contains(&value),
            Self::Momentum => value.abs() < 1.0,
        };
        let words = match self {
            Self::LearningRate => "a finite learning rate of at least 0",
            Self::BatchSize => "a batch size of at least 1",
            Self::Momentum => "a momentum above -1 and below 1",
        };
        (accepts, words)
    }
}

impl ScheduleSpec {
    /// The numbers of the schedule for a run of `clock`, where the setting's own value is `base`.
    ///
    /// A gauged schedule is the constant that it starts with: its end depends on what is measured.
    ///
    /// # Errors
    /// [`ScheduleError`] where lengths do not fit, or values leave the range of what is scheduled.
    pub fn resolve(&self, base: f64, of: Scheduled, clock: &RunClock) -> Result<Schedule, ScheduleError> {
        let lone_rate = of == Scheduled::LearningRate && self.parts.len() == 1;
        if self.gauged().is_some() && !lone_rate {
            return Err(ScheduleError::Gauged);
        }
        let mut segments = Vec::new();
        let mut start = 0.0;
        for part in &self.parts {
            start = part.append(&mut segments, start, base, clock)?;
        }
        let schedule = Schedule::of_segments(segments);
        let (low, high) = schedule.bounds(clock.end());
        let (accepts, expected) = of.range();
        match [low, high].into_iter().find(|&value| !accepts(value)) {
            Some(got) => Err(ScheduleError::Value { got, expected }),
            None => Ok(schedule),
        }
    }
}

impl SchedulePart {
    /// Adds the part's curves from `start` on; returns where it ends.
    fn append(
        &self,
        segments: &mut Vec<(f64, Curve)>,
        start: f64,
        base: f64,
        clock: &RunClock,
    ) -> Result<f64, ScheduleError> {
        let unit = clock.unit();
        let left = clock.end() - start;
        let fits = |what, got: f64, room: f64, of| {
            if got <= room { Ok(got) } else { Err(ScheduleError::TooLong { what, got, room, unit, of }) }
        };
        let length = self.length.map(|length| clock.length(length)).transpose()?.unwrap_or(left);
        if left <= 0.0 {
            return Err(ScheduleError::TooLong {
                what: "what comes before the last part",
                got: start,
                room: clock.end(),
                unit,
                of: "the run",
            });
        }
        let warmup = self.warmup.map(|warmup| clock.length(warmup)).transpose()?.unwrap_or(0.0);
        fits("the warm-up", warmup, length, "the run or the part")?;
        let from = self.from.unwrap_or(base);
        if warmup > 0.0 {
            // Where positions are steps, such that no step is lost on a value of 0.
            let first = if matches!(clock, RunClock::Steps { .. }) { from / (warmup + 1.0) } else { 0.0 };
            let begin = self.warmup_from.unwrap_or(first);
            segments.push((start, Curve::Ramp { from: begin, to: from, length: warmup, ramp: Ramp::Linear }));
        }
        let (begin, left) = (start + warmup, length - warmup);
        if left > 0.0 {
            self.curves(begin, left, base, warmup, clock)?.into_iter().for_each(|segment| segments.push(segment));
        }
        Ok(start + length)
    }

    /// The curves behind the warm-up, which has the given length, from `begin` on over `left`.
    fn curves(
        &self,
        begin: f64,
        left: f64,
        base: f64,
        warmup: f64,
        clock: &RunClock,
    ) -> Result<Vec<(f64, Curve)>, ScheduleError> {
        let from = self.from.unwrap_or(base);
        let length = |duration| clock.length(duration);
        let ramp = |to, ramp| Curve::Ramp { from, to, length: left, ramp };
        let curve = match &self.kind {
            ScheduleKind::Constant | ScheduleKind::Gauged(_) => Curve::Constant(from),
            ScheduleKind::Linear { to } => ramp(*to, Ramp::Linear),
            ScheduleKind::Polynomial { to, power } => ramp(*to, Ramp::Power(*power)),
            ScheduleKind::Cosine { to } => ramp(*to, Ramp::Cosine),
            ScheduleKind::Exponential { decay: ExponentialDecay::To(to) } => ramp(*to, Ramp::Geometric),
            ScheduleKind::Exponential { decay: ExponentialDecay::Factor { factor, every } } => {
                Curve::Decay { from, factor: *factor, every: length(*every)?, staircase: false }
            }
            ScheduleKind::Step { every, factor } => {
                Curve::Decay { from, factor: *factor, every: length(*every)?, staircase: true }
            }
            ScheduleKind::Cyclic { to, every, shape, factor } => {
                Curve::Cyclic { from, to: *to, every: length(*every)?, shape: *shape, factor: *factor }
            }
            ScheduleKind::Sgdr { every, to, grow, factor } => {
                Curve::Restarts { from, to: *to, every: length(*every)?, grow: *grow, factor: *factor }
            }
            ScheduleKind::InverseSqrt { scale } => {
                // A text without either is refused when it is read.
                let scale = scale.map(length).transpose()?.unwrap_or(warmup.max(1.0));
                Curve::InverseSqrt { from, scale }
            }
            ScheduleKind::Piecewise { first, changes } => pieces(*first, changes, false, clock)?,
            ScheduleKind::Interpolated { first, changes } => pieces(*first, changes, true, clock)?,
            ScheduleKind::OneCycle { peak, to, rise, shape } => {
                let peak = peak.unwrap_or(base);
                let from = self.from.unwrap_or(peak / 25.0);
                let to = to.unwrap_or(from / 1e4);
                let rise = rise.map(length).transpose()?.unwrap_or(0.3 * left);
                let fall = left - rise;
                if fall <= 0.0 {
                    return Err(too_long("the rise", rise, left, clock));
                }
                let leg = |from, to, length| Curve::Ramp { from, to, length, ramp: Ramp::from(*shape) };
                return Ok(vec![(begin, leg(from, peak, rise)), (begin + rise, leg(peak, to, fall))]);
            }
            ScheduleKind::Wsd { cooldown, to, shape } => {
                let cooldown = length(*cooldown)?;
                if cooldown > left {
                    return Err(too_long("the cooldown", cooldown, left, clock));
                }
                let down = Curve::Ramp { from, to: *to, length: cooldown, ramp: Ramp::from(*shape) };
                return Ok(vec![(begin, Curve::Constant(from)), (begin + left - cooldown, down)]);
            }
        };
        Ok(vec![(begin, curve)])
    }
}

fn too_long(what: &'static str, got: f64, room: f64, clock: &RunClock) -> ScheduleError {
    ScheduleError::TooLong { what, got, room, unit: clock.unit(), of: "the run or the part" }
}

fn pieces(
    first: f64,
    changes: &[(f64, TrainingDuration)],
    straight: bool,
    clock: &RunClock,
) -> Result<Curve, ScheduleError> {
    let mut resolved: Vec<(f64, f64)> = Vec::new();
    for (value, at) in changes {
        let (at, before) = (clock.length(*at)?, resolved.last().map_or(0.0, |(_, at)| *at));
        if at <= before {
            return Err(ScheduleError::Order { got: at, before, unit: clock.unit() });
        }
        resolved.push((*value, at));
    }
    Ok(Curve::Pieces { first, changes: resolved, straight })
}
