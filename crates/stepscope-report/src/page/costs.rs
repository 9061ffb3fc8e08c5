//! What measuring cost: seconds by quantity, as a share of the time of all runs.

use std::collections::BTreeMap;

use crate::number;
use crate::page::lineup::Lineup;
use crate::page::panels;
use crate::page::template::escape;

#[derive(Default)]
struct Cost {
    seconds: f64,
    num_readings: usize,
}

/// The section; nothing where no time was recorded.
pub(super) fn render(lineup: &Lineup) -> String {
    let runs: Vec<_> = lineup.whole().map(|index| &lineup.entries[index].run).collect();
    let whole: f64 = runs.iter().map(|run| run.wall_seconds()).sum();
    let mut costs: BTreeMap<&str, Cost> = BTreeMap::new();
    for (name, series) in runs.iter().flat_map(|run| run.names().map(|name| (name, run.series(name)))) {
        if series.cost_seconds() > 0.0 {
            let cost = costs.entry(name).or_default();
            cost.seconds += series.cost_seconds();
            cost.num_readings += series.points().len();
        }
    }
    if costs.is_empty() {
        return String::new();
    }
    let total: f64 = costs.values().map(|cost| cost.seconds).sum();
    let mut rows: Vec<(&str, Cost)> = costs.into_iter().collect();
    rows.sort_by(|a, b| b.1.seconds.total_cmp(&a.1.seconds));
    let most = rows[0].1.seconds;
    let body: String = rows.iter().map(|(name, cost)| row(name, cost, whole, most)).collect();
    let share = if whole > 0.0 { format!(", {} of their time", number::percent(total / whole)) } else { String::new() };
    format!(
        "<section id=\"costs\">\n<h2>What measuring cost</h2>\n<p class=\"lead\">All runs together took {}; measuring took {}{share}.\
         </p>\n<div class=\"scroll tall\"><table><thead><tr><th scope=\"col\">Quantity</th><th scope=\"col\" class=\"number\">Readings</th>\
         <th scope=\"col\" class=\"number\">A reading</th><th scope=\"col\" class=\"number\">Together</th>\
         <th scope=\"col\" class=\"number\">Share of time</th><th scope=\"col\" class=\"bar\"></th></tr></thead>\n<tbody>\n{body}</tbody>\
         </table></div>\n</section>\n",
        number::duration(whole),
        number::duration(total),
    )
}

fn row(name: &str, cost: &Cost, whole: f64, most: f64) -> String {
    let share = if whole > 0.0 { number::percent(cost.seconds / whole) } else { "–".to_owned() };
    format!(
        "<tr><th scope=\"row\" title=\"{}\">{}</th><td class=\"number\">{}</td><td class=\"number\">{} ms</td>\
         <td class=\"number\">{}</td><td class=\"number\">{share}</td>\
         <td class=\"bar\"><span style=\"width: {:.1}%\"></span></td></tr>\n",
        escape(name),
        escape(&panels::title(name)),
        number::count(cost.num_readings as u64),
        number::significant(1e3 * cost.seconds / cost.num_readings.max(1) as f64),
        number::duration(cost.seconds),
        100.0 * cost.seconds / most
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Run, synthetic};
    use stepscope_types::{Record, Timing};

    #[test]
    fn costs_are_added_up_over_runs_and_set_against_their_time() {
        let timed = |step: u64| {
            let mut record = synthetic::loss(step, 1.0);
            let timing = Timing { wall_seconds: 10.0 * (step + 1) as f64, cost_seconds: Some(0.5) };
            *Record::timing_mut(&mut record) = Some(timing);
            record
        };
        let run = |rate: f64| Run::from_records(synthetic::manifest("run", rate), (0..4).map(timed));
        let html = render(&Lineup::new(&[run(0.1), run(0.2)]));
        assert!(html.contains("took 1 min 20 s; measuring took 4.0 s, 5.0 % of their time"), "{html}");
        assert!(html.contains("<td class=\"number\">8</td><td class=\"number\">500 ms</td>"), "{html}");
    }

    #[test]
    fn without_times_there_is_no_section() {
        let (manifest, records) = synthetic::diverging_run();
        assert_eq!(render(&Lineup::new(&[Run::from_records(manifest, records)])), "");
    }
}
