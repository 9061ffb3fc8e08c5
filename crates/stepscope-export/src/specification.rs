//! A run's specification as flat names and values, and as text: what other tools compare runs by.

use std::fmt::Write;

use serde_json::Value;
use stepscope_types::Manifest;

/// The keys of the resolved specification with dots, as `--set` takes them, in their order, with their values.
///
/// Tables are walked into, lists are values. The run's name, and keys without a value, are left out.
///
/// Example: `("optimizer.learning_rate", 0.1)`.
pub fn flat(manifest: &Manifest) -> Vec<(String, Value)> {
    let mut pairs = Vec::new();
    // It cannot fail: the type holds only what JSON can say.
    if let Ok(Value::Object(mut spec)) = serde_json::to_value(&manifest.spec) {
        spec.remove("name");
        walk("", &Value::Object(spec), &mut pairs);
    }
    pairs
}

fn walk(prefix: &str, value: &Value, pairs: &mut Vec<(String, Value)>) {
    match value {
        Value::Null => {}
        Value::Object(table) => {
            for (key, value) in table {
                let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                walk(&name, value, pairs);
            }
        }
        value => pairs.push((prefix.to_owned(), value.clone())),
    }
}

/// A value as a person writes it: text without quotes, everything else as in JSON.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What ran, in Markdown: network, data, software, and a table of the specification.
pub fn markdown(manifest: &Manifest) -> String {
    let Manifest { name, process, data, model, software, .. } = manifest;
    let mut text = format!(
        "**{}** ({}): {} with {} parameters on {} ({} training and {} test examples). stepscope {}, Burn {}, {}, {} threads.\n\n| key | value |\n|---|---|\n",
        cell(name),
        cell(process),
        cell(&model.description),
        model.num_params,
        cell(&data.name),
        data.num_train_examples,
        data.num_test_examples,
        software.stepscope,
        software.burn,
        software.device,
        software.threads,
    );
    for (key, value) in flat(manifest) {
        // Writing into a `String` cannot fail.
        let _ = writeln!(text, "| {key} | {} |", cell(&plain(&value)));
    }
    text
}

/// Text inside a table: what would end the cell, or begin markup, is escaped.
fn cell(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' => escaped.push(' '),
            '|' | '<' | '>' | '*' | '_' | '`' | '[' | ']' | '\\' => escaped.extend(['\\', character]),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A name for the run that another process finds again: a resumed run, or one that is exported twice, goes on under it.
///
/// Two checksums over the manifest: 64 bits, enough to tell apart the runs on one server.
pub fn identity(manifest: &Manifest) -> String {
    // A manifest is JSON by its type.
    let bytes = serde_json::to_vec(manifest).unwrap_or_default();
    let forward = crc32c::crc32c(&bytes);
    let backward = crc32c::crc32c(&bytes.iter().rev().copied().collect::<Vec<u8>>());
    format!("{forward:08x}{backward:08x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::manifest;

    #[test]
    fn keys_are_those_that_set_takes() {
        let pairs = flat(&manifest("a"));
        let value = |key: &str| pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
        assert_eq!(value("optimizer.learning_rate"), Some(0.1.into()));
        assert_eq!(value("train.batch_size"), Some(32.into()));
        assert_eq!(value("seeds.root"), Some(0.into()));
        assert_eq!(value("name"), None);
        assert!(pairs.iter().all(|(_, value)| !value.is_object() && !value.is_null()));
    }

    #[test]
    fn a_name_cannot_break_out_of_its_cell_or_bring_markup() {
        let mut manifest = manifest("x | y\n<script>");
        manifest.spec.data.name = "a|b".to_owned();
        let text = markdown(&manifest);
        assert!(text.contains("x \\| y \\<script\\>") && text.contains("| data.name | a\\|b |"), "{text}");
    }

    #[test]
    fn two_runs_have_two_identities_and_one_run_has_one() {
        assert_eq!(identity(&manifest("a")), identity(&manifest("a")));
        assert_ne!(identity(&manifest("a")), identity(&manifest("b")));
    }
}
