//! Open Image Preferences, binarized: a prompt, a preferred picture and another one.
//!
//! Parquet files below `data/`: `prompt`, and `chosen` and `rejected`, pictures embedded in the row. The chosen picture
//! is the first response. A pair's id is its row, with the file's name before it when several files are read; pairs with
//! one prompt share a group.

use omnireward_core::{Modality, Preference, PreferencePair, Response, Task};

use super::{
    Entry,
    entries::RawRow,
    sketch::{Kind, Sketch},
    source::{self, Pairs, Source},
};
use crate::{Format, error::Fault};

pub(super) const ENTRY: Entry = Entry {
    format: Format::OpenImagePreferences,
    looked_for: "parquet with `prompt` and two pictures, `chosen` and `rejected`",
    matches: |path| source::any(path, recognises),
    open: |path, options| {
        Ok(source::parts(
            path,
            options,
            recognises,
            Some(Task::T2I),
            Pairs::Each(1),
            |source| source::each_row(source, pair),
        ))
    },
};

fn recognises(sketch: &Sketch) -> bool {
    sketch.holds("prompt", &[Kind::Text])
        && sketch.holds("chosen", &[Kind::Media])
        && sketch.holds("rejected", &[Kind::Media])
}

fn pair(
    source: &Source,
    RawRow {
        index,
        mut record,
        media,
        ..
    }: RawRow,
) -> Result<PreferencePair, Fault> {
    let prompt = record.text("prompt")?;
    let chosen = source.medium_in(&mut record, &media, "chosen", Modality::Image)?;
    let rejected = source.medium_in(&mut record, &media, "rejected", Modality::Image)?;
    let sides = [chosen, rejected].map(Response::media);
    let mut pair = PreferencePair::new(source.id(index), Task::T2I, prompt, sides)
        .with_label(Preference::First);
    pair.source = Some("open_image_preferences".to_owned());
    pair.group = Some(source::prompt_group(&pair.prompt));
    pair.extra = source::extra(record);
    Ok(pair)
}
