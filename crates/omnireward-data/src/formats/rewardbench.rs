//! RewardBench 1: a prompt, a chosen and a rejected completion, and the models they are by.
//!
//! `prompt`, `chosen`, `chosen_model`, `rejected`, `rejected_model`, `subset`, `id`. The hub
//! keeps two splits, `raw-*.parquet` and `filtered-*.parquet`; the benchmark is the filtered one,
//! so a folder that holds both is read without the raw one. A pair's id is its `id`, with the
//! file's name before it when several files are read; pairs with one prompt share a group.

use std::{
    borrow::Borrow,
    path::{Path, PathBuf},
};

use omnireward_core::{Preference, PreferencePair, Response, Task, joined_text};
use serde::Serialize;

use super::{
    Entry,
    entries::RawRow,
    sketch::{Kind, Sketch},
    source::{self, Pairs, Source},
};
use crate::{Error, Format, OpenOptions, Part, error::Fault, json_lines};

pub(super) const ENTRY: Entry = Entry {
    format: Format::RewardBench,
    looked_for: "parquet or JSON with `chosen`, `chosen_model`, `rejected` and `rejected_model`",
    matches: |path| source::any(path, recognises),
    open: |path, options| Ok(open(path, options)),
};

fn recognises(sketch: &Sketch) -> bool {
    sketch.has(&["prompt", "chosen_model", "rejected_model"])
        && sketch.holds("chosen", &[Kind::Text])
        && sketch.holds("rejected", &[Kind::Text])
}

fn open(path: &Path, options: &OpenOptions) -> Vec<Part> {
    let mut files = source::files(path, options, recognises);
    let is_split = |file: &PathBuf, split: &str| {
        file.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(split))
    };
    if files.iter().any(|file| is_split(file, "filtered")) {
        files.retain(|file| !is_split(file, "raw"));
    }
    source::parts_of(files, options, Some(Task::T2T), Pairs::Each(1), |source| {
        source::each_row(source, pair)
    })
}

fn pair(
    source: &Source,
    RawRow {
        index, mut record, ..
    }: RawRow,
) -> Result<PreferencePair, Fault> {
    let id = record
        .optional_id("id")?
        .unwrap_or_else(|| index.to_string());
    let mut chosen = Response::text(record.text("chosen")?);
    chosen.model = record.optional_text("chosen_model")?;
    let mut rejected = Response::text(record.text("rejected")?);
    rejected.model = record.optional_text("rejected_model")?;
    let prompt = record.text("prompt")?;
    let mut pair = PreferencePair::new(source.id(id), Task::T2T, prompt, [chosen, rejected])
        .with_label(Preference::First);
    pair.source = record.optional_text("subset")?;
    pair.group = Some(source::prompt_group(&pair.prompt));
    pair.extra = source::extra(record);
    Ok(pair)
}

/// A record of RewardBench 1.
#[derive(Serialize)]
struct Written<'a> {
    prompt: String,
    chosen: String,
    chosen_model: &'a str,
    rejected: String,
    rejected_model: &'a str,
    subset: &'a str,
    id: &'a str,
}

/// Writes text pairs to `file` in the layout of RewardBench 1, one JSON object a line, and returns
/// how many.
///
/// The preferred response becomes `chosen`. Models and subsets that are not known are called
/// `unknown`. A criterion has no place in this layout, and neither have fields in `extra`.
///
/// # Errors
///
/// [`Error::Unwritable`] for a pair that is not text, has a criterion, or does not prefer one of
/// two responses; [`Error::Write`] when the file cannot be written.
pub fn reward_bench<P: Borrow<PreferencePair>>(
    file: &Path,
    pairs: impl IntoIterator<Item = P>,
) -> Result<u64, Error> {
    json_lines::write(file, pairs, |pair| {
        let record = written(pair.borrow())?;
        serde_json::to_value(record)
            .map_err(std::io::Error::from)
            .map_err(Error::writing(file))
    })
}

fn written(pair: &PreferencePair) -> Result<Written<'_>, Error> {
    let refused = |reason: &str| Error::Unwritable {
        id: pair.id.clone(),
        format: Format::RewardBench,
        reason: reason.to_owned(),
    };
    if pair.task != Task::T2T {
        return Err(refused("it holds text only"));
    }
    if pair.criterion.is_some() {
        return Err(refused("it has no place for a criterion"));
    }
    let (chosen, rejected) =
        source::chosen_and_rejected(pair).ok_or_else(|| refused("it has no place for a tie"))?;
    Ok(Written {
        prompt: joined_text(&pair.prompt),
        chosen: joined_text(&chosen.parts),
        chosen_model: chosen.model.as_deref().unwrap_or("unknown"),
        rejected: joined_text(&rejected.parts),
        rejected_model: rejected.model.as_deref().unwrap_or("unknown"),
        subset: pair.source.as_deref().unwrap_or("unknown"),
        id: &pair.id,
    })
}
