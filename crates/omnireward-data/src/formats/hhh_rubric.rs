//! Pairs of a helpful, an honest or another kind of answer and a worse one, each with a criterion
//! and five level texts.
//!
//! `id`, `source`, `criterion`, `levels`, `prompt`, `chosen`, `rejected`. The chosen answer is the
//! first response. A pair's id is its `id`; pairs with one prompt share a group.

use omnireward_core::{Preference, PreferencePair, Response, Task};

use super::{
    Entry,
    entries::RawRow,
    sketch::{Kind, Sketch},
    source::{self, Pairs, Source},
};
use crate::{Format, error::Fault};

pub(super) const ENTRY: Entry = Entry {
    format: Format::HhhRubric,
    looked_for: "JSON lines with `criterion`, `levels`, `prompt`, `chosen` and `rejected`",
    matches: |path| source::any(path, recognises),
    open: |path, options| {
        Ok(source::parts(
            path,
            options,
            recognises,
            Some(Task::T2T),
            Pairs::Each(1),
            |source| source::each_row(source, pair),
        ))
    },
};

fn recognises(sketch: &Sketch) -> bool {
    sketch.has(&["criterion", "levels", "prompt"])
        && sketch.holds("chosen", &[Kind::Text])
        && sketch.holds("rejected", &[Kind::Text])
}

fn pair(source: &Source, RawRow { mut record, .. }: RawRow) -> Result<PreferencePair, Fault> {
    let id = source::id_of(&mut record, "id")?;
    let responses = [
        Response::text(record.text("chosen")?),
        Response::text(record.text("rejected")?),
    ];
    let mut pair = PreferencePair::new(source.id(id), Task::T2T, record.text("prompt")?, responses)
        .with_criterion(record.text("criterion")?)
        .with_label(Preference::First);
    pair.source = record.optional_text("source")?;
    pair.group = Some(source::prompt_group(&pair.prompt));
    pair.extra = source::extra(record);
    Ok(pair)
}
