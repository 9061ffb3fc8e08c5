//! What averaging the weights gained: a row an average, with its interval drawn beside zero.

use stepscope_types::quantity;

use crate::page::interval::Scale;
use crate::page::lineup::Lineup;
use crate::page::template::{cell, escape};
use crate::{Point, Run};

const PREFIX: &str = "average/";
const GAIN: &str = "/test_loss_gain";

/// The last gain of one average of one run.
struct Row<'a> {
    entry: usize,
    kind: &'a str,
    point: &'a Point,
    gain: f64,
}

/// The section; nothing where no run has an average.
pub(super) fn render(lineup: &Lineup) -> String {
    let rows: Vec<Row> = lineup.listed().flat_map(|entry| rows_of(entry, &lineup.entries[entry].run)).collect();
    if rows.is_empty() {
        return String::new();
    }
    let scale = Scale::over(rows.iter().map(|row| row.point.interval.unwrap_or((row.gain, row.gain))), Some(0.0));
    let body: String = rows.iter().map(|row| line(lineup, row, &scale)).collect();
    format!(
        "<section id=\"averages\">\n<h2>Averages of the weights</h2>\n\
         <p class=\"lead\">{} Above zero the average is better than the last iterate.</p>\n\
         <div class=\"scroll\"><table class=\"wide averages\"><thead><tr><th scope=\"col\">Run</th>\
         <th scope=\"col\">Average</th><th scope=\"col\" class=\"number\">Test loss, last</th>\
         <th scope=\"col\" class=\"number\">average</th><th scope=\"col\" class=\"number\">Test accuracy</th>\
         <th scope=\"col\" class=\"number\">Gain, nat</th>{}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n</section>\n",
        "Gain: test loss of the last iterate minus that of the average, paired by example.",
        scale.title()
    )
}

/// Whether a quantity stands in this section.
pub(super) fn shows(name: &str) -> bool {
    name.starts_with(PREFIX)
        && [GAIN, "/test_loss", "/test_accuracy", "/statistics_gain"].iter().any(|end| name.ends_with(end))
}

fn rows_of(entry: usize, run: &Run) -> impl Iterator<Item = Row<'_>> {
    run.names().filter_map(move |name| {
        let kind = name.strip_prefix(PREFIX)?.strip_suffix(GAIN)?;
        let (point, gain) = run.series(name).last()?;
        Some(Row { entry, kind, point, gain })
    })
}

fn line(lineup: &Lineup, row: &Row, scale: &Scale) -> String {
    let run = &lineup.entries[row.entry].run;
    let at_same_step = |name: &str| {
        let value = run.series(name).values().find(|(point, _)| point.step == row.point.step);
        value.map_or("–".to_owned(), |(point, value)| cell(name, value, point.error))
    };
    let average = |quantity: &str| at_same_step(&format!("{PREFIX}{}/{quantity}", row.kind));
    let gain = cell("", row.gain, row.point.error);
    format!(
        "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td>\
         <td class=\"number\">{}</td><td class=\"number\">{gain}</td>{}</tr>\n",
        lineup.label(row.entry),
        kind_title(row.kind, run),
        at_same_step(quantity::TEST_LOSS.name),
        average("test_loss"),
        average("test_accuracy"),
        scale.cell(lineup, row.entry, row.gain, row.point.interval)
    )
}

/// What an average is, with its length where the specification says it.
fn kind_title(kind: &str, run: &Run) -> String {
    let average = &run.manifest().spec.average;
    let number = |prefix: &str| kind.strip_prefix(prefix).and_then(|number| number.parse::<usize>().ok());
    if let Some(number) = number("ema_") {
        let half_life = number.checked_sub(2).and_then(|index| average.more_ema_half_lives.get(index));
        return titled("exponential moving average", half_life.map(|length| format!("half-life {length}")));
    }
    if let Some(number) = number("power_") {
        let width = number.checked_sub(1).and_then(|index| average.power_widths.get(index));
        return titled("power-function average", width.map(|width| format!("relative width {width}")));
    }
    match kind {
        "ema" => titled("exponential moving average", Some(format!("half-life {}", average.ema_half_life))),
        "two_point" => titled("two-point average", Some(format!("{} apart", average.two_point_gap))),
        "window" => titled("window", average.window.map(|length| format!("last {length}"))),
        "lawa" => titled("LAWA", average.lawa_epochs.map(|epochs| format!("last {epochs} epochs"))),
        "swa" => titled("SWA", average.swa_every.map(|every| format!("from {}, every {every}", average.start))),
        other => escape(&other.replace('_', " ")),
    }
}

fn titled(title: &str, length: Option<String>) -> String {
    length.map_or(title.to_owned(), |length| format!("{title} <small>{}</small>", escape(&length)))
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
