//! A measurement as a row: the one place where columns get their names and values.

use stepscope_types::{Measurement, Reading, Step, Uncertainty};

/// What can stand in a cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell<'a> {
    Text(Option<&'a str>),
    Integer(Option<i64>),
    Float(Option<f64>),
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    Float,
    Boolean,
}

/// Name, kind, and whether cells may be empty, of every column, in their order.
pub(super) fn columns() -> impl Iterator<Item = (&'static str, Kind, bool)> {
    // Any measurement has every column.
    let nothing = Reading::Unresolved { reason: String::new(), num_examples: 0 };
    let kinds = cells("", &Measurement::new(Step(0), 0.0, "", nothing)).map(|(name, may_be_empty, cell)| {
        let kind = match cell {
            Cell::Text(_) => Kind::Text,
            Cell::Integer(_) => Kind::Integer,
            Cell::Float(_) => Kind::Float,
        };
        (name, kind, may_be_empty)
    });
    kinds.into_iter()
}

/// Name, whether it may be empty, and value of every column, in their order.
pub(super) fn cells<'a>(run: &'a str, measurement: &'a Measurement) -> [(&'static str, bool, Cell<'a>); 17] {
    let m = measurement;
    let (low, high) = m.interval().unzip();
    let (kind, error, level) = match m.error {
        None => (None, None, None),
        Some(Uncertainty::Exact) => (Some("exact"), Some(0.0), None),
        Some(Uncertainty::StandardError(error)) => (Some("standard_error"), Some(error), None),
        Some(Uncertainty::Residual(error)) => (Some("residual"), Some(error), None),
        Some(Uncertainty::Interval { level, .. }) => (Some("interval"), None, Some(level)),
    };
    let text = |text| Cell::Text(Some(text));
    let count = |count| Cell::Integer(i64::try_from(count).ok());
    [
        ("run", false, text(run)),
        ("step", false, Cell::Integer(Some(i64::try_from(m.step.0).unwrap_or(i64::MAX)))),
        ("epoch", false, Cell::Float(Some(m.epoch))),
        ("metric", false, text(&m.name)),
        ("value", true, Cell::Float(m.value)),
        ("lo", true, Cell::Float(low)),
        ("hi", true, Cell::Float(high)),
        ("error", true, Cell::Float(error)),
        ("error_kind", true, Cell::Text(kind)),
        ("level", true, Cell::Float(level)),
        ("unit", false, text(&m.unit)),
        ("n_examples", true, count(m.num_examples)),
        ("n_products", true, count(m.num_products)),
        ("mode", false, text(m.mode.word())),
        ("unresolved", true, Cell::Text(m.unresolved.as_deref())),
        ("wall_seconds", true, Cell::Float(m.timing.map(|timing| timing.wall_seconds))),
        ("cost_seconds", true, Cell::Float(m.timing.and_then(|timing| timing.cost_seconds))),
    ]
}
