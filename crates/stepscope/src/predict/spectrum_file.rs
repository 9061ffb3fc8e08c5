//! Spectra from files: CSV, JSON Lines or `.npy`, told apart by what is in them.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use super::error::SourceError;
use super::mode_table::{Column, ModeTable};
use super::npy::{self, NpyArray};
use super::{csv_rows, density_file, json_rows};

const NO_MODES: &str = "at least one mode";

/// Reads a spectrum: one mode a line or row, eigenvalue, coefficient (squared initial error along the mode) and, if not 1,
/// multiplicity.
///
/// | in the file | read as |
/// |---|---|
/// | begins with `\x93NUMPY` | an array of 2 or 3 columns, see [`read_npy`](super::read_npy) |
/// | begins with `{"kind":"spectral-density"` | the density of a network, a file of `spectra/` in a run's folder |
/// | begins with `{`, or is named `.jsonl` or `.ndjson` | JSON Lines, the columns' names as keys |
/// | anything else | CSV; the header may be left out, and may list the columns in any order |
///
/// Text is read line by line; the numbers alone stay in memory.
///
/// # Errors
/// [`SourceError`] with file, line and column for anything that is no spectrum: empty files, one column, numbers that are not
/// finite, negative eigenvalues or coefficients.
pub fn read_spectrum(path: &Path) -> Result<ModeTable, SourceError> {
    let file = File::open(path).map_err(SourceError::read(path))?;
    let mut reader = BufReader::new(file);
    let start = reader.fill_buf().map_err(SourceError::read(path))?;
    if start.starts_with(npy::MAGIC) {
        return from_array(path, &npy::read_npy(path)?);
    }
    read_text(path, reader)
}

/// Reads a spectrum as two vectors, each a `.npy` file.
///
/// # Errors
/// [`SourceError`] as [`read_spectrum`], and where the two differ in length.
pub fn read_spectrum_pair(eigenvalues: &Path, coefficients: &Path) -> Result<ModeTable, SourceError> {
    let lambda = vector(eigenvalues)?;
    let squared_errors = vector(coefficients)?;
    if lambda.len() != squared_errors.len() {
        let got = format!("{} coefficients", squared_errors.len());
        let expected = format!("{}, one for each eigenvalue of {}", lambda.len(), eigenvalues.display());
        return Err(SourceError::file(coefficients, got, expected, "check that both files belong together"));
    }
    let mut table = ModeTable::default();
    for (index, (&eigenvalue, &coefficient)) in lambda.iter().zip(&squared_errors).enumerate() {
        check(eigenvalues, Column::Eigenvalue, index, eigenvalue)?;
        check(coefficients, Column::Coefficient, index, coefficient)?;
        table.push(eigenvalue, coefficient, 1.0);
    }
    Ok(table)
}

/// A vector, also where it was saved as one column.
fn vector(path: &Path) -> Result<Vec<f64>, SourceError> {
    let array = npy::read_npy(path)?;
    if array.num_columns() != 1 {
        let got = format!("{} columns", array.num_columns());
        return Err(SourceError::file(path, got, "a vector", "numpy.save(file, array[:, 0]) saves one column"));
    }
    Ok(array.values)
}

fn check(path: &Path, column: Column, index: usize, value: f64) -> Result<(), SourceError> {
    match column.fault(value) {
        Some(fault) => {
            let got = format!("{} {value} at index {index}", column.name());
            Err(SourceError::file(path, got, fault.expected, fault.advice))
        }
        None => Ok(()),
    }
}

fn from_array(path: &Path, array: &NpyArray) -> Result<ModeTable, SourceError> {
    let count = array.num_columns();
    if !(2..=3).contains(&count) {
        let got = format!("{count} column{}", if count == 1 { "" } else { "s" });
        let advice = "give the coefficients in a second file with --coefficients, or numpy.save(file, \
                      numpy.column_stack([eigenvalues, coefficients]))";
        return Err(SourceError::file(path, got, "eigenvalue, coefficient and, if not 1, multiplicity", advice));
    }
    let mut table = ModeTable::default();
    for (index, row) in array.values.chunks_exact(count).enumerate() {
        for (column, &value) in Column::ALL.into_iter().zip(row) {
            check(path, column, index, value)?;
        }
        table.push(row[0], row[1], row.get(2).copied().unwrap_or(1.0));
    }
    Ok(table)
}

