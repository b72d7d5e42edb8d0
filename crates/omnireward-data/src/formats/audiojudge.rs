//! `AudioJudge`'s tables: which of two clips is better, as told by the ground truth or by people,
//! beside what a judge said, which stays in `extra`. The clips are not included, and neither are prompts, so the prompt is empty.
//!
//! * `item`, `transcript_given`, `orders_swapped`, `ground_truth_original_order` (1 or 2): every
//!   item stands there in three transcript settings, and once more with its clips exchanged. The
//!   rows that are not exchanged are the pairs (the others repeat them and are left out), id `<file stem>/<item>/<transcript_given>`; the
//!   settings of one item share a group. The file's name tells the criterion: `speed` or
//!   `tmhintq` (speech quality).
//! * `index`, `model_a`, `model_b`, `human_winner` (1, 2 or `tie`): chat answers as speech, id
//!   `<file stem>/<index>`. Files of several judges hold the same pairs, which share a group.

use omnireward_core::{Modality, PreferencePair, Response, Task};

use super::{
    Entry,
    entries::RawRow,
    labels,
    sketch::Sketch,
    source::{self, Pairs, Source},
};
use crate::{
    Format,
    error::Fault,
    record::{Record, unknown_value},
};

pub(super) const ENTRY: Entry = Entry {
    format: Format::AudioJudge,
    looked_for: "a table with `item`, `transcript_given` and `ground_truth_original_order`, or with \
                 `model_a`, `model_b` and `human_winner`",
    matches: |path| source::any(path, recognises),
    open: |path, options| {
        Ok(source::parts(
            path,
            options,
            recognises,
            Some(Task::T2A),
            Pairs::Varying,
            |source| source::rows(source, pair),
        ))
    },
};

const CRITERIA: [(&str, &str); 2] = [
    ("speed", "The speaker talks faster."),
    (
        "tmhintq",
        "The speech is of higher quality: clearer, more natural and less distorted.",
    ),
];

fn recognises(sketch: &Sketch) -> bool {
    sketch.has(&[
        "item",
        "transcript_given",
        "orders_swapped",
        "ground_truth_original_order",
    ]) || sketch.has(&["index", "model_a", "model_b", "human_winner"])
}

fn pair(source: &Source, RawRow { record, .. }: RawRow) -> Result<Option<PreferencePair>, Fault> {
    let stem = source.stem();
    if record.has("human_winner") {
        return chat(&stem, record).map(Some);
    }
    clips(&stem, record)
}

/// The pair in a row whose clips are not exchanged.
fn clips(stem: &str, mut record: Record) -> Result<Option<PreferencePair>, Fault> {
    let swapped = record.text("orders_swapped")?;
    match swapped.as_str() {
        "0" => {}
        "1" => return Ok(None),
        other => return Err(unknown_value(other, "0, 1").in_field("orders_swapped")),
    }
    let item = source::id_of(&mut record, "item")?;
    let group = format!("{stem}/{item}");
    let transcript = record.text("transcript_given")?;
    let label = labels::one_or_two(&mut record, "ground_truth_original_order")?;
    let id = format!("{group}/{transcript}");
    let mut pair = PreferencePair::new(id, Task::T2A, "", absent_clips(&group)).with_label(label);
    if let Some((_, wording)) = CRITERIA.iter().find(|(name, _)| *name == stem) {
        pair = pair.with_criterion(*wording);
    }
    pair.source = Some(stem.to_owned());
    pair.group = Some(group);
    pair.extra = source::extra(record);
    pair.extra
        .insert("transcript_given".to_owned(), transcript.into());
    Ok(Some(pair))
}

fn chat(stem: &str, mut record: Record) -> Result<PreferencePair, Fault> {
    let index = source::id_of(&mut record, "index")?;
    let group = format!("chatbotarena/{index}");
    let mut responses = absent_clips(&group);
    responses[0].model = record.optional_text("model_a")?;
    responses[1].model = record.optional_text("model_b")?;
    let label = labels::one_two_or_tie(&mut record, "human_winner")?;
    let id = format!("{stem}/{index}");
    let mut pair = PreferencePair::new(id, Task::T2A, "", responses).with_label(label);
    pair.source = Some(stem.to_owned());
    pair.group = Some(group);
    pair.extra = source::extra(record);
    Ok(pair)
}

fn absent_clips(item: &str) -> [Response; 2] {
    ["1", "2"]
        .map(|side| Response::media(source::absent(format!("{item}/{side}"), Modality::Audio)))
}
