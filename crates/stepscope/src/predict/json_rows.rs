//! Modes from JSON Lines: `{"eigenvalue": 1.5, "coefficient": 0.2, "multiplicity": 3}` on every line.

use std::io::BufRead;
use std::path::Path;

use serde::Deserialize;

use super::error::SourceError;
use super::lines::Lines;
use super::mode_table::{Column, MAX_MODES, ModeTable};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    eigenvalue: f64,
    coefficient: f64,
    #[serde(default = "one")]
    multiplicity: f64,
}

fn one() -> f64 {
    1.0
}

/// Reads every mode.
pub(super) fn read(path: &Path, reader: impl BufRead) -> Result<ModeTable, SourceError> {
    let mut lines = Lines::new(path, reader);
    let mut table = ModeTable::default();
    while let Some((place, line)) = lines.next_line()? {
        let row: Row = serde_json::from_str(line).map_err(|error| {
            let message = error.to_string();
            let got = message.split(" at line ").next().unwrap_or_default().to_owned();
            let expected = "an object with eigenvalue, coefficient and, if not 1, multiplicity";
            let advice = "write {\"eigenvalue\": 1.5, \"coefficient\": 0.2} on a line of its own; JSON has no NaN";
            place.at_column(error.column().max(1)).error(got, expected, advice)
        })?;
        for (column, value) in Column::ALL.into_iter().zip([row.eigenvalue, row.coefficient, row.multiplicity]) {
            if let Some(fault) = column.fault(value) {
                return Err(place.error(format!("{} {value}", column.name()), fault.expected, fault.advice));
            }
        }
        if table.num_lines() == MAX_MODES {
            let advice = "bin the spectrum first, or describe it with --power-law";
            return Err(place.error(format!("more than {MAX_MODES} modes"), "at most that many", advice));
        }
        table.push(row.eigenvalue, row.coefficient, row.multiplicity);
    }
    Ok(table)
}
