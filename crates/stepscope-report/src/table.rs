//! A table of short texts, aligned for the terminal by its `Display`, and rendered by a page.

use std::fmt;

/// To which side the cells of a column are aligned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Align {
    /// Words.
    #[default]
    Left,
    /// Numbers.
    Right,
}

/// Columns with titles, and rows of cells.
///
/// Widths count characters, one column each, which is right for Latin and Greek text and for digits. Control characters
/// (a run's name is free text) are shown as `\u{FFFD}`, so that no cell can move the cursor or change colours.
///
/// ```
/// use stepscope_report::{Align, Table};
/// let table = Table::new().column("run", Align::Left).column("loss", Align::Right)
///     .row(["small", "0.5"]).row(["measured", "0.25"]);
/// assert_eq!(table.to_string(), "run       loss\n--------  ----\nsmall      0.5\nmeasured  0.25\n");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

const GAP: &str = "  ";

impl Table {
    /// A table without columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a column at the right.
    pub fn column(mut self, title: impl Into<String>, align: Align) -> Self {
        self.columns.push((title.into(), align));
        self
    }

    /// Adds a row at the bottom. Cells that are missing are blank; cells beyond the last column are left out.
    pub fn row<Cell: Into<String>>(mut self, cells: impl IntoIterator<Item = Cell>) -> Self {
        self.rows.push(cells.into_iter().map(Into::into).collect());
        self
    }

    /// Titles and alignments, left to right.
    pub fn columns(&self) -> &[(String, Align)] {
        &self.columns
    }

    /// Cells, top to bottom, as many in each row as there are columns.
    pub fn rows(&self) -> impl Iterator<Item = Vec<&str>> + '_ {
        self.rows.iter().map(|row| {
            (0..self.columns.len()).map(|index| row.get(index).map_or("", String::as_str)).collect::<Vec<_>>()
        })
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

fn printable(cell: &str) -> String {
    cell.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles: Vec<String> = self.columns.iter().map(|(title, _)| printable(title)).collect();
        let rows: Vec<Vec<String>> = self.rows().map(|row| row.into_iter().map(printable).collect()).collect();
        let width = |index: usize| {
            let cells = rows.iter().map(|row| &row[index]).chain([&titles[index]]);
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..titles.len()).map(width).collect();
        let rules: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
        for row in [&titles, &rules].into_iter().chain(&rows) {
            let cells = row.iter().zip(&self.columns).zip(&widths).map(|((cell, (_, align)), &width)| match align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            });
            writeln!(f, "{}", cells.collect::<Vec<_>>().join(GAP).trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ragged_rows_are_padded_and_cut_to_the_columns() {
        let table = Table::new().column("a", Align::Left).column("b", Align::Right).row(["1"]).row(["1", "22", "lost"]);
        assert_eq!(table.to_string(), "a   b\n-  --\n1\n1  22\n");
    }

    #[test]
    fn widths_count_characters_and_control_characters_cannot_reach_the_terminal() {
        let table =
            Table::new().column("η", Align::Left).column("value", Align::Right).row(["\u{1b}[31mred\n", "1 ± 2"]);
        let text = table.to_string();
        assert!(!text.contains('\u{1b}'));
        let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        assert_eq!(widths, [16, 16, 16]);
    }

    #[test]
    fn an_empty_table_prints_its_titles() {
        assert!(Table::new().is_empty());
        assert_eq!(Table::new().column("run", Align::Left).to_string(), "run\n---\n");
    }
}
