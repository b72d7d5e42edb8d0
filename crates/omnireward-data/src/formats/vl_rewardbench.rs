//! VL-RewardBench: a picture, a question and two answers, ranked by people.
//!
//! The hub keeps `data/test-*.parquet` with `id`, `query`, `image` (bytes and path), `response`
//! (two), `human_ranking`, `models`, `query_source`, and more that is kept in `extra`.
//! `human_ranking` gives each answer's rank, 0 being better: `[0, 1]` prefers the first. A pair's
//! id is its `id`, which also tells the subset that scores are reported by (`extra.subset`):
//! `general`, `hallucination` or `reasoning`.

use omnireward_core::{Modality, Part as ContentPart, Preference, PreferencePair, Response, Task};
use serde_json::Value;

use super::{
    Entry,
    entries::RawRow,
    sketch::Sketch,
    source::{self, Pairs, Source},
};
use crate::{
    Format, RowError,
    error::Fault,
    record::{Record, unknown_value, wrong_type},
};

pub(super) const ENTRY: Entry = Entry {
    format: Format::VlRewardBench,
    looked_for: "parquet or JSON with `query`, `image`, `response` and `human_ranking`",
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
    sketch.has(&["query", "image", "response", "human_ranking"])
}

fn pair(
    source: &Source,
    RawRow {
        mut record, media, ..
    }: RawRow,
) -> Result<PreferencePair, Fault> {
    let id = source::id_of(&mut record, "id")?;
    let query = record.text("query")?;
    let picture = match media.get("image").and_then(|blobs| blobs.first()) {
        Some(blob) => {
            record.take("image");
            source.embedded(blob, Modality::Image)
        }
        None => source.media(&record.text("image")?, Modality::Image),
    };
    let picture = picture.map_err(|error| error.in_field("image"))?;
    let label = ranking(&mut record)?;
    let mut pair =
        PreferencePair::new(id, Task::TI2T, query, responses(&mut record)?).with_label(label);
    pair.prompt.insert(0, ContentPart::Media(picture));
    pair.source = record.optional_text("query_source")?;
    pair.group = Some(source::prompt_group(&pair.prompt));
    pair.extra = source::extra(record);
    pair.extra
        .insert("subset".to_owned(), Value::from(subset(&pair.id)));
    Ok(pair)
}

fn ranking(record: &mut Record) -> Result<Preference, Fault> {
    let ranks = source::numbers(record, "human_ranking")?;
    let [first, second] = ranks[..] else {
        let found = Value::from(ranks);
        return Err(wrong_type("two ranks", &found).in_field("human_ranking"));
    };
    Ok(Preference::from_lower(first, second))
}

fn responses(record: &mut Record) -> Result<Vec<Response>, Fault> {
    let answers = source::texts(record, "response")?;
    if answers.len() != 2 {
        let reason = format!("{} answers, two expected", answers.len());
        return Err(RowError::Inconsistent(reason).in_field("response"));
    }
    let mut responses: Vec<Response> = answers.into_iter().map(Response::text).collect();
    if record.has("models") {
        let models = source::texts(record, "models")?;
        if models.len() != responses.len() {
            let found = models.len().to_string();
            return Err(unknown_value(&found, "two models").in_field("models"));
        }
        for (response, model) in responses.iter_mut().zip(models) {
            response.model = Some(model);
        }
    }
    Ok(responses)
}

/// The published grouping, read off the start of the id up to the first `_` or `-`.
fn subset(id: &str) -> &'static str {
    match id.split(['_', '-']).next().unwrap_or_default() {
        "RLAIF" | "RLHF" | "hallucination" => "hallucination",
        "mathverse" | "mmmu" => "reasoning",
        _ => "general",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subsets_follow_the_id() {
        assert_eq!(subset("RLAIF-V-123"), "hallucination");
        assert_eq!(subset("hallucination_pair-3"), "hallucination");
        assert_eq!(subset("mathverse_12"), "reasoning");
        assert_eq!(subset("mmmu_pro-1"), "reasoning");
        assert_eq!(subset("wildvision-battle-2"), "general");
        assert_eq!(subset("VLFeedback-9"), "general");
    }
}
