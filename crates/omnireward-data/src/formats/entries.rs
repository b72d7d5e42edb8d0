//! The records of a label file, whatever it is written in: a JSON array, JSON lines, one JSON
//! object, comma-separated values or parquet.
//!
//! Cells of a comma-separated file are strings; an empty cell is a field that is not there.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use omnireward_core::PreferencePair;
use serde_json::{Map, Value};

use super::parquet_rows::{self, Embedded};
use crate::{
    Error, RowError, Rows,
    error::Fault,
    json_array, json_lines,
    record::{Record, validated},
};

/// A record, and where it stands.
#[derive(Debug)]
pub(crate) struct RawRow {
    /// Its position among the records of the file, from 0.
    pub(crate) index: u64,
    /// The line it starts on, or its row, from 1.
    pub(crate) line: u64,
    /// Its fields.
    pub(crate) record: Record,
    /// Media that came with it, by field.
    pub(crate) media: Embedded,
}

/// Records one after the other.
pub(crate) type RawRows = Box<dyn Iterator<Item = Result<RawRow, Error>> + Send>;

/// The largest file that is one JSON object and so has to be read as a whole, in bytes.
const WHOLE_OBJECT_LIMIT: u64 = 256 << 20;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Array,
    Lines,
    Object,
    Csv,
    Parquet,
}

/// The pairs of a file, each record turned into none, one or several by `convert`. A bad record is
/// a row error and reading goes on.
pub(crate) fn rows(
    file: &Path,
    mut convert: impl FnMut(RawRow) -> Result<Vec<PreferencePair>, Fault> + Send + 'static,
) -> Result<Rows, Error> {
    let path = file.to_owned();
    let in_array = encoding(file)? == Encoding::Array;
    let rows = entries(file)?.flat_map(move |entry| {
        entry
            .and_then(|entry| {
                let (index, line) = (entry.index, entry.line);
                convert(entry).and_then(validated).map_err(|fault| {
                    let fault = if in_array {
                        json_array::in_element(fault, index)
                    } else {
                        fault
                    };
                    fault.at(&path, line)
                })
            })
            .map_or_else(
                |error| vec![Err(error)],
                |pairs| pairs.into_iter().map(Ok).collect(),
            )
    });
    Ok(Box::new(rows))
}

/// The pairs of a file whose records have to be seen together. `read` turns each record into a
/// value; bad records are row errors and come first, then the pairs that `convert` makes of the
/// rest. A file that breaks off gives no pairs: those of its last prompt would be incomplete.
pub(crate) fn gathered<T>(
    file: &Path,
    mut read: impl FnMut(RawRow) -> Result<T, Fault>,
    convert: impl FnOnce(Vec<T>) -> Vec<PreferencePair>,
) -> Result<Rows, Error> {
    let mut good = Vec::new();
    let mut rows = Vec::new();
    for entry in entries(file)? {
        let value = entry.and_then(|entry| {
            let line = entry.line;
            read(entry).map_err(|fault| fault.at(file, line))
        });
        match value {
            Ok(value) => good.push(value),
            Err(error) if error.is_row() => rows.push(Err(error)),
            Err(error) => return Err(error),
        }
    }
    rows.extend(convert(good).into_iter().map(Ok));
    Ok(Box::new(rows.into_iter()))
}

/// The records of a file.
pub(crate) fn entries(file: &Path) -> Result<RawRows, Error> {
    Ok(match encoding(file)? {
        Encoding::Array => Box::new(array(file)?),
        Encoding::Lines => Box::new(lines(file)?),
        Encoding::Object => Box::new(std::iter::once(object(file))),
        Encoding::Csv => Box::new(csv(file)?),
        Encoding::Parquet => parquet_rows::entries(file)?,
    })
}

/// The first record of a file, if there is one and it is readable. For recognising formats.
pub(crate) fn first_record(file: &Path) -> Option<Map<String, Value>> {
    Some(entries(file).ok()?.next()?.ok()?.record.into_extra())
}

/// The number of records, where it can be had without reading through a large file.
pub(crate) fn quick_count(file: &Path) -> Result<Option<u64>, Error> {
    let size = file.metadata().map_err(Error::reading(file))?.len();
    let small = size <= json_lines::COUNTED_BYTES;
    // A file that cannot be counted says why when it is read.
    Ok(match encoding(file)? {
        Encoding::Lines => json_lines::quick_count(file)?,
        Encoding::Array if small => json_array::count(file).ok(),
        Encoding::Csv if small => csv(file).ok().map(|rows| rows.count() as u64),
        Encoding::Object => Some(1),
        Encoding::Parquet => parquet_rows::count(file).ok(),
        Encoding::Array | Encoding::Csv => None,
    })
}

pub(crate) fn is_csv(file: &Path) -> bool {
    has_extension(file, "csv")
}

pub(crate) fn is_parquet(file: &Path) -> bool {
    has_extension(file, "parquet")
}

