//! Files with one JSON object a line.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use serde::Serialize;
use serde_json::Value;

use crate::{Error, RowError, error::Fault};

/// The longest record of a text file that is read, in bytes. Longer ones are row errors.
pub(crate) const RECORD_LIMIT: usize = 256 << 20;

/// The values of a file with the number of the line each stands on; blank lines are passed over. A
/// line that is not JSON or too long is a row error, and the next line follows.
pub(crate) fn values(
    file: &Path,
) -> Result<impl Iterator<Item = Result<(u64, Value), Error>> + Send + use<>, Error> {
    let opened = File::open(file).map_err(Error::reading(file))?;
    Ok(Values {
        file: file.to_owned(),
        reader: BufReader::new(opened),
        line: 0,
        limit: RECORD_LIMIT,
    })
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
    limit: usize,
}

impl Iterator for Values {
    type Item = Result<(u64, Value), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut text = Vec::new();
        loop {
            text.clear();
            self.line += 1;
            match self.next_line(&mut text) {
                Ok(true) => {}
                Ok(false) => return None,
                Err(source) => return Some(Err(Error::reading(&self.file)(source))),
            }
            if self.line == 1 && text.starts_with(b"\xEF\xBB\xBF") {
                text.drain(..3);
            }
            if !text.iter().all(u8::is_ascii_whitespace) {
                break;
            }
        }
        let value = if text.len() > self.limit {
            Err(RowError::TooLong { limit: self.limit })
        } else {
            serde_json::from_slice(&text).map_err(RowError::Json)
        };
        Some(
            value
                .map(|value| (self.line, value))
                .map_err(|error| Fault::from(error).at(&self.file, self.line)),
        )
    }
}

impl Values {
    /// Puts the next line in `text`, of a line that is too long only enough to show it; `false` at
    /// the end of the file.
    fn next_line(&mut self, text: &mut Vec<u8>) -> io::Result<bool> {
        let mut any = false;
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(any);
            }
            any = true;
            let end = buffer.iter().position(|&byte| byte == b'\n');
            let taken = end.map_or(buffer.len(), |end| end + 1);
            append_within(text, &buffer[..taken], self.limit);
            self.reader.consume(taken);
            if end.is_some() {
                return Ok(true);
            }
        }
    }
}

/// Appends bytes until `text` is one longer than the limit, which shows that it is too long.
pub(crate) fn append_within(text: &mut Vec<u8>, bytes: &[u8], limit: usize) {
    let room = (limit + 1).saturating_sub(text.len());
    text.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

/// Writes a record for each of `items` to `file`, one a line, and returns how many.
pub(crate) fn write<T, R: Serialize>(
    file: &Path,
    items: impl IntoIterator<Item = T>,
    mut record: impl FnMut(T) -> Result<R, Error>,
) -> Result<u64, Error> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(Error::writing(folder))?;
    }
    let mut out = BufWriter::new(File::create(file).map_err(Error::writing(file))?);
    let mut written = 0;
    for item in items {
        serde_json::to_writer(&mut out, &record(item)?)
            .map_err(std::io::Error::from)
            .and_then(|()| out.write_all(b"\n"))
            .map_err(Error::writing(file))?;
        written += 1;
    }
    out.flush().map_err(Error::writing(file))?;
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_is_lost_alone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let long = format!("\"{}\"", "x".repeat(30_000));
        std::fs::write(
            file.path(),
            format!("1\n{long}\n2\n\"{}\"\n", "y".repeat(8)),
        )
        .unwrap();
        let values = Values {
            file: file.path().to_owned(),
            reader: BufReader::new(File::open(file.path()).unwrap()),
            line: 0,
            limit: 11,
        };
        let found: Vec<_> = values.collect();
        assert_eq!(found.len(), 4);
        assert!(matches!(
            found[1],
            Err(Error::Row {
                line: 2,
                source: RowError::TooLong { limit: 11 },
                ..
            })
        ));
        assert_eq!(found[2].as_ref().unwrap(), &(3, Value::from(2)));
        assert_eq!(found[3].as_ref().unwrap().0, 4);
    }
}
