//! The records of a label file, whatever it is written in: a JSON array, JSON lines, one JSON
//! object, comma-separated values or parquet.
//!
//! Cells of a comma-separated file are strings; an empty cell is a field that is not there.

use std::{
    fs::File,
    hash::Hash,
    io::{BufRead, BufReader, Read},
    iter,
    path::{Path, PathBuf},
    sync::Arc,
};

use omnireward_core::PreferencePair;
use serde_json::{Map, Value};

use super::{
    parquet_rows::{self, Embedded},
    source,
};
use crate::{
    Error, RowCounter, RowError, Rows,
    error::Fault,
    json_array::{self, Element},
    json_lines,
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

impl RawRow {
    /// A record that no media came with.
    fn plain(index: u64, line: u64, record: Record) -> Self {
        Self {
            index,
            line,
            record,
            media: Embedded::new(),
        }
    }
}

/// Records one after the other.
pub(crate) type RawRows = Box<dyn Iterator<Item = Result<RawRow, Error>> + Send>;

/// The largest file that is one JSON object and so has to be read as a whole, in bytes.
const WHOLE_OBJECT_LIMIT: u64 = 256 << 20;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// One JSON array.
    Array,
    /// One JSON object a line.
    Lines,
    /// One JSON object.
    Object,
    /// Comma-separated values.
    Csv,
    /// Parquet.
    Parquet,
}

/// Where a record stands, for what is wrong with it.
#[derive(Clone)]
struct Place {
    file: Arc<Path>,
    line: u64,
    /// Its position in the array that the file is.
    element: Option<u64>,
}

impl Place {
    fn error(&self, fault: Fault) -> Error {
        let fault = match self.element {
            Some(index) => json_array::in_element(fault, index),
            None => fault,
        };
        fault.at(&self.file, self.line)
    }
}

/// Tells where the records of one file stand.
struct Places {
    file: Arc<Path>,
    in_array: bool,
}

impl Places {
    fn new(file: &Path, encoding: Encoding) -> Self {
        Self {
            file: file.into(),
            in_array: encoding == Encoding::Array,
        }
    }

    fn of(&self, row: &RawRow) -> Place {
        Place {
            file: self.file.clone(),
            line: row.line,
            element: self.in_array.then_some(row.index),
        }
    }
}

/// The pairs of a file, each record turned into none, one or several by `convert`. A bad record is
/// a row error and reading goes on.
pub(crate) fn rows<I>(
    file: &Path,
    read: &RowCounter,
    convert: impl FnMut(RawRow) -> Result<I, Fault> + Send + 'static,
) -> Result<Rows, Error>
where
    I: IntoIterator<Item = PreferencePair>,
    I::IntoIter: Send + 'static,
{
    rows_in(file, encoding(file)?, read, convert)
}

/// As [`rows`], of a file that is known to be written in one way.
pub(crate) fn rows_in<I>(
    file: &Path,
    encoding: Encoding,
    read: &RowCounter,
    mut convert: impl FnMut(RawRow) -> Result<I, Fault> + Send + 'static,
) -> Result<Rows, Error>
where
    I: IntoIterator<Item = PreferencePair>,
    I::IntoIter: Send + 'static,
{
    let places = Places::new(file, encoding);
    let rows = counted(entries_in(file, encoding)?, read).flat_map(move |row| match row {
        Ok(row) => {
            let place = places.of(&row);
            placed(place, convert(row))
        }
        Err(error) => Box::new(iter::once(Err(error))),
    });
    Ok(Box::new(rows))
}

/// The pairs made of a record, each of them checked, or what is wrong with it.
fn placed<I>(place: Place, pairs: Result<I, Fault>) -> Rows
where
    I: IntoIterator<Item = PreferencePair>,
    I::IntoIter: Send + 'static,
{
    match pairs {
        Ok(pairs) => Box::new(
            pairs
                .into_iter()
                .map(move |pair| validated(pair).map_err(|fault| place.error(fault))),
        ),
        Err(fault) => Box::new(iter::once(Err(place.error(fault)))),
    }
}

