//! MJ-Bench: a caption and two pictures, one of them the other with an object spoiled.
//!
//! Two layouts are read.
//!
//! * Pairs with their pictures: `id`, `prompt`, `criterion`, `image_a`, `image_b`, `preferred`
//!   (`a` or `b`). The sides are mixed.
//! * Score files of reward models: `id`, `caption`, `image_0_path`, `image_1_path`, `label` (`0` or
//!   `1`, the better picture) and `scores`. The pictures are usually not there, the unspoiled one
//!   is always the first, and no criterion is stated.
//!
//! A pair's id is its `id` in both, since recorded scores refer to it; the scores stay in `extra`.

use omnireward_core::{Modality, Preference, PreferencePair, Response, Task};

use super::{
    Entry,
    entries::RawRow,
    labels,
    sketch::Sketch,
    source::{self, Pairs, Source},
};
use crate::{Format, error::Fault, record::Record};

pub(super) const ENTRY: Entry = Entry {
    format: Format::MjBench,
    looked_for: "JSON lines with `image_a`, `image_b` and `preferred`, or with `image_0_path`, \
                 `image_1_path` and `scores`",
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

const ZERO_OR_ONE: [(&str, Preference); 2] = [("0", Preference::First), ("1", Preference::Second)];

fn recognises(sketch: &Sketch) -> bool {
    sketch.has(&["prompt", "image_a", "image_b", "preferred"])
        || sketch.has(&["caption", "image_0_path", "image_1_path", "label"])
}

fn pair(source: &Source, RawRow { record, .. }: RawRow) -> Result<PreferencePair, Fault> {
    if record.has("image_0_path") {
        scored(source, record)
    } else {
        pictured(source, record)
    }
}

fn pictured(source: &Source, mut record: Record) -> Result<PreferencePair, Fault> {
    let responses = [
        picture(source, &mut record, "image_a")?,
        picture(source, &mut record, "image_b")?,
    ];
    let label = labels::a_b_or_tie(&mut record, "preferred")?;
    let prompt = record.text("prompt")?;
    source::take_task(&mut record, Task::T2I);
    finished(source, record, prompt, responses, label)
}

fn scored(source: &Source, mut record: Record) -> Result<PreferencePair, Fault> {
    let responses = [
        picture(source, &mut record, "image_0_path")?,
        picture(source, &mut record, "image_1_path")?,
    ];
    let label = labels::spelled(&mut record, "label", &ZERO_OR_ONE)?;
    let prompt = record.text("caption")?;
    finished(source, record, prompt, responses, label)
}

fn picture(source: &Source, record: &mut Record, field: &str) -> Result<Response, Fault> {
    let name = record.text(field)?;
    source
        .media_or_absent(&name, Modality::Image)
        .map(Response::media)
        .map_err(|error| error.in_field(field))
}

fn finished(
    source: &Source,
    mut record: Record,
    prompt: String,
    responses: [Response; 2],
    label: Preference,
) -> Result<PreferencePair, Fault> {
    let id = source::id_of(&mut record, "id")?;
    let criterion = record.optional_text("criterion")?.unwrap_or_default();
    let mut pair = PreferencePair::new(source.id(id), Task::T2I, prompt, responses)
        .with_criterion(criterion)
        .with_label(label);
    pair.source = Some("mj-bench".to_owned());
    pair.group = Some(source::prompt_group(&pair.prompt));
    pair.extra = source::extra(record);
    Ok(pair)
}
