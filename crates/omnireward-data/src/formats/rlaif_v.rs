//! RLAIF-V: a question about a picture, a better and a worse answer.
//!
//! Parquet files `RLAIF-V-Dataset_NNN.parquet`: `ds_name`, `image` (bytes and path), `question`, `chosen`, `rejected`,
//! `origin_dataset`, `origin_split`, `idx`, `image_path`. The chosen answer is the first response. A pair's id is its
//! row, with the file's name before it when several files are read, since `idx` repeats from file to file; pairs with
//! one question about one picture share a group.

use omnireward_core::{Modality, Part as ContentPart, Preference, PreferencePair, Response, Task};

use super::{
    Entry,
    entries::RawRow,
    sketch::{Kind, Sketch},
    source::{self, Pairs, Source},
};
use crate::{Format, error::Fault};

pub(super) const ENTRY: Entry = Entry {
    format: Format::RlaifV,
    looked_for: "parquet with `image`, `question`, `chosen` and `rejected`",
    matches: |path| source::any(path, recognises),
    open: |path, options| {
        Ok(source::parts(
            path,
            options,
            recognises,
            Some(Task::TI2T),
            Pairs::Each(1),
            |source| source::each_row(source, pair),
        ))
    },
};

fn recognises(sketch: &Sketch) -> bool {
    sketch.has(&["question", "image"])
        && sketch.holds("chosen", &[Kind::Text])
        && sketch.holds("rejected", &[Kind::Text])
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
    let picture = source.medium_in(&mut record, &media, "image", Modality::Image)?;
    let question = record.text("question")?;
    let answers = [record.text("chosen")?, record.text("rejected")?].map(Response::text);
    let mut pair = PreferencePair::new(source.id(index), Task::TI2T, question, answers)
        .with_label(Preference::First);
    pair.prompt.insert(0, ContentPart::Media(picture));
    pair.source = Some("rlaifv".to_owned());
    pair.group = Some(source::prompt_group(&pair.prompt));
    pair.extra = source::extra(record);
    Ok(pair)
}
