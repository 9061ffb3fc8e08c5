//! The `[sweep]` table: what is swept, and the specification of each combination.
//!
//! A combination is the specification without the table, with the swept values laid over it as overrides are. Whatever
//! is wrong with a value is therefore found, and said, as for a single run.

use stepscope_spectral::random::RandomStream;
use stepscope_types::RunSpec;
use stepscope_types::spec::{SweepRange, SweepSpec};
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::check;
use super::document::{Document, KeyPath};
use super::error::{Place, SpecError};
use super::overrides::Override;
use super::schema::{Node, RunSchema};

/// The table of a sweep.
pub(super) const TABLE: &str = "sweep";

/// More combinations than this are a slip.
const MOST_RUNS: u64 = 100_000;

/// One combination of a sweep.
pub(crate) struct Point {
    /// Swept keys with their values as TOML.
    pub(crate) settings: Vec<(String, String)>,
    /// The specification.
    pub(crate) spec: RunSpec,
}

/// A value that a sweep gives to a key.
struct Setting {
    path: KeyPath,
    written: String,
    place: Place,
}

/// Alternatives of which every run takes one, each with the settings it makes.
type Axis = Vec<Vec<Setting>>;

/// Every combination of the sweep in `text`, in order: the grid's first key changes slowest, the seed fastest.
///
/// `source` and `overrides` are as in [`super::parse`]; keys of the sweep can be overridden too.
pub(crate) fn points(text: &str, source: &str, overrides: &[String]) -> Result<Vec<Point>, SpecError> {
    let schema = RunSchema::with_sweep();
    let mut document = Document::parse(text, source)?;
    for table in ["grid", "list", "random"] {
        document.unfold(&[TABLE, table]);
    }
    for text in overrides {
        document.set(Override::parse(text, &schema)?)?;
    }
    check::check_known(&document, &schema)?;
    let axes = Reader { document: &document, schema: &schema }.axes()?;
    let num_runs = axes.iter().try_fold(1, |product: u64, axis| product.checked_mul(axis.len() as u64));
    let Some(num_runs) = num_runs.filter(|&count| count <= MOST_RUNS) else {
        return Err(invalid(&document, &[], format!("has more than {MOST_RUNS} combinations: take fewer values")));
    };
    let mut base = document.clone();
    base.remove(TABLE);
    let run_schema = RunSchema::new();
    (0..num_runs).map(|index| point(&base, &run_schema, &combination(&axes, index))).collect()
}

/// The error of a specification that was to be one run.
pub(super) fn refused_as_one_run(document: &Document<'_>) -> SpecError {
    invalid(
        document,
        &[],
        "makes this a sweep of many runs: start it with `stepscope sweep`, or remove the table".into(),
    )
}

/// The settings of a combination: its number in the mixed radix of the axes' lengths, the last one the lowest digit.
fn combination(axes: &[Axis], mut index: u64) -> Vec<&Setting> {
    let mut settings = Vec::new();
    for axis in axes.iter().rev() {
        let length = axis.len() as u64;
        settings.push(&axis[(index % length) as usize]);
        index /= length;
    }
    settings.into_iter().rev().flatten().collect()
}

fn point(base: &Document<'_>, schema: &RunSchema, settings: &[&Setting]) -> Result<Point, SpecError> {
    let mut document = base.clone();
    for Setting { path, written, place } in settings {
        let refused = |key: &KeyPath, expected: String| SpecError::Value {
            place: place.clone(),
            key: key.to_string(),
            got: written.clone(),
            expected: expected.into(),
            nearest: None,
        };
        let value = DeValue::parse(written)
            .map_err(|_| refused(path, schema.find(path.iter()).map(Node::expectation).unwrap_or_default()))?;
        document
            .lay(path.clone(), value.into_inner(), written, place.clone())
            .map_err(|parent| refused(path, format!("{parent} to be a table in the specification")))?;
    }
    let settings: Vec<(String, String)> =
        settings.iter().map(|setting| (setting.path.to_string(), setting.written.clone())).collect();
    match super::resolve(&document, schema) {
        Ok(spec) => Ok(Point { settings, spec }),
        Err(SpecError::Invalid { place, key, message }) => {
            let settings: Vec<String> = settings.iter().map(|(key, value)| format!("{key} = {value}")).collect();
            let message = format!("{message} (in the run with {})", settings.join(", "));
            Err(SpecError::Invalid { place, key, message })
        }
        Err(error) => Err(error),
    }
}

/// Reads the table, whose keys are known to be right.
struct Reader<'a> {
    document: &'a Document<'a>,
    schema: &'a RunSchema,
}

