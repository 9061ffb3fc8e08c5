//! What differs between the specifications, and what that did.

use stepscope_types::quantity::{self, Quantity};

use crate::page::interval::Scale;
use crate::page::lineup::{Line, Lineup};
use crate::page::template::{cell, escape};
use crate::{Run, number, statistics};

/// A quantity in which runs are compared, and whether less of it is better.
const COMPARED: [(Quantity, bool); 3] =
    [(quantity::TEST_LOSS, true), (quantity::TRAIN_LOSS, true), (quantity::TEST_ACCURACY, false)];

/// The section; nothing for fewer than two groups, or where nothing differs or was measured.
pub(super) fn render(lineup: &Lineup) -> String {
    let compared = COMPARED
        .iter()
        .find(|(quantity, _)| lineup.groups.iter().filter(|line| last(lineup, line, quantity).is_some()).count() > 1);
    let (Some((quantity, less_is_better)), true) = (compared, lineup.groups.len() > 1 && !lineup.keys.is_empty())
    else {
        return String::new();
    };
    let mut rows: Vec<Row> = lineup.groups.iter().map(|line| Row::new(lineup, line, quantity)).collect();
    let rank = |row: &Row| row.value.map_or(f64::INFINITY, |value| if *less_is_better { value } else { -value });
    rows.sort_by(|a, b| rank(a).total_cmp(&rank(b)));
    let best = rows[0].line;
    let ends = rows.iter().filter_map(|row| row.interval.or(row.value.map(|value| (value, value))));
    let scale = Scale::over(ends, None);
    let body: String = rows.iter().map(|row| row.html(lineup, quantity, best, &scale)).collect();
    let keys: String = lineup.keys.iter().map(|key| format!("<th scope=\"col\">{}</th>", key_title(key))).collect();
    let seeds = if lineup.pools() { "<th scope=\"col\" class=\"number\">Seeds</th>" } else { "" };
    format!(
        "<section id=\"comparison\">\n<h2>What differs, and what it did</h2>\n<p class=\"lead\">{}</p>\n\
         <div class=\"scroll tall\"><table class=\"wide\"><thead><tr><th scope=\"col\">Run</th>{keys}{seeds}\
         <th scope=\"col\" class=\"number\">{}</th><th scope=\"col\" class=\"number\">Behind the best</th>{}</tr></thead>\n\
         <tbody>\n{body}</tbody></table></div>\n</section>\n",
        lead(lineup),
        escape(quantity.title),
        scale.title()
    )
}

fn lead(lineup: &Lineup) -> String {
    let keys: Vec<String> = lineup.keys.iter().map(|key| format!("<code>{}</code>", escape(key))).collect();
    let pairing = if lineup.pools() {
        " Differences are paired by seed where both have the same seeds: ± is one standard error of their mean, and * \
         marks those that a t-test at 95 % tells from zero."
    } else {
        ""
    };
    format!(
        "The specifications differ in {} and in nothing else but names and seeds. Best first.{pairing}",
        keys.join(", ")
    )
}

/// `optimizer.learning_rate` with its table small: what is told apart stands last.
fn key_title(key: &str) -> String {
    match key.rsplit_once('.') {
        Some((table, name)) => format!("<small>{}</small>{}", escape(table), escape(&name.replace('_', " "))),
        None => escape(key),
    }
}

fn last(lineup: &Lineup, line: &Line, quantity: &Quantity) -> Option<f64> {
    lineup.entries[line.entry].run.series(quantity.name).last().map(|(_, value)| value)
}

struct Row<'a> {
    line: &'a Line,
    value: Option<f64>,
    interval: Option<(f64, f64)>,
}

impl<'a> Row<'a> {
    fn new(lineup: &Lineup, line: &'a Line, quantity: &Quantity) -> Self {
        let reading = lineup.entries[line.entry].run.series(quantity.name).last();
        Self { line, value: reading.map(|(_, value)| value), interval: reading.and_then(|(point, _)| point.interval) }
    }

