//! `--set key=value`.

use toml::de::DeValue;

use super::check;
use super::document::KeyPath;
use super::error::{Place, SpecError};
use super::schema::RunSchema;

/// One override: a known key and its value.
pub(super) struct Override<'a> {
    pub(super) text: &'a str,
    /// The value as it was written.
    pub(super) written: &'a str,
    pub(super) path: KeyPath,
    pub(super) value: DeValue<'a>,
}

impl<'a> Override<'a> {
    pub(super) fn parse(text: &'a str, schema: &RunSchema) -> Result<Self, SpecError> {
        let refused = |reason: String| SpecError::Override { text: text.to_owned(), reason };
        let malformed = || refused("expected key=value, for instance optimizer.learning_rate=0.2".to_owned());
        let (key, written) = text.split_once('=').ok_or_else(malformed)?;
        let path = KeyPath::from_dotted(key.trim());
        if path.keys().iter().any(String::is_empty) {
            return Err(malformed());
        }
        for length in 1..path.keys().len() {
            let parent = path.first(length);
            if schema.find(parent.iter()).is_some_and(|node| !node.is_table()) {
                return Err(refused(format!("{parent} is no table and has no keys of its own: set {parent} itself")));
            }
        }
        let Some(node) = schema.find(path.iter()) else {
            return Err(check::unknown_key(Place::Override(text.to_owned()), schema, &path));
        };
        let written = written.trim();
        let bare = || DeValue::String(written.into());
        let value = match DeValue::parse(written) {
            // `name=2024` is text although it looks like a number.
            Ok(value) if value.get_ref().is_str() || !node.is_text() => value.into_inner(),
            _ => bare(),
        };
        Ok(Self { text, written, path, value })
    }
}
