//! UltraFeedback: an instruction, and the answers of several models with GPT-4's ratings of four aspects.
//!
//! JSON lines, a file for each origin of the instructions: `source`, `instruction`, `models`, `completions`,
//! `correct_answers`, `incorrect_answers`. A completion has `model`, `response`, `annotations` (by aspect, an object
//! with `Rating`, a number in a string, or `N/A`), and more.
//!
//! An answer's rating is the mean over its aspects; every two rated answers make a pair, see
//! [`ratings`](super::ratings) and, for answers that were not rated, [`completions`](super::completions). A pair's id is
//! `<row>/<i>_vs_<j>` with rows and positions from 0; pairs with one instruction share a group.

use omnireward_core::{Part as ContentPart, PreferencePair, Task};
use serde_json::Value;

use super::{
    Entry, completions,
    entries::RawRow,
    ratings::{Item, TieRule},
    sketch::{Kind, Sketch},
    source::{self, Pairs, Source},
};
use crate::{Format, error::Fault};

pub(super) const ENTRY: Entry = Entry {
    format: Format::UltraFeedback,
    looked_for: "JSON lines with `instruction` and `completions`",
    matches: |path| source::any(path, recognises),
    open: |path, options| {
        Ok(source::parts(
            path,
            options,
            recognises,
            Some(Task::T2T),
            Pairs::Varying,
            |source| source::rows(source, pairs),
        ))
    },
};

fn recognises(sketch: &Sketch) -> bool {
    sketch.has(&["instruction"]) && sketch.holds("completions", &[Kind::Objects])
}

fn pairs(
    source: &Source,
    RawRow {
        index, mut record, ..
    }: RawRow,
) -> Result<impl Iterator<Item = PreferencePair> + Send + use<>, Fault> {
    let prompt = vec![ContentPart::Text(record.text("instruction")?)];
    let rated = completions::rated(&mut record)?;
    if let Some(origin) = record.take("source") {
        record.put("origin", origin);
    }
    let mut extra = source::extra(record);
    if !rated.unrated.is_empty() {
        extra.insert("unrated".to_owned(), Value::from(rated.unrated));
    }
    let item = Item {
        id: source.id(index),
        task: Task::T2T,
        group: source::prompt_group(&prompt),
        prompt,
        criterion: String::new(),
        source: "ultrafeedback".to_owned(),
        extra,
    };
    super::ratings::pairs(item, rated.responses, TieRule::EqualMeans)
        .map_err(|error| error.in_field("completions"))
}
