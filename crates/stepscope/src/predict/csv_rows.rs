//! Modes from comma-separated values: `eigenvalue,coefficient[,multiplicity]`.

use std::io::BufRead;
use std::path::Path;

use super::error::{Place, SourceError, shown};
use super::lines::Lines;
use super::mode_table::{Column, MAX_MODES, ModeTable};

const COLUMNS: &str = "the columns eigenvalue,coefficient or eigenvalue,coefficient,multiplicity";

/// Cells of a line with the column at which each starts, counted in characters from 1.
pub(super) fn cells(line: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut column = 1;
    line.split(',').map(move |cell| {
        let start = column + cell.chars().take_while(|c| c.is_whitespace()).count();
        column += cell.chars().count() + 1;
        let cell = cell.trim();
        let unquoted = cell.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(cell);
        (start, unquoted.trim())
    })
}

/// Reads every mode; the first line may be a header, whose columns may stand in any order.
pub(super) fn read(path: &Path, reader: impl BufRead) -> Result<ModeTable, SourceError> {
    let mut lines = Lines::new(path, reader);
    let mut table = ModeTable::default();
    let mut columns: Option<Vec<Column>> = None;
    while let Some((place, line)) = lines.next_line()? {
        let known = match &columns {
            Some(columns) => columns,
            None => {
                let (found, is_header) = first_line(place, line)?;
                let found = columns.insert(found);
                if is_header {
                    continue;
                }
                found
            }
        };
        let [eigenvalue, coefficient, multiplicity] = row(place, line, known)?;
        if table.num_lines() == MAX_MODES {
            let advice = "bin the spectrum first, or describe it with --power-law";
            return Err(place.error(format!("more than {MAX_MODES} modes"), "at most that many", advice));
        }
        table.push(eigenvalue, coefficient, multiplicity);
    }
    Ok(table)
}

/// The columns that the first line stands for, and whether it is a header.
fn first_line(place: Place<'_>, line: &str) -> Result<(Vec<Column>, bool), SourceError> {
    let count = cells(line).count();
    if count == 1 {
        let advice = "separate the columns by commas, with the squared initial error along each mode in the second";
        return Err(place.error(format!("one column, {}", shown(line.trim())), COLUMNS, advice));
    }
    if cells(line).next().is_some_and(|(_, cell)| cell.parse::<f64>().is_ok()) {
        let columns = Column::ALL.get(..count).ok_or_else(|| {
            place.error(
                format!("{count} columns without a header"),
                COLUMNS,
                "remove the others, or name them in a header",
            )
        })?;
        return Ok((columns.to_vec(), false));
    }
    let mut columns = Vec::with_capacity(count);
    for (start, cell) in cells(line) {
        let here = place.at_column(start);
        let known = Column::ALL.into_iter().find(|column| column.name() == cell.to_ascii_lowercase());
        let column = known.ok_or_else(|| here.error(shown(cell), COLUMNS, "rename or remove the column"))?;
        if columns.contains(&column) {
            return Err(here.error(format!("a second column {cell}"), COLUMNS, "remove one of the two"));
        }
        columns.push(column);
    }
    for needed in [Column::Eigenvalue, Column::Coefficient] {
        if !columns.contains(&needed) {
            let got = format!("a header without {}", needed.name());
            return Err(place.error(got, COLUMNS, "add the column"));
        }
    }
    Ok((columns, true))
}

/// Eigenvalue, coefficient and multiplicity of a line.
fn row(place: Place<'_>, line: &str, columns: &[Column]) -> Result<[f64; 3], SourceError> {
    let mut values = [f64::NAN, f64::NAN, 1.0];
    let mut count = 0;
    for (start, cell) in cells(line) {
        let here = place.at_column(start);
        let Some(&column) = columns.get(count) else {
            let got = format!("more than {} columns", columns.len());
            return Err(here.error(got, "as many on every line", "write numbers with a decimal point, not a comma"));
        };
        let value =
            cell.parse::<f64>().map_err(|_| here.error(shown(cell), "a number", "write it like 0.25 or 2.5e-1"))?;
        if let Some(fault) = column.fault(value) {
            return Err(here.error(format!("{} {value}", column.name()), fault.expected, fault.advice));
        }
        values[column as usize] = value;
        count += 1;
    }
    if count < columns.len() {
        let got = format!("{count} of {} columns", columns.len());
        return Err(place.error(got, "as many on every line", "complete the line, or remove it"));
    }
    Ok(values)
}
