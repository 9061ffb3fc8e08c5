//! A line of the record file, read without copies.

use std::borrow::Cow;

use serde::Deserialize;
use stepscope_types::{Estimate, Record, Step, Timing, Uncertainty};

use super::{Point, Run};

/// The keys of a measurement that a page needs, borrowed from the line.
///
/// [`Record`] is an enumeration told apart by a key, which serde reads through a buffer of its own: three times slower.
/// A report of a sweep reads a million lines, so measurements come this way and everything else through [`Record`].
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    record: Cow<'a, str>,
    step: Step,
    epoch: f64,
    #[serde(borrow)]
    name: Cow<'a, str>,
    value: Option<f64>,
    #[serde(borrow)]
    unit: Cow<'a, str>,
    #[serde(default)]
    error: Option<Uncertainty>,
    #[serde(borrow, default)]
    unresolved: Option<Cow<'a, str>>,
    // Unused, and required all the same: a line without them is no record.
    #[serde(rename = "num_examples")]
    _num_examples: u64,
    #[serde(rename = "num_products")]
    _num_products: u64,
    #[serde(rename = "mode")]
    _mode: stepscope_types::Mode,
    #[serde(default)]
    timing: Option<Timing>,
}

/// Adds the record that a line holds to the run.
pub(super) fn push(text: &[u8], run: &mut Run) -> Result<(), serde_json::Error> {
    match serde_json::from_slice::<Line>(text) {
        Ok(line) if line.record == "measurement" => {
            let point = point(&line);
            run.push_point(&line.name, point, &line.unit, line.timing);
            Ok(())
        }
        _ => serde_json::from_slice::<Record>(text).map(|record| run.push(record)),
    }
}

fn point(line: &Line) -> Point {
    let value = line.value.filter(|value| value.is_finite());
    let error = value.and(line.error);
    let interval = value.zip(error).map(|(value, error)| Estimate::new(value, String::new(), error).interval());
    Point {
        step: line.step,
        epoch: line.epoch,
        value,
        error,
        interval: interval.filter(|(low, high)| low.is_finite() && high.is_finite() && low < high),
        unresolved: line.unresolved.as_deref().map(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic;

    #[test]
    fn the_quick_way_reads_what_the_record_type_reads() {
        for (manifest, records) in synthetic::quickstart() {
            let (mut quick, mut slow) = (Run::empty(manifest.clone()), Run::empty(manifest));
            for record in records {
                push(serde_json::to_string(&record).unwrap().as_bytes(), &mut quick).unwrap();
                slow.push(record);
            }
            assert!(quick == slow, "{}", slow.name());
        }
    }

    #[test]
    fn what_is_no_record_is_refused_as_the_record_type_refuses_it() {
        let mut run = Run::empty(synthetic::manifest("run", 0.1));
        let measurement = serde_json::to_string(&synthetic::loss(3, 0.5)).unwrap();
        for key in ["step", "epoch", "name", "value", "unit", "num_examples", "num_products", "mode", "record"] {
            let broken = measurement.replace(&format!("\"{key}\":"), "\"other\":");
            let slow = serde_json::from_str::<Record>(&broken).map_err(|error| error.to_string());
            assert_eq!(push(broken.as_bytes(), &mut run).map_err(|error| error.to_string()).err(), slow.err(), "{key}");
        }
    }

    #[test]
    fn escapes_in_names_are_read() {
        let mut run = Run::empty(synthetic::manifest("run", 0.1));
        let line = serde_json::to_string(&synthetic::loss(3, 0.5)).unwrap().replace("train/loss", "a\\u003cb\\n");
        push(line.as_bytes(), &mut run).unwrap();
        assert_eq!(run.names().collect::<Vec<_>>(), ["a<b\n"]);
    }
}
