//! Schedules as text: reading, writing, and what is wrong with a text that is none.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use super::{ExponentialDecay, Gauged, ScheduleKind, SchedulePart, ScheduleSpec, Shape};
use crate::TrainingDuration;

/// Every kind with the arguments that it takes beside those of every part.
const KINDS: [(&str, &[&str]); 15] = [
    ("constant", &[]),
    ("linear", &["to"]),
    ("polynomial", &["to", "power"]),
    ("cosine", &["to"]),
    ("exponential", &["to", "factor", "every"]),
    ("step", &["every", "factor"]),
    ("one-cycle", &["peak", "to", "rise", "shape"]),
    ("cyclic", &["to", "every", "shape", "factor"]),
    ("sgdr", &["every", "to", "grow", "factor"]),
    ("wsd", &["cooldown", "to", "shape"]),
    ("trapezoid", &["cooldown", "to"]),
    ("inverse-sqrt", &["scale"]),
    ("piecewise", &[]),
    ("interpolated", &[]),
    ("gauged", &["cooldown", "to", "least"]),
];

/// Whether a word is a kind's.
pub(super) fn is_kind(word: &str) -> bool {
    KINDS.iter().any(|(kind, _)| *kind == word)
}

/// Arguments of every part.
const COMMON: [&str; 4] = ["from", "warmup", "warmup_from", "length"];

/// A text that is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{got}' is no schedule: {reason}")]
pub struct ParseScheduleError {
    got: String,
    reason: String,
}

/// The arguments of a part that were not used yet.
struct Arguments<'a> {
    part: &'a str,
    named: Vec<(&'a str, &'a str)>,
    listed: Vec<&'a str>,
}

impl FromStr for ScheduleSpec {
    type Err = ParseScheduleError;

    fn from_str(text: &str) -> Result<Self, ParseScheduleError> {
        let parts: Vec<SchedulePart> = text.split(" then ").map(part).collect::<Result<_, _>>()?;
        let endless = parts.iter().rev().skip(1).find(|part| part.length.is_none());
        match endless {
            Some(part) => Err(refused(text, format!("'{part}' has no end, and more follows: give it a length"))),
            None => Ok(Self { parts }),
        }
    }
}

fn refused(got: &str, reason: impl Into<String>) -> ParseScheduleError {
    ParseScheduleError { got: got.trim().to_owned(), reason: reason.into() }
}

fn part(text: &str) -> Result<SchedulePart, ParseScheduleError> {
    let text = text.trim();
    let (word, inside) = match text.split_once('(') {
        None => (text, ""),
        Some((word, rest)) => match rest.strip_suffix(')') {
            Some(inside) if !inside.contains(['(', ')']) => (word.trim(), inside),
            _ => return Err(refused(text, "its brackets do not match: write kind(argument = value, ...)")),
        },
    };
    let Some((_, known)) = KINDS.iter().find(|(kind, _)| *kind == word) else {
        let kinds: Vec<&str> = KINDS.iter().map(|(kind, _)| *kind).collect();
        return Err(refused(text, format!("'{word}' is no kind of schedule: expected one of {}", kinds.join(", "))));
    };
    let mut arguments = Arguments::read(text, inside, known)?;
    let common = SchedulePart {
        kind: ScheduleKind::Constant,
        from: arguments.number("from")?,
        warmup: arguments.duration("warmup")?,
        warmup_from: arguments.number("warmup_from")?,
        length: arguments.duration("length")?,
    };
    let kind = arguments.kind(word, common.warmup.is_some())?;
    match arguments.listed.first() {
        Some(item) => Err(refused(text, format!("'{item}' has no name: write argument = value"))),
        None => Ok(SchedulePart { kind, ..common }),
    }
}

