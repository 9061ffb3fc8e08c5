//! Averages of a run's snapshots: a row an average, what it gained, and the learning-rate schedule it equals, drawn.

use crate::number;
use crate::page::template::escape;

/// Width and height of the drawings, in pixels.
const WIDTH: f64 = 168.0;
const HEIGHT: f64 = 26.0;
const MARGIN: f64 = 6.0;
/// Width of a drawn schedule.
const STAIRS: f64 = 110.0;

/// Averages of the snapshots of one run, for [`Page::snapshots`](crate::Page::snapshots).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SnapshotAverages {
    /// How the best one was chosen and what it was judged on, in a sentence.
    pub choice: String,
    /// The averages, best first or in any other order.
    pub rows: Vec<SnapshotAverage>,
}

/// One average of the snapshots of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SnapshotAverage {
    /// What it is.
    pub name: String,
    /// Whether it is the one that was chosen.
    pub is_chosen: bool,
    /// Loss on the examples to choose by, and its standard error.
    pub loss: (f64, f64),
    /// Gain over the last snapshot there, paired by example, and its standard error.
    pub gain: (f64, f64),
    /// Gain on the examples to judge by, and its standard error.
    pub judged_gain: (f64, f64),
    /// Accuracy on the examples to judge by.
    pub accuracy: f64,
    /// The schedule it equals, in words.
    pub schedule: String,
    /// The learning rate it acts as at the run's curvature, over the run's own.
    pub effective_rate: Option<f64>,
    /// Stretches of updates and what each is multiplied by: first step, last step, factor.
    pub multipliers: Vec<(u64, u64, f64)>,
}

/// The section; nothing without averages.
pub(super) fn render(averages: &SnapshotAverages) -> String {
    if averages.rows.is_empty() {
        return String::new();
    }
    let reach = |row: &SnapshotAverage| (row.gain.0 - 2.0 * row.gain.1, row.gain.0 + 2.0 * row.gain.1);
    let ends = averages.rows.iter().map(reach);
    let (low, high) = ends.fold((0.0_f64, 0.0_f64), |(low, high), (from, to)| (low.min(from), high.max(to)));
    let across = |value: f64| {
        let span = if high > low { high - low } else { 1.0 };
        MARGIN + (WIDTH - 2.0 * MARGIN) * (value - low) / span
    };
    let body: String = averages.rows.iter().map(|row| line(row, reach(row), &across)).collect();
    format!(
        "<section id=\"snapshots\">\n<h2>Averages of the snapshots</h2>\n<p class=\"lead\">{} Gain: loss of the last snapshot \
         minus that of the average, paired by example, with two standard errors to either side. The area draws the factor on \
         the run's updates that the average amounts to, from the first snapshot to the last.</p>\n<div class=\"scroll\"><table class=\"wide averages\">\
         <thead><tr><th scope=\"col\">Average</th><th scope=\"col\">Equals</th><th scope=\"col\" class=\"number\">Loss to choose by</th>\
         <th scope=\"col\" class=\"number\">Gain, nat</th><th scope=\"col\" class=\"interval\"><span>{}</span><span>{}</span></th>\
         <th scope=\"col\" class=\"number\">Gain, judged</th><th scope=\"col\" class=\"number\">Accuracy, judged</th>\
         <th scope=\"col\" class=\"number\">Acts as rate</th></tr></thead>\n\
         <tbody>\n{body}</tbody></table></div>\n</section>\n",
        escape(&averages.choice),
        number::significant(low),
        number::significant(high),
    )
}

