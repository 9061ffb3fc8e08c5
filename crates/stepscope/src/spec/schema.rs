//! What a specification may hold, read from the JSON Schema of [`RunSpec`].

use schemars::schema_for;
use serde_json::{Map, Value, json};
use stepscope_types::RunSpec;
use stepscope_types::spec::{SweepRange, SweepSpec};

pub(super) const GRID: &str = "Lists of values of the keys of a run: every combination is run.";
pub(super) const LIST: &str =
    "Lists of equal length: their first values are run together, then their second ones, and on.";
pub(super) const RANDOM: &str = "Ranges of numbers: sweep.draws says how many values are drawn from each.";

/// The JSON Schema of [`RunSpec`].
pub(super) struct RunSchema {
    root: Value,
}

/// One place in the schema: a key's.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    root: &'a Value,
    /// The key's own entry, whose description is about the key.
    entry: &'a Value,
    /// What the entry refers to: the type.
    definition: &'a Value,
}

/// One of the few words that a key takes.
pub(super) struct Word<'a> {
    pub(super) word: &'a str,
    pub(super) description: &'a str,
}

impl RunSchema {
    pub(super) fn new() -> Self {
        let mut root = Value::from(schema_for!(RunSpec));
        keep_first_paragraphs(&mut root);
        if let Some(root) = root.as_object_mut() {
            root.insert("title".to_owned(), "stepscope run specification".into());
        }
        Self { root }
    }

    /// The same with the table `[sweep]`, whose `grid`, `list` and `random` hold the keys of a run.
    pub(super) fn with_sweep() -> Self {
        let Self { mut root } = Self::new();
        let mut sweep = Value::from(schema_for!(SweepSpec));
        keep_first_paragraphs(&mut sweep);
        let definitions = sweep.as_object_mut().and_then(|sweep| sweep.remove("$defs"));
        let range = Value::from(schema_for!(SweepRange));
        let whole = Node::new(&root, &root);
        for (key, description, leaf) in [
            ("grid", GRID, &list_of as &dyn Fn(Node<'_>) -> Option<Value>),
            ("list", LIST, &list_of),
            ("random", RANDOM, &|leaf: Node<'_>| leaf.takes_number().then(|| leaf.described(&range))),
        ] {
            if let Some(mut table) = mirror(whole, leaf) {
                table["description"] = description.into();
                // The label changes nothing that is computed: runs are named after their settings.
                table["properties"].as_object_mut().map(|keys| keys.shift_remove("name"));
                sweep["properties"][key] = table;
            }
        }
        root["properties"]["sweep"] = sweep;
        for (name, definition) in definitions.as_ref().and_then(Value::as_object).into_iter().flatten() {
            root["$defs"][name] = definition.clone();
        }
        Self { root }
    }

    pub(super) fn root(&self) -> Node<'_> {
        Node::new(&self.root, &self.root)
    }

    /// The node of a key, if it is known.
    pub(super) fn find<'k>(&self, keys: impl IntoIterator<Item = &'k str>) -> Option<Node<'_>> {
        keys.into_iter().try_fold(self.root(), |node, key| node.child(key))
    }

    /// Every key that holds a value, with dots.
    pub(super) fn leaves(&self) -> Vec<String> {
        fn collect(node: Node<'_>, prefix: &str, leaves: &mut Vec<String>) {
            for (key, child) in node.children() {
                if child.is_table() {
                    collect(child, &format!("{prefix}{key}."), leaves);
                } else {
                    leaves.push(format!("{prefix}{key}"));
                }
            }
        }
        let mut leaves = Vec::new();
        collect(self.root(), "", &mut leaves);
        leaves
    }

    pub(super) fn to_pretty_json(&self) -> String {
        format!("{:#}\n", self.root)
    }
}

/// The table that has a leaf made by `leaf` for each key of `node`.
fn mirror(node: Node<'_>, leaf: &dyn Fn(Node<'_>) -> Option<Value>) -> Option<Value> {
    let entry = |(key, child): (&str, Node<'_>)| {
        let value = if child.is_table() { mirror(child, leaf) } else { leaf(child) };
        value.map(|value| (key.to_owned(), value))
    };
    let properties: Map<String, Value> = node.children().filter_map(entry).collect();
    let table = json!({"description": node.description(), "type": "object", "properties": properties, "additionalProperties": false});
    (!properties.is_empty()).then_some(table)
}