fn has_extension(file: &Path, wanted: &str) -> bool {
    file.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case(wanted))
}

/// A `.json` file may be an array, one object over many lines, or (as some exporters do) lines.
fn encoding(file: &Path) -> Result<Encoding, Error> {
    if is_parquet(file) {
        return Ok(Encoding::Parquet);
    }
    if is_csv(file) {
        return Ok(Encoding::Csv);
    }
    if has_extension(file, "jsonl") {
        return Ok(Encoding::Lines);
    }
    let opened = File::open(file).map_err(Error::reading(file))?;
    let mut reader = BufReader::new(opened);
    let first = first_solid_byte(&mut reader).map_err(Error::reading(file))?;
    if first == Some(b'[') {
        return Ok(Encoding::Array);
    }
    let mut line = Vec::new();
    reader
        .take(WHOLE_OBJECT_LIMIT)
        .read_until(b'\n', &mut line)
        .map_err(Error::reading(file))?;
    let whole_line = serde_json::from_slice::<serde::de::IgnoredAny>(&line).is_ok();
    Ok(if whole_line {
        Encoding::Lines
    } else {
        Encoding::Object
    })
}

/// The first byte that is neither white space nor a byte order mark, left in place.
fn first_solid_byte(reader: &mut BufReader<File>) -> std::io::Result<Option<u8>> {
    if reader.fill_buf()?.starts_with(b"\xEF\xBB\xBF") {
        reader.consume(3);
    }
    loop {
        match reader.fill_buf()?.first() {
            Some(byte) if byte.is_ascii_whitespace() => reader.consume(1),
            other => return Ok(other.copied()),
        }
    }
}

fn lines(file: &Path) -> Result<impl Iterator<Item = Result<RawRow, Error>> + Send + use<>, Error> {
    let path = file.to_owned();
    Ok(json_lines::values(file)?
        .enumerate()
        .map(move |(index, value)| {
            let (line, value) = value?;
            entry(&path, index as u64, line, value)
        }))
}

fn array(file: &Path) -> Result<impl Iterator<Item = Result<RawRow, Error>> + Send + use<>, Error> {
    let path = file.to_owned();
    Ok(json_array::elements(file)?.map(move |element| {
        let element = element?;
        entry(&path, element.index, element.line, element.value)
    }))
}

fn object(file: &Path) -> Result<RawRow, Error> {
    let opened = File::open(file).map_err(Error::reading(file))?;
    let value = serde_json::from_reader(BufReader::new(opened.take(WHOLE_OBJECT_LIMIT))).map_err(
        |error| Error::Json {
            file: file.to_owned(),
            line: error.line() as u64,
            reason: error.to_string(),
        },
    )?;
    entry(file, 0, 1, value)
}

fn entry(file: &Path, index: u64, line: u64, value: Value) -> Result<RawRow, Error> {
    let record = Record::new(value).map_err(|fault| fault.at(file, line))?;
    Ok(RawRow {
        index,
        line,
        record,
        media: Embedded::new(),
    })
}

fn csv(file: &Path) -> Result<impl Iterator<Item = Result<RawRow, Error>> + Send + use<>, Error> {
    let mut reader = csv::Reader::from_path(file).map_err(|source| broken_csv(file, source))?;
    let headers = reader
        .headers()
        .map_err(|source| broken_csv(file, source))?
        .clone();
    let path: PathBuf = file.to_owned();
    Ok(reader
        .into_records()
        .enumerate()
        .map(move |(index, cells)| {
            let cells = cells.map_err(|error| broken_csv(&path, error))?;
            let line = cells
                .position()
                .map_or(index as u64 + 2, csv::Position::line);
            let fields = headers
                .iter()
                .zip(&cells)
                .filter(|(_, cell)| !cell.is_empty())
                .map(|(name, cell)| (name.to_owned(), Value::from(cell)))
                .collect();
            Ok(RawRow {
                index: index as u64,
                line,
                record: record_of(fields),
                media: Embedded::new(),
            })
        }))
}

/// A row with too few cells loses only itself; reading goes on after it.
fn broken_csv(file: &Path, source: csv::Error) -> Error {
    match (source.kind(), source.position()) {
        (
            csv::ErrorKind::UnequalLengths {
                expected_len, len, ..
            },
            Some(position),
        ) => {
            let reason = format!("{len} cells under {expected_len} headings");
            Fault::from(RowError::Inconsistent(reason)).at(file, position.line())
        }
        _ => Error::Csv {
            file: file.to_owned(),
            source,
        },
    }
}

/// The headings of a comma-separated file.
pub(crate) fn csv_headings(file: &Path) -> Option<Vec<String>> {
    let mut reader = csv::Reader::from_path(file).ok()?;
    Some(reader.headers().ok()?.iter().map(str::to_owned).collect())
}

pub(crate) fn record_of(fields: Map<String, Value>) -> Record {
    Record::new(Value::Object(fields)).expect("an object is a record")
}
