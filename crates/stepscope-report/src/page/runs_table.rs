//! The table of runs: a row a run, its last numbers and how it ended.

use stepscope_types::StopReason;
use stepscope_types::quantity::{self, Quantity};
use stepscope_types::spec::LearningRateSpec;

use crate::page::lineup::Lineup;
use crate::page::template::{cell, escape};
use crate::{Run, number};

const COLUMNS: [(&str, &Quantity); 5] = [
    ("Training loss", &quantity::TRAIN_LOSS),
    ("Test loss", &quantity::TEST_LOSS),
    ("Test accuracy", &quantity::TEST_ACCURACY),
    ("Sharpness", &quantity::HESSIAN_TOP_EIGENVALUE),
    ("Rate × sharpness", &quantity::EFFECTIVE_SHARPNESS),
];

/// What the numbers of pooled runs are.
const POOLED: &str = " Of several seeds: the median at the last step that all of them reached, and in brackets the \
                      interval that covers it, with 95 % from six seeds on; with fewer it is the range of all seeds.";

pub(super) fn render(lineup: &Lineup) -> String {
    if lineup.entries.is_empty() {
        return "<p>No run was given.</p>\n".to_owned();
    }
    let titles = COLUMNS.iter().map(|(title, quantity)| {
        format!("<th scope=\"col\" class=\"number\" title=\"{}\">{title}</th>", escape(quantity.description))
    });
    let rows = lineup.listed().map(|index| row(lineup, index));
    let (titles, rows): (String, String) = (titles.collect(), rows.collect());
    format!(
        "<div class=\"scroll\"><table class=\"wide runs\"><thead><tr><th scope=\"col\">Run</th>\
         <th scope=\"col\" class=\"number\">Learning rate</th>{titles}<th scope=\"col\">Outcome</th></tr></thead>\n\
         <tbody>\n{rows}</tbody></table></div>\n\
         <p class=\"note\">Last reading of each quantity. ± is one standard error of a mean, or the residual of an \
         eigenvalue; what stands without it was computed from all examples.{}</p>\n{}",
        if lineup.pools() { POOLED } else { "" },
        advice(lineup)
    )
}

fn row(lineup: &Lineup, index: usize) -> String {
    let run = &lineup.entries[index].run;
    let class = if run.is_prediction() { " class=\"prediction\"" } else { "" };
    let cells: String = COLUMNS.iter().map(|(_, quantity)| last_reading(run, quantity)).collect();
    format!(
        "<tr{class}><th scope=\"row\">{}</th><td class=\"number\">{}</td>{cells}<td>{}</td></tr>\n",
        lineup.label(index),
        learning_rate(run),
        outcome(lineup, index)
    )
}

fn learning_rate(run: &Run) -> String {
    match run.manifest().spec.optimizer.learning_rate {
        Some(LearningRateSpec::Fixed(learning_rate)) => learning_rate.to_string(),
        _ => {
            let last = run.series(quantity::LEARNING_RATE.name).last();
            let last =
                last.map_or(String::new(), |(_, value)| format!("<small>last {}</small>", number::significant(value)));
            format!("measured{last}")
        }
    }
}

/// A cell: the last value of a quantity, and its step where that is not the run's last one.
fn last_reading(run: &Run, quantity: &Quantity) -> String {
    let Some((point, value)) = run.series(quantity.name).last() else {
        return "<td class=\"number none\">–</td>".to_owned();
    };
    let text = cell(quantity.name, value, point.error);
    let step = if point.step == run.last_step() {
        String::new()
    } else {
        format!("<small>at step {}</small>", number::count(point.step.0))
    };
    format!("<td class=\"number\">{text}{step}</td>")
}

fn outcome(lineup: &Lineup, index: usize) -> String {
    let run = &lineup.entries[index].run;
    let steps = number::count(run.last_step().0);
    match run.stop_reason() {
        _ if run.is_prediction() => "predicted".to_owned(),
        Some(StopReason::Finished) => format!("finished<small>{steps} steps</small>"),
        Some(StopReason::Diverged { .. }) => {
            format!("<strong class=\"diverged\">diverged</strong><small>at step {steps}</small>")
        }
        None => {
            let left = run.seconds_left().map_or(String::new(), |left| format!(", {} left", number::duration(left)));
            format!("no end recorded<small>step {steps}, {:.0} % done{left}</small>", 100.0 * run.progress())
        }
    }
}

/// What the runs that did not end well, or whose files are cut, have to say.
fn advice(lineup: &Lineup) -> String {
    let items = lineup.entries.iter().flat_map(|entry| {
        let diverged = match entry.run.stop_reason() {
            Some(StopReason::Diverged { last_good_step, message }) => {
                Some(format!("in order until step {}; {message}", number::count(last_good_step.0)))
            }
            _ => None,
        };
        let texts = diverged.into_iter().chain(entry.run.notes().map(str::to_owned));
        texts.map(|text| format!("<li><b>{}</b>: {}</li>\n", escape(entry.run.name()), escape(&text)))
    });
    let items: String = items.collect();
    if items.is_empty() { items } else { format!("<ul class=\"advice\">\n{items}</ul>\n") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic;

    #[test]
    fn a_diverged_run_says_where_it_ended_and_what_to_try() {
        let (manifest, records) = synthetic::diverging_run();
        let runs = [Run::from_records(manifest, records)];
        let html = render(&Lineup::new(&runs));
        assert!(html.contains("diverged</strong><small>at step 214</small>"), "{html}");
        assert!(html.contains("in order until step 193; the mini-batch loss was above"), "{html}");
        assert!(html.contains("<small>at step 150</small>"), "the last probe was before the end: {html}");
    }

    #[test]
    fn a_run_without_an_end_and_without_readings_is_listed_all_the_same() {
        let runs = [Run::from_records(synthetic::manifest("alone", 0.25), [])];
        let html = render(&Lineup::new(&runs));
        assert!(html.contains("alone") && html.contains(">0.25<") && html.contains("no end recorded"), "{html}");
    }
}
