//! Writes `docs/quantities.md` from the one place where recorded quantities are named.

use std::path::Path;

use crate::{Fault, Outcome};

/// Where quantities are named.
pub(crate) const SOURCE: &str = "crates/stepscope-types/src/quantity.rs";
/// The page made from them.
pub(crate) const PAGE: &str = "docs/quantities.md";

/// One entry of the `quantities!` table.
#[derive(Debug, PartialEq, Eq)]
struct Quantity {
    name: String,
    unit: String,
    meaning: String,
}

/// Writes the page.
pub(crate) fn write(root: &Path) -> Result<Outcome, Fault> {
    let page = page(&read(root, SOURCE)?)?;
    let place = root.join(PAGE);
    if let Some(folder) = place.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&place, page).map_err(|error| format!("cannot write {PAGE}: {error}"))?;
    println!("docs: wrote {PAGE}");
    Ok(Outcome::Clean)
}

/// Says whether the page is what [`write()`] would write.
pub(crate) fn check(root: &Path) -> Result<Outcome, Fault> {
    if page(&read(root, SOURCE)?)? == read(root, PAGE).unwrap_or_default() {
        println!("docs: {PAGE} is up to date");
        return Ok(Outcome::Clean);
    }
    println!("{PAGE}:1: docs: not what {SOURCE} says. Run `cargo xtask docs`.");
    Ok(Outcome::Findings)
}

fn read(root: &Path, path: &str) -> Result<String, Fault> {
    std::fs::read_to_string(root.join(path)).map_err(|error| format!("cannot read {path}: {error}").into())
}

/// The page made from the text of `quantity.rs`.
pub(crate) fn page(source: &str) -> Result<String, String> {
    let mut text = format!(
        "# Recorded quantities\n\n\
         Every name that can stand in a run's record file. The table is made by `cargo xtask docs` from\n\
         [`quantity.rs`](../{SOURCE}); change it there.\n\n\
         | name | unit | meaning |\n|---|---|---|\n"
    );
    for Quantity { name, unit, meaning } in quantities(source)? {
        let meaning = meaning.replace('|', "\\|");
        text.push_str(&format!("| `{name}` | {unit} | {meaning} |\n"));
    }
    Ok(text)
}

fn quantities(source: &str) -> Result<Vec<Quantity>, String> {
    let table = source
        .split_once("\nquantities! {")
        .ok_or_else(|| format!("{SOURCE} has no `quantities!` table at the beginning of a line"))?
        .1;
    let mut quantities = Vec::new();
    let mut lines = table.lines();
    let mut entry = String::new();
    for line in lines.by_ref().map(str::trim).take_while(|line| *line != "}") {
        if line.starts_with("//") || line.starts_with("#[") {
            continue;
        }
        entry.push_str(line);
        entry.push(' ');
        if line.ends_with(';') {
            quantities.push(quantity(&entry)?);
            entry.clear();
        }
    }
    if quantities.is_empty() {
        return Err(format!("the `quantities!` table in {SOURCE} is empty"));
    }
    Ok(quantities)
}

/// Reads `CONSTANT = "name", "unit", "title", "meaning";`.
fn quantity(entry: &str) -> Result<Quantity, String> {
    match string_literals(entry).as_slice() {
        [name, unit, _title, meaning] => {
            Ok(Quantity { name: name.clone(), unit: unit.clone(), meaning: meaning.clone() })
        }
        literals => Err(format!(
            "{SOURCE}: expected `CONSTANT = \"name\", \"unit\", \"title\", \"meaning\";`, got {} strings in `{}`",
            literals.len(),
            entry.trim()
        )),
    }
}

fn string_literals(text: &str) -> Vec<String> {
    let mut literals = Vec::new();
    let mut open: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (&mut open, character) {
            (Some(_), '"') => literals.extend(open.take()),
            (Some(literal), '\\') => literal.extend(characters.next()),
            (Some(literal), other) => literal.push(other),
            (None, '"') => open = Some(String::new()),
            (None, _) => {}
        }
    }
    literals
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
macro_rules! quantities { () => {} }

quantities! {
    /// A comment with "quotes".
    A = "train/a", "nat", "A", "One; line.";
    B = "b", "1", "Title",
        "Says \"b\" | c.";
}

const OTHER: &str = "not a quantity";
"#;

    #[test]
    fn every_entry_becomes_a_row() {
        let page = page(TEXT).unwrap();
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(rows, ["| `train/a` | nat | One; line. |", "| `b` | 1 | Says \"b\" \\| c. |"]);
    }

    #[test]
    fn a_table_that_cannot_be_read_is_refused() {
        assert!(page("nothing here").unwrap_err().contains("has no `quantities!` table"));
        assert!(page("\nquantities! {\n}\n").unwrap_err().contains("is empty"));
        let three = "\nquantities! {\n    A = \"a\", \"b\", \"c\";\n}\n";
        assert!(page(three).unwrap_err().contains("got 3 strings"));
    }
}
