//! Files of records: parquet of a given schema, JSON arrays and JSON lines.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
    sync::Arc,
};

use arrow_array::{
    ArrayRef, BinaryArray, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Schema};
use base64::{Engine, engine::general_purpose::STANDARD};
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};
use serde_json::Value;

/// Rows of a batch, and of a row group.
const BATCH_ROWS: usize = 4096;

pub(super) fn parquet(file: &Path, schema: Schema, records: impl Iterator<Item = Value>) {
    let schema = Arc::new(schema);
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .build();
    let mut writer = ArrowWriter::try_new(created(file), schema.clone(), Some(properties))
        .expect("the schema can be written");
    let mut records = records.peekable();
    while records.peek().is_some() {
        let batch: Vec<Value> = records.by_ref().take(BATCH_ROWS).collect();
        let columns = schema.fields().iter().map(|field| {
            let cells: Vec<&Value> = batch
                .iter()
                .map(|record| &record[field.name().as_str()])
                .collect();
            array(field.data_type(), &cells)
        });
        let batch = RecordBatch::try_new(schema.clone(), columns.collect())
            .expect("the cells have the schema's types");
        writer.write(&batch).expect("the file can be written");
    }
    writer.close().expect("the file can be written");
}

pub(super) fn json_array(file: &Path, records: impl Iterator<Item = Value>) {
    let mut out = BufWriter::new(created(file));
    let mut separator = "[\n";
    for record in records {
        write!(out, "{separator}{record}").expect("the file can be written");
        separator = ",\n";
    }
    writeln!(out, "\n]")
        .and_then(|()| out.flush())
        .expect("the file can be written");
}

pub(super) fn json_lines(file: &Path, records: impl Iterator<Item = Value>) {
    let mut out = BufWriter::new(created(file));
    for record in records {
        writeln!(out, "{record}").expect("the file can be written");
    }
    out.flush().expect("the file can be written");
}

fn created(file: &Path) -> File {
    fs::create_dir_all(file.parent().expect("a file is in a folder"))
        .expect("the folder can be made");
    File::create(file).expect("the file can be made")
}

/// Cells as a column. Bytes are base64 text in the cell.
fn array(data_type: &DataType, cells: &[&Value]) -> ArrayRef {
    match data_type {
        DataType::Utf8 => {
            let texts: StringArray = cells.iter().map(|cell| cell.as_str()).collect();
            Arc::new(texts)
        }
        DataType::Int64 => {
            let integers: Int64Array = cells.iter().map(|cell| cell.as_i64()).collect();
            Arc::new(integers)
        }
        DataType::Binary => {
            let bytes: Vec<Option<Vec<u8>>> = cells
                .iter()
                .map(|cell| {
                    cell.as_str()
                        .map(|text| STANDARD.decode(text).expect("bytes are base64 text"))
                })
                .collect();
            Arc::new(BinaryArray::from_iter(bytes))
        }
        DataType::List(item) => {
            let lists: Vec<&[Value]> = cells
                .iter()
                .map(|cell| cell.as_array().map_or(&[][..], Vec::as_slice))
                .collect();
            let items: Vec<&Value> = lists.iter().flat_map(|list| list.iter()).collect();
            let offsets = OffsetBuffer::from_lengths(lists.iter().map(|list| list.len()));
            Arc::new(ListArray::new(
                item.clone(),
                offsets,
                array(item.data_type(), &items),
                None,
            ))
        }
        DataType::Struct(fields) => {
            let columns = fields.iter().map(|field| {
                let cells: Vec<&Value> = cells
                    .iter()
                    .map(|cell| &cell[field.name().as_str()])
                    .collect();
                array(field.data_type(), &cells)
            });
            Arc::new(StructArray::new(fields.clone(), columns.collect(), None))
        }
        other => unreachable!("no published source has a column of {other}"),
    }
}
