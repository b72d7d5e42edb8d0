//! Omni-RewardBench as the released judge code reads it: `<task>_preferences.json`, each one array
//! of objects, and media as paths below `media_data/`.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, btree_map::Entry},
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use omnireward_core::{PreferencePair, Task};
use serde_json::{Map, Value, json};

use crate::{
    Error, Format, OpenOptions, Part,
    formats::entries::{self, Encoding},
    formats::omni::{Answer, Outgoing, RESPONSES, Reader, not_empty, prompt_field},
    place::MediaFolder,
};

pub(crate) fn matches(path: &Path) -> bool {
    !files(path).is_empty()
}

pub(crate) fn open(path: &Path, options: &OpenOptions) -> Vec<Part> {
    files(path)
        .into_iter()
        .map(|(task, file)| part(task, file, options))
        .collect()
}

fn file_name(task: Task) -> String {
    format!("{}_preferences.json", task.key())
}

/// `path` itself when it has a task's file name, else the tasks' files in it.
fn files(path: &Path) -> Vec<(Task, PathBuf)> {
    let own = |task: Task| {
        path.file_name()
            .is_some_and(|name| *name == *file_name(task))
    };
    Task::ALL
        .into_iter()
        .filter_map(|task| {
            let file = if own(task) {
                path.to_owned()
            } else {
                path.join(file_name(task))
            };
            file.is_file().then_some((task, file))
        })
        .collect()
}

fn part(task: Task, file: PathBuf, options: &OpenOptions) -> Part {
    let rows = entries::quick_count(&file);
    let root = file.parent().unwrap_or(Path::new("")).to_owned();
    let options = options.clone();
    Part::new(Some(task), file.clone(), rows, move || {
        let reader = Reader::new(task, &root, &options);
        let rows = entries::rows_in(&file, Encoding::Array, &options.rows_read, move |row| {
            reader.pair(row.record, row.media).map(Some)
        })?;
        Ok(not_empty(&file, rows))
    })
}

/// Writes pairs as Omni-RewardBench JSON files in the folder `root`, one a task, and returns how
/// many. Media are copied into `media_data/` unless they are there.
///
/// The layout has no place for groups: they are found again from prompt and responses.
///
/// # Errors
///
/// [`Error::Unwritable`] for a pair without a label, with other than two responses, or with media
/// where its task has none; [`Error::Write`] or [`Error::Read`] when a file cannot be written or
/// a medium not read.
pub fn omni_json<P: Borrow<PreferencePair>>(
    root: &Path,
    pairs: impl IntoIterator<Item = P>,
) -> Result<u64, Error> {
    std::fs::create_dir_all(root).map_err(Error::writing(root))?;
    let media = MediaFolder::beside(&root.join("media_data"), "");
    let mut files = BTreeMap::new();
    let mut written = 0;
    for pair in pairs {
        let outgoing = Outgoing::new(pair.borrow(), Format::OmniJson)?;
        let record = record(&outgoing, &media)?;
        let file = match files.entry(outgoing.task) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                entry.insert(ArrayFile::create(root.join(file_name(outgoing.task)))?)
            }
        };
        file.push(&record)?;
        written += 1;
    }
    files.into_values().try_for_each(ArrayFile::finish)?;
    Ok(written)
}

fn record(pair: &Outgoing, media: &MediaFolder) -> Result<Map<String, Value>, Error> {
    let mut record = Map::new();
    record.insert("prompt".to_owned(), json!(pair.prompt));
    if let (Some(field), Some(medium)) = (prompt_field(pair.task), pair.medium) {
        record.insert(field.to_owned(), json!(media.place(medium)?));
    }
    for (field, answer) in RESPONSES.into_iter().zip(&pair.responses) {
        let value = match answer {
            Answer::Text(text) => text.clone(),
            Answer::Medium(medium) => media.place(medium)?,
        };
        record.insert(field.to_owned(), json!(value));
    }
    record.insert("model1".to_owned(), json!(pair.models[0]));
    record.insert("model2".to_owned(), json!(pair.models[1]));
    record.insert("criteria".to_owned(), json!(pair.criteria));
    record.insert("criteria_preference".to_owned(), json!(pair.preference));
    record.insert("id".to_owned(), json!(pair.id));
    if let Some(source) = pair.source {
        record.insert("source".to_owned(), json!(source));
    }
    for (field, value) in pair.extra {
        record.entry(field.clone()).or_insert_with(|| value.clone());
    }
    Ok(record)
}

/// A JSON array that is written element by element.
struct ArrayFile {
    path: PathBuf,
    out: BufWriter<File>,
    started: bool,
}

impl ArrayFile {
    fn create(path: PathBuf) -> Result<Self, Error> {
        let file = File::create(&path).map_err(Error::writing(&path))?;
        Ok(Self {
            path,
            out: BufWriter::new(file),
            started: false,
        })
    }

    fn push(&mut self, element: &Map<String, Value>) -> Result<(), Error> {
        let lead = if self.started { ",\n" } else { "[\n" };
        self.started = true;
        self.out
            .write_all(lead.as_bytes())
            .and_then(|()| Ok(serde_json::to_writer_pretty(&mut self.out, element)?))
            .map_err(Error::writing(&self.path))
    }

    fn finish(mut self) -> Result<(), Error> {
        self.out
            .write_all(b"\n]\n")
            .and_then(|()| self.out.flush())
            .map_err(Error::writing(&self.path))
    }
}
