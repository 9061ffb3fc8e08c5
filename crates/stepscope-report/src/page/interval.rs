//! Numbers with their errors as dots and whiskers, on a scale that the rows of a table share.

use crate::number;
use crate::page::lineup::Lineup;

/// Width and height of a drawing, in pixels; dots stay clear of the border.
const WIDTH: f64 = 168.0;
const HEIGHT: f64 = 20.0;
const MARGIN: f64 = 6.0;

/// Beyond this ratio of largest to smallest the scale is logarithmic.
const LOG_RATIO: f64 = 8.0;

/// What the drawings of a column span.
pub(super) struct Scale {
    low: f64,
    high: f64,
    /// A line through all rows.
    origin: Option<f64>,
}

impl Scale {
    /// The scale that holds all ends, and the origin where there is one.
    pub(super) fn over(ends: impl Iterator<Item = (f64, f64)>, origin: Option<f64>) -> Self {
        let start = origin.map_or((f64::INFINITY, f64::NEG_INFINITY), |origin| (origin, origin));
        let (low, high) = ends.fold(start, |(low, high), (from, to)| (low.min(from), high.max(to)));
        Self { low, high, origin }
    }

    /// The head of the column: both ends.
    pub(super) fn title(&self) -> String {
        let end = |value: f64| if value.is_finite() { number::significant(value) } else { String::new() };
        format!(
            "<th scope=\"col\" class=\"interval\"><span>{}</span><span>{}</span></th>",
            end(self.low),
            end(self.high)
        )
    }

    /// Where a value lies: on a logarithmic scale where all are positive and far apart.
    fn across(&self, value: f64) -> f64 {
        let is_log = self.low > 0.0 && self.high > LOG_RATIO * self.low;
        let scaled = |value: f64| if is_log { value.max(self.low).ln() } else { value };
        let span = scaled(self.high) - scaled(self.low);
        MARGIN + (WIDTH - 2.0 * MARGIN) * (scaled(value) - scaled(self.low)) / if span > 0.0 { span } else { 1.0 }
    }

    /// A cell with the dot of an entry and its whiskers.
    pub(super) fn cell(&self, lineup: &Lineup, entry: usize, value: f64, interval: Option<(f64, f64)>) -> String {
        let across = |value: f64| self.across(value);
        let middle = HEIGHT / 2.0;
        let whisker = interval.map_or(String::new(), |(low, high)| {
            let (from, to) = (across(low), across(high));
            format!("<line class=\"whisker\" x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{middle}\" y2=\"{middle}\"/>")
        });
        let origin = self.origin.map_or(String::new(), |origin| {
            format!("<line class=\"zero\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"-8\" y2=\"28\"/>", across(origin))
        });
        format!(
            "<td class=\"interval\"><svg {} viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
             aria-hidden=\"true\">{origin}{whisker}<circle class=\"dot\" cx=\"{:.1}\" cy=\"{middle}\" r=\"4\"/></svg></td>",
            lineup.colour(entry),
            across(value)
        )
    }
}
