//! The rows of a parquet file as records.
//!
//! Hub datasets keep a picture or a sound as a struct of `bytes` and `path`. Its place in the
//! record holds the path, and the bytes stand beside the record. Columns of types that have no
//! counterpart in JSON, such as dates, are left out.

use std::{
    collections::BTreeMap,
    fs::File,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::{
    Array, ArrayRef, RecordBatch, StructArray,
    cast::AsArray,
    types::{
        Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
        UInt32Type, UInt64Type,
    },
};
use arrow_schema::{DataType, Fields};
use parquet::{
    arrow::arrow_reader::ParquetRecordBatchReaderBuilder,
    errors::ParquetError,
    file::metadata::{ParquetMetaData, RowGroupMetaData},
};
use serde_json::{Map, Value};

use super::{
    entries::{RawRow, RawRows, record_of},
    sketch::Kind,
};
use crate::Error;

/// Rows held in memory at once. Small, because a row may carry pictures.
const BATCH_ROWS: usize = 32;

/// A medium that came with a row.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    /// The encoded medium.
    pub(crate) bytes: Option<Arc<[u8]>>,
    /// The file name that came with it.
    pub(crate) path: Option<String>,
}

/// The media of a row, by column.
pub(crate) type Embedded = BTreeMap<String, Vec<Blob>>;

/// The rows of a file.
pub(crate) fn entries(file: &Path) -> Result<RawRows, Error> {
    let batches = batches(file, builder(file)?.with_batch_size(BATCH_ROWS))?;
    Ok(Box::new(rows(file, batches)))
}

/// The rows of batches, counted from the first.
pub(crate) fn rows<B>(
    file: &Path,
    batches: B,
) -> impl Iterator<Item = Result<RawRow, Error>> + Send + use<B>
where
    B: Iterator<Item = Result<RecordBatch, Error>> + Send,
{
    let path = file.to_owned();
    let mut next = 0;
    batches.flat_map(move |batch| {
        let rows = batch.and_then(|batch| {
            let first = next;
            next += batch.num_rows() as u64;
            contained(&path, || {
                Ok((0..batch.num_rows())
                    .map(|row| Ok(raw_row(&batch, row, first + row as u64)))
                    .collect())
            })
        });
        rows.unwrap_or_else(|error| vec![Err(error)])
    })
}

/// The batches of a file, up to the first that cannot be read: the reader would report that one
/// again and again.
pub(crate) fn batches(
    file: &Path,
    builder: ParquetRecordBatchReaderBuilder<File>,
) -> Result<impl Iterator<Item = Result<RecordBatch, Error>> + Send + use<>, Error> {
    let path = file.to_owned();
    let mut batches = contained(file, || builder.build())?;
    let mut failed = false;
    Ok(std::iter::from_fn(move || {
        if failed {
            return None;
        }
        let batch = contained(&path, || Ok(batches.next().transpose()?));
        failed = batch.is_err();
        batch.transpose()
    }))
}

/// The number of rows, from the footer.
pub(crate) fn count(file: &Path) -> Result<u64, Error> {
    Ok(metadata(file)?.file_metadata().num_rows().unsigned_abs())
}

/// What the columns hold, from the schema.
pub(crate) fn kinds(file: &Path) -> Result<BTreeMap<String, Kind>, Error> {
    let builder = builder(file)?;
    let fields = builder.schema().fields().iter();
    Ok(fields
        .map(|field| (field.name().clone(), kind(field.data_type())))
        .collect())
}

/// What the footer says, when it can be true.
pub(crate) fn metadata(file: &Path) -> Result<Arc<ParquetMetaData>, Error> {
    Ok(builder(file)?.metadata().clone())
}

