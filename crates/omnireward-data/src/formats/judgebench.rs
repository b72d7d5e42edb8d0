//! JudgeBench: hard pairs of which one side is objectively correct.
//!
//! One JSON object a line with `pair_id`, `original_id`, `source`, `question`, `response_model`,
//! `response_A`, `response_B` and `label` (`A>B` or `B>A`). The published files are
//! `dataset=judgebench,response_model=….jsonl` in the repository and `claude-*.jsonl`,
//! `gpt-*.jsonl` on the hub. A pair's id is its `pair_id`. Both answers are by one model.

use omnireward_core::{Preference, PreferencePair, Response, Task};

use super::{
    Entry,
    entries::RawRow,
    labels,
    sketch::Sketch,
    source::{self, Pairs},
};
use crate::{Format, error::Fault};

pub(super) const ENTRY: Entry = Entry {
    format: Format::JudgeBench,
    looked_for: "JSON lines with `pair_id`, `question`, `response_A`, `response_B` and `label`",
    matches: |path| source::any(path, recognises),
    open: |path, options| {
        Ok(source::parts(
            path,
            options,
            recognises,
            Some(Task::T2T),
            Pairs::Each(1),
            |source| source::each_row(source, |_, row| pair(row)),
        ))
    },
};

const LABELS: [(&str, Preference); 3] = [
    ("A>B", Preference::First),
    ("B>A", Preference::Second),
    ("A=B", Preference::Tie),
];

/// Judgements of the published runs have the same fields and `judges` besides; they are read as
/// pairs, too.
fn recognises(sketch: &Sketch) -> bool {
    sketch.has(&["pair_id", "question", "response_A", "response_B", "label"])
}

fn pair(RawRow { mut record, .. }: RawRow) -> Result<PreferencePair, Fault> {
    let model = record.optional_text("response_model")?;
    let mut responses = [
        Response::text(record.text("response_A")?),
        Response::text(record.text("response_B")?),
    ];
    for response in &mut responses {
        response.model.clone_from(&model);
    }
    let id = source::id_of(&mut record, "pair_id")?;
    let mut pair = PreferencePair::new(id, Task::T2T, record.text("question")?, responses)
        .with_label(labels::spelled(&mut record, "label", &LABELS)?);
    pair.source = record.optional_text("source")?;
    pair.group = Some(source::prompt_group(&pair.prompt));
    pair.extra = source::extra(record);
    Ok(pair)
}