fn list_of(leaf: Node<'_>) -> Option<Value> {
    Some(leaf.described(&json!({"type": "array", "items": leaf.entry, "minItems": 1})))
}

/// Doc comments go on with examples in Rust, which are of no use in an editor of TOML.
fn keep_first_paragraphs(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (key, value) in object.iter_mut() {
                match value {
                    Value::String(text) if key == "description" => {
                        *text = text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
                    }
                    _ => keep_first_paragraphs(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(keep_first_paragraphs),
        _ => {}
    }
}

impl<'a> Node<'a> {
    fn new(root: &'a Value, entry: &'a Value) -> Self {
        // A type, or a type or nothing: `null` stands for a key that is absent.
        let alternatives = entry["anyOf"].as_array().map(Vec::as_slice).unwrap_or_default();
        let referring = alternatives.iter().find(|alternative| alternative["$ref"].is_string()).unwrap_or(entry);
        let reference = referring["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
        let definition = reference.and_then(|pointer| root.pointer(pointer)).unwrap_or(entry);
        Self { root, entry, definition }
    }

    /// Whether the key is a table with known keys of its own.
    pub(super) fn is_table(self) -> bool {
        self.properties().is_some()
    }

    /// Whether the key takes text and nothing else.
    pub(super) fn is_text(self) -> bool {
        self.type_name() == Some("string") || (self.definition["oneOf"].is_array() && !self.words().is_empty())
    }

    /// Whether the type says better than its expectation what is wrong with a text.
    pub(super) fn explains(self) -> bool {
        self.definition["explains"] == true
    }

    /// What the key is for.
    pub(super) fn description(self) -> &'a str {
        self.entry["description"].as_str().unwrap_or_default()
    }

    /// `schema` with this key's description.
    fn described(self, schema: &Value) -> Value {
        let mut schema = schema.clone();
        schema["description"] = self.description().into();
        schema
    }

    /// Whether the key takes whole numbers and nothing else.
    pub(super) fn is_integer(self) -> bool {
        self.type_name() == Some("integer")
    }

    /// Whether the key takes numbers, perhaps beside something else.
    fn takes_number(self) -> bool {
        let alternatives = self.definition["oneOf"].as_array().into_iter().flatten();
        let number = |node: Self| matches!(node.type_name(), Some("integer" | "number"));
        number(self) || alternatives.map(|alternative| Self::new(self.root, alternative)).any(number)
    }

    fn properties(self) -> Option<&'a Map<String, Value>> {
        self.definition["properties"].as_object()
    }

    /// The known keys of a table, in their order.
    pub(super) fn children(self) -> impl Iterator<Item = (&'a str, Node<'a>)> {
        let child = move |(key, entry): (&'a String, &'a Value)| (key.as_str(), Node::new(self.root, entry));
        self.properties().into_iter().flatten().map(child)
    }

    pub(super) fn child(self, key: &str) -> Option<Self> {
        self.properties()?.get(key).map(|entry| Self::new(self.root, entry))
    }

    /// The keys of a table that have no default.
    pub(super) fn required(self) -> impl Iterator<Item = &'a str> {
        self.definition["required"].as_array().into_iter().flatten().filter_map(Value::as_str)
    }

    fn type_name(self) -> Option<&'a str> {
        match &self.definition["type"] {
            // `null` stands for a key that is absent.
            Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
            name => name.as_str(),
        }
    }

    /// The words, for a key that takes one of a few and nothing else.
    pub(super) fn words(self) -> Vec<Word<'a>> {
        let alternatives = self.definition["oneOf"].as_array();
        let word = |alternative: &'a Value| {
            let description = alternative["description"].as_str().unwrap_or_default();
            alternative["const"].as_str().map(|word| Word { word, description })
        };
        alternatives.and_then(|alternatives| alternatives.iter().map(word).collect()).unwrap_or_default()
    }

    /// What the key takes: `a whole number of at least 1`.
    pub(super) fn expectation(self) -> String {
        let words = self.words();
        if !words.is_empty() {
            let words: Vec<String> = words.iter().map(|word| format!("\"{}\"", word.word)).collect();
            return format!("one of {}", words.join(", "));
        }
        if let Some(alternatives) = self.definition["oneOf"].as_array() {
            let expectations = alternatives.iter().map(|alternative| match alternative["const"].as_str() {
                Some(word) => format!("\"{word}\""),
                None => Self::new(self.root, alternative).expectation(),
            });
            return expectations.collect::<Vec<_>>().join(" or ");
        }
        match self.type_name() {
            Some("string") if self.definition["pattern"].is_string() => {
                self.definition["description"].as_str().unwrap_or("text").to_owned()
            }
            Some("string") => "text".to_owned(),
            Some("integer") => format!("a whole number{}", self.range()),
            Some("number") => format!("a finite number{}", self.range()),
            Some("boolean") => "true or false".to_owned(),
            Some("array") => {
                format!("a list, of which each is {}", Self::new(self.root, &self.definition["items"]).expectation())
            }
            // A table whose keys depend on each other says in its title how it is written.
            _ => self.definition["title"].as_str().unwrap_or("a table").to_owned(),
        }
    }

    fn range(self) -> String {
        let bounds = [
            ("minimum", "of at least"),
            ("exclusiveMinimum", "above"),
            ("maximum", "at most"),
            ("exclusiveMaximum", "below"),
        ];
        let bounds = bounds.iter().filter_map(|(key, words)| {
            let bound = &self.definition[key];
            bound.is_number().then(|| format!(" {words} {bound}"))
        });
        bounds.collect::<Vec<_>>().join(" and")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_says_what_it_is_for_and_what_it_takes() {
        let schema = RunSchema::new();
        let leaves = schema.leaves();
        assert!(leaves.contains(&"optimizer.learning_rate".to_owned()), "{leaves:?}");
        for key in &leaves {
            let node = schema.find(key.split('.')).unwrap();
            assert!(!node.description().is_empty(), "{key}");
            assert_ne!(node.expectation(), "a table", "{key}");
        }
    }

    #[test]
    fn expectations_read_as_english() {
        let schema = RunSchema::new();
        for (key, expected) in [
            ("name", "text"),
            ("data.train_examples", "a whole number of at least 1"),
            ("model", "a table"),
            ("model.precision", "one of \"f32\", \"f64\", \"bf16\""),
            ("model.normalisation", "one of \"none\", \"batch\", \"group\", \"layer\""),
            ("model.hidden", "a list, of which each is a whole number of at least 1 and at most 1048576"),
            ("model.init_scale", "a finite number above 0"),
            ("train.batch_size", "a whole number of at least 1"),
            (
                "train.duration",
                "a length of training: epochs (\"10ep\"), steps (\"300st\") or a fraction of the run (\"0.5dur\")",
            ),
            ("optimizer.learning_rate", "a finite number above 0 or \"measured\""),
            ("measure.budget", "a percentage of the training's cost above 0 (\"5%\")"),
            ("optimizer.momentum", "a finite number above -1 and below 1"),
            ("average.enabled", "true or false"),
            ("seeds.root", "a whole number of at least 0"),
        ] {
            assert_eq!(schema.find(key.split('.')).unwrap().expectation(), expected, "{key}");
        }
    }

    #[test]
    fn words_are_text_and_numbers_are_not() {
        let schema = RunSchema::new();
        let is_text = |key: &str| schema.find(key.split('.')).unwrap().is_text();
        assert!(["name", "data.name", "model.kind", "train.duration"].into_iter().all(is_text));
        assert!(!["optimizer.learning_rate", "train.batch_size", "data"].into_iter().any(is_text));
    }

    #[test]
    fn the_schema_for_editors_has_a_title_and_no_rust_in_it() {
        let json = RunSchema::new().to_pretty_json();
        let parsed: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(parsed["title"], "stepscope run specification");
        assert!(!json.contains("```"), "{json}");
        assert_eq!(parsed["additionalProperties"], false);
    }
}
