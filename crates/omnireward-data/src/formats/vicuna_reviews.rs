//! GPT-4's reviews of two models' answers to the Vicuna questions.
//!
//! `question_id`, `category`, `question`, `answer_1_model`, `answer_1`, `answer_2_model`,
//! `answer_2`, `review` and `scores` (two). The higher score is preferred and equal scores are a
//! tie: the label is the model's, not a person's. A pair's id is `<file stem>/<question_id>`;
//! pairs of one question share a group, and the review and the scores stay in `extra`.

use omnireward_core::{Preference, PreferencePair, Response, Task};
use serde_json::json;

use super::{
    Entry,
    entries::RawRow,
    sketch::Sketch,
    source::{self, Pairs, Source},
};
use crate::{Format, RowError, error::Fault};

pub(super) const ENTRY: Entry = Entry {
    format: Format::VicunaReviews,
    looked_for: "JSON lines with `question_id`, `question`, `answer_1`, `answer_2` and `scores`",
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
    sketch.has(&["question_id", "question", "answer_1", "answer_2", "scores"])
}

fn pair(source: &Source, RawRow { mut record, .. }: RawRow) -> Result<PreferencePair, Fault> {
    let question = source::id_of(&mut record, "question_id")?;
    let mut first = Response::text(record.text("answer_1")?);
    first.model = record.optional_text("answer_1_model")?;
    let mut second = Response::text(record.text("answer_2")?);
    second.model = record.optional_text("answer_2_model")?;
    let scores = source::numbers(&mut record, "scores")?;
    let [one, two] = scores[..] else {
        let reason = format!("{} scores, two expected", scores.len());
        return Err(RowError::Inconsistent(reason).in_field("scores"));
    };
    let id = format!("{}/{question}", source.stem());
    let mut pair = PreferencePair::new(id, Task::T2T, record.text("question")?, [first, second])
        .with_label(Preference::from_higher(one, two));
    pair.source = record.optional_text("category")?;
    pair.group = Some(source::prompt_group(&pair.prompt));
    pair.extra = source::extra(record);
    pair.extra.insert("scores".to_owned(), json!(scores));
    Ok(pair)
}
