//! Event files, which `TensorBoard` reads.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use crate::{Error, Result};

#[cfg(test)]
mod decode;
mod frame;
mod protobuf;
#[cfg(test)]
mod tests;

use protobuf::{Event, What};

/// What event files say of themselves; from this version on `TensorBoard` forgets what a restart repeats.
const VERSION: &str = "brain.Event:2";

/// What the names of event files begin with.
const PREFIX: &str = "events.out.tfevents.";

/// Writes an event file: a sequence of `tensorflow.Event` messages, each in a frame with check sums.
///
/// Every start of a training has a file of its own. One that goes on says from which step, and `TensorBoard` shows the
/// earlier files' numbers only up to there.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: File,
}

impl EventWriter {
    /// Begins a file in `folder`, named for the time and `host`; event files that are there are deleted.
    pub fn create(folder: &Path, host: &str) -> Result<Self> {
        for path in event_files(folder)? {
            fs::remove_file(&path).map_err(failed(&path))?;
        }
        Self::begin(folder, host)
    }

    /// Begins a further file in `folder`, of a training that starts again after `step`.
    pub fn resume(folder: &Path, host: &str, step: u64) -> Result<Self> {
        let mut writer = Self::begin(folder, host)?;
        writer.write(step + 1, What::SessionStart)?;
        Ok(writer)
    }

    /// Adds numbers that belong to a step, each under its tag. They are stored in `f32`.
    pub fn scalars(&mut self, step: u64, scalars: &[(String, f64)]) -> Result<()> {
        self.write(step, What::Scalars(scalars))
    }

    fn begin(folder: &Path, host: &str) -> Result<Self> {
        fs::create_dir_all(folder).map_err(failed(folder))?;
        let path = folder.join(file_name(host, event_files(folder)?.len()));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(failed(&path))?;
        let mut writer = Self { path, file };
        writer.write(0, What::FileVersion(VERSION))?;
        Ok(writer)
    }

    /// Writes an event at once, so that a reader sees whole ones.
    fn write(&mut self, step: u64, what: What<'_>) -> Result<()> {
        let event = Event {
            wall_time: since_epoch().as_secs_f64(),
            step,
            what,
        };
        self.file
            .write_all(&frame::framed(&event.encode()))
            .map_err(failed(&self.path))
    }
}

/// `TensorBoard` reads a folder's files in the order of their names: the time, and the number of files before it for
/// those of one second.
fn file_name(host: &str, before: usize) -> String {
    let host: String = host
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() || letter == '-' {
                letter
            } else {
                '_'
            }
        })
        .collect();
    format!("{PREFIX}{:010}.{host}.{before:03}", since_epoch().as_secs())
}

fn event_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed(folder))?,
    };
    let paths: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()
        .map_err(failed(folder))?;
    let is_event_file = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(PREFIX))
    };
    Ok(paths.into_iter().filter(is_event_file).collect())
}

fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Error {
    move |source| Error::io(path, source)
}
