//! VideoDPO: pairs of generated clips, the better one first.
//!
//! `pair.json`: `video1` and `video2`, positions in `metadata.json`, `frame_caption` (the prompt, or a list that begins
//! with it) and perhaps `score`. `metadata.json` beside it: a list of clips with `basic.clip_path`, a name from that
//! folder. The owners' training code takes `video1` for the better clip and reads no label, whatever `label` says.
//!
//! A pair's id is its row, from 0; pairs with one prompt share a group.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use omnireward_core::{MediaRef, Modality, Preference, PreferencePair, Response, Task};
use serde_json::Value;

use super::{
    Entry, entries,
    entries::RawRow,
    sketch::Sketch,
    source::{self, Source},
};
use crate::{
    Error, Format, OpenOptions, Part, RowError, Rows,
    error::Fault,
    record::{Record, text_of, wrong_type},
};

pub(super) const ENTRY: Entry = Entry {
    format: Format::VideoDpo,
    looked_for: "JSON with `video1`, `video2` and `frame_caption`, beside `metadata.json`",
    matches: |path| source::any(path, recognises),
    open: |path, options| Ok(open(path, options)),
};

/// Where the clips are listed.
const CLIPS: &str = "metadata.json";

fn recognises(sketch: &Sketch) -> bool {
    sketch.has(&["video1", "video2", "frame_caption"])
}

fn open(path: &Path, options: &OpenOptions) -> Vec<Part> {
    let files = source::files(path, options, recognises);
    let several = files.len() > 1;
    let part = |file: PathBuf| {
        let rows = entries::quick_count(&file);
        let source = Source::new(file.clone(), several, options);
        let clips = file.with_file_name(CLIPS);
        Part::new(Some(Task::T2V), file, rows, {
            let clips = clips.clone();
            move || read(&source, &clips)
        })
        .with_side_files([clips])
    };
    files.into_iter().map(part).collect()
}

fn read(source: &Source, clips: &Path) -> Result<Rows, Error> {
    let clips: Arc<[Clip]> = clips_in(clips)?.into();
    source::rows(source, move |source, row| {
        pair(source, &clips, row).map(Some)
    })
}

/// The name of a clip; `None` where its entry has none. The place stays taken, so that the others keep theirs.
type Clip = Option<String>;

fn clips_in(file: &Path) -> Result<Vec<Clip>, Error> {
    entries::entries(file)?
        .map(|row| match row {
            Ok(mut row) => Ok(clip_path(&mut row.record)),
            Err(error) if error.is_row() => Ok(None),
            Err(error) => Err(error),
        })
        .collect()
}

fn clip_path(record: &mut Record) -> Clip {
    let path = record.take("basic")?.get("clip_path")?.as_str()?.to_owned();
    Some(path)
}

fn pair(
    source: &Source,
    clips: &[Clip],
    RawRow {
        index, mut record, ..
    }: RawRow,
) -> Result<PreferencePair, Fault> {
    let better = clip(source, clips, &mut record, "video1")?;
    let worse = clip(source, clips, &mut record, "video2")?;
    let prompt =
        caption(record.value("frame_caption")?).map_err(|error| error.in_field("frame_caption"))?;
    let sides = [better, worse].map(Response::media);
    let mut pair = PreferencePair::new(source.id(index), Task::T2V, prompt, sides)
        .with_label(Preference::First);
    pair.source = Some("videodpo".to_owned());
    pair.group = Some(source::prompt_group(&pair.prompt));
    pair.extra = source::extra(record);
    Ok(pair)
}

fn clip(
    source: &Source,
    clips: &[Clip],
    record: &mut Record,
    field: &str,
) -> Result<MediaRef, Fault> {
    let value = record.value(field)?;
    let position = value
        .as_u64()
        .ok_or_else(|| wrong_type("a position in `metadata.json`", &value).in_field(field))?;
    let refused = |reason: String| RowError::Inconsistent(reason).in_field(field);
    let name = clips
        .get(position as usize)
        .ok_or_else(|| refused(format!("clip {position} of {} in `{CLIPS}`", clips.len())))?;
    let name = name.as_deref().ok_or_else(|| {
        refused(format!(
            "clip {position} in `{CLIPS}` has no `basic.clip_path`"
        ))
    })?;
    source
        .media(name, Modality::Video)
        .map_err(|error| error.in_field(field))
}

fn caption(value: Value) -> Result<String, RowError> {
    match value {
        Value::Array(mut items) if !items.is_empty() => text_of(items.swap_remove(0)),
        other => text_of(other),
    }
}
