//! Files with one JSON object a line.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use omnireward_core::PreferencePair;
use serde_json::Value;

use crate::{
    Error, RowError, Rows,
    error::Fault,
    record::{Record, validated},
};

/// The pairs of a file, each line turned into none, one or several by `convert`, which also gets
/// the line's number. A bad line is a row error and reading goes on.
pub(crate) fn rows(
    file: &Path,
    mut convert: impl FnMut(Record, u64) -> Result<Vec<PreferencePair>, Fault> + Send + 'static,
) -> Result<Rows, Error> {
    let path = file.to_owned();
    let rows = values(file)?.flat_map(move |value| {
        value
            .and_then(|(line, value)| {
                Record::new(value)
                    .and_then(|record| convert(record, line))
                    .and_then(validated)
                    .map_err(|fault| fault.at(&path, line))
            })
            .map_or_else(
                |error| vec![Err(error)],
                |pairs| pairs.into_iter().map(Ok).collect(),
            )
    });
    Ok(Box::new(rows))
}

/// The values of a file with the number of the line each stands on; blank lines are passed over.
pub(crate) fn values(
    file: &Path,
) -> Result<impl Iterator<Item = Result<(u64, Value), Error>> + Send + use<>, Error> {
    let opened = File::open(file).map_err(Error::reading(file))?;
    Ok(Values {
        file: file.to_owned(),
        reader: BufReader::new(opened),
        line: 0,
        failed: false,
    })
}

/// The first value of a file, if there is one and it is readable. For recognising formats.
pub(crate) fn first_value(file: &Path) -> Option<Value> {
    values(file).ok()?.next()?.ok().map(|(_, value)| value)
}

/// The number of lines that are not blank; `None` for a file so large that counting would delay
/// its first row.
pub(crate) fn quick_count(file: &Path) -> Result<Option<u64>, Error> {
    let opened = File::open(file).map_err(Error::reading(file))?;
    let size = opened.metadata().map_err(Error::reading(file))?.len();
    if size > COUNTED_BYTES {
        return Ok(None);
    }
    let mut reader = BufReader::new(opened);
    let mut line = Vec::new();
    let mut count = 0;
    loop {
        line.clear();
        let read = reader
            .read_until(b'\n', &mut line)
            .map_err(Error::reading(file))?;
        if read == 0 {
            return Ok(Some(count));
        }
        count += u64::from(!line.iter().all(u8::is_ascii_whitespace));
    }
}

/// Files up to this size are scanned for their number of rows: a fraction of a second.
pub(crate) const COUNTED_BYTES: u64 = 64 << 20;

struct Values {
    file: PathBuf,
    reader: BufReader<File>,
    line: u64,
    failed: bool,
}

impl Iterator for Values {
    type Item = Result<(u64, Value), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let mut text = Vec::new();
        loop {
            text.clear();
            self.line += 1;
            match self.reader.read_until(b'\n', &mut text) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(source) => {
                    self.failed = true;
                    return Some(Err(Error::Read {
                        path: self.file.clone(),
                        source,
                    }));
                }
            }
            if self.line == 1 && text.starts_with(b"\xEF\xBB\xBF") {
                text.drain(..3);
            }
            if !text.iter().all(u8::is_ascii_whitespace) {
                break;
            }
        }
        let value = serde_json::from_slice(&text)
            .map(|value| (self.line, value))
            .map_err(|error| Fault::from(RowError::Json(error)).at(&self.file, self.line));
        Some(value)
    }
}