fn line(row: &SnapshotAverage, (from, to): (f64, f64), across: &impl Fn(f64) -> f64) -> String {
    let name = escape(&row.name);
    let name = if row.is_chosen { format!("<strong>{name}</strong>, chosen") } else { name };
    let with_error = |(value, error): (f64, f64)| number::with_error(value, error);
    let rate = row.effective_rate.map_or("–".to_owned(), |rate| format!("{}\u{d7}", number::significant(rate)));
    let middle = HEIGHT / 2.0;
    let whiskers = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" aria-hidden=\"true\">\
         <line class=\"zero\" x1=\"{zero:.1}\" x2=\"{zero:.1}\" y1=\"-8\" y2=\"34\"/>\
         <line class=\"whisker\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle}\" y2=\"{middle}\"/>\
         <circle class=\"dot\" cx=\"{:.1}\" cy=\"{middle}\" r=\"4\"/></svg>",
        across(from),
        across(to),
        across(row.gain.0),
        zero = across(0.0),
    );
    format!(
        "<tr><th scope=\"row\" class=\"words\">{name}<small>{}</small></th><td>{}</td><td class=\"number\">{}</td>\
         <td class=\"number\">{}</td><td class=\"interval\">{whiskers}</td><td class=\"number\">{}</td><td class=\"number\">{}</td>\
         <td class=\"number\">{rate}</td></tr>\n",
        escape(&row.schedule),
        stairs(&row.multipliers),
        with_error(row.loss),
        with_error(row.gain),
        with_error(row.judged_gain),
        number::percent(row.accuracy),
    )
}

/// The factors over the steps of the run, from its first snapshot to its last, as an area.
fn stairs(multipliers: &[(u64, u64, f64)]) -> String {
    let (Some(first), Some(last)) = (multipliers.first(), multipliers.last()) else { return String::new() };
    let span = last.1.saturating_sub(first.0).max(1) as f64;
    let x = |step: u64| STAIRS * step.saturating_sub(first.0) as f64 / span;
    let y = |factor: f64| (HEIGHT - 3.0) - (HEIGHT - 6.0) * factor.clamp(0.0, 1.0);
    let mut path = format!("M{:.1} {:.1}", x(first.0), y(0.0));
    for &(from, to, factor) in multipliers {
        path.push_str(&format!("L{:.1} {2:.1}L{:.1} {2:.1}", x(from), x(to), y(factor)));
    }
    path.push_str(&format!("L{:.1} {:.1}Z", x(last.1), y(0.0)));
    format!(
        "<svg viewBox=\"0 0 {STAIRS} {HEIGHT}\" width=\"{STAIRS}\" height=\"{HEIGHT}\" role=\"img\"><title>factor on the updates, \
         step {} to {}</title><path class=\"stairs\" d=\"{path}\"/></svg>",
        first.0, last.1
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_average_has_a_row_with_its_whiskers_and_its_stairs() {
        let row = |name: &str, is_chosen| SnapshotAverage {
            name: name.to_owned(),
            is_chosen,
            loss: (0.5, 0.01),
            gain: (0.02, 0.004),
            judged_gain: (0.018, 0.005),
            accuracy: 0.91,
            schedule: "half the rate".to_owned(),
            effective_rate: Some(0.5),
            multipliers: vec![(0, 50, 1.0), (50, 100, 0.5)],
        };
        let html = render(&SnapshotAverages {
            choice: "Chosen & judged.".to_owned(),
            rows: vec![row("<two points>", true), SnapshotAverage { effective_rate: None, ..row("last", false) }],
        });
        assert_eq!(html.matches("class=\"whisker\"").count(), 2);
        assert_eq!(html.matches("</strong>, chosen").count(), 1);
        assert!(html.contains("&lt;two points&gt;") && html.contains("Chosen &amp; judged."), "{html}");
        assert!(html.contains("0.500\u{d7}"), "{html}");
        // Half of the way at full height, the other half half as high.
        assert!(html.contains("M0.0 23.0L0.0 3.0L55.0 3.0L55.0 13.0L110.0 13.0L110.0 23.0Z"), "{html}");
        assert!(!html.contains("NaN"));
        assert_eq!(render(&SnapshotAverages::default()), "");
    }
}
