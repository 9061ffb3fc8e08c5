//! Schedules as numbers: what a setting is at each position of a run.

use std::fmt;
use std::sync::Arc;

use super::Shape;

/// A value at every position of a run: curves, one after the other.
///
/// Made from words by [`ScheduleSpec::resolve`](super::ScheduleSpec::resolve), or from numbers here.
///
/// ```
/// use stepscope_types::schedule::Schedule;
/// // Rates above 1 are allowed, and a function of the step is a schedule too.
/// let schedule = Schedule::from_fn(|step| 2.0 / (1.0 + step));
/// assert_eq!(schedule.at(1.0), 1.0);
/// assert_eq!(Schedule::of_values(vec![0.5, 0.25]).at(7.0), 0.25);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Position at which each begins, ascending from 0.
    segments: Vec<(f64, Curve)>,
}

/// One curve, as a function of t ≥ 0 since it began: the table of [`ScheduleSpec`](super::ScheduleSpec) has the formulas.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the arguments stand in the table of `ScheduleSpec`")]
pub enum Curve {
    Constant(f64),
    Ramp { from: f64, to: f64, length: f64, ramp: Ramp },
    Decay { from: f64, factor: f64, every: f64, staircase: bool },
    Cyclic { from: f64, to: f64, every: f64, shape: Shape, factor: f64 },
    Restarts { from: f64, to: f64, every: f64, grow: f64, factor: f64 },
    InverseSqrt { from: f64, scale: f64 },
    Pieces { first: f64, changes: Vec<(f64, f64)>, straight: bool },
    Values(Arc<[f64]>),
    Function(Function),
}

/// A function of the position; equal to its own copies only.
#[derive(Clone)]
pub struct Function(Arc<dyn Fn(f64) -> f64 + Send + Sync>);

/// How a curve goes from one value to another: the share s(u) of the way at u = t/L.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ramp {
    /// u.
    Linear,
    /// 1 − (1 − u)^p.
    Power(f64),
    /// (1 − cos πu)/2.
    Cosine,
    /// √u.
    Sqrt,
    /// Equal factors in equal times, between values of one sign.
    Geometric,
}

impl Schedule {
    /// The same value everywhere.
    pub fn constant(value: f64) -> Self {
        Self { segments: vec![(0.0, Curve::Constant(value))] }
    }

    /// `values[t]` at position t, and the last one for good.
    pub fn of_values(values: Vec<f64>) -> Self {
        Self { segments: vec![(0.0, Curve::Values(values.into()))] }
    }

    /// A function of the position.
    pub fn from_fn(function: impl Fn(f64) -> f64 + Send + Sync + 'static) -> Self {
        Self { segments: vec![(0.0, Curve::Function(Function(Arc::new(function))))] }
    }

    /// Curves with the positions at which they begin, in ascending order; the first holds from the start of the run.
    pub(super) fn of_segments(segments: Vec<(f64, Curve)>) -> Self {
        Self { segments }
    }

    /// The value at a position of at least 0.
    pub fn at(&self, position: f64) -> f64 {
        let behind = self.segments.partition_point(|(start, _)| *start <= position);
        self.segments
            .get(behind.saturating_sub(1))
            .map_or(f64::NAN, |(start, curve)| curve.at((position - start).max(0.0)))
    }

    /// The smallest and the largest value that the schedule has up to `end`, where it is not a function.
    pub fn bounds(&self, end: f64) -> (f64, f64) {
        let next = self.segments.iter().skip(1).map(|(start, _)| *start).chain([end]);
        let all = self.segments.iter().zip(next);
        let bounds =
            all.filter(|((start, _), _)| *start < end).map(|((start, curve), next)| curve.bounds(next - start));
        bounds.fold((f64::INFINITY, f64::NEG_INFINITY), |a, b| (a.0.min(b.0), a.1.max(b.1)))
    }
}

