//! Our own pairs in parquet: each pair whole, as a record of our JSON format, beside columns for queries.
//!
//! The column `pair` holds the record. `media` lists the media of the pair in the order prompt, first response, second
//! response, …, without those that the dataset does not carry: `bytes` where they are embedded, else the `path` of a file
//! below the table's folder, else neither, and the name in the record counts. `sha256` is there where the content was
//! known when the table was written, and always where it is embedded.

use std::{collections::VecDeque, path::Path, sync::Arc};

use omnireward_core::{MediaRef, MediaSource, Modality};
use serde_json::Value;

use super::{
    Entry,
    entries::{self, Encoding, RawRow},
    files_with_extension,
    pairs_jsonl::pair_of,
    parquet_rows,
    sketch::Kind,
    source,
};
use crate::{
    Format, OpenOptions, Part, RowError, confine,
    error::Fault,
    record::{Record, text_of, wrong_type},
};

pub(crate) const ENTRY: Entry = Entry {
    format: Format::PairsParquet,
    looked_for: "a `.parquet` file, or such files in a folder, with the columns `pair` and `media`",
    matches: |path| !files(path, &OpenOptions::default()).is_empty(),
    open: |path, options| {
        let files = files(path, options).into_iter();
        Ok(files.map(|file| part(file, options)).collect())
    },
};

fn files(path: &Path, options: &OpenOptions) -> Vec<std::path::PathBuf> {
    let candidates = files_with_extension(path, "parquet");
    source::fitting(candidates, path, options, |sketch| {
        sketch.holds("pair", &[Kind::Text])
            && sketch.holds("media", &[Kind::Objects, Kind::List, Kind::Media])
    })
}

fn part(file: std::path::PathBuf, options: &OpenOptions) -> Part {
    // A file that cannot be counted says why when it is read.
    let rows = parquet_rows::count(&file).ok();
    let options = options.clone();
    Part::new(None, file.clone(), rows, move || {
        let root = file.parent().unwrap_or(Path::new("")).to_owned();
        let options = options.clone();
        let counter = options.rows_read.clone();
        entries::rows_in(&file, Encoding::Parquet, &counter, move |row| {
            pair(row, &root, &options).map(Some)
        })
    })
}

fn pair(
    mut row: RawRow,
    root: &Path,
    options: &OpenOptions,
) -> Result<omnireward_core::PreferencePair, Fault> {
    let text = row.record.text("pair")?;
    let value =
        serde_json::from_str(&text).map_err(|error| RowError::Json(error).in_field("pair"))?;
    let mut stored = stored_media(&mut row)?;
    let mut place = |modality, name| placed(stored.pop_front(), modality, name, root, options);
    pair_of(Record::new(value)?, row.line, &mut place)
}

/// A medium as the column `media` has it.
struct Stored {
    path: Option<String>,
    bytes: Option<Arc<[u8]>>,
}

fn stored_media(row: &mut RawRow) -> Result<VecDeque<Stored>, Fault> {
    let mut embedded = row.media.remove("media").unwrap_or_default().into_iter();
    let items = match row.record.take("media") {
        None => Vec::new(),
        Some(Value::Array(items)) => items,
        Some(other) => return Err(wrong_type("a list", &other).in_field("media")),
    };
    items
        .into_iter()
        .map(|item| {
            let mut item = Record::new(item)?;
            let path = item.optional_text("path")?;
            let has_hash = item.take("sha256").map(text_of).transpose()?.is_some();
            let bytes = match (&path, has_hash) {
                (None, true) => embedded.next().and_then(|blob| blob.bytes),
                _ => None,
            };
            Ok(Stored { path, bytes })
        })
        .collect()
}

fn placed(
    stored: Option<Stored>,
    modality: Modality,
    name: Option<String>,
    root: &Path,
    options: &OpenOptions,
) -> Result<MediaRef, RowError> {
    let stored = stored.ok_or_else(|| {
        RowError::Inconsistent("`media` lists fewer media than the pair has".to_owned())
    })?;
    if let Some(bytes) = stored.bytes {
        let source = MediaSource::Bytes { bytes, name };
        return Ok(MediaRef { modality, source });
    }
    let wanted = stored
        .path
        .or_else(|| name.clone())
        .ok_or(RowError::Missing)?;
    let mut medium = confine::media(root, &wanted, modality, options)?;
    // The dataset's own name stays, wherever the file is now.
    if let (MediaSource::File { name: found, .. }, Some(name)) = (&mut medium.source, name) {
        *found = name;
    }
    Ok(medium)
}
