//! Tables, read back with the Parquet library's reader and with those of pandas, polars and pyarrow.
#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub)]

mod common;
#[path = "common/python.rs"]
mod python;

use std::fs::{self, File};
use std::path::Path;

use common::{event, manifest, measured, run};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use python::read_back;
use serde_json::{Value, json};
use stepscope_export::table::{CsvTable, ParquetTable};
use stepscope_export::{RecordSink, TableSink};
use stepscope_types::spec::LearningRateSpec;
use stepscope_types::{EventKind, Measurement, Mode, Record, Step, Uncertainty};

/// Two runs of unlike specifications, the second without an end.
fn write(table: &mut dyn TableSink) -> Vec<(&'static str, Vec<Record>)> {
    let mut second = manifest("b");
    second.spec.optimizer.learning_rate = Some(LearningRateSpec::Measured);
    second.spec.model.hidden = Some(vec![8, 4]);
    let runs = [("runs/a", manifest("a"), run(40)), ("runs/b", second, run(30)[..50].to_vec())];
    for (name, manifest, records) in &runs {
        table.begin_run(name, manifest);
        records.iter().for_each(|record| table.record(record).unwrap());
    }
    table.finish().unwrap();
    runs.map(|(name, _, records)| (name, records)).into()
}

fn rows(path: &Path) -> Vec<Row> {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    reader.get_row_iter(None).unwrap().map(Result::unwrap).collect()
}

fn cell<'a>(row: &'a Row, name: &str) -> &'a Field {
    row.get_column_iter().find(|(column, _)| *column == name).map(|(_, field)| field).unwrap()
}

fn float(value: Option<f64>) -> Field {
    value.map_or(Field::Null, Field::Double)
}

fn text(value: &str) -> Field {
    Field::Str(value.to_owned())
}

fn measurements<'a>(runs: &'a [(&'static str, Vec<Record>)]) -> impl Iterator<Item = (&'static str, &'a Measurement)> {
    runs.iter().flat_map(|(run, records)| {
        records.iter().filter_map(|record| match record {
            Record::Measurement(measurement) => Some((*run, measurement)),
            Record::Event(_) => None,
        })
    })
}

#[test]
fn every_measurement_is_a_row_with_everything_that_is_known_about_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.parquet");
    let mut table = ParquetTable::create(&path).unwrap();
    assert!(!path.exists(), "it has its name only once it is whole");
    let runs = write(&mut table);
    let rows = rows(&path);
    assert_eq!(rows.len(), measurements(&runs).count());
    assert_eq!(table.num_rows(), rows.len() as u64);
    for (row, (run, m)) in rows.iter().zip(measurements(&runs)) {
        let check = |name, expected: Field| assert_eq!(cell(row, name), &expected, "{name} of {m:?}");
        check("run", text(run));
        check("step", Field::Long(m.step.0 as i64));
        check("epoch", Field::Double(m.epoch));
        check("metric", text(&m.name));
        check("value", float(m.value));
        check("lo", float(m.interval().map(|(low, _)| low)));
        check("hi", float(m.interval().map(|(_, high)| high)));
        check("unit", text(&m.unit));
        check("n_examples", Field::Long(m.num_examples as i64));
        check("n_products", Field::Long(m.num_products as i64));
        check("mode", text(if m.mode == Mode::Eval { "eval" } else { "none" }));
        check("unresolved", m.unresolved.as_deref().map_or(Field::Null, text));
        check("wall_seconds", float(m.timing.map(|timing| timing.wall_seconds)));
        check("cost_seconds", float(m.timing.and_then(|timing| timing.cost_seconds)));
        let (kind, error, level) = match m.error {
            None => (Field::Null, None, None),
            Some(Uncertainty::Exact) => (text("exact"), Some(0.0), None),
            Some(Uncertainty::StandardError(error)) => (text("standard_error"), Some(error), None),
            Some(Uncertainty::Residual(error)) => (text("residual"), Some(error), None),
            Some(Uncertainty::Interval { level, .. }) => (text("interval"), None, Some(level)),
        };
        check("error_kind", kind);
        check("error", float(error));
        check("level", float(level));
    }
}

#[test]
fn the_table_of_runs_has_a_column_for_every_key_of_the_specifications() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = ParquetTable::create(&folder.path().join("metrics.parquet")).unwrap();
    write(&mut table);
    let rows = rows(&folder.path().join("metrics.runs.parquet"));
    let column = |name| rows.iter().map(|row| cell(row, name).clone()).collect::<Vec<_>>();
    assert_eq!(column("run"), [text("runs/a"), text("runs/b")]);
    assert_eq!(column("ended"), [text("finished"), Field::Null]);
    assert_eq!(column("ended_step"), [Field::Long(40), Field::Null]);
    assert_eq!(column("optimizer.learning_rate"), [text("0.1"), text("measured")], "a number and a word are text");
    assert_eq!(column("optimizer.momentum"), [Field::Double(0.0), Field::Double(0.0)]);
    assert_eq!(column("train.batch_size"), [Field::Long(32), Field::Long(32)]);
    assert_eq!(column("average.enabled"), [Field::Bool(true), Field::Bool(true)]);
    assert_eq!(column("model.hidden"), [Field::Null, text("[8,4]")]);
    let Field::Str(events) = &column("events")[0] else { panic!("no text") };
    let events: Value = serde_json::from_str(events).unwrap();
    assert_eq!(events[1]["event"], "run-ended");
}

