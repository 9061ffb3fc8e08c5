//! What averaging the weights gained: a row an average, with its interval drawn beside zero.

use stepscope_types::quantity;

use crate::page::lineup::Lineup;
use crate::page::template::escape;
use crate::{Point, Run, number};

const PREFIX: &str = "average/";
const GAIN: &str = "/test_loss_gain";

/// Width and height of an interval's drawing, in pixels; its ends stay clear of the border.
const WIDTH: f64 = 220.0;
const HEIGHT: f64 = 20.0;
const MARGIN: f64 = 6.0;

/// The last gain of one average of one run.
struct Row<'a> {
    entry: usize,
    kind: &'a str,
    point: &'a Point,
    gain: f64,
}

/// The section; nothing where no run has an average.
pub(super) fn render(lineup: &Lineup) -> String {
    let rows: Vec<Row> = lineup.entries.iter().enumerate().flat_map(|(entry, data)| rows_of(entry, data.run)).collect();
    if rows.is_empty() {
        return String::new();
    }
    let ends = |row: &Row| row.point.interval.unwrap_or((row.gain, row.gain));
    let low = rows.iter().map(|row| ends(row).0).fold(0.0, f64::min);
    let high = rows.iter().map(|row| ends(row).1).fold(0.0, f64::max);
    let body: String = rows.iter().map(|row| line(lineup, row, (low, high))).collect();
    format!(
        "<section id=\"averages\">\n<h2>Averages of the weights</h2>\n\
         <p class=\"lead\">{} Above zero the average is better than the last iterate.</p>\n\
         <div class=\"scroll\"><table class=\"averages\"><thead><tr><th scope=\"col\">Run</th>\
         <th scope=\"col\">Average</th><th scope=\"col\" class=\"number\">Test loss, last</th>\
         <th scope=\"col\" class=\"number\">Test loss, average</th><th scope=\"col\" class=\"number\">Test accuracy</th>\
         <th scope=\"col\" class=\"number\">Gain</th><th scope=\"col\" class=\"interval\">\
         <span>{}</span><span>gain, nat</span><span>{}</span></th></tr></thead>\n<tbody>\n{body}</tbody></table></div>\n</section>\n",
        "Gain: test loss of the last iterate minus that of the average, paired by example.",
        number::significant(low),
        number::significant(high),
    )
}

fn rows_of(entry: usize, run: &Run) -> impl Iterator<Item = Row<'_>> {
    run.names().filter_map(move |name| {
        let kind = name.strip_prefix(PREFIX)?.strip_suffix(GAIN)?;
        let (point, gain) = run.series(name).last()?;
        Some(Row { entry, kind, point, gain })
    })
}

fn line(lineup: &Lineup, row: &Row, range: (f64, f64)) -> String {
    let run = lineup.entries[row.entry].run;
    let at_same_step = |name: &str| {
        let value = run.series(name).values().find(|(point, _)| point.step == row.point.step);
        value.map_or("–".to_owned(), |(point, value)| number::reading(name, value, point.error))
    };
    let average = |quantity: &str| at_same_step(&format!("{PREFIX}{}/{quantity}", row.kind));
    let gain = number::with_uncertainty(row.gain, row.point.error);
    format!(
        "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td>\
         <td class=\"number\">{}</td><td class=\"number\">{gain}</td><td class=\"interval {}\">{}</td></tr>\n",
        lineup.label(row.entry),
        kind_title(row.kind),
        at_same_step(quantity::TEST_LOSS.name),
        average("test_loss"),
        average("test_accuracy"),
        lineup.class(row.entry),
        drawing(row, range)
    )
}

fn kind_title(kind: &str) -> String {
    match kind {
        "ema" => "exponential moving average".to_owned(),
        "two_point" => "two-point average".to_owned(),
        other => escape(&other.replace('_', " ")),
    }
}

/// Zero, the interval and the gain, on the scale that all rows share.
fn drawing(row: &Row, (low, high): (f64, f64)) -> String {
    let span = if high > low { high - low } else { 1.0 };
    let across = |value: f64| MARGIN + (WIDTH - 2.0 * MARGIN) * (value - low) / span;
    let middle = HEIGHT / 2.0;
    let whisker = row.point.interval.map_or(String::new(), |(low, high)| {
        format!(
            "<line class=\"whisker\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle}\" y2=\"{middle}\"/>",
            across(low),
            across(high)
        )
    });
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" aria-hidden=\"true\">\
         <line class=\"zero\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"0\" y2=\"{HEIGHT}\"/>{whisker}\
         <circle class=\"gain\" cx=\"{1:.1}\" cy=\"{middle}\" r=\"4\"/></svg>",
        across(0.0),
        across(row.gain)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic;

    #[test]
    fn every_average_of_every_run_has_a_row_with_its_interval() {
        let raw = synthetic::quickstart();
        let runs: Vec<Run> = raw.into_iter().map(|(manifest, records)| Run::from_records(manifest, records)).collect();
        let html = render(&Lineup::new(&runs));
        // Two averages of each of the three runs that came far enough to be averaged.
        assert_eq!(html.matches("class=\"whisker\"").count(), 6);
        assert_eq!(html.matches("two-point average").count(), 3);
        assert!(!html.contains("NaN"));
    }

    #[test]
    fn without_averages_there_is_no_section() {
        let (manifest, records) = synthetic::diverging_run();
        assert_eq!(render(&Lineup::new(&[Run::from_records(manifest, records)])), "");
    }
}
