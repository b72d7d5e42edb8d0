//! Two single examples from the READMEs of reward models, each a whole dataset.
//!
//! * an edit: one JSON object with `task`, `instruction`, `source`, `candidates` and `label`,
//!   which is null: the pair is unlabelled. Id: the file's name.
//! * a picture question: `id`, `image`, `prompt`, `response_1`, `response_2`, `preferred` (`1` or
//!   `2`, from the published scores of the model that `model` names, not from people).

use omnireward_core::{Modality, Part as ContentPart, PreferencePair, Response, Task};

use super::{
    Entry,
    entries::RawRow,
    labels,
    sketch::Sketch,
    source::{self, Pairs, Source},
};
use crate::{Format, RowError, error::Fault};

pub(super) const EDIT: Entry = Entry {
    format: Format::EditDemo,
    looked_for: "a JSON object with `instruction`, `source` and `candidates`",
    matches: |path| source::any(path, is_edit),
    open: |path, options| {
        Ok(source::parts(
            path,
            options,
            is_edit,
            Some(Task::TI2I),
            Pairs::Each(1),
            |source| source::each_row(source, edit),
        ))
    },
};

pub(super) const QUESTION: Entry = Entry {
    format: Format::Ti2tDemo,
    looked_for: "JSON lines with `image`, `prompt`, `response_1`, `response_2` and `preferred`",
    matches: |path| source::any(path, is_question),
    open: |path, options| {
        Ok(source::parts(
            path,
            options,
            is_question,
            Some(Task::TI2T),
            Pairs::Each(1),
            |source| source::each_row(source, question),
        ))
    },
};

fn is_edit(sketch: &Sketch) -> bool {
    sketch.has(&["instruction", "source", "candidates"])
}

fn is_question(sketch: &Sketch) -> bool {
    sketch.has(&["image", "prompt", "response_1", "response_2", "preferred"])
}

fn edit(source: &Source, RawRow { mut record, .. }: RawRow) -> Result<PreferencePair, Fault> {
    let image = |name: &str, field: &str| {
        source
            .media(name, Modality::Image)
            .map_err(|error| error.in_field(field))
    };
    let original = image(&record.text("source")?, "source")?;
    let candidates = source::texts(&mut record, "candidates")?;
    if candidates.len() != 2 {
        let reason = format!("{} candidates, two expected", candidates.len());
        return Err(RowError::Inconsistent(reason).in_field("candidates"));
    }
    let mut responses = Vec::with_capacity(candidates.len());
    for name in &candidates {
        responses.push(Response::media(image(name, "candidates")?));
    }
    let label = if record.has("label") {
        Some(labels::one_two_or_tie(&mut record, "label")?)
    } else {
        None
    };
    let mut pair = PreferencePair::new(
        source.stem(),
        Task::TI2I,
        record.text("instruction")?,
        responses,
    );
    pair.prompt.insert(0, ContentPart::Media(original));
    pair.label = label;
    source::take_task(&mut record, Task::TI2I);
    record.take("label");
    pair.extra = source::extra(record);
    Ok(pair)
}

fn question(source: &Source, RawRow { mut record, .. }: RawRow) -> Result<PreferencePair, Fault> {
    let picture = source
        .media(&record.text("image")?, Modality::Image)
        .map_err(|error| error.in_field("image"))?;
    let responses = [
        Response::text(record.text("response_1")?),
        Response::text(record.text("response_2")?),
    ];
    let id = source::id_of(&mut record, "id")?;
    let mut pair =
        PreferencePair::new(source.id(id), Task::TI2T, record.text("prompt")?, responses)
            .with_label(labels::one_or_two(&mut record, "preferred")?);
    pair.prompt.insert(0, ContentPart::Media(picture));
    source::take_task(&mut record, Task::TI2T);
    pair.extra = source::extra(record);
    Ok(pair)
}
