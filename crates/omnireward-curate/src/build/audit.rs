//! Computes every label of a build again from what its trail holds.

use std::collections::HashMap;

use omnireward_core::{Preference, PreferencePair, Setting, Status};

use super::{
    BuildPlan, Outcome, PairRecord, Vote,
    builder::fault,
    pairs::criterion_id,
    reply::{self, Written},
};

/// What a reply of the verifier of this name says, in the order in which it was shown; `None` where
/// nobody can tell from the reply alone.
pub type Reader<'a> = dyn Fn(&str, &str, Setting) -> Option<Preference> + 'a;

/// Something in a trail, or in the pairs made from it, that does not follow from the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The source pair.
    pub pair_id: String,
    /// What does not follow, in a sentence.
    pub what: String,
}

/// Reads the writer's replies again, then the verifiers' where `reader` can, applies the rule
/// to the votes, and compares labels and outcomes with the recorded ones. Returns what differs.
pub fn audit(
    plan: &BuildPlan,
    records: &[PairRecord],
    reader: Option<&Reader<'_>>,
) -> Vec<Mismatch> {
    records
        .iter()
        .flat_map(|record| {
            let found = check_pair(plan, record, reader).into_iter();
            found.map(move |what| Mismatch {
                pair_id: record.pair_id.clone(),
                what,
            })
        })
        .collect()
}

/// Compares pairs that were written with the trail: every kept criterion is among them once, with
/// its label, and nothing else is.
pub fn audit_pairs(
    records: &[PairRecord],
    pairs: impl IntoIterator<Item = PreferencePair>,
) -> Vec<Mismatch> {
    let mut expected: HashMap<String, (&str, Preference)> = HashMap::new();
    for record in records {
        for (index, criterion) in record.criteria.iter().enumerate() {
            if criterion.outcome == Outcome::Kept {
                let id = criterion_id(&record.pair_id, index);
                expected.insert(id, (&criterion.criterion, criterion.label));
            }
        }
    }
    let mut found = Vec::new();
    for pair in pairs {
        let wording = pair.criterion.as_deref().unwrap_or_default();
        let is_right = expected
            .remove(&pair.id)
            .is_some_and(|(criterion, label)| criterion == wording && pair.label == Some(label));
        if !is_right {
            let what = "the written pair is not what the trail says".to_owned();
            found.push(Mismatch {
                pair_id: pair.id,
                what,
            });
        }
    }
    let mut lost: Vec<String> = expected.into_keys().collect();
    lost.sort();
    found.extend(lost.into_iter().map(|pair_id| Mismatch {
        pair_id,
        what: "the trail keeps it, and no written pair holds it".to_owned(),
    }));
    found
}

fn check_pair(plan: &BuildPlan, record: &PairRecord, reader: Option<&Reader<'_>>) -> Vec<String> {
    let mut wrong = Vec::new();
    let written = rewritten(record);
    let recorded: Vec<Written> = record
        .criteria
        .iter()
        .map(|criterion| Written {
            criterion: criterion.criterion.clone(),
            label: criterion.label,
        })
        .collect();
    if written != recorded {
        wrong.push("the writer's reply gives other criteria or labels".to_owned());
    }
    for (index, criterion) in record.criteria.iter().enumerate() {
        let name = index + 1;
        let fault = fault(&recorded[..index], &criterion.criterion);
        let outcome = criterion.decide(plan, fault);
        if outcome != criterion.outcome {
            let recorded = criterion.outcome;
            wrong.push(format!(
                "criterion {name} is recorded as `{recorded}`, and is `{outcome}`"
            ));
        }
        if fault.is_none() {
            wrong.extend(
                uncounted(plan, &criterion.votes).map(|what| format!("criterion {name}: {what}")),
            );
        }
        let misread = criterion
            .votes
            .iter()
            .filter(|vote| !reads(vote, plan.setting, reader));
        wrong.extend(misread.map(|vote| {
            format!(
                "criterion {name}: the reply of `{}` ({}) reads otherwise",
                vote.verifier, vote.order
            )
        }));
    }
    wrong
}

/// The criteria that the recorded reply holds.
fn rewritten(record: &PairRecord) -> Vec<Written> {
    match (&record.writer.reply, record.writer.status) {
        (Some(text), Status::Readable) => {
            reply::read(text, record.writer.order).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

/// Verifiers that did not vote, or voted twice in one order, and votes of strangers.
fn uncounted(plan: &BuildPlan, votes: &[Vote]) -> impl Iterator<Item = String> {
    let mut found = Vec::new();
    for verifier in &plan.verifiers {
        let orders: Vec<_> = votes
            .iter()
            .filter(|vote| vote.verifier == verifier.name)
            .map(|vote| vote.order)
            .collect();
        if orders.is_empty() || orders.len() > 2 || (orders.len() == 2 && orders[0] == orders[1]) {
            found.push(format!("`{}` has {} votes", verifier.name, orders.len()));
        }
    }
    let is_known = |vote: &&Vote| plan.verifiers.iter().any(|v| v.name == vote.verifier);
    let strangers = votes.iter().filter(|vote| !is_known(vote));
    found.extend(strangers.map(|vote| format!("`{}` is no verifier of this build", vote.verifier)));
    found.into_iter()
}

/// Whether a vote is what its reply says, as far as anybody can tell.
fn reads(vote: &Vote, setting: Setting, reader: Option<&Reader<'_>>) -> bool {
    use omnireward_core::Order;
    let (Some(reader), Some(reply), Status::Readable) = (reader, &vote.reply, vote.status) else {
        return true;
    };
    let Some(said) = reader(&vote.verifier, reply, setting) else {
        return true;
    };
    let said = match vote.order {
        Order::AsIs => said,
        Order::Swapped => said.swapped(),
    };
    vote.preference == Some(said)
}
