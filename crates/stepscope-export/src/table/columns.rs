//! Columns in memory, on their way into a Parquet file.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use parquet::basic::{ConvertedType, LogicalType, Repetition, Type as PhysicalType};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::Result;
use parquet::file::writer::SerializedRowGroupWriter;
use parquet::schema::types::{Type, TypePtr};

use super::row::{Cell, Kind};

/// A column's values so far. Empty cells are none of them: `is_there` says of every row whether it has one.
#[derive(Debug)]
pub(super) struct Column {
    name: String,
    may_be_empty: bool,
    values: Values,
    /// 1 where the row has a value, 0 where it has none.
    is_there: Vec<i16>,
}

#[derive(Debug)]
enum Values {
    /// The same text again shares its bytes with the first.
    Text(Vec<ByteArray>, HashMap<String, ByteArray>),
    Integer(Vec<i64>),
    Float(Vec<f64>),
    Boolean(Vec<bool>),
}

impl Column {
    pub(super) fn new(name: impl Into<String>, kind: Kind, may_be_empty: bool) -> Self {
        let values = match kind {
            Kind::Text => Values::Text(Vec::new(), HashMap::new()),
            Kind::Integer => Values::Integer(Vec::new()),
            Kind::Float => Values::Float(Vec::new()),
            Kind::Boolean => Values::Boolean(Vec::new()),
        };
        Self { name: name.into(), may_be_empty, values, is_there: Vec::new() }
    }

    pub(super) fn num_rows(&self) -> usize {
        self.is_there.len()
    }

    pub(super) fn push(&mut self, cell: Cell<'_>) {
        match cell {
            Cell::Text(value) => self.push_text(value),
            Cell::Integer(value) => {
                if let Values::Integer(values) = &mut self.values {
                    values.extend(value);
                }
                self.is_there.push(i16::from(value.is_some()));
            }
            Cell::Float(value) => {
                if let Values::Float(values) = &mut self.values {
                    values.extend(value);
                }
                self.is_there.push(i16::from(value.is_some()));
            }
        }
    }

    pub(super) fn push_boolean(&mut self, value: Option<bool>) {
        if let Values::Boolean(values) = &mut self.values {
            values.extend(value);
        }
        self.is_there.push(i16::from(value.is_some()));
    }

    fn push_text(&mut self, value: Option<&str>) {
        if let (Values::Text(values, known), Some(text)) = (&mut self.values, value) {
            let shared = match known.get(text) {
                Some(shared) => shared.clone(),
                None => {
                    let shared = ByteArray::from(text);
                    known.insert(text.to_owned(), shared.clone());
                    shared
                }
            };
            values.push(shared);
        }
        self.is_there.push(i16::from(value.is_some()));
    }

    /// The column as the schema has it.
    pub(super) fn schema(&self) -> Result<TypePtr> {
        let physical = match self.values {
            Values::Text(..) => PhysicalType::BYTE_ARRAY,
            Values::Integer(_) => PhysicalType::INT64,
            Values::Float(_) => PhysicalType::DOUBLE,
            Values::Boolean(_) => PhysicalType::BOOLEAN,
        };
        let repetition = if self.may_be_empty { Repetition::OPTIONAL } else { Repetition::REQUIRED };
        let builder = Type::primitive_type_builder(&self.name, physical).with_repetition(repetition);
        let builder = match self.values {
            Values::Text(..) => {
                builder.with_logical_type(Some(LogicalType::String)).with_converted_type(ConvertedType::UTF8)
            }
            _ => builder,
        };
        builder.build().map(Arc::new)
    }

    /// Writes the values as the row group's next column, and forgets them.
    pub(super) fn write<W: Write + Send>(&mut self, group: &mut SerializedRowGroupWriter<'_, W>) -> Result<()> {
        let levels = self.may_be_empty.then_some(self.is_there.as_slice());
        let Some(mut writer) = group.next_column()? else { return Ok(()) };
        match &mut self.values {
            Values::Text(values, known) => {
                writer.typed::<ByteArrayType>().write_batch(values, levels, None)?;
                values.clear();
                known.clear();
            }
            Values::Integer(values) => {
                writer.typed::<Int64Type>().write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Float(values) => {
                writer.typed::<DoubleType>().write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Boolean(values) => {
                writer.typed::<BoolType>().write_batch(values, levels, None)?;
                values.clear();
            }
        }
        self.is_there.clear();
        writer.close()
    }
}
