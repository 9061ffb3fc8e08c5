//! Placeholders, and the two ways in which text becomes safe inside HTML.

use serde::Serialize;
use stepscope_types::Uncertainty;

use crate::number;

/// The template with every `{{name}}` replaced by the value of that name.
///
/// One pass: braces inside a value are text. A placeholder without a value is left standing, which a test forbids.
pub(super) fn fill(template: &str, values: &[(&str, String)]) -> String {
    let mut parts = template.split("{{");
    let mut page = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let value = part.split_once("}}").and_then(|(name, rest)| {
            values.iter().find(|(known, _)| *known == name.trim()).map(|(_, value)| (value.as_str(), rest))
        });
        let (value, rest) = value.unwrap_or(("{{", part));
        page.push_str(value);
        page.push_str(rest);
    }
    page
}

/// The text with the five characters that mean something in HTML and XML, in content or in a quoted attribute, escaped.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// A reading in a cell of a table: the ends of an interval stand below the value, for they would make the table wide.
pub(super) fn cell(name: &str, value: f64, error: Option<Uncertainty>) -> String {
    match error {
        Some(Uncertainty::Interval { low, high, .. }) => {
            let text = |value: f64| number::reading(name, value, None);
            format!("{}<small>{} to {}</small>", text(value), text(low), text(high))
        }
        _ => number::reading(name, value, error),
    }
}

/// JSON for a `<script type="application/json">`: with `<` escaped, nothing in it can end the element.
///
/// Only strings hold a `<`, and inside a string `\u003c` is the same character.
pub(super) fn json_island(data: &impl Serialize) -> String {
    // Our own structures of strings, numbers and lists always serialise.
    serde_json::to_string(data).unwrap_or_else(|_| "null".to_owned()).replace('<', "\\u003c")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_not_searched_for_placeholders() {
        let values = [("a", "{{b}}".to_owned()), ("b", "2".to_owned())];
        assert_eq!(fill("<{{a}} {{ b }}>", &values), "<{{b}} 2>");
        assert_eq!(fill("{{unknown}} {{", &values), "{{unknown}} {{");
    }

    proptest! {
        #[test]
        fn escaped_text_holds_no_markup_and_means_the_same(text in ".*") {
            let escaped = escape(&text);
            prop_assert!(!escaped.contains(['<', '>', '"', '\'']));
            let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
            let back = entities.iter().fold(escaped, |text, (entity, character)| text.replace(entity, character));
            prop_assert_eq!(back, text);
        }

        #[test]
        fn the_island_holds_no_tag_and_parses_back(text in ".*") {
            let island = json_island(&[&text, "</script>"]);
            prop_assert!(!island.contains('<'));
            prop_assert_eq!(serde_json::from_str::<Vec<String>>(&island).unwrap(), [text, "</script>".to_owned()]);
        }
    }
}
