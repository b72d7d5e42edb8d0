//! `VideoAlign`: two generated videos and which is better in each of three respects.
//!
//! A table with `path_A`, `path_B`, `prompt`, `VQ`, `MQ`, `TA` (`A`, `B` or `same`), frame rates
//! and frame counts. Each row gives three pairs, one a criterion: visual quality, motion quality
//! and text alignment. A pair's id is `<row>/VQ` and so on, rows from 0; the three share a group.

use omnireward_core::{Modality, Preference, PreferencePair, Response, Task};
use serde_json::Value;

use super::{
    Entry,
    entries::RawRow,
    labels,
    sketch::Sketch,
    source::{self, Pairs, Source},
};
use crate::{Format, error::Fault, record::Record};

pub(super) const ENTRY: Entry = Entry {
    format: Format::VideoAlign,
    looked_for: "a table with `path_A`, `path_B`, `prompt`, `VQ`, `MQ` and `TA`",
    matches: |path| source::any(path, recognises),
    open: |path, options| {
        Ok(source::parts(
            path,
            options,
            recognises,
            Some(Task::T2V),
            Pairs::Each(3),
            |source| source::rows(source, pairs),
        ))
    },
};

const LABELS: [(&str, Preference); 3] = [
    ("A", Preference::First),
    ("B", Preference::Second),
    ("same", Preference::Tie),
];

const CRITERIA: [(&str, &str); 3] = [
    (
        "VQ",
        "Visual quality: frames that are clear, detailed and free of defects.",
    ),
    (
        "MQ",
        "Motion quality: movement that is smooth, stable and natural.",
    ),
    (
        "TA",
        "Text alignment: how well the video shows what the prompt asks for.",
    ),
];

fn recognises(sketch: &Sketch) -> bool {
    sketch.has(&["path_A", "path_B", "prompt", "VQ", "MQ", "TA"])
}

fn pairs(
    source: &Source,
    RawRow {
        index, mut record, ..
    }: RawRow,
) -> Result<Vec<PreferencePair>, Fault> {
    let responses = [
        video(source, &mut record, "path_A")?,
        video(source, &mut record, "path_B")?,
    ];
    let prompt = record.text("prompt")?;
    let mut preferences = Vec::with_capacity(CRITERIA.len());
    for (field, wording) in CRITERIA {
        preferences.push((
            field,
            wording,
            labels::spelled(&mut record, field, &LABELS)?,
        ));
    }
    let extra = source::extra(record);
    let group = source.id(index);
    Ok(preferences
        .into_iter()
        .map(|(field, wording, label)| {
            let id = format!("{group}/{field}");
            let mut pair = PreferencePair::new(id, Task::T2V, prompt.as_str(), responses.clone())
                .with_criterion(wording)
                .with_label(label);
            pair.source = Some("video-align".to_owned());
            pair.group = Some(group.clone());
            pair.extra.clone_from(&extra);
            pair.extra
                .insert("dimension".to_owned(), Value::from(field));
            pair
        })
        .collect())
}

fn video(source: &Source, record: &mut Record, field: &str) -> Result<Response, Fault> {
    let name = record.text(field)?;
    source
        .media_or_absent(&name, Modality::Video)
        .map(Response::media)
        .map_err(|error| error.in_field(field))
}