impl Reader<'_> {
    fn axes(&self) -> Result<Vec<Axis>, SpecError> {
        let Some(table) = self.document.root().get(TABLE).and_then(|table| table.get_ref().as_table()) else {
            return Err(SpecError::Missing {
                place: self.document.file(),
                key: TABLE.to_owned(),
                expected:
                    "a table that says what is swept (`stepscope spec` shows it; a single run is for `stepscope train`)"
                        .into(),
            });
        };
        let sweep = self.scalars(table)?;
        let mut axes = self.grid()?;
        axes.extend(self.list()?);
        axes.extend(self.random(&sweep)?);
        axes.extend(self.seeds(&sweep)?);
        if axes.is_empty() {
            let message = "says nothing to sweep: give it a grid, lists, random ranges or seeds".to_owned();
            return Err(invalid(self.document, &[], message));
        }
        self.refuse_a_key_that_is_swept_twice(&axes)?;
        Ok(axes)
    }

    fn scalars(&self, table: &DeTable<'_>) -> Result<SweepSpec, SpecError> {
        let scalars: DeTable<'_> = table
            .iter()
            .filter(|(key, _)| !["grid", "list", "random"].contains(&key.get_ref().as_ref()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        // One key at a time, so that the one at fault is known.
        for (key, value) in &scalars {
            let one: DeTable<'_> = [(key.clone(), value.clone())].into_iter().collect();
            let sweep = deserialize::<SweepSpec>(DeValue::Table(one));
            let fits = |sweep: SweepSpec| sweep.draws != Some(0) && sweep.seeds.is_none_or(|seeds| seeds.count() > 0);
            if !sweep.is_some_and(fits) {
                return Err(self.wrong(&KeyPath::new(vec![TABLE.to_owned(), key.get_ref().to_string()])));
            }
        }
        Ok(deserialize(DeValue::Table(scalars)).unwrap_or_default())
    }

    fn grid(&self) -> Result<Vec<Axis>, SpecError> {
        let lists = self.lists("grid")?;
        Ok(lists.into_iter().map(|values| values.into_iter().map(|setting| vec![setting]).collect()).collect())
    }

    fn list(&self) -> Result<Option<Axis>, SpecError> {
        let lists = self.lists("list")?;
        let Some(length) = lists.first().map(Vec::len) else { return Ok(None) };
        if let Some(other) = lists.iter().find(|values| values.len() != length) {
            let (first, key) = (&lists[0][0].path, &other[0].path);
            let message = format!(
                "has {} values and {TABLE}.list.{first} has {length}: lists go together value by value, so make them \
                 equally long, or use {TABLE}.grid for every combination",
                other.len()
            );
            let keys = [&["list".to_owned()], key.keys()].concat();
            return Err(invalid(self.document, &keys, message));
        }
        let mut rows: Axis = (0..length).map(|_| Vec::new()).collect();
        for values in lists {
            rows.iter_mut().zip(values).for_each(|(row, setting)| row.push(setting));
        }
        Ok(Some(rows))
    }

    fn random(&self, sweep: &SweepSpec) -> Result<Option<Axis>, SpecError> {
        let ranges = self.leaves("random");
        let message = match (ranges.is_empty(), sweep.draws) {
            (true, None) => return Ok(None),
            (false, Some(draws)) if draws <= MOST_RUNS => {
                let mut rows: Axis = (0..draws).map(|_| Vec::new()).collect();
                for (path, value) in &ranges {
                    self.draw(sweep.draw_seed, path, value, &mut rows)?;
                }
                return Ok(Some(rows));
            }
            (false, Some(_)) => format!("is more than {MOST_RUNS}: take fewer draws"),
            (false, None) => format!("is missing: say how many values are drawn from {TABLE}.random"),
            (true, Some(_)) => format!("draws from nothing: give {TABLE}.random a range"),
        };
        Err(invalid(self.document, &["draws".to_owned()], message))
    }

    fn draw(&self, seed: u64, path: &KeyPath, value: &DeValue<'_>, rows: &mut Axis) -> Result<(), SpecError> {
        let full = under(&["random".to_owned()], path);
        let range = deserialize::<SweepRange>(value.clone()).ok_or_else(|| self.wrong(&full))?;
        // A stream for each key: another key, or more draws, leaves the values that were drawn as they were.
        let mut stream = RandomStream::named(seed, &format!("sweep of {path}"));
        let whole = self.schema.find(path.iter()).is_some_and(Node::is_integer);
        for row in rows {
            let drawn = range.at(stream.uniform()).ok_or_else(|| SpecError::Value {
                place: self.document.place(&full),
                key: full.to_string(),
                got: self.document.written(&full),
                expected: "finite ends, the lower one first, above 0 for log_uniform".into(),
                nearest: None,
            })?;
            let written = if whole { format!("{:.0}", drawn.round()) } else { format!("{drawn:?}") };
            row.push(Setting { path: path.clone(), written, place: self.document.place(&full) });
        }
        Ok(())
    }

    fn seeds(&self, sweep: &SweepSpec) -> Result<Option<Axis>, SpecError> {
        let Some(seeds) = &sweep.seeds else { return Ok(None) };
        let place = self.document.place(&under(&["seeds".to_owned()], &KeyPath::new(Vec::new())));
        if seeds.count() > MOST_RUNS {
            return Err(invalid(self.document, &["seeds".to_owned()], format!("is more than {MOST_RUNS} seeds")));
        }
        let path = KeyPath::from_dotted("seeds.root");
        let one = |seed: u64| vec![Setting { path: path.clone(), written: seed.to_string(), place: place.clone() }];
        Ok(Some(seeds.iter().map(one).collect()))
    }

    /// The lists of `grid` or `list`, each with its values.
    fn lists(&self, table: &str) -> Result<Vec<Vec<Setting>>, SpecError> {
        let mut lists = Vec::new();
        for (path, value) in self.leaves(table) {
            let full = under(&[table.to_owned()], &path);
            let (text, place) = (self.document.text_of(&full), self.document.place(&full));
            let values = value.as_array().filter(|values| !values.is_empty()).ok_or_else(|| self.wrong(&full))?;
            let written = |value: &Spanned<DeValue<'_>>| text.get(value.span()).unwrap_or_default().to_owned();
            let setting = |value| Setting { path: path.clone(), written: written(value), place: place.clone() };
            lists.push(values.iter().map(setting).collect());
        }
        Ok(lists)
    }

    /// The keys in one of the tables that mirror a run's, with their values.
    fn leaves(&self, table: &str) -> Vec<(KeyPath, &DeValue<'_>)> {
        fn collect<'d>(
            node: Node<'_>,
            value: &'d DeValue<'d>,
            path: &KeyPath,
            leaves: &mut Vec<(KeyPath, &'d DeValue<'d>)>,
        ) {
            let keys = value.as_table().filter(|_| node.is_table());
            let Some(keys) = keys else { return leaves.push((path.clone(), value)) };
            for (key, value) in keys {
                if let Some(child) = node.child(key.get_ref()) {
                    collect(child, value.get_ref(), &path.child(key.get_ref()), leaves);
                }
            }
        }
        let mut leaves = Vec::new();
        let value = self.document.root().get(TABLE).and_then(|sweep| sweep.get_ref().get(table));
        if let (Some(node), Some(value)) = (self.schema.find([TABLE, table]), value) {
            collect(node, value.get_ref(), &KeyPath::new(Vec::new()), &mut leaves);
        }
        leaves
    }

    fn refuse_a_key_that_is_swept_twice(&self, axes: &[Axis]) -> Result<(), SpecError> {
        let keys: Vec<String> =
            axes.iter().filter_map(|axis| axis.first()).flatten().map(|setting| setting.path.to_string()).collect();
        let twice = keys.iter().enumerate().find(|(index, key)| keys[..*index].contains(key));
        let message = |key: &String| {
            format!("sweeps {key} twice: a key may stand in one of grid, list and random, and seeds set seeds.root")
        };
        twice.map_or(Ok(()), |(_, key)| Err(invalid(self.document, &[], message(key))))
    }

    fn wrong(&self, path: &KeyPath) -> SpecError {
        check::wrong_value(self.document, self.schema, path)
    }
}

fn deserialize<T: serde::de::DeserializeOwned>(value: DeValue<'_>) -> Option<T> {
    T::deserialize(ValueDeserializer::from(Spanned::new(0..0, value))).ok()
}

/// The path below the table of a sweep.
fn under(keys: &[String], path: &KeyPath) -> KeyPath {
    KeyPath::new([&[TABLE.to_owned()], keys, path.keys()].concat())
}

fn invalid(document: &Document<'_>, keys: &[String], message: String) -> SpecError {
    let path = under(keys, &KeyPath::new(Vec::new()));
    SpecError::Invalid { place: document.place(&path), key: path.to_string(), message }
}

#[cfg(test)]
#[path = "sweep_tests.rs"]
mod tests;
