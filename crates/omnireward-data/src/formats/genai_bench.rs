//! GenAI-Bench: human votes on two generated or two edited pictures. The pictures are not
//! included.
//!
//! * `idx`, `prompt`, `human_vote`: text to image, id `image_generation/<idx>`.
//! * `idx`, `instruct_prompt`, `source_prompt`, `target_prompt`, `human_vote`: editing, id
//!   `image_edition/<idx>`.
//!
//! Recorded votes of judges refer to these ids. The vote has four values: `leftvote`, `rightvote`,
//! `tievote` (both good) and `bothbad_vote`; the last two are ties. It is kept in `extra` as
//! `human_vote`, so that four-way agreement can be computed.

use omnireward_core::{
    MediaRef, Modality, Part as ContentPart, Preference, PreferencePair, Response, Task,
};

use super::{
    Entry,
    entries::RawRow,
    labels,
    sketch::Sketch,
    source::{self, Pairs},
};
use crate::{Format, error::Fault};

pub(super) const ENTRY: Entry = Entry {
    format: Format::GenAiBench,
    looked_for: "JSON lines with `idx`, `human_vote`, and `prompt` or `instruct_prompt`",
    matches: |path| source::any(path, recognises),
    open: |path, options| {
        Ok(source::parts(
            path,
            options,
            recognises,
            None,
            Pairs::Each(1),
            |source| source::each_row(source, |_, row| pair(row)),
        ))
    },
};

const VOTES: [(&str, Preference); 4] = [
    ("leftvote", Preference::First),
    ("rightvote", Preference::Second),
    ("tievote", Preference::Tie),
    ("bothbad_vote", Preference::Tie),
];

/// Tables of judges' votes have `idx` and `human_vote` as well, but no prompt.
fn recognises(sketch: &Sketch) -> bool {
    sketch.has(&["idx", "human_vote"])
        && (sketch.has(&["prompt"]) || sketch.has(&["instruct_prompt"]))
}

fn pair(RawRow { mut record, .. }: RawRow) -> Result<PreferencePair, Fault> {
    let number = source::id_of(&mut record, "idx")?;
    let (task, kind, text) = match record.optional_text("instruct_prompt")? {
        Some(instruction) => (Task::TI2I, "image_edition", instruction),
        None => (Task::T2I, "image_generation", record.text("prompt")?),
    };
    let id = format!("{kind}/{number}");
    let picture =
        |side: &str| -> MediaRef { source::absent(format!("{id}/{side}"), Modality::Image) };
    let responses = [
        Response::media(picture("left")),
        Response::media(picture("right")),
    ];
    let original = (task == Task::TI2I).then(|| ContentPart::Media(picture("source")));
    let vote = record.value("human_vote")?;
    let label = labels::read_as(&vote, &VOTES).map_err(|error| error.in_field("human_vote"))?;
    let mut pair = PreferencePair::new(id.clone(), task, text, responses).with_label(label);
    if let Some(original) = original {
        pair.prompt.insert(0, original);
    }
    pair.source = Some(kind.to_owned());
    pair.extra = source::extra(record);
    pair.extra.insert("human_vote".to_owned(), vote);
    Ok(pair)
}
