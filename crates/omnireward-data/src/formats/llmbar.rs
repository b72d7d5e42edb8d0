//! LLMBar: instruction-following pairs of which one answer is objectively better.
//!
//! Each file is a JSON array of `input`, `output_1`, `output_2` and `label` (1 or 2). A pair's id
//! is `<file stem>/<row>`, rows counted from 0; verdict files refer to rows of these files. The
//! published folders have a `dataset.json` each (`Natural/dataset.json`): open them one by one.

use omnireward_core::{PreferencePair, Response, Task};

use super::{
    Entry, entries,
    entries::RawRow,
    labels,
    sketch::Sketch,
    source::{self, Pairs, Source},
};
use crate::{Error, Format, Rows, error::Fault};

pub(super) const ENTRY: Entry = Entry {
    format: Format::LlmBar,
    looked_for: "JSON arrays of objects with `input`, `output_1`, `output_2` and `label`",
    matches: |path| source::any(path, recognises),
    open: |path, options| {
        source::parts(path, options, recognises, Some(Task::T2T), Pairs::Each(1), read)
    },
};

fn recognises(sketch: &Sketch) -> bool {
    sketch.has(&["input", "output_1", "output_2", "label"])
}

fn read(source: &Source) -> Result<Rows, Error> {
    let stem = source.stem();
    entries::rows(&source.file, move |row| Ok(vec![pair(&stem, row)?]))
}

fn pair(stem: &str, RawRow { index, mut record, .. }: RawRow) -> Result<PreferencePair, Fault> {
    let responses = [
        Response::text(record.text("output_1")?),
        Response::text(record.text("output_2")?),
    ];
    let id = format!("{stem}/{index}");
    let mut pair = PreferencePair::new(id, Task::T2T, record.text("input")?, responses)
        .with_label(labels::one_or_two(&mut record, "label")?);
    pair.source = Some(stem.to_owned());
    pair.group = Some(source::prompt_group(&pair.prompt));
    pair.extra = record.into_extra();
    Ok(pair)
}