impl<'a> Arguments<'a> {
    fn read(part: &'a str, inside: &'a str, known: &[&str]) -> Result<Self, ParseScheduleError> {
        let mut arguments = Self { part, named: Vec::new(), listed: Vec::new() };
        for item in inside.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let Some((name, value)) = item.split_once('=') else {
                arguments.listed.push(item);
                continue;
            };
            let name = name.trim();
            if !known.contains(&name) && !COMMON.contains(&name) {
                let all = [known, &COMMON[..]].concat().join(", ");
                return Err(refused(part, format!("'{name}' is no argument of it: expected some of {all}")));
            }
            if arguments.named.iter().any(|(other, _)| *other == name) {
                return Err(refused(part, format!("'{name}' is given twice")));
            }
            arguments.named.push((name, value.trim()));
        }
        Ok(arguments)
    }

    fn take(&mut self, name: &str) -> Option<&'a str> {
        let index = self.named.iter().position(|(known, _)| *known == name)?;
        Some(self.named.remove(index).1)
    }

    fn wrong(&self, name: &str, got: &str, expected: &str) -> ParseScheduleError {
        refused(self.part, format!("{name} is '{got}', expected {expected}"))
    }

    fn missing(&self, name: &str, example: &str) -> ParseScheduleError {
        refused(self.part, format!("{name} is missing: add {name} = {example}"))
    }

    fn number(&mut self, name: &str) -> Result<Option<f64>, ParseScheduleError> {
        let Some(text) = self.take(name) else { return Ok(None) };
        finite(text).map(Some).ok_or_else(|| self.wrong(name, text, "a finite number"))
    }

    fn positive(&mut self, name: &str) -> Result<Option<f64>, ParseScheduleError> {
        match self.number(name)? {
            Some(value) if value <= 0.0 => Err(self.wrong(name, &value.to_string(), "a number above 0")),
            value => Ok(value),
        }
    }

    fn duration(&mut self, name: &str) -> Result<Option<TrainingDuration>, ParseScheduleError> {
        let Some(text) = self.take(name) else { return Ok(None) };
        // Quotes are allowed, as around the durations of other keys.
        let plain = text.trim_matches(['"', '\'']);
        let expected = "a length such as 10ep, 300st or 0.5dur";
        plain.parse().map(Some).map_err(|_| self.wrong(name, text, expected))
    }

    fn shape(&mut self, allowed: &[Shape]) -> Result<Shape, ParseScheduleError> {
        let Some(text) = self.take("shape") else { return Ok(allowed[0]) };
        let found = allowed.iter().find(|shape| shape.word() == text);
        found.copied().ok_or_else(|| {
            let words: Vec<&str> = allowed.iter().map(|shape| shape.word()).collect();
            self.wrong("shape", text, &format!("one of {}", words.join(", ")))
        })
    }

    /// `v, v at d, ...`
    fn changes(&mut self) -> Result<(f64, Vec<(f64, TrainingDuration)>), ParseScheduleError> {
        let expected = "a value, and then values with the time of each: 0.1, 0.01 at 0.5dur, 0.001 at 0.75dur";
        let wrong = |part: &str, item: &str| refused(part, format!("'{item}' is not as expected: {expected}"));
        let mut items = std::mem::take(&mut self.listed).into_iter();
        let first = items.next().and_then(finite).ok_or_else(|| wrong(self.part, "the first value"))?;
        let change = |item: &str| {
            let (value, at) = item.split_once(" at ")?;
            Some((finite(value)?, at.trim().trim_matches(['"', '\'']).parse().ok()?))
        };
        let changes = items.map(|item| change(item).ok_or_else(|| wrong(self.part, item))).collect::<Result<_, _>>()?;
        Ok((first, changes))
    }

    fn kind(&mut self, word: &str, has_warmup: bool) -> Result<ScheduleKind, ParseScheduleError> {
        let last_fifth = TrainingDuration::Fraction(0.2);
        Ok(match word {
            "linear" => ScheduleKind::Linear { to: self.number("to")?.unwrap_or(0.0) },
            "polynomial" => ScheduleKind::Polynomial {
                to: self.number("to")?.unwrap_or(0.0),
                power: self.positive("power")?.unwrap_or(2.0),
            },
            "cosine" => ScheduleKind::Cosine { to: self.number("to")?.unwrap_or(0.0) },
            "exponential" => ScheduleKind::Exponential { decay: self.exponential()? },
            "step" => ScheduleKind::Step { every: self.every()?, factor: self.positive("factor")?.unwrap_or(0.1) },
            "one-cycle" => ScheduleKind::OneCycle {
                peak: self.number("peak")?,
                to: self.number("to")?,
                rise: self.duration("rise")?,
                shape: self.shape(&[Shape::Cosine, Shape::Linear])?,
            },
            "cyclic" => ScheduleKind::Cyclic {
                to: self.number("to")?.ok_or_else(|| self.missing("to", "the other end of the cycle"))?,
                every: self.every()?,
                shape: self.shape(&[Shape::Triangular, Shape::Cosine, Shape::Discrete])?,
                factor: self.positive("factor")?.unwrap_or(1.0),
            },
            "sgdr" => ScheduleKind::Sgdr {
                every: self.every()?,
                to: self.number("to")?.unwrap_or(0.0),
                grow: self.positive("grow")?.unwrap_or(1.0),
                factor: self.positive("factor")?.unwrap_or(1.0),
            },
            "wsd" => self.wsd(&[Shape::OneMinusSqrt, Shape::Linear, Shape::Cosine])?,
            "trapezoid" => self.wsd(&[Shape::Linear])?,
            "inverse-sqrt" => {
                let scale = self.duration("scale")?;
                if scale.is_none() && !has_warmup {
                    return Err(self.missing("scale", "1000st, or a warmup"));
                }
                ScheduleKind::InverseSqrt { scale }
            }
            "piecewise" => {
                let (first, changes) = self.changes()?;
                ScheduleKind::Piecewise { first, changes }
            }
            "interpolated" => {
                let (first, changes) = self.changes()?;
                ScheduleKind::Interpolated { first, changes }
            }
            "gauged" => ScheduleKind::Gauged(Gauged {
                cooldown: self.duration("cooldown")?.unwrap_or(last_fifth),
                to: self.number("to")?.unwrap_or(0.0),
                least: self.duration("least")?.unwrap_or(TrainingDuration::Fraction(0.1)),
            }),
            _ => ScheduleKind::Constant,
        })
    }

    fn wsd(&mut self, shapes: &[Shape]) -> Result<ScheduleKind, ParseScheduleError> {
        Ok(ScheduleKind::Wsd {
            cooldown: self.duration("cooldown")?.unwrap_or(TrainingDuration::Fraction(0.2)),
            to: self.number("to")?.unwrap_or(0.0),
            shape: self.shape(shapes)?,
        })
    }

    fn every(&mut self) -> Result<TrainingDuration, ParseScheduleError> {
        self.duration("every")?.ok_or_else(|| self.missing("every", "10ep"))
    }

    fn exponential(&mut self) -> Result<ExponentialDecay, ParseScheduleError> {
        match (self.positive("to")?, self.positive("factor")?, self.duration("every")?) {
            (Some(to), None, None) => Ok(ExponentialDecay::To(to)),
            (None, Some(factor), Some(every)) => Ok(ExponentialDecay::Factor { factor, every }),
            _ => Err(refused(
                self.part,
                "expected to = a value above 0, or factor and every (factor = 0.95, every = 1ep)",
            )),
        }
    }
}

