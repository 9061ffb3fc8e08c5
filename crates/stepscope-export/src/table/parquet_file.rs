//! One Parquet file: dictionaries, Snappy, whole or not at all.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;
use stepscope_types::quantity;

use super::columns::Column;
use crate::ExportError;
use crate::partial_file::PartialFile;

/// A Parquet file under construction.
pub(super) struct ParquetFile {
    writer: SerializedFileWriter<File>,
    partial: PartialFile,
}

impl ParquetFile {
    /// A file with the schema of `columns`.
    pub(super) fn create(path: &Path, columns: &[Column]) -> std::result::Result<Self, ExportError> {
        let (partial, file) = PartialFile::create(path)?;
        let open = || -> Result<_> {
            let fields = columns.iter().map(Column::schema).collect::<Result<Vec<_>>>()?;
            let schema = Type::group_type_builder("schema").with_fields(fields).build()?;
            let properties = WriterProperties::builder()
                .set_compression(Compression::SNAPPY)
                .set_created_by(concat!("stepscope ", env!("CARGO_PKG_VERSION")).to_owned())
                .set_key_value_metadata(Some(vec![KeyValue::new("stepscope.quantities".to_owned(), quantities())]))
                .build();
            SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))
        };
        let writer = open().map_err(|source| refused(path, source))?;
        Ok(Self { writer, partial })
    }

    /// Appends the rows in `columns`, which are empty afterwards.
    pub(super) fn append(&mut self, columns: &mut [Column]) -> std::result::Result<(), ExportError> {
        let mut append = || -> Result<()> {
            let mut group = self.writer.next_row_group()?;
            columns.iter_mut().try_for_each(|column| column.write(&mut group))?;
            group.close().map(|_| ())
        };
        append().map_err(|source| refused(self.partial.path(), source))
    }

    /// Ends the file and gives it its name.
    pub(super) fn finish(&mut self) -> std::result::Result<(), ExportError> {
        self.writer.finish().map_err(|source| refused(self.partial.path(), source))?;
        self.partial.finish(self.writer.inner())
    }
}

/// Unit, title and meaning of every quantity by its name, as JSON.
fn quantities() -> String {
    let entries = quantity::ALL.iter().map(|known| {
        let meaning = serde_json::json!({ "unit": known.unit, "title": known.title, "description": known.description });
        (known.name.to_owned(), meaning)
    });
    serde_json::Value::Object(entries.collect()).to_string()
}

fn refused(path: &Path, source: ParquetError) -> ExportError {
    ExportError::Parquet { path: path.display().to_string(), source }
}