/// The pairs of a file whose records have to be seen together. `read` turns each record into
/// values; bad records are row errors and come first, then the pairs that `convert` makes of the
/// values with one key, which are wrong where the first of them stands. A file that breaks off
/// gives no pairs: those of its last key would be incomplete.
pub(crate) fn gathered<T, K, I>(
    file: &Path,
    counter: &RowCounter,
    mut read: impl FnMut(RawRow) -> Result<Vec<T>, Fault>,
    key: impl Fn(&T) -> K,
    mut convert: impl FnMut(Vec<T>) -> Result<I, Fault> + Send + 'static,
) -> Result<Rows, Error>
where
    T: Send + 'static,
    K: Eq + Hash,
    I: IntoIterator<Item = PreferencePair>,
    I::IntoIter: Send + 'static,
{
    let encoding = encoding(file)?;
    let places = Places::new(file, encoding);
    let mut good = Vec::new();
    let mut bad = Vec::new();
    for row in counted(entries_in(file, encoding)?, counter) {
        let values = row.and_then(|row| {
            let place = places.of(&row);
            match read(row) {
                Ok(values) => Ok((place, values)),
                Err(fault) => Err(place.error(fault)),
            }
        });
        match values {
            Ok((place, values)) => {
                good.extend(values.into_iter().map(|value| (place.clone(), value)));
            }
            Err(error) if error.is_row() => bad.push(Err(error)),
            Err(error) => return Err(error),
        }
    }
    let groups = source::grouped_by(good, |(_, value)| key(value));
    let pairs = groups.into_iter().flat_map(move |group| {
        let (places, values): (Vec<Place>, Vec<T>) = group.into_iter().unzip();
        let first = places[0].clone();
        placed(first, convert(values))
    });
    Ok(Box::new(bad.into_iter().chain(pairs)))
}

/// The same records, counted as they are read, broken ones among them.
fn counted(
    rows: RawRows,
    counter: &RowCounter,
) -> impl Iterator<Item = Result<RawRow, Error>> + Send + use<> {
    let counter = counter.clone();
    rows.inspect(move |row| {
        if row.as_ref().err().is_none_or(Error::is_row) {
            counter.add();
        }
    })
}

/// The records of a file.
pub(crate) fn entries(file: &Path) -> Result<RawRows, Error> {
    entries_in(file, encoding(file)?)
}

fn entries_in(file: &Path, encoding: Encoding) -> Result<RawRows, Error> {
    Ok(match encoding {
        Encoding::Array => Box::new(array(file)?),
        Encoding::Lines => Box::new(lines(file)?),
        Encoding::Object => Box::new(iter::once(object(file))),
        Encoding::Csv => Box::new(csv(file)?),
        Encoding::Parquet => parquet_rows::entries(file)?,
    })
}

/// The first record of a file, if there is one. For recognising formats.
pub(crate) fn first_record(file: &Path) -> Result<Option<Map<String, Value>>, Error> {
    let first = entries(file)?.next().transpose()?;
    Ok(first.map(|row| row.record.into_extra()))
}

/// The number of records, where it can be had without reading through a large file. A file that
/// cannot be counted says why when it is read.
pub(crate) fn quick_count(file: &Path) -> Option<u64> {
    let small = file.metadata().ok()?.len() <= json_lines::COUNTED_BYTES;
    match encoding(file).ok()? {
        Encoding::Lines => json_lines::quick_count(file).ok()?,
        Encoding::Array if small => json_array::count(file).ok(),
        Encoding::Csv if small => csv(file).ok().map(|rows| rows.count() as u64),
        Encoding::Object => Some(1),
        Encoding::Parquet => parquet_rows::count(file).ok(),
        Encoding::Array | Encoding::Csv => None,
    }
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
        let Element { index, line, value } = element?;
        let record = Record::new(value)
            .map_err(|fault| json_array::in_element(fault, index).at(&path, line))?;
        Ok(RawRow::plain(index, line, record))
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
    Ok(RawRow::plain(index, line, record))
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
            let cells = cells.map_err(|error| broken_record(&path, &headers, error))?;
            let line = cells
                .position()
                .map_or(index as u64 + 2, csv::Position::line);
            let fields = headers
                .iter()
                .zip(&cells)
                .filter(|(_, cell)| !cell.is_empty())
                .map(|(name, cell)| (name.to_owned(), Value::from(cell)))
                .collect();
            Ok(RawRow::plain(index as u64, line, record_of(fields)))
        }))
}

/// A row with too few cells, or with one that is no text, loses only itself; reading goes on after
/// it.
fn broken_record(file: &Path, headings: &csv::StringRecord, source: csv::Error) -> Error {
    let fault = match source.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => {
            let reason = format!("{len} cells under {expected_len} headings");
            Fault::from(RowError::Inconsistent(reason))
        }
        csv::ErrorKind::Utf8 { err, .. } => {
            let heading = headings.get(err.field()).unwrap_or_default();
            RowError::Inconsistent("the cell is not UTF-8".to_owned()).in_field(heading)
        }
        _ => return broken_csv(file, source),
    };
    fault.at(file, source.position().map_or(0, csv::Position::line))
}

fn broken_csv(file: &Path, source: csv::Error) -> Error {
    Error::Csv {
        file: file.to_owned(),
        source,
    }
}

/// The headings of a comma-separated file.
pub(crate) fn csv_headings(file: &Path) -> Result<Vec<String>, Error> {
    let broken = |source| broken_csv(file, source);
    let mut reader = csv::Reader::from_path(file).map_err(broken)?;
    let headings = reader.headers().map_err(broken)?;
    Ok(headings.iter().map(str::to_owned).collect())
}

pub(crate) fn record_of(fields: Map<String, Value>) -> Record {
    Record::new(Value::Object(fields)).expect("an object is a record")
}
