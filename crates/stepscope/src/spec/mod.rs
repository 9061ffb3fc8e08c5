//! Run specifications: TOML text and `--set` overrides in, a checked [`RunSpec`] or one clear message out.
//!
//! What is allowed is said once, in the JSON Schema that `stepscope-types` derives for [`RunSpec`]: the known keys,
//! what each expects and what the commented example says all come from there.

mod check;
mod document;
mod error;
mod example;
mod nearest;
mod overrides;
mod schema;
mod sweep;

use serde::Deserialize;
use serde_path_to_error::Segment;
use stepscope_types::RunSpec;
use toml::de::{DeValue, ValueDeserializer};

pub use error::{Place, SpecError};
pub use example::example;
pub use nearest::nearest;
pub(crate) use sweep::points;

use document::{Document, KeyPath};
use overrides::Override;
use schema::RunSchema;

/// Reads a specification.
///
/// `text` is TOML; `source` is the file's name for messages; `overrides` are `key=value` with a dotted key and win
/// over the text. A value is read as TOML and, where it is none (`5ep`) or the key holds text, taken as it stands.
///
/// ```
/// let text = "[optimizer]\nlearning_rate = 0.1\n";
/// let spec = stepscope::spec::parse(text, "spec.toml", &["train.duration=5ep".to_owned()])?;
/// assert_eq!(spec.train.duration.to_string(), "5ep");
/// let error = stepscope::spec::parse("[optimizer]\nlearning_rat = 0.1\n", "spec.toml", &[]).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "spec.toml:2: optimizer.learning_rat: unknown key: did you mean optimizer.learning_rate?"
/// );
/// # Ok::<(), stepscope::spec::SpecError>(())
/// ```
///
/// # Errors
/// [`SpecError`] for the first thing that is wrong: text that is no TOML, an unknown key, a missing one, a value of
/// the wrong type or outside its range (NaN and infinities are refused everywhere), keys that do not go together, a
/// malformed override.
pub fn parse(text: &str, source: &str, overrides: &[String]) -> Result<RunSpec, SpecError> {
    let schema = RunSchema::new();
    let mut document = Document::parse(text, source)?;
    for text in overrides {
        document.set(Override::parse(text, &schema)?)?;
    }
    if document.root().contains_key(sweep::TABLE) {
        return Err(sweep::refused_as_one_run(&document));
    }
    resolve(&document, &schema)
}

/// A specification as TOML, which [`parse`] reads back as it was.
///
/// ```
/// let spec = stepscope::spec::parse("optimizer.learning_rate = 0.1", "example", &[])?;
/// assert_eq!(stepscope::spec::parse(&stepscope::spec::to_toml(&spec), "again", &[])?, spec);
/// # Ok::<(), stepscope::spec::SpecError>(())
/// ```
pub fn to_toml(spec: &RunSpec) -> String {
    // Tables of numbers, words and lists always have a text (a test holds that).
    toml::to_string(spec).unwrap_or_default()
}

/// Keys, then values, then what does not go together.
fn resolve(document: &Document<'_>, schema: &RunSchema) -> Result<RunSpec, SpecError> {
    check::check(document, schema)?;
    let spec = deserialize(document, schema)?;
    spec.validate().map_err(|invalid| SpecError::Invalid {
        place: document.place(&KeyPath::from_dotted(invalid.key)),
        key: invalid.key.to_owned(),
        message: invalid.message,
    })?;
    Ok(spec)
}

/// `spec` with `overrides`, which are those of [`parse`]; `source` is where `spec` came from, for messages.
///
/// # Errors
/// As [`parse`].
pub fn change(spec: &RunSpec, source: &str, overrides: &[String]) -> Result<RunSpec, SpecError> {
    // Serialising a specification cannot fail (the example's test holds that); without it the first required key is missed.
    parse(&toml::to_string(spec).unwrap_or_default(), source, overrides)
}

/// The JSON Schema of a specification, for editors that complete and check TOML.
pub fn json_schema() -> String {
    RunSchema::with_sweep().to_pretty_json()
}

fn deserialize(document: &Document<'_>, schema: &RunSchema) -> Result<RunSpec, SpecError> {
    let root = toml::Spanned::new(0..0, DeValue::Table(document.root().clone()));
    let mut track = serde_path_to_error::Track::new();
    let deserializer = serde_path_to_error::Deserializer::new(ValueDeserializer::from(root), &mut track);
    RunSpec::deserialize(deserializer).map_err(|error| {
        // What the key expects and what it got say more than the deserializer, which speaks of `u64`.
        let path = track.path();
        let keys = path.iter().map_while(|segment| match segment {
            Segment::Map { key } => Some(key.clone()),
            _ => None,
        });
        let path = KeyPath::new(keys.collect());
        if schema.find(path.iter()).is_some_and(schema::Node::explains) && document.is_text(&path) {
            let message = error.message().trim_end().to_owned();
            return SpecError::Invalid { place: document.place(&path), key: path.to_string(), message };
        }
        check::wrong_value(document, schema, &path)
    })
}

#[cfg(test)]
mod tests;
