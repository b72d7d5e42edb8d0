//! The pairs that a build gives: one for each criterion that is kept.

use omnireward_core::{Criterion, PreferencePair};
use serde_json::{Map, Value, json};

use super::{BuildPlan, CriterionRecord, Outcome, PairRecord};

/// The field of [`PreferencePair::extra`] that says how a pair came about.
pub const BUILD_FIELD: &str = "build";

/// The kept criteria of `pair` as pairs: its prompt and responses in their order, with the new
/// criterion and label. They share the source pair's group.
///
/// Who wrote and verified it, every vote, the hashes of what was asked, and what it cost stand in the
/// field [`BUILD_FIELD`], beside the criterion and label that the source had.
pub fn kept_pairs(
    plan: &BuildPlan,
    record: &PairRecord,
    pair: &PreferencePair,
) -> Vec<PreferencePair> {
    let kept = |(index, criterion): (usize, &CriterionRecord)| {
        (criterion.outcome == Outcome::Kept).then(|| {
            let mut made = pair.clone();
            made.id = criterion_id(&pair.id, index);
            made.criterion = Criterion::new(criterion.criterion.clone());
            made.label = Some(criterion.label);
            made.ranking = None;
            made.group = Some(pair.cluster().to_owned());
            let history = history(plan, record, criterion, pair);
            made.extra.insert(BUILD_FIELD.to_owned(), history);
            made
        })
    };
    record
        .criteria
        .iter()
        .enumerate()
        .filter_map(kept)
        .collect()
}

/// The id of the pair that a criterion of `pair_id` makes.
pub(super) fn criterion_id(pair_id: &str, index: usize) -> String {
    format!("{pair_id}~{}", index + 1)
}

fn history(
    plan: &BuildPlan,
    record: &PairRecord,
    criterion: &CriterionRecord,
    pair: &PreferencePair,
) -> Value {
    let votes: Vec<Value> = criterion
        .votes
        .iter()
        .map(|vote| {
            json!({
                "verifier": vote.verifier, "order": vote.order, "status": vote.status,
                "preference": vote.preference, "question_sha256": vote.question_sha256,
                "usage": vote.usage,
            })
        })
        .collect();
    let mut history = Map::new();
    let mut put = |name: &str, value: Value| history.insert(name.to_owned(), value);
    put("pair_id", json!(pair.id));
    put("source_label", json!(pair.label));
    put("source_criterion", json!(pair.criterion));
    put("rule", json!(plan.rule));
    put("writer", json!(record.writer.name));
    put("writer_order", json!(record.writer.order));
    put("request_sha256", json!(record.writer.request_sha256));
    put("writer_usage", json!(record.writer.usage));
    put("votes", Value::Array(votes));
    Value::Object(history)
}