    fn html(&self, lineup: &Lineup, quantity: &Quantity, best: &Line, scale: &Scale) -> String {
        let entry = self.line.entry;
        let reading = lineup.entries[entry].run.series(quantity.name).last();
        let text = reading.map_or("–".to_owned(), |(point, value)| cell(quantity.name, value, point.error));
        let values: String = self.line.values.iter().map(|value| format!("<td>{}</td>", escape(value))).collect();
        let seeds = if lineup.pools() {
            format!("<td class=\"number\">{}</td>", self.line.members.len())
        } else {
            String::new()
        };
        let behind = if std::ptr::eq(self.line, best) {
            "best".to_owned()
        } else {
            behind(lineup, quantity, self.line, best).unwrap_or_else(|| "–".to_owned())
        };
        let drawing =
            self.value.map_or("<td></td>".to_owned(), |value| scale.cell(lineup, entry, value, self.interval));
        format!(
            "<tr><th scope=\"row\">{}</th>{values}{seeds}<td class=\"number\">{text}</td><td class=\"number\">{behind}</td>\
             {drawing}</tr>\n",
            lineup.label(entry)
        )
    }
}

/// How much more of the quantity a group ended with than the best one: paired by seed where at least two are shared.
fn behind(lineup: &Lineup, quantity: &Quantity, line: &Line, best: &Line) -> Option<String> {
    let (own, others) = paired(lineup, quantity, line, best);
    let write = |value: f64, error: Option<f64>| {
        let percent = quantity.name.ends_with("accuracy");
        let factor = if percent { 100.0 } else { 1.0 };
        let text = match error {
            Some(error) => number::with_error(factor * value, factor * error),
            None => number::significant(factor * value),
        };
        format!("{}{text}{}", if value > 0.0 { "+" } else { "" }, if percent { " %" } else { "" })
    };
    match statistics::paired_difference(&own, &others, quantity.unit) {
        Some(difference) => {
            let (low, high) = difference.interval();
            let error = 0.5 * (high - low);
            let resolved = difference.value.abs() > statistics::student_95(own.len() as u64 - 1) * error;
            Some(write(difference.value, Some(error)) + if resolved { " *" } else { "" })
        }
        None => Some(write(last(lineup, line, quantity)? - last(lineup, best, quantity)?, None)),
    }
}

/// The last readings of the seeds that two groups share, in the same order.
pub(super) fn paired(lineup: &Lineup, quantity: &Quantity, a: &Line, b: &Line) -> (Vec<f64>, Vec<f64>) {
    let run = |entry: usize| -> &Run { &lineup.entries[entry].run };
    let last = |entry: usize| run(entry).series(quantity.name).last().map(|(_, value)| value);
    let same = |one: usize, other: usize| run(one).manifest().spec.seeds == run(other).manifest().spec.seeds;
    let pairs = a.members.iter().filter_map(|&one| {
        let other = b.members.iter().copied().find(|&other| same(one, other))?;
        last(one).zip(last(other))
    });
    pairs.unzip()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic;
    use stepscope_types::{Seeds, Uncertainty};

    fn run(name: &str, rate: f64, seed: u64, loss: f64) -> Run {
        let mut manifest = synthetic::manifest(name, rate);
        manifest.spec.seeds = Seeds::from_root(seed);
        let records = [synthetic::measure(&quantity::TEST_LOSS, 9, loss, Uncertainty::Exact)];
        Run::from_records(manifest, records)
    }

    #[test]
    fn groups_are_ranked_and_their_differences_paired_by_seed() {
        // Seeds shift both by the same amount: pairing sees a difference of 0.5 with a small error.
        let runs: Vec<Run> = (0..4u32)
            .flat_map(|seed| {
                let shift = f64::from(seed);
                let wobble = 0.01 * f64::from(seed % 2);
                [run("large", 0.4, seed.into(), 1.5 + shift + wobble), run("small", 0.1, seed.into(), 1.0 + shift)]
            })
            .collect();
        let html = render(&Lineup::new(&runs));
        assert!(html.contains("+0.5050 ± 0.0029 *"), "{html}");
        let place = |name: &str| html.find(&format!("</span>{name} (4 seeds)")).unwrap();
        assert!(place("small") < place("large"), "best first");
        assert!(html.contains("<small>optimizer</small>learning rate"), "{html}");
    }

    #[test]
    fn one_seed_each_is_compared_without_an_error_and_one_run_with_nothing() {
        let runs = [run("a", 0.1, 1, 1.0), run("b", 0.2, 1, 1.25)];
        let html = render(&Lineup::new(&runs));
        assert!(html.contains(">+0.250<") && !html.contains("Seeds"), "{html}");
        assert_eq!(render(&Lineup::new(&runs[..1])), "");
    }
}
