//! TOML text with overrides laid over it, which remembers where every key stands.

use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Place, SpecError};
use super::overrides::Override;

/// A key with those of the tables around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyPath {
    keys: Vec<String>,
}

impl KeyPath {
    pub(super) fn new(keys: Vec<String>) -> Self {
        Self { keys }
    }

    pub(super) fn from_dotted(key: &str) -> Self {
        Self::new(key.split('.').map(|key| key.trim().to_owned()).collect())
    }

    pub(super) fn keys(&self) -> &[String] {
        &self.keys
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(String::as_str)
    }

    /// The path of the first `length` keys.
    pub(super) fn first(&self, length: usize) -> Self {
        Self::new(self.keys[..length.min(self.keys.len())].to_vec())
    }

    pub(super) fn child(&self, key: &str) -> Self {
        Self::new(self.keys.iter().cloned().chain([key.to_owned()]).collect())
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.keys.join("."))
    }
}

/// A specification before its keys are checked.
pub(super) struct Document<'a> {
    text: &'a str,
    source: &'a str,
    root: DeTable<'a>,
    overrides: Vec<(KeyPath, Place, &'a str)>,
}

impl<'a> Document<'a> {
    pub(super) fn parse(text: &'a str, source: &'a str) -> Result<Self, SpecError> {
        let root = DeTable::parse(text).map_err(|error| SpecError::Syntax {
            place: Place::Line(source.to_owned(), line(text, error.span().map_or(0, |span| span.start))),
            message: error.message().replace('\n', ", "),
        })?;
        Ok(Self { text, source, root: root.into_inner(), overrides: Vec::new() })
    }

    pub(super) fn root(&self) -> &DeTable<'a> {
        &self.root
    }

    /// Puts a value in the place of the one that is there, if any.
    pub(super) fn set(&mut self, change: Override<'a>) -> Result<(), SpecError> {
        let Override { text, written, path, value } = change;
        insert(&mut self.root, path.keys(), value).map_err(|depth| {
            let parent = path.first(depth);
            SpecError::Override {
                text: text.to_owned(),
                reason: format!("{parent} is {} and no table: correct it first", self.written(&parent)),
            }
        })?;
        self.overrides.push((path, Place::Override(text.to_owned()), written));
        Ok(())
    }

    /// Where a key stands: the latest override that set it or a table around it, else its line, else the file.
    pub(super) fn place(&self, path: &KeyPath) -> Place {
        if let Some((_, place, _)) = self.override_of(path) {
            return place.clone();
        }
        match self.find(path) {
            Some((key, _)) => Place::Line(self.source.to_owned(), line(self.text, key.start)),
            None => self.file(),
        }
    }

    pub(super) fn file(&self) -> Place {
        Place::File(self.source.to_owned())
    }

    /// The value of a key as it was written, shortened to a line.
    pub(super) fn written(&self, path: &KeyPath) -> String {
        let written = match (self.override_of(path), self.find(path)) {
            (Some((_, _, written)), _) => written,
            (None, Some((_, value))) => self.text.get(value).unwrap_or_default(),
            (None, None) => "",
        };
        shorten(written)
    }

    fn override_of(&self, path: &KeyPath) -> Option<&(KeyPath, Place, &'a str)> {
        self.overrides.iter().rev().find(|(set, _, _)| path.keys().starts_with(set.keys()))
    }

    /// Byte ranges of a key and of its value in the text.
    fn find(&self, path: &KeyPath) -> Option<(std::ops::Range<usize>, std::ops::Range<usize>)> {
        let (last, parents) = path.keys().split_last()?;
        let table = parents
            .iter()
            .try_fold(&self.root, |table, key| table.get(key.as_str()).and_then(|value| value.get_ref().as_table()))?;
        table.get_key_value(last.as_str()).map(|(key, value)| (key.span(), value.span()))
    }
}

/// `Err` holds the length of the path at which a value stands that is no table.
fn insert<'a>(root: &mut DeTable<'a>, keys: &[String], value: DeValue<'a>) -> Result<(), usize> {
    let spanned = |value| Spanned::new(0..0, value);
    let Some((last, parents)) = keys.split_last() else { return Ok(()) };
    let mut table = root;
    for (depth, key) in parents.iter().enumerate() {
        let entry = table
            .entry(Spanned::new(0..0, key.clone().into()))
            .or_insert_with(|| spanned(DeValue::Table(DeTable::new())));
        let DeValue::Table(next) = entry.get_mut() else { return Err(depth + 1) };
        table = next;
    }
    table.insert(Spanned::new(0..0, last.clone().into()), spanned(value));
    Ok(())
}

/// The line, from 1, of a byte.
fn line(text: &str, position: usize) -> usize {
    1 + text.as_bytes().iter().take(position).filter(|&&byte| byte == b'\n').count()
}

fn shorten(written: &str) -> String {
    const MOST: usize = 60;
    let one_line = written.split_whitespace().collect::<Vec<_>>().join(" ");
    match one_line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &one_line[..end]),
        None if one_line.is_empty() => "nothing".to_owned(),
        None => one_line,
    }
}