/// A reader for a file whose footer can be true.
pub(crate) fn builder(file: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>, Error> {
    let opened = File::open(file).map_err(Error::reading(file))?;
    let size = opened.metadata().map_err(Error::reading(file))?.len();
    contained(file, || {
        let builder = ParquetRecordBatchReaderBuilder::try_new(opened)?;
        check(builder.metadata(), size)?;
        Ok(builder)
    })
}

/// Refuses a footer with numbers that the reader takes on trust: counts that are negative or do not
/// add up, and columns outside the file.
fn check(metadata: &ParquetMetaData, size: u64) -> Result<(), ParquetError> {
    let wrong = |what: &str| Err(ParquetError::General(format!("the footer {what}")));
    let groups = metadata.row_groups();
    let rows = groups.iter().try_fold(0_i64, |sum, group| {
        let rows = Some(group.num_rows()).filter(|rows| *rows >= 0)?;
        sum.checked_add(rows)
    });
    if rows != Some(metadata.file_metadata().num_rows()) {
        return wrong("counts rows that are not there");
    }
    for column in groups.iter().flat_map(RowGroupMetaData::columns) {
        let numbers = [
            Some(column.data_page_offset()),
            column.dictionary_page_offset(),
            Some(column.compressed_size()),
            Some(column.num_values()),
        ];
        if numbers.into_iter().flatten().any(i64::is_negative) {
            return wrong("has a negative size or place of a column");
        }
        let (start, length) = column.byte_range();
        if start.checked_add(length).is_none_or(|end| end > size) {
            return wrong("names a column outside the file");
        }
    }
    Ok(())
}

/// Runs the decoder, and takes a panic in it for damage to the file: it holds some of what files
/// say for granted, and one damaged file must not end a run over many.
fn contained<T>(file: &Path, decode: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, Error> {
    // What a panic leaves half done is never used again: the file's reading ends.
    panic::catch_unwind(AssertUnwindSafe(decode))
        .unwrap_or_else(|_| {
            let reason = "the decoder gave up on it".to_owned();
            Err(ParquetError::General(reason))
        })
        .map_err(|source| broken(file, source))
}

fn broken(file: &Path, source: ParquetError) -> Error {
    Error::Parquet {
        file: PathBuf::from(file),
        source,
    }
}

fn kind(data_type: &DataType) -> Kind {
    match data_type {
        DataType::Null => Kind::Null,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Kind::Text,
        DataType::Dictionary(_, values) => kind(values),
        DataType::Struct(fields) if is_medium(fields) => Kind::Media,
        DataType::Struct(_) => Kind::Object,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Kind::Media,
        DataType::List(item) | DataType::LargeList(item) => match kind(item.data_type()) {
            Kind::Text => Kind::Texts,
            Kind::Object => Kind::Objects,
            Kind::Media => Kind::Media,
            _ => Kind::List,
        },
        _ => Kind::Scalar,
    }
}

fn is_medium(fields: &Fields) -> bool {
    fields.len() == 2 && fields.find("bytes").is_some() && fields.find("path").is_some()
}

fn raw_row(batch: &RecordBatch, row: usize, index: u64) -> RawRow {
    let mut fields = Map::new();
    let mut media = Embedded::new();
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let mut blobs = Vec::new();
        if let Some(value) = value(column, row, &mut blobs) {
            fields.insert(field.name().clone(), value);
        }
        if !blobs.is_empty() {
            media.insert(field.name().clone(), blobs);
        }
    }
    RawRow {
        index,
        line: index + 1,
        record: record_of(fields),
        media,
    }
}

/// One cell; `None` when JSON has nothing like it.
fn value(array: &ArrayRef, row: usize, blobs: &mut Vec<Blob>) -> Option<Value> {
    if array.is_null(row) {
        return Some(Value::Null);
    }
    macro_rules! number {
        ($kind:ty) => {
            Value::from(array.as_primitive::<$kind>().value(row))
        };
    }
    Some(match array.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => Value::from(array.as_boolean().value(row)),
        DataType::Int8 => number!(Int8Type),
        DataType::Int16 => number!(Int16Type),
        DataType::Int32 => number!(Int32Type),
        DataType::Int64 => number!(Int64Type),
        DataType::UInt8 => number!(UInt8Type),
        DataType::UInt16 => number!(UInt16Type),
        DataType::UInt32 => number!(UInt32Type),
        DataType::UInt64 => number!(UInt64Type),
        DataType::Float32 => number!(Float32Type),
        DataType::Float64 => number!(Float64Type),
        DataType::Utf8 => Value::from(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Value::from(array.as_string::<i64>().value(row)),
        DataType::Utf8View => Value::from(array.as_string_view().value(row)),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            blobs.push(Blob {
                bytes: bytes(array, row),
                path: None,
            });
            Value::Null
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let key = dictionary.normalized_keys()[row];
            return value(dictionary.values(), key, blobs);
        }
        DataType::List(_) => list(&array.as_list::<i32>().value(row), blobs),
        DataType::LargeList(_) => list(&array.as_list::<i64>().value(row), blobs),
        DataType::Struct(fields) if is_medium(fields) => medium(array.as_struct(), row, blobs),
        DataType::Struct(fields) => {
            let columns = array.as_struct();
            let mut object = Map::new();
            for (field, column) in fields.iter().zip(columns.columns()) {
                if let Some(value) = value(column, row, blobs) {
                    object.insert(field.name().clone(), value);
                }
            }
            Value::Object(object)
        }
        _ => return None,
    })
}

fn list(items: &ArrayRef, blobs: &mut Vec<Blob>) -> Value {
    (0..items.len())
        .filter_map(|row| value(items, row, blobs))
        .collect()
}

fn medium(columns: &StructArray, row: usize, blobs: &mut Vec<Blob>) -> Value {
    let path = columns
        .column_by_name("path")
        .and_then(|paths| value(paths, row, &mut Vec::new()))
        .and_then(|path| path.as_str().map(str::to_owned));
    let bytes = columns
        .column_by_name("bytes")
        .and_then(|column| bytes(column, row));
    blobs.push(Blob {
        bytes,
        path: path.clone(),
    });
    path.map_or(Value::Null, Value::from)
}

fn bytes(array: &ArrayRef, row: usize) -> Option<Arc<[u8]>> {
    if array.is_null(row) {
        return None;
    }
    match array.data_type() {
        DataType::Binary => Some(array.as_binary::<i32>().value(row).into()),
        DataType::LargeBinary => Some(array.as_binary::<i64>().value(row).into()),
        DataType::BinaryView => Some(array.as_binary_view().value(row).into()),
        _ => None,
    }
}
