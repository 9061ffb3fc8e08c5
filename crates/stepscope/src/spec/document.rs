//! TOML text with overrides laid over it, which remembers where every key stands.

use std::fmt;
use std::ops::Range;

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
#[derive(Clone)]
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
        self.lay(path, value, written, Place::Override(text.to_owned())).map_err(|parent| SpecError::Override {
            text: text.to_owned(),
            reason: format!("{parent} is {} and no table: correct it first", self.written(&parent)),
        })
    }

    /// Puts a value, which was `written` at `place`, at `path`; `Err` is the key above it that is no table.
    pub(super) fn lay(
        &mut self,
        path: KeyPath,
        value: DeValue<'a>,
        written: &'a str,
        place: Place,
    ) -> Result<(), KeyPath> {
        insert(&mut self.root, path.keys(), Spanned::new(0..0, value), 0..0).map_err(|depth| path.first(depth))?;
        self.overrides.push((path, place, written));
        Ok(())
    }

    /// Takes quoted keys with dots in the table at `path` apart, so that `"train.batch_size"` is `train.batch_size`.
    pub(super) fn unfold(&mut self, path: &[&str]) {
        let table =
            path.iter().try_fold(&mut self.root, |table, key| match table.get_mut(*key).map(Spanned::get_mut) {
                Some(DeValue::Table(table)) => Some(table),
                _ => None,
            });
        let Some(table) = table else { return };
        let dotted: Vec<_> = table.keys().filter(|key| key.get_ref().contains('.')).cloned().collect();
        for key in dotted {
            let keys = KeyPath::from_dotted(key.get_ref());
            // What stands there already is not replaced: the quoted key stays and is refused as unknown.
            let taken = find(table, &keys).is_some();
            if let Some(value) = table.get(key.get_ref().as_ref()).cloned()
                && !taken
                && insert(table, keys.keys(), value, key.span()).is_ok()
            {
                table.remove(key.get_ref().as_ref());
            }
        }
    }

    /// Removes a table or a value from the top.
    pub(super) fn remove(&mut self, key: &str) -> Option<DeValue<'a>> {
        self.root.remove(key).map(Spanned::into_inner)
    }

    /// The text that the spans of the value at `path` count in.
    pub(super) fn text_of(&self, path: &KeyPath) -> &'a str {
        self.override_of(path).map_or(self.text, |(_, _, written)| written)
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

    /// Whether the value at `path` is a text.
    pub(super) fn is_text(&self, path: &KeyPath) -> bool {
        let Some((last, parents)) = path.keys().split_last() else { return false };
        let table = parents
            .iter()
            .try_fold(&self.root, |table, key| table.get(key.as_str()).and_then(|value| value.get_ref().as_table()));
        table.and_then(|table| table.get(last.as_str())).is_some_and(|value| value.get_ref().is_str())
    }

    /// Byte ranges of a key and of its value in the text.
    fn find(&self, path: &KeyPath) -> Option<(Range<usize>, Range<usize>)> {
        find(&self.root, path)
    }
}

fn find(root: &DeTable<'_>, path: &KeyPath) -> Option<(Range<usize>, Range<usize>)> {
    let (last, parents) = path.keys().split_last()?;
    let table = parents
        .iter()
        .try_fold(root, |table, key| table.get(key.as_str()).and_then(|value| value.get_ref().as_table()))?;
    table.get_key_value(last.as_str()).map(|(key, value)| (key.span(), value.span()))
}

/// `Err` holds the length of the path at which a value stands that is no table; `span` is where the key stands.
fn insert<'a>(
    root: &mut DeTable<'a>,
    keys: &[String],
    value: Spanned<DeValue<'a>>,
    span: Range<usize>,
) -> Result<(), usize> {
    let Some((last, parents)) = keys.split_last() else { return Ok(()) };
    let mut table = root;
    for (depth, key) in parents.iter().enumerate() {
        let entry = table
            .entry(Spanned::new(span.clone(), key.clone().into()))
            .or_insert_with(|| Spanned::new(span.clone(), DeValue::Table(DeTable::new())));
        let DeValue::Table(next) = entry.get_mut() else { return Err(depth + 1) };
        table = next;
    }
    table.insert(Spanned::new(span, last.clone().into()), value);
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