#[test]
fn more_rows_than_a_group_holds_come_back_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.parquet");
    let mut table = ParquetTable::create(&path).unwrap();
    table.begin_run("long", &manifest("long"));
    let num_steps = (1 << 16) + 10;
    for step in 0..num_steps {
        table.record(&measured(step, "train/batch_loss", 1.0 / (1.0 + step as f64), Uncertainty::Exact)).unwrap();
    }
    table.finish().unwrap();
    let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
    assert_eq!(reader.num_row_groups(), 2);
    let steps = reader.get_row_iter(None).unwrap().map(|row| cell(&row.unwrap(), "step").clone());
    assert!(steps.eq((0..num_steps).map(|step| Field::Long(step as i64))));
    let text = reader.metadata().file_metadata().key_value_metadata().unwrap();
    let quantities: Value = serde_json::from_str(text[0].value.as_deref().unwrap()).unwrap();
    assert_eq!(quantities["train/batch_loss"]["unit"], "nat");
    let num_bytes = fs::metadata(&path).unwrap().len();
    assert!(num_bytes < 60 * num_steps, "dictionaries and compression: {num_bytes} bytes");
}

#[test]
fn a_table_that_is_not_finished_leaves_nothing_and_spares_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["metrics.parquet", "metrics.csv"] {
        fs::write(folder.path().join(name), "old").unwrap();
    }
    let (mut parquet, mut csv) = (
        ParquetTable::create(&folder.path().join("metrics.parquet")).unwrap(),
        CsvTable::create(&folder.path().join("metrics.csv")).unwrap(),
    );
    for table in [&mut parquet as &mut dyn TableSink, &mut csv] {
        table.begin_run("a", &manifest("a"));
        table.record(&run(3)[1]).unwrap();
    }
    drop((parquet, csv));
    let mut names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["metrics.csv", "metrics.parquet"]);
    assert_eq!(fs::read(folder.path().join("metrics.parquet")).unwrap(), b"old");
}

#[test]
fn csv_has_the_same_rows_and_quotes_what_would_break_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.csv");
    let mut table = CsvTable::create(&path).unwrap();
    table.begin_run("a,\"b\"", &manifest("a"));
    table.record(&event(0, EventKind::RunStarted)).unwrap();
    table.record(&measured(7, "train/loss", 0.1, Uncertainty::StandardError(1e-9))).unwrap();
    let not_there =
        Measurement { unresolved: Some("a\nb".into()), ..Measurement::new(Step(8), 1.0, "x/y", common_reading()) };
    table.record(&Record::Measurement(not_there)).unwrap();
    table.finish().unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "run,step,epoch,metric,value,lo,hi,error,error_kind,level,unit,n_examples,n_products,mode,unresolved,wall_seconds,cost_seconds\n\
         \"a,\"\"b\"\"\",7,0.875,train/loss,0.1,0.099999999,0.100000001,1e-9,standard_error,,nat,32,2,eval,,1.75,0.01\n\
         \"a,\"\"b\"\"\",8,1.0,x/y,,,,,,,,0,0,none,\"a\nb\",,\n"
    );
}

fn common_reading() -> stepscope_types::Reading {
    stepscope_types::Reading::Unresolved { reason: String::new(), num_examples: 0 }
}

#[test]
fn pandas_polars_and_pyarrow_read_the_same_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.parquet");
    let runs = write(&mut ParquetTable::create(&path).unwrap());
    let runs_path = folder.path().join("metrics.runs.parquet");
    for reader in ["pyarrow", "pandas", "polars"] {
        let Some(found) = read_back(&["parquet", path.to_str().unwrap(), reader]) else { continue };
        let column = |name: &str| match &found["columns"][name] {
            Value::Object(by_row) => by_row.values().cloned().collect::<Vec<Value>>(),
            Value::Array(values) => values.clone(),
            other => panic!("{reader}: {name}: {other}"),
        };
        let expect = |name: &str, of: fn(&Measurement) -> Value| {
            let expected: Vec<Value> = measurements(&runs).map(|(_, m)| of(m)).collect();
            let is_same = |(a, b): (&Value, &Value)| match (a.as_f64(), b.as_f64()) {
                // pandas prints fifteen digits.
                (Some(a), Some(b)) => (a - b).abs() <= 1e-12 * b.abs().max(1.0),
                _ => a == b,
            };
            let found = column(name);
            assert!(found.len() == expected.len() && found.iter().zip(&expected).all(is_same), "{reader}: {name}");
        };
        expect("step", |m| json!(m.step.0));
        expect("metric", |m| json!(m.name));
        expect("value", |m| json!(m.value));
        expect("hi", |m| json!(m.interval().map(|(_, high)| high)));
        expect("unresolved", |m| json!(m.unresolved));
        if reader == "pyarrow" {
            assert_eq!(found["types"]["metric"], "string");
            assert_eq!(found["types"]["step"], "int64");
            assert_eq!(found["types"]["value"], "double");
        }
        let found = read_back(&["parquet", runs_path.to_str().unwrap(), reader]).unwrap();
        assert!(found["columns"]["optimizer.learning_rate"].to_string().contains("measured"), "{reader}");
    }
}
