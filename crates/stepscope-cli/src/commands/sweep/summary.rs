//! The result of a sweep in a table and in words.

use stepscope::sweep::describe;
use stepscope::types::quantity;
use stepscope_report::{Align, Table, number};

use super::pooled::Pooled;

/// A row a setting, best first.
pub(super) fn table(pooled: &[Pooled]) -> Table {
    let keys: Vec<&str> =
        pooled.first().into_iter().flat_map(|row| &row.settings).map(|setting| setting.key.as_str()).collect();
    let names: Vec<&'static str> = names(pooled);
    let with_difference = pooled.iter().any(|row| row.above_best.is_some());
    let mut table = Table::new();
    for key in &keys {
        table = table.column(*key, Align::Left);
    }
    table = table.column("runs", Align::Right);
    for name in &names {
        table = table.column(title(name), Align::Right);
    }
    if with_difference {
        table = table.column("above the best", Align::Right);
    }
    table = table.column("diverged", Align::Right);
    for row in pooled {
        let mut cells: Vec<String> =
            row.settings.iter().map(|setting| setting.value.trim_matches(['"', '\'']).to_owned()).collect();
        cells.push(row.num_runs.to_string());
        for name in &names {
            let text =
                |estimate: &stepscope::types::Estimate| number::reading(name, estimate.value, Some(estimate.error));
            cells.push(row.value(name).map_or("-".to_owned(), text));
        }
        if with_difference {
            let text =
                |estimate: &stepscope::types::Estimate| number::with_uncertainty(estimate.value, Some(estimate.error));
            cells.push(row.above_best.as_ref().map_or("-".to_owned(), text));
        }
        cells.push(row.num_diverged.to_string());
        table = table.row(cells);
    }
    table
}

/// What the table rests on.
pub(super) fn words(pooled: &[Pooled]) -> String {
    let Some(best) = pooled.first() else { return String::new() };
    let Some(name) = names(pooled).first().copied() else { return "No run recorded a final value.".to_owned() };
    let seeds = pooled.iter().map(|row| row.num_runs - row.num_diverged).max().unwrap_or(0);
    let how = match seeds {
        0 | 1 => "Values of one seed with their own errors: more seeds (sweep.seeds) say how far chance decides.",
        2..6 => "Medians over seeds with their range; six seeds give 95 % intervals.",
        _ => "Medians over seeds with 95 % intervals.",
    };
    let paired = match pooled.iter().any(|row| row.above_best.is_some()) {
        true => " Differences are means paired by seed, with one standard error.",
        false => "",
    };
    let settings = describe(&best.settings);
    let which = if settings.is_empty() { String::new() } else { format!("Lowest {}: {settings}. ", title(name)) };
    format!("{which}{how}{paired} Settings are ranked by {}: the test set judges, it does not choose.", title(name))
}

fn names(pooled: &[Pooled]) -> Vec<&'static str> {
    let longest = pooled.iter().max_by_key(|row| row.values.len());
    longest.into_iter().flat_map(|row| &row.values).map(|value| value.name).collect()
}

fn title(name: &str) -> String {
    quantity::by_name(name).map_or_else(|| name.to_owned(), |quantity| quantity.title.to_lowercase())
}
