//! Keys before values: what is unknown, missing, no table, or not finite.

use std::cmp::Reverse;

use toml::de::{DeTable, DeValue};

use super::document::{Document, KeyPath};
use super::error::{Place, SpecError};
use super::nearest::nearest;
use super::schema::{Node, RunSchema};

/// Refuses the first key, in the order of the alphabet, that cannot stand as it does.
pub(super) fn check(document: &Document<'_>, schema: &RunSchema) -> Result<(), SpecError> {
    check_known(document, schema)?;
    check_required(document, schema.root(), Some(document.root()), &KeyPath::new(Vec::new()))
}

/// The same, without asking whether a key is missing: another one of a sweep may bring it.
pub(super) fn check_known(document: &Document<'_>, schema: &RunSchema) -> Result<(), SpecError> {
    check_table(document, schema, document.root(), &KeyPath::new(Vec::new()))
}

fn check_table(
    document: &Document<'_>,
    schema: &RunSchema,
    table: &DeTable<'_>,
    path: &KeyPath,
) -> Result<(), SpecError> {
    for (key, value) in table {
        let path = path.child(key.get_ref());
        let Some(node) = schema.find(path.iter()) else {
            return Err(unknown_key(document.place(&path), schema, &path));
        };
        match value.get_ref() {
            DeValue::Table(table) if node.is_table() => check_table(document, schema, table, &path)?,
            value if node.is_table() || !is_finite(value) => return Err(wrong_value(document, schema, &path)),
            _ => {}
        }
    }
    Ok(())
}

fn check_required(
    document: &Document<'_>,
    node: Node<'_>,
    table: Option<&DeTable<'_>>,
    path: &KeyPath,
) -> Result<(), SpecError> {
    for key in node.required() {
        let (path, child) = (path.child(key), node.child(key));
        let value = table.and_then(|table| table.get(key)).map(|value| value.get_ref());
        match child {
            Some(child) if child.is_table() => {
                check_required(document, child, value.and_then(DeValue::as_table), &path)?;
            }
            Some(child) if value.is_none() => {
                let expected = child.expectation().into();
                return Err(SpecError::Missing { place: document.file(), key: path.to_string(), expected });
            }
            _ => {}
        }
    }
    Ok(())
}

/// TOML has words for infinities and NaN; no key has a use for them.
fn is_finite(value: &DeValue<'_>) -> bool {
    match value {
        DeValue::Float(float) => float.as_str().parse::<f64>().is_ok_and(f64::is_finite),
        DeValue::Array(values) => values.iter().all(|value| is_finite(value.get_ref())),
        DeValue::Table(table) => table.values().all(|value| is_finite(value.get_ref())),
        _ => true,
    }
}

/// `path` is known up to its last key or before.
pub(super) fn unknown_key(place: Place, schema: &RunSchema, path: &KeyPath) -> SpecError {
    let known = |length: usize| schema.find(path.first(length).iter());
    let length = (1..=path.keys().len()).find(|&length| known(length).is_none()).unwrap_or(path.keys().len());
    let (wrong, parent) = (path.first(length), path.first(length - 1));
    let siblings: Vec<&str> = known(length - 1).into_iter().flat_map(Node::children).map(|(key, _)| key).collect();
    let last = wrong.keys().last().map(String::as_str).unwrap_or_default();
    let leaves = schema.leaves();
    // A key with the right name may stand in the wrong table: that is more likely than a slip.
    let elsewhere = || {
        let same_name = |leaf: &&String| leaf.rsplit('.').next() == Some(last);
        // A swept key has its name from a key of a run: the one in the same part of the file is meant.
        let in_common = |leaf: &&String| leaf.split('.').zip(wrong.iter()).take_while(|(a, b)| a == b).count();
        leaves.iter().filter(same_name).min_by_key(|leaf| Reverse(in_common(leaf))).cloned()
    };
    let nearest =
        elsewhere().or_else(|| nearest(last, siblings.iter().copied()).map(|key| parent.child(key).to_string()));
    let known = siblings.iter().map(|key| parent.child(key).to_string()).collect();
    SpecError::UnknownKey { place, key: wrong.to_string(), nearest, known }
}

/// The error for a known key whose value is not what it takes.
pub(super) fn wrong_value(document: &Document<'_>, schema: &RunSchema, path: &KeyPath) -> SpecError {
    let node = schema.find(path.iter());
    let got = document.written(path);
    let words = node.map(Node::words).unwrap_or_default();
    let plain = got.trim_matches(['"', '\'']);
    SpecError::Value {
        place: document.place(path),
        key: path.to_string(),
        nearest: nearest(plain, words.iter().map(|word| word.word)).map(str::to_owned),
        expected: node.map(Node::expectation).unwrap_or_default().into(),
        got,
    }
}
