//! Computes every label of a build again from what its trail holds.

use std::collections::HashMap;

use omnireward_core::{Order, Preference, PreferencePair, Setting, Status, Task};

use super::{
    BuildPlan, Outcome, PairRecord, Vote,
    builder::fault,
    pairs::criterion_id,
    reply::{self, Written},
};

/// Reads a reply of the verifier of a name, in the order in which it was shown the responses.
pub type Reader<'a> = dyn Fn(&str, &str, Setting) -> Reread + 'a;

/// What a recorded reply says when it is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reread {
    /// It prefers a response, or says that neither is better.
    Prefers(Preference),
    /// No single answer can be read from it.
    Unreadable,
    /// The verifier's verdicts are not read from replies, so nobody can tell.
    Unknown,
}

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
            let uncounted = uncounted(plan, record.task, &criterion.votes).into_iter();
            wrong.extend(uncounted.map(|what| format!("criterion {name}: {what}")));
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

/// Verifiers whose votes are not one for each order in which they were asked, and votes of strangers.
fn uncounted(plan: &BuildPlan, task: Task, votes: &[Vote]) -> Vec<String> {
    let mut found = Vec::new();
    for verifier in &plan.verifiers {
        let votes = votes.iter().filter(|vote| vote.verifier == verifier.name);
        let mut orders: Vec<Order> = votes.map(|vote| vote.order).collect();
        orders.sort_unstable();
        let asked = plan.orders(&verifier.name, task);
        if orders != asked {
            let (name, has, was) = (&verifier.name, listed(&orders), listed(asked));
            found.push(format!("`{name}` was asked {was}, and its votes are {has}"));
        }
    }
    let is_known = |vote: &&Vote| plan.verifiers.iter().any(|v| v.name == vote.verifier);
    let strangers = votes.iter().filter(|vote| !is_known(vote));
    found.extend(strangers.map(|vote| format!("`{}` is no verifier of this build", vote.verifier)));
    found
}

fn listed(orders: &[Order]) -> String {
    match orders {
        [] => "none".to_owned(),
        orders => orders
            .iter()
            .map(|o| o.name())
            .collect::<Vec<_>>()
            .join(" and "),
    }
}

/// Whether a vote is what its reply says, as far as anybody can tell.
fn reads(vote: &Vote, setting: Setting, reader: Option<&Reader<'_>>) -> bool {
    let (Some(reader), Some(reply), Status::Readable) = (reader, &vote.reply, vote.status) else {
        return true;
    };
    match reader(&vote.verifier, reply, setting) {
        Reread::Unknown => true,
        Reread::Unreadable => false,
        Reread::Prefers(said) => {
            let said = match vote.order {
                Order::AsIs => said,
                Order::Swapped => said.swapped(),
            };
            vote.preference == Some(said)
        }
    }
}

#[cfg(test)]
mod tests {
    use omnireward_core::Usage;

    use super::super::{CriterionRecord, WriterRecord};
    use super::*;

    fn vote(order: Order, reply: &str) -> Vote {
        Vote {
            order,
            reply: Some(reply.to_owned()),
            ..Vote::example(Some(Preference::First))
        }
    }

    /// A pair with one kept criterion for its first response, and these votes.
    fn record(votes: Vec<Vote>) -> PairRecord {
        let reply = r#"{"criteria": [{"criterion": "Short.", "better": "A"}]}"#;
        PairRecord {
            pair_id: "1".to_owned(),
            position: 0,
            task: Task::T2T,
            group: "1".to_owned(),
            writer: WriterRecord {
                name: "w".to_owned(),
                order: Order::AsIs,
                request_sha256: None,
                status: Status::Readable,
                reply: Some(reply.to_owned()),
                detail: None,
                usage: Usage::default(),
            },
            criteria: vec![CriterionRecord {
                criterion: "Short.".to_owned(),
                label: Preference::First,
                votes,
                outcome: Outcome::Kept,
            }],
        }
    }

    fn reader(verifier: &str, reply: &str, _: Setting) -> Reread {
        match reply {
            _ if verifier != "v" => Reread::Unknown,
            "A" => Reread::Prefers(Preference::First),
            "B" => Reread::Prefers(Preference::Second),
            _ => Reread::Unreadable,
        }
    }

    fn found(plan: &BuildPlan, votes: &[(Order, &str)]) -> Vec<String> {
        let votes = votes.iter().map(|(order, reply)| vote(*order, reply));
        let records = [record(votes.collect())];
        let found = audit(plan, &records, Some(&reader));
        found.into_iter().map(|mismatch| mismatch.what).collect()
    }

    #[test]
    fn a_reply_that_can_no_longer_be_read_differs_from_its_record() {
        let plan = BuildPlan::example();
        let whole = [(Order::AsIs, "A"), (Order::Swapped, "B")];
        assert!(found(&plan, &whole).is_empty());
        for changed in ["A", "hm", ""] {
            let votes = [whole[0], (Order::Swapped, changed)];
            let expected = "criterion 1: the reply of `v` (swapped) reads otherwise";
            assert_eq!(found(&plan, &votes), [expected], "{changed}");
        }
    }

    #[test]
    fn a_verifier_has_one_vote_in_each_order_in_which_it_was_asked() {
        let mut plan = BuildPlan::example();
        let (as_is, swapped) = ((Order::AsIs, "A"), (Order::Swapped, "B"));
        let said = "criterion 1: `v` was asked as-is and swapped, and its votes are";
        for (votes, has) in [
            (vec![as_is], "as-is"),
            (vec![swapped], "swapped"),
            (vec![as_is, as_is], "as-is and as-is"),
        ] {
            assert_eq!(found(&plan, &votes), [format!("{said} {has}")]);
        }
        plan.in_both_orders.clear();
        assert!(found(&plan, &[as_is]).is_empty());
        assert_eq!(found(&plan, &[as_is, swapped]).len(), 1);
    }
}
