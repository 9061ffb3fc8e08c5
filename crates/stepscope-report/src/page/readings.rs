//! Quantities with too few readings for a curve: their last values, run by run.

use std::collections::BTreeSet;

use crate::number;
use crate::page::lineup::{Lineup, Role};
use crate::page::template::escape;
use crate::page::{averages, panels};

/// The section; nothing where every quantity is drawn elsewhere.
pub(super) fn render(lineup: &Lineup) -> String {
    // What was measured afterwards is often a single reading.
    let afterwards = (0..lineup.entries.len()).filter(|&index| lineup.entries[index].role == Role::Afterwards);
    let listed: Vec<usize> = lineup.listed().chain(afterwards).collect();
    let num_readings = |name: &str, entry: usize| lineup.entries[entry].run.series(name).points().len();
    let names: BTreeSet<&str> = listed.iter().flat_map(|&entry| lineup.entries[entry].run.names()).collect();
    let names: Vec<&str> = names
        .into_iter()
        .filter(|name| {
            !averages::shows(name) && !name.starts_with("sketch/") && panels::group(name) != panels::MAIN_GROUP
        })
        .filter(|name| listed.iter().all(|&entry| num_readings(name, entry) < panels::FEWEST_READINGS))
        .collect();
    // Where everything is short the run has just begun; its table of last readings says it all.
    if names.is_empty() {
        return String::new();
    }
    let with_any: Vec<usize> =
        listed.into_iter().filter(|&entry| names.iter().any(|name| num_readings(name, entry) > 0)).collect();
    let titles: String = with_any
        .iter()
        .map(|&entry| format!("<th scope=\"col\" class=\"number\">{}</th>", lineup.label(entry)))
        .collect();
    let rows: String = names.iter().map(|name| row(lineup, name, &with_any)).collect();
    format!(
        "<section id=\"readings\">\n<h2>Single readings</h2>\n<p class=\"lead\">Quantities with fewer than {} readings: the last of each.\
         </p>\n<div class=\"scroll tall\"><table><thead><tr><th scope=\"col\">Quantity</th>{titles}</tr></thead>\n<tbody>\n{rows}</tbody>\
         </table></div>\n</section>\n",
        panels::FEWEST_READINGS
    )
}

fn row(lineup: &Lineup, name: &str, entries: &[usize]) -> String {
    let cells = entries.iter().map(|&entry| {
        let series = lineup.entries[entry].run.series(name);
        let unit = panels::unit_texts(series.unit()).1;
        let unresolved = || series.points().last().map_or("–".to_owned(), |_| "unresolved".to_owned());
        let text =
            series.last().map_or_else(unresolved, |(point, value)| number::reading(name, value, point.error) + &unit);
        format!("<td class=\"number\">{}</td>", escape(&text))
    });
    format!(
        "<tr><th scope=\"row\" title=\"{}\">{}<small>{}</small></th>{}</tr>\n",
        escape(&panels::description(name)),
        escape(&panels::title(name)),
        escape(name),
        cells.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Run, synthetic};

    #[test]
    fn a_quantity_read_twice_is_listed_and_one_read_often_is_not() {
        let mut records: Vec<_> = (0..9).map(|step| synthetic::loss(step, 1.0)).collect();
        for step in [0, 8] {
            let mut record = synthetic::loss(step, 0.25);
            if let stepscope_types::Record::Measurement(measurement) = &mut record {
                measurement.name = "curvature/<rare>".to_owned();
            }
            records.push(record);
        }
        let html = render(&Lineup::new(&[Run::from_records(synthetic::manifest("run", 0.1), records)]));
        assert!(html.contains("&lt;rare&gt;") && html.contains("0.250 ± 0.010 nat"), "{html}");
        assert!(!html.contains("train/loss"));
    }
}