impl Curve {
    /// The value at t ≥ 0.
    pub fn at(&self, t: f64) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::Ramp { from, to, length, ramp } => ramp.between(*from, *to, (t / length).min(1.0)),
            Self::Decay { from, factor, every, staircase } => {
                let count = if *staircase { (t / every).floor() } else { t / every };
                from * factor.powf(count)
            }
            Self::Cyclic { from, to, every, shape, factor } => {
                let cycle = (t / every).floor();
                from + (to - from) * factor.powf(cycle) * wave(t / every - cycle, *shape)
            }
            Self::Restarts { from, to, every, grow, factor } => {
                let (cycle, share) = restart(t / every, *grow);
                Ramp::Cosine.between(to + (from - to) * factor.powf(cycle), *to, share)
            }
            Self::InverseSqrt { from, scale } => from * (scale / (scale + t)).sqrt(),
            Self::Pieces { first, changes, straight } => pieces(*first, changes, *straight, t),
            Self::Values(values) => values.get(t as usize).or_else(|| values.last()).copied().unwrap_or(f64::NAN),
            Self::Function(Function(function)) => function(t),
        }
    }

    /// The smallest and largest value on [0, end]; for a function, of its ends.
    fn bounds(&self, end: f64) -> (f64, f64) {
        // A step that would be taken at the end itself is never reached.
        let is_staircase = matches!(self, Self::Decay { staircase: true, .. });
        let ends = [self.at(0.0), self.at(if is_staircase { end * (1.0 - 1e-12) } else { end })];
        let of = |values: &mut dyn Iterator<Item = f64>| {
            let all = values.chain(ends);
            all.fold((f64::INFINITY, f64::NEG_INFINITY), |a, b| (a.0.min(b), a.1.max(b)))
        };
        match self {
            // The first period has the widest swing unless the swing grows; then the last one has.
            Self::Cyclic { from, to, every, factor, .. } => {
                let last = from + (to - from) * factor.powf((end / every).floor());
                of(&mut [*from, *to, last].into_iter())
            }
            Self::Restarts { from, to, every, grow, factor } => {
                let (cycles, _) = restart(end / every, *grow);
                of(&mut [*from, *to, to + (from - to) * factor.powf(cycles)].into_iter())
            }
            Self::Pieces { changes, .. } => of(&mut changes.iter().map(|(value, _)| *value)),
            Self::Values(values) => of(&mut values.iter().copied()),
            _ => of(&mut std::iter::empty()),
        }
    }
}

/// The share of the way there at the share `u` of a period: there and back.
fn wave(u: f64, shape: Shape) -> f64 {
    match shape {
        Shape::Discrete => f64::from(u8::from(u >= 0.5)),
        Shape::Cosine => 0.5 * (1.0 - (2.0 * std::f64::consts::PI * u).cos()),
        Shape::Linear | Shape::Triangular | Shape::OneMinusSqrt => 1.0 - (2.0 * u - 1.0).abs(),
    }
}

/// Number of the cycle and the share of it that is over, `x` first cycles after the start, cycles being 1, g, g², ... long.
fn restart(x: f64, grow: f64) -> (f64, f64) {
    if grow == 1.0 {
        return (x.floor(), x - x.floor());
    }
    // x = (gⁿ − 1)/(g − 1); rounding may put n next to the right one.
    let estimate = ((x * (grow - 1.0) + 1.0).ln() / grow.ln()).floor().max(0.0);
    let start = |n: f64| (grow.powf(n) - 1.0) / (grow - 1.0);
    let cycle =
        [estimate + 1.0, estimate, estimate - 1.0].into_iter().find(|&n| n >= 0.0 && start(n) <= x).unwrap_or(0.0);
    (cycle, ((x - start(cycle)) / grow.powf(cycle)).clamp(0.0, 1.0))
}

fn pieces(first: f64, changes: &[(f64, f64)], straight: bool, t: f64) -> f64 {
    let behind = changes.partition_point(|(_, at)| *at <= t);
    let before = behind.checked_sub(1).and_then(|index| changes.get(index));
    let (value, since) = before.copied().unwrap_or((first, 0.0));
    match changes.get(behind).filter(|_| straight) {
        Some((next, at)) => value + (next - value) * (t - since) / (at - since),
        None => value,
    }
}

impl Ramp {
    /// The value at the share `u` of the way.
    pub fn between(self, from: f64, to: f64, u: f64) -> f64 {
        let share = match self {
            Self::Linear => u,
            Self::Power(power) => 1.0 - (1.0 - u).powf(power),
            Self::Cosine => 0.5 * (1.0 - (std::f64::consts::PI * u).cos()),
            Self::Sqrt => u.sqrt(),
            Self::Geometric => return from * (to / from).powf(u),
        };
        from + (to - from) * share
    }
}

impl From<Shape> for Ramp {
    fn from(shape: Shape) -> Self {
        match shape {
            Shape::Cosine => Self::Cosine,
            Shape::OneMinusSqrt => Self::Sqrt,
            Shape::Linear | Shape::Triangular | Shape::Discrete => Self::Linear,
        }
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Function")
    }
}
