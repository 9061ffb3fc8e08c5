//! A commented specification with every key, written from the schema and the defaults.

use stepscope_types::RunSpec;
use stepscope_types::spec::LearningRateSpec;
use toml::{Table, Value};

use super::schema::{Node, RunSchema};

/// Comments are wrapped at this many characters.
const WIDTH: usize = 100;

/// A TOML specification that shows every key with what it is for, what it takes and its default. It is made from the
/// schema and from [`RunSpec`]'s defaults, and reads back as those.
///
/// `optimizer.learning_rate`, which has no default, is `"measured"`. Keys that are not set by default stand in a
/// comment.
pub fn example() -> String {
    let spec = RunSpec::with_learning_rate(LearningRateSpec::Measured);
    // Serialising a specification cannot fail (a test holds that); were it to, the comments would still be right.
    let defaults = Table::try_from(&spec).unwrap_or_default();
    let schema = RunSchema::new();
    let mut text = String::new();
    comment(
        &mut text,
        "A run of stepscope: every key with its default. All but optimizer.learning_rate may be left out.",
    );
    write_table(&mut text, schema.root(), &defaults, "");
    write_sweep(&mut text);
    text
}

/// The table of a sweep, in comments: with it the example would be many runs.
fn write_sweep(text: &mut String) {
    let schema = RunSchema::with_sweep();
    let Some(sweep) = schema.find(["sweep"]) else { return };
    text.push_str("\n\n");
    comment(text, sweep.description());
    comment(
        text,
        "With this table `stepscope sweep` and `stepscope run-shard` take the specification, `train` does not.",
    );
    text.push_str("# [sweep]\n");
    for (key, value) in [("seeds", "3"), ("draws", "10"), ("draw_seed", "0")] {
        if let Some(leaf) = sweep.child(key) {
            text.push('\n');
            describe(text, leaf, false);
            text.push_str(&format!("# {key} = {value}\n"));
        }
    }
    for (table, lines) in [
        ("grid", ["optimizer.learning_rate = [0.03, 0.1, \"measured\"]", "model.activation = [\"relu\", \"tanh\"]"]),
        ("list", ["train.batch_size = [32, 128]", "train.duration = [\"5ep\", \"20ep\"]"]),
        (
            "random",
            ["optimizer.momentum = { uniform = [0.0, 0.95] }", "model.init_scale = { log_uniform = [0.1, 10] }"],
        ),
    ] {
        if let Some(node) = sweep.child(table) {
            text.push('\n');
            comment(text, node.description());
            text.push_str(&format!("# [sweep.{table}]\n"));
            lines.iter().for_each(|line| text.push_str(&format!("# {line}\n")));
        }
    }
}

fn write_table(text: &mut String, node: Node<'_>, values: &Table, prefix: &str) {
    let required: Vec<&str> = node.required().collect();
    for (key, leaf) in node.children().filter(|(_, child)| !child.is_table()) {
        text.push('\n');
        describe(text, leaf, required.contains(&key));
        match values.get(key) {
            Some(value) => text.push_str(&format!("{key} = {value}\n")),
            None => text.push_str(&format!("# {key} =\n")),
        }
    }
    for (key, table) in node.children().filter(|(_, child)| child.is_table()) {
        text.push_str("\n\n");
        comment(text, table.description());
        text.push_str(&format!("[{prefix}{key}]\n"));
        let values = values.get(key).and_then(Value::as_table).cloned().unwrap_or_default();
        write_table(text, table, &values, &format!("{prefix}{key}."));
    }
}

fn describe(text: &mut String, leaf: Node<'_>, required: bool) {
    comment(text, leaf.description());
    let words = leaf.words();
    for word in &words {
        comment(text, &format!("\"{}\": {}", word.word, word.description));
    }
    let has_default = if required { "; has no default" } else { "" };
    if words.is_empty() {
        comment(text, &format!("({}{has_default})", leaf.expectation()));
    }
}

fn comment(text: &mut String, words: &str) {
    let mut line = String::from("#");
    for word in words.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::parse;

    #[test]
    fn the_example_reads_back_as_the_defaults() {
        let spec = parse(&example(), "example", &[]).unwrap();
        assert_eq!(spec, RunSpec::with_learning_rate(LearningRateSpec::Measured));
    }

    #[test]
    fn the_sweep_in_the_comments_is_one() {
        let example = example();
        let start = example.find("# [sweep]").unwrap();
        let is_toml = |line: &&str| line.starts_with('[') || (line.contains(" = ") && !line.contains('('));
        let sweep: String = example[start..]
            .lines()
            .map(|line| line.trim_start_matches("# "))
            .filter(is_toml)
            .map(|line| format!("{line}\n"))
            .collect();
        let points = crate::spec::points(&format!("{}{sweep}", &example[..start]), "example", &[]).unwrap();
        assert_eq!(points.len(), 3 * 10 * (3 * 2) * 2);
    }

    #[test]
    fn the_example_shows_every_key() {
        let example = example();
        let mut table = String::new();
        let mut shown = Vec::new();
        for line in example.lines() {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                table = format!("{name}.");
            }
            if let Some((key, _)) = line.trim_start_matches("# ").split_once(" =") {
                shown.push(format!("{table}{key}"));
            }
        }
        for key in RunSchema::new().leaves() {
            assert!(shown.contains(&key), "{key}");
        }
        assert!(example.lines().all(|line| line.chars().count() <= WIDTH), "{example}");
    }
}