fn read_text(path: &Path, mut reader: impl BufRead) -> Result<ModeTable, SourceError> {
    let start = reader.fill_buf().map_err(SourceError::read(path))?;
    if density_file::is_density(start) {
        return density_file::read(path, reader);
    }
    let named = path.extension().is_some_and(|ending| ending == "jsonl" || ending == "ndjson");
    let without_mark = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let is_json = named || without_mark.trim_ascii_start().starts_with(b"{");
    let table = if is_json { json_rows::read(path, reader) } else { csv_rows::read(path, reader) }?;
    if table.num_lines() == 0 {
        let advice = "write one mode a line: eigenvalue,coefficient";
        return Err(SourceError::file(path, "none", NO_MODES, advice));
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &[u8]) -> Result<ModeTable, SourceError> {
        read_text(Path::new("s.csv"), text)
    }

    fn refused(text: &str, words: &[&str]) {
        let message = read(text.as_bytes()).unwrap_err().to_string();
        for word in words {
            assert!(message.contains(word), "'{word}' is missing: {message}");
        }
    }

    #[test]
    fn one_spectrum_reads_the_same_in_every_writing() {
        let expected = read(b"1.5,0.25,1\n0.5,2,3\n").unwrap();
        assert_eq!(expected.eigenvalues(), [1.5, 0.5]);
        assert_eq!(expected.coefficients(), [0.25, 2.0]);
        assert_eq!(expected.multiplicities(), Some(&[1.0, 3.0][..]));
        for text in [
            "eigenvalue,coefficient,multiplicity\n1.5,0.25,1\n0.5,2,3\n",
            "multiplicity, coefficient ,eigenvalue\r\n1,0.25,1.5\r\n\r\n3,2e0,+0.5",
            "\u{feff}\"Eigenvalue\",\"Coefficient\",\"Multiplicity\"\n\"1.5\",0.25,1\n0.5,2,3\n",
            "{\"eigenvalue\": 1.5, \"coefficient\": 0.25}\n{\"multiplicity\": 3, \"coefficient\": 2, \"eigenvalue\": 0.5}\n",
            "\u{feff}\n {\"eigenvalue\":1.5,\"coefficient\":0.25}\n\n{\"multiplicity\":3,\"coefficient\":2,\"eigenvalue\":0.5}",
        ] {
            assert_eq!(read(text.as_bytes()).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn text_that_is_no_spectrum_is_refused_by_line_and_column() {
        refused("", &["s.csv", "at least one mode"]);
        refused("\n \n", &["at least one mode"]);
        refused("eigenvalue,coefficient\n", &["at least one mode"]);
        refused("1\n2\n", &["s.csv:1:1", "one column", "commas"]);
        refused("eigenvalue\n1\n", &["s.csv:1:1", "one column"]);
        refused("1;2\n", &["one column", "commas"]);
        refused("1,2\n-0.5,1\n", &["s.csv:2:1", "eigenvalue -0.5", "Gauss-Newton"]);
        refused("1,2\nNaN,1\n", &["s.csv:2:1", "eigenvalue NaN"]);
        refused("1,2\ninf,1\n", &["s.csv:2:1", "eigenvalue inf"]);
        refused("1,2\n0.5, -1\n", &["s.csv:2:6", "coefficient -1", "square"]);
        refused("1,2\n0.5,nan\n", &["s.csv:2:5", "coefficient NaN"]);
        refused("1,2,1\n0.5,1,0\n", &["s.csv:2:7", "multiplicity 0"]);
        refused("1,2\n0.5,x\n", &["s.csv:2:5", "\"x\"", "a number"]);
        refused("1,2\n0,5,1\n", &["s.csv:2:5", "more than 2 columns", "decimal point"]);
        refused("1,2\n3\n", &["s.csv:2:1", "1 of 2 columns"]);
        refused("1,2,3,4\n", &["4 columns without a header"]);
        refused("eigenvalue,coeficient\n1,2\n", &["s.csv:1:12", "coeficient"]);
        refused("eigenvalue,eigenvalue\n1,2\n", &["s.csv:1:12", "second column"]);
        refused("eigenvalue,multiplicity\n1,2\n", &["without coefficient"]);
        refused(&"9".repeat(70_000), &["s.csv:1:1", "more than 65536 bytes"]);
    }

    #[test]
    fn json_that_is_no_mode_is_refused_by_line_and_column() {
        let first = "{\"eigenvalue\":1,\"coefficient\":1}\n";
        for (line, words) in [
            ("{\"eigenvalue\":1}", ["s.csv:2:", "coefficient"]),
            ("{\"eigenvalue\":NaN,\"coefficient\":1}", ["s.csv:2:", "NaN"]),
            ("{\"eigenvalue\":-1,\"coefficient\":1}", ["s.csv:2:1", "eigenvalue -1"]),
            ("{\"eigenvalue\":1,\"coefficient\":1,\"weight\":1}", ["s.csv:2:", "weight"]),
            ("1,2", ["s.csv:2:", "an object"]),
        ] {
            refused(&format!("{first}{line}\n"), &words);
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_where_they_stand() {
        let message = read(b"1,2\n0.5,\xff\n").unwrap_err().to_string();
        assert!(message.contains("s.csv:2:5") && message.contains("0xff"), "{message}");
    }

    #[test]
    fn pairs_and_columns_of_npy_files_are_spectra() {
        use super::super::npy::tests::{doubles, npy};
        let folder = tempfile::TempDir::new().unwrap();
        let write = |name: &str, bytes: Vec<u8>| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let lambda = write("l.npy", npy(1, "<f8", false, "(2,)", &doubles(&[1.5, 0.5])));
        let column = write("c.npy", npy(1, "<f8", false, "(2, 1)", &doubles(&[0.25, 2.0])));
        let stacked = write("s.npy", npy(1, "<f8", false, "(2, 2)", &doubles(&[1.5, 0.25, 0.5, 2.0])));
        let expected = read(b"1.5,0.25\n0.5,2\n").unwrap();
        assert_eq!(read_spectrum_pair(&lambda, &column).unwrap(), expected);
        assert_eq!(read_spectrum(&stacked).unwrap(), expected);
        assert!(read_spectrum(&lambda).unwrap_err().to_string().contains("--coefficients"));
        let longer = write("d.npy", npy(1, "<f8", false, "(3,)", &doubles(&[1.0, 1.0, 1.0])));
        assert!(read_spectrum_pair(&lambda, &longer).unwrap_err().to_string().contains("3 coefficients"));
        let negative = write("n.npy", npy(1, "<f8", false, "(2,)", &doubles(&[1.0, -1.0])));
        assert!(read_spectrum_pair(&negative, &column).unwrap_err().to_string().contains("at index 1"));
        assert!(read_spectrum_pair(&stacked, &column).unwrap_err().to_string().contains("2 columns"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "[0-9a-z,.{}\":\\-\\n éN]{0,120}") {
            let _ = read(text.as_bytes());
        }

        #[test]
        fn what_is_written_is_read_bit_for_bit(rows in prop::collection::vec((0.0..1e300_f64, 0.0..1e300_f64), 1..20)) {
            let text: String = rows.iter().map(|(eigenvalue, coefficient)| format!("{eigenvalue:e},{coefficient}\n")).collect();
            let table = read(text.as_bytes()).unwrap();
            prop_assert_eq!(table.eigenvalues(), rows.iter().map(|row| row.0).collect::<Vec<_>>());
            prop_assert_eq!(table.coefficients(), rows.iter().map(|row| row.1).collect::<Vec<_>>());
        }
    }
}
