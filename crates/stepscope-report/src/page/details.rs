//! What ran: specification, data, network and versions, run by run.

use serde_json::Value;

use crate::page::lineup::Lineup;
use crate::page::panels;
use crate::page::template::escape;
use crate::{Run, number};

pub(super) fn render(lineup: &Lineup) -> String {
    let runs = lineup.whole().map(|index| {
        let run = &lineup.entries[index].run;
        let facts = facts(run).into_iter().map(|(name, text)| format!("<dt>{name}</dt><dd>{text}</dd>\n"));
        format!(
            "<details>\n<summary>{}</summary>\n<div class=\"run\">\n<dl>\n{}</dl>\n<pre>{}</pre>\n</div>\n</details>\n",
            lineup.label(index),
            facts.collect::<String>(),
            escape(&specification(run))
        )
    });
    runs.collect()
}

/// Names, and texts that are already escaped.
fn facts(run: &Run) -> Vec<(&'static str, String)> {
    let manifest = run.manifest();
    let (data, model, software, seeds) = (&manifest.data, &manifest.model, &manifest.software, &manifest.seeds);
    let shape = data.shape.map(|length| length.to_string()).join(" × ");
    let mut facts = vec![
        (
            "Data",
            format!(
                "{}: {} training and {} test examples, {} classes, {shape}",
                escape(&data.name),
                number::count(data.num_train_examples),
                number::count(data.num_test_examples),
                data.num_classes
            ),
        ),
        ("SHA-256 of the data", format!("<code>{}</code>", escape(&data.sha256))),
        ("Network", format!("{}, {} parameters", escape(&model.description), number::count(model.num_params))),
        ("Seeds", format!("weights {}, data {}, probes {}", seeds.init_seed(), seeds.data_seed(), seeds.probe_seed())),
        ("Versions", format!("stepscope {}, Burn {}", escape(&software.stepscope), escape(&software.burn))),
        ("Device", format!("{}, {} threads", escape(&software.device), software.threads)),
        (
            "Began",
            format!("<time data-unix=\"{0}\">{0} s after the start of 1970, UTC</time>", manifest.started_unix_seconds),
        ),
    ];
    let unresolved: Vec<String> = run.names().filter_map(|name| unresolved(run, name)).collect();
    if !unresolved.is_empty() {
        facts.push(("Not resolved", unresolved.join("<br>")));
    }
    facts
}

/// How many readings of a quantity failed, and why the last one did.
fn unresolved(run: &Run, name: &str) -> Option<String> {
    let points = run.series(name).points();
    let failed = points.iter().filter(|point| point.value.is_none());
    let reason = failed.clone().next_back()?.unresolved.as_deref().unwrap_or("no reason recorded");
    let title = panels::title(name);
    Some(escape(&format!("{title}: {} of {} readings; last: {reason}", failed.count(), points.len())))
}

/// The specification with every default, as TOML with dotted keys: a file that runs it again.
fn specification(run: &Run) -> String {
    let mut lines = Vec::new();
    // A specification holds tables, lists, words and numbers: it always serialises.
    let spec = serde_json::to_value(&run.manifest().spec).unwrap_or(Value::Null);
    flatten("", &spec, &mut lines);
    lines.join("\n")
}

fn flatten(key: &str, value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Object(table) => {
            for (name, value) in table {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                flatten(&key, value, lines);
            }
        }
        Value::Null => {}
        other => lines.push(format!("{key} = {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic;

    #[test]
    fn the_specification_is_shown_with_every_default_as_dotted_keys() {
        let text = specification(&Run::from_records(synthetic::manifest("a \"b\"", 0.1), []));
        for line in ["name = \"a \\\"b\\\"\"", "optimizer.learning_rate = 0.1", "train.duration = \"10ep\""] {
            assert!(text.lines().any(|shown| shown == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn failed_readings_are_counted_with_their_last_reason() {
        let (manifest, records) = synthetic::quickstart().swap_remove(0);
        let html = render(&Lineup::new(&[Run::from_records(manifest, records)]));
        assert!(html.contains("Gradient noise scale: 1 of 21 readings; last: the squared gradient norm"), "{html}");
        assert!(html.contains("6ebb3d2fee246a4e"), "the checksum is shown");
    }
}
