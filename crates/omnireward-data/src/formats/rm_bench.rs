//! RM-Bench: one prompt with three chosen and three rejected answers, each in plain, detailed and
//! markdown style.
//!
//! `prompt`, `chosen` and `rejected`, both lists of three. Every chosen answer is paired with
//! every rejected one: nine pairs an item, the chosen side first. `extra` holds `chosen_style` and
//! `rejected_style` (0 concise, 1 detailed, 2 markdown), `row` (the item's position in its file,
//! from 0, which published score files count by) and `domain` (the record's own, or the name of
//! its file). A pair's id is `<id>/<chosen_style>-<rejected_style>`, where the id is the record's
//! own or its row; the file's name stands before it when a folder has several files, since the
//! published domain files count their ids separately.

use omnireward_core::{Preference, PreferencePair, Response, Task};
use serde_json::json;

use super::{
    Entry,
    entries::RawRow,
    sketch::{Kind, Sketch},
    source::{self, Pairs, Source},
};
use crate::{Format, RowError, error::Fault};

pub(super) const ENTRY: Entry = Entry {
    format: Format::RmBench,
    looked_for: "JSON with `prompt`, and `chosen` and `rejected` as lists of three answers",
    matches: |path| source::any(path, recognises),
    open: |path, options| {
        Ok(source::parts(
            path,
            options,
            recognises,
            Some(Task::T2T),
            Pairs::Each(9),
            |source| source::rows(source, pairs),
        ))
    },
};

const STYLES: usize = 3;

fn recognises(sketch: &Sketch) -> bool {
    sketch.holds("prompt", &[Kind::Text])
        && sketch.holds("chosen", &[Kind::Texts])
        && sketch.holds("rejected", &[Kind::Texts])
        && sketch.lacks(&["num_correct", "images", "conversations"])
}

fn pairs(
    source: &Source,
    RawRow {
        index, mut record, ..
    }: RawRow,
) -> Result<Vec<PreferencePair>, Fault> {
    let item = source.id(record
        .optional_id("id")?
        .unwrap_or_else(|| index.to_string()));
    let prompt = record.text("prompt")?;
    let chosen = three(source::texts(&mut record, "chosen")?, "chosen")?;
    let rejected = three(source::texts(&mut record, "rejected")?, "rejected")?;
    let domain = record
        .optional_text("domain")?
        .unwrap_or_else(|| source.stem());
    let subset = record.optional_text("subset")?;
    let mut extra = source::extra(record);
    extra.insert("row".to_owned(), json!(index));
    extra.insert("domain".to_owned(), json!(domain));
    let mut pairs = Vec::with_capacity(STYLES * STYLES);
    for (chosen_style, better) in chosen.iter().enumerate() {
        for (rejected_style, worse) in rejected.iter().enumerate() {
            let responses = [
                Response::text(better.as_str()),
                Response::text(worse.as_str()),
            ];
            let id = format!("{item}/{chosen_style}-{rejected_style}");
            let mut pair = PreferencePair::new(id, Task::T2T, prompt.as_str(), responses)
                .with_label(Preference::First);
            pair.source = Some(subset.clone().unwrap_or_else(|| domain.clone()));
            pair.group = Some(item.clone());
            pair.extra.clone_from(&extra);
            pair.extra
                .insert("chosen_style".to_owned(), json!(chosen_style));
            pair.extra
                .insert("rejected_style".to_owned(), json!(rejected_style));
            pairs.push(pair);
        }
    }
    Ok(pairs)
}

fn three(answers: Vec<String>, field: &str) -> Result<[String; STYLES], Fault> {
    answers.try_into().map_err(|answers: Vec<String>| {
        let reason = format!(
            "{} answers, one for each of three styles expected",
            answers.len()
        );
        RowError::Inconsistent(reason).in_field(field)
    })
}