fn finite(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|value| value.is_finite())
}

impl fmt::Display for ScheduleSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.parts.iter().enumerate() {
            f.write_str(if index > 0 { " then " } else { "" })?;
            part.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for SchedulePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, mut arguments) = self.kind.written();
        let common = [
            self.from.map(|from| format!("from = {from}")),
            self.warmup.map(|warmup| format!("warmup = {warmup}")),
            self.warmup_from.map(|from| format!("warmup_from = {from}")),
            self.length.map(|length| format!("length = {length}")),
        ];
        let mut all: Vec<String> = common.into_iter().flatten().collect();
        all.append(&mut arguments);
        if all.is_empty() { f.write_str(word) } else { write!(f, "{word}({})", all.join(", ")) }
    }
}

impl ScheduleKind {
    /// The word and the arguments that differ from their defaults.
    fn written(&self) -> (&'static str, Vec<String>) {
        let to = |to: f64| (to != 0.0).then(|| format!("to = {to}"));
        let unless = |name: &str, value: f64, default: f64| (value != default).then(|| format!("{name} = {value}"));
        let every = |every: TrainingDuration| Some(format!("every = {every}"));
        let cooldown = |length: TrainingDuration| {
            (length != TrainingDuration::Fraction(0.2)).then(|| format!("cooldown = {length}"))
        };
        let shape = |shape: Shape, default| (shape != default).then(|| format!("shape = {}", shape.word()));
        let listed = |first: f64, changes: &[(f64, TrainingDuration)]| {
            let changes = changes.iter().map(|(value, at)| format!("{value} at {at}"));
            std::iter::once(first.to_string()).chain(changes).collect()
        };
        let (word, arguments): (_, Vec<Option<String>>) = match self {
            Self::Constant => ("constant", vec![]),
            Self::Linear { to: end } => ("linear", vec![to(*end)]),
            Self::Polynomial { to: end, power } => ("polynomial", vec![to(*end), unless("power", *power, 2.0)]),
            Self::Cosine { to: end } => ("cosine", vec![to(*end)]),
            Self::Exponential { decay: ExponentialDecay::To(end) } => ("exponential", vec![to(*end)]),
            Self::Exponential { decay: ExponentialDecay::Factor { factor, every: time } } => {
                ("exponential", vec![Some(format!("factor = {factor}")), every(*time)])
            }
            Self::Step { every: time, factor } => ("step", vec![every(*time), unless("factor", *factor, 0.1)]),
            Self::OneCycle { peak, to: end, rise, shape: form } => {
                let optional = |name: &str, value: Option<String>| value.map(|value| format!("{name} = {value}"));
                let peak = optional("peak", peak.map(|peak| peak.to_string()));
                let end = optional("to", end.map(|end| end.to_string()));
                let rise = optional("rise", rise.map(|rise| rise.to_string()));
                ("one-cycle", vec![peak, end, rise, shape(*form, Shape::Cosine)])
            }
            Self::Cyclic { to: end, every: time, shape: form, factor } => {
                let end = Some(format!("to = {end}"));
                ("cyclic", vec![end, every(*time), shape(*form, Shape::Triangular), unless("factor", *factor, 1.0)])
            }
            Self::Sgdr { every: time, to: end, grow, factor } => {
                ("sgdr", vec![every(*time), to(*end), unless("grow", *grow, 1.0), unless("factor", *factor, 1.0)])
            }
            Self::Wsd { cooldown: length, to: end, shape: form } => {
                ("wsd", vec![cooldown(*length), to(*end), shape(*form, Shape::OneMinusSqrt)])
            }
            Self::InverseSqrt { scale } => ("inverse-sqrt", vec![scale.map(|scale| format!("scale = {scale}"))]),
            Self::Piecewise { first, changes } => return ("piecewise", listed(*first, changes)),
            Self::Interpolated { first, changes } => return ("interpolated", listed(*first, changes)),
            Self::Gauged(gauged) => {
                let least = gauged.least;
                let least = (least != TrainingDuration::Fraction(0.1)).then(|| format!("least = {least}"));
                ("gauged", vec![cooldown(gauged.cooldown), to(gauged.to), least])
            }
        };
        (word, arguments.into_iter().flatten().collect())
    }
}

impl Serialize for ScheduleSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ScheduleSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for ScheduleSpec {
    fn schema_name() -> Cow<'static, str> {
        "ScheduleSpec".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let kinds: Vec<&str> = KINDS.iter().map(|(kind, _)| *kind).collect();
        json_schema!({
            "type": "string",
            "pattern": format!("^({})", kinds.join("|")),
            "description": "a schedule such as \"cosine\", \"wsd(warmup = 5ep, cooldown = 0.2dur)\" or \"constant(length = 0.8dur) then linear\"",
            "explains": true,
        })
    }
}
