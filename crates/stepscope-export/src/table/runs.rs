//! What ran: one row a run, one column for each key of the specifications.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use stepscope_types::{EventKind, EventRecord, Manifest, StopReason};

use super::columns::Column;
use super::parquet_file::ParquetFile;
use super::row::{Cell, Kind};
use crate::{ExportError, specification};

/// The runs of a table so far.
#[derive(Debug, Default)]
pub(super) struct RunsTable(Vec<Row>);

#[derive(Debug)]
struct Row {
    run: String,
    /// What every run has, by column.
    fixed: Vec<(&'static str, Value)>,
    spec: BTreeMap<String, Value>,
    events: Vec<Value>,
    ended: Option<&'static str>,
    last_step: i64,
}

impl RunsTable {
    pub(super) fn begin(&mut self, run: &str, manifest: &Manifest) {
        let Manifest { name, process, data, model, software, started_unix_seconds, .. } = manifest;
        let fixed = vec![
            ("name", name.as_str().into()),
            ("process", process.as_str().into()),
            ("started_unix_seconds", (*started_unix_seconds).into()),
            ("data_sha256", data.sha256.as_str().into()),
            ("num_train_examples", data.num_train_examples.into()),
            ("network", model.description.as_str().into()),
            ("num_params", model.num_params.into()),
            ("stepscope_version", software.stepscope.as_str().into()),
            ("burn_version", software.burn.as_str().into()),
            ("device", software.device.as_str().into()),
            ("threads", software.threads.into()),
        ];
        let spec = specification::flat(manifest).into_iter().collect();
        self.0.push(Row { run: run.to_owned(), fixed, spec, events: Vec::new(), ended: None, last_step: 0 });
    }

    /// The run whose records come now; empty before the first.
    pub(super) fn current(&self) -> &str {
        self.0.last().map_or("", |row| &row.run)
    }

    pub(super) fn event(&mut self, event: &EventRecord) {
        let Some(row) = self.0.last_mut() else { return };
        // An event is JSON by its type.
        row.events.push(serde_json::to_value(event).unwrap_or_default());
        row.last_step = i64::try_from(event.step.0).unwrap_or(i64::MAX);
        row.ended = match &event.kind {
            EventKind::RunEnded { reason: StopReason::Finished } => Some("finished"),
            EventKind::RunEnded { reason: StopReason::Diverged { .. } } => Some("diverged"),
            // A run that goes on has not ended, whatever was recorded before.
            EventKind::RunStarted => None,
            EventKind::ReadingsLeftOut { .. } | EventKind::Decided { .. } => row.ended,
        };
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), ExportError> {
        let mut columns = self.columns();
        let mut file = ParquetFile::create(path, &columns)?;
        if !self.0.is_empty() {
            file.append(&mut columns)?;
        }
        file.finish()
    }

    fn columns(&self) -> Vec<Column> {
        let mut columns = vec![self.column("run", |row| Some(row.run.as_str().into()))];
        let fixed = self.0.first().map(|row| row.fixed.as_slice()).unwrap_or_default();
        for (index, (name, _)) in fixed.iter().enumerate() {
            columns.push(self.column(name, |row| Some(row.fixed[index].1.clone())));
        }
        columns.push(self.column("ended", |row| row.ended.map(Value::from)));
        columns.push(self.column("ended_step", |row| row.ended.map(|_| row.last_step.into())));
        columns.push(self.column("events", |row| Some(Value::Array(row.events.clone()).to_string().into())));
        let mut keys: Vec<&String> = self.0.iter().flat_map(|row| row.spec.keys()).collect();
        keys.sort();
        keys.dedup();
        for key in keys {
            columns.push(self.column(key, |row| row.spec.get(key).cloned()));
        }
        columns
    }

    /// A column of the narrowest kind that holds the value of every run; text where the kinds differ.
    fn column(&self, name: &str, value: impl Fn(&Row) -> Option<Value>) -> Column {
        let values: Vec<Option<Value>> = self.0.iter().map(value).collect();
        let all = |is: fn(&Value) -> bool| values.iter().flatten().all(is);
        let has_any = values.iter().flatten().next().is_some();
        let kind = match () {
            () if has_any && all(|value| value.is_boolean()) => Kind::Boolean,
            () if has_any && all(|value| value.is_i64()) => Kind::Integer,
            () if has_any && all(Value::is_number) => Kind::Float,
            () => Kind::Text,
        };
        let mut column = Column::new(name, kind, true);
        for value in &values {
            match kind {
                Kind::Boolean => column.push_boolean(value.as_ref().and_then(Value::as_bool)),
                Kind::Integer => column.push(Cell::Integer(value.as_ref().and_then(Value::as_i64))),
                Kind::Float => column.push(Cell::Float(value.as_ref().and_then(Value::as_f64))),
                Kind::Text => column.push(Cell::Text(value.as_ref().map(specification::plain).as_deref())),
            }
        }
        column
    }
}
