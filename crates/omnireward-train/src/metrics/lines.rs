//! `metrics.jsonl`.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::Record;
use crate::{Error, Result};

/// Adds lines to `metrics.jsonl`.
///
/// A line is written at once: a training that is killed leaves whole lines, and at most a piece of one at the end.
#[derive(Debug)]
pub struct MetricsWriter {
    path: PathBuf,
    file: File,
}

impl MetricsWriter {
    /// Begins a file; one that is there is emptied.
    pub fn create(path: &Path) -> Result<Self> {
        Self::keep(path, 0)
    }

    /// Goes on with a file, of which lines after `step` and a piece of a line at the end are cut off.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written, and when a line of it is not a measurement.
    pub fn resume(path: &Path, step: u64) -> Result<Self> {
        let text = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(failed(path))?,
        };
        let kept: usize = whole_lines(&text, path)
            .take_while(|line| !matches!(line, Ok((_, record)) if record.step() > step))
            .map(|line| line.map(|(bytes, _)| bytes))
            .sum::<Result<_>>()?;
        Self::keep(path, kept as u64)
    }

    fn keep(path: &Path, bytes: u64) -> Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .and_then(|file| file.set_len(bytes).map(|()| file))
            .map_err(failed(path))?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// Adds a line.
    ///
    /// # Panics
    ///
    /// Never: a measurement is names and numbers alone.
    pub fn write(&mut self, record: &Record) -> Result<()> {
        let mut line =
            serde_json::to_string(record).expect("a measurement is names and numbers alone");
        line.push('\n');
        self.file
            .write_all(line.as_bytes())
            .map_err(failed(&self.path))
    }
}

/// Reads `metrics.jsonl`, without a piece of a line at its end.
///
/// # Errors
///
/// When the file cannot be read, and when a line of it is not a measurement.
pub fn read(path: &Path) -> Result<Vec<Record>> {
    let text = fs::read(path).map_err(failed(path))?;
    whole_lines(&text, path)
        .map(|line| line.map(|(_, record)| record))
        .collect()
}

/// The lines that have an end, and their bytes.
fn whole_lines<'a>(
    text: &'a [u8],
    path: &'a Path,
) -> impl Iterator<Item = Result<(usize, Record)>> + 'a {
    text.split_inclusive(|&byte| byte == b'\n')
        .take_while(|line| line.ends_with(b"\n"))
        .enumerate()
        .map(move |(index, line)| {
            let record = serde_json::from_slice(line).map_err(|error| Error::Damaged {
                path: path.to_owned(),
                reason: format!("is not a measurement in line {}: {error}", index + 1),
            })?;
            Ok((line.len(), record))
        })
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Error {
    move |source| Error::io(path, source)
}
