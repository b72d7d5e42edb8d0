//! What a build keeps of every pair it asked about.

use std::{collections::BTreeMap, fmt};

use omnireward_core::{Identity, Order, Preference, Setting, Status, Task, Usage};
use serde::{Deserialize, Serialize};

use super::{Consensus, Stance};

/// Everything that decides what a build asks and keeps; the first line of its trail. A build that
/// goes on with a larger limit writes its plan again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildPlan {
    /// What the pairs came from: a hash of the source's labels and texts.
    pub source: String,
    /// The model that writes criteria.
    pub writer: Identity,
    /// SHA-256 of the writer's prompts.
    pub writer_prompts: String,
    /// The judges that verify them, in the order of asking. Their names are unique.
    pub verifiers: Vec<Identity>,
    /// The tasks in which each verifier, by its name, is asked in both orders. In others it is
    /// asked once, because its verdicts do not depend on the order.
    pub in_both_orders: BTreeMap<String, Vec<Task>>,
    /// Which answers verifiers are offered.
    pub setting: Setting,
    /// When a criterion is kept.
    pub rule: Consensus,
    /// How often a writer is asked, at most, until its reply can be read.
    pub attempts: u32,
    /// The tasks that pairs are taken from.
    pub tasks: Vec<Task>,
    /// At most this many pairs. A larger limit takes the same pairs and more.
    pub limit: Option<u64>,
    /// Decides which pairs are taken, and in which order the writer sees their responses.
    pub seed: u64,
}

/// One pair: what the writer said, and what became of each criterion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairRecord {
    /// The source pair's id.
    pub pair_id: String,
    /// Its place in the source, from 0.
    pub position: u64,
    /// Its task.
    pub task: Task,
    /// The key that intervals are clustered by.
    pub group: String,
    /// The writer's answer.
    pub writer: WriterRecord,
    /// The criteria it wrote, in its order.
    pub criteria: Vec<CriterionRecord>,
}

/// What the writer was asked and said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriterRecord {
    /// The writer.
    pub name: String,
    /// The order in which it saw the responses: its A is the dataset's first response, or its second.
    pub order: Order,
    /// SHA-256 of the request that was answered, media included. `None` when none could be made.
    pub request_sha256: Option<String>,
    /// How asking ended.
    pub status: Status,
    /// The reply as it was received.
    pub reply: Option<String>,
    /// Why there are no criteria.
    pub detail: Option<String>,
    /// What all attempts cost.
    pub usage: Usage,
}

/// A criterion, the label that follows from it, and what the verifiers say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CriterionRecord {
    /// The wording.
    pub criterion: String,
    /// The side that it prefers, in the dataset's order.
    pub label: Preference,
    /// The verifiers' votes, verifier after verifier; empty for a criterion that is dropped for its wording.
    pub votes: Vec<Vote>,
    /// Whether it is kept.
    pub outcome: Outcome,
}

/// What a verifier says in one order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vote {
    /// The verifier.
    pub verifier: String,
    /// The order in which it saw the responses.
    pub order: Order,
    /// SHA-256 of everything that decides the question. `None` when a medium could not be read.
    pub question_sha256: Option<String>,
    /// How asking ended.
    pub status: Status,
    /// What it prefers, in the dataset's order.
    pub preference: Option<Preference>,
    /// One score for each response, in the dataset's order, from judges that have numbers.
    pub scores: Option<Vec<f64>>,
    /// The reply as it was received.
    pub reply: Option<String>,
    /// A sentence for people.
    pub detail: Option<String>,
    /// What it cost.
    pub usage: Usage,
}

/// Whether a criterion is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The verifiers confirm it as the rule demands.
    Kept,
    /// Its wording names one of the responses.
    NamesASide,
    /// It is longer than a criterion should be.
    TooLong,
    /// It is blank.
    Blank,
    /// The pair's other criterion has the same wording.
    Repeated,
    /// The verifiers do not confirm it.
    NotConfirmed,
    /// Replies that did not come could have decided otherwise. A build that is started again asks
    /// for them again.
    Unanswered,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Kept,
        Self::NamesASide,
        Self::TooLong,
        Self::Blank,
        Self::Repeated,
        Self::NotConfirmed,
        Self::Unanswered,
    ];

    /// The name used in records and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::NamesASide => "names-a-side",
            Self::TooLong => "too-long",
            Self::Blank => "blank",
            Self::Repeated => "repeated",
            Self::NotConfirmed => "not-confirmed",
            Self::Unanswered => "unanswered",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl BuildPlan {
    /// The orders in which a verifier is asked about a criterion for a pair of `task`.
    pub fn orders(&self, verifier: &str, task: Task) -> &'static [Order] {
        let both = self.in_both_orders.get(verifier);
        if both.is_some_and(|tasks| tasks.contains(&task)) {
            &[Order::AsIs, Order::Swapped]
        } else {
            &[Order::AsIs]
        }
    }

    /// Whether `later` asks and keeps the same, for as many pairs or more.
    pub fn is_extended_by(&self, later: &Self) -> bool {
        let most = |plan: &Self| plan.limit.unwrap_or(u64::MAX);
        let same = Self {
            limit: self.limit,
            ..later.clone()
        };
        same == *self && most(self) <= most(later)
    }
}

impl PairRecord {
    /// Whether everything that was asked was answered, so that nothing is to be asked again.
    pub fn is_whole(&self) -> bool {
        let mut votes = self.criteria.iter().flat_map(|criterion| &criterion.votes);
        self.writer.status.is_answered() && votes.all(|vote| vote.status.is_answered())
    }

    /// What the pair took, by the replies that its record holds.
    pub fn usage(&self) -> Usage {
        let mut usage = self.writer.usage;
        for vote in self.criteria.iter().flat_map(|criterion| &criterion.votes) {
            usage += vote.usage;
        }
        usage
    }
}

impl CriterionRecord {
    /// What each verifier says about the label.
    pub fn stances(&self, plan: &BuildPlan) -> Vec<Stance> {
        let of = |verifier: &Identity| {
            let votes = self.votes.iter();
            let votes = votes.filter(|vote| vote.verifier == verifier.name);
            plan.rule.stance(self.label, votes)
        };
        plan.verifiers.iter().map(of).collect()
    }

    /// The outcome that the wording's fault, or else the votes, lead to.
    pub(super) fn decide(&self, plan: &BuildPlan, fault: Option<Outcome>) -> Outcome {
        if let Some(fault) = fault {
            return fault;
        }
        let stances = self.stances(plan);
        if plan.rule.keeps(&stances) {
            return Outcome::Kept;
        }
        // A reply that is still to come can do nothing for a verifier that has already said no.
        let can_confirm = |verifier: &Identity| {
            let votes = self.votes.iter();
            let mut votes = votes.filter(|vote| vote.verifier == verifier.name);
            votes.clone().any(|vote| !vote.status.is_answered())
                && !votes.any(|vote| plan.rule.rules_out(self.label, vote))
        };
        let best_case: Vec<Stance> = stances
            .iter()
            .zip(&plan.verifiers)
            .map(|(stance, verifier)| match stance {
                Stance::Unknown if can_confirm(verifier) => Stance::Confirms,
                known => *known,
            })
            .collect();
        if plan.rule.keeps(&best_case) {
            Outcome::Unanswered
        } else {
            Outcome::NotConfirmed
        }
    }
}

#[cfg(test)]
impl Vote {
    /// A vote of a verifier called `v`.
    pub(super) fn example(preference: Option<Preference>) -> Self {
        Self {
            verifier: "v".to_owned(),
            order: Order::AsIs,
            question_sha256: None,
            status: preference.map_or(Status::Unreadable, |_| Status::Readable),
            preference,
            scores: None,
            reply: None,
            detail: None,
            usage: Usage::default(),
        }
    }
}

#[cfg(test)]
impl BuildPlan {
    /// A plan over text with one verifier called `v`, who is asked in both orders.
    pub(super) fn example() -> Self {
        Self {
            source: "abc".to_owned(),
            writer: Identity::new("w", serde_json::json!({"t": 0})),
            writer_prompts: "def".to_owned(),
            verifiers: vec![Identity::new("v", serde_json::Value::Null)],
            in_both_orders: BTreeMap::from([("v".to_owned(), vec![Task::T2T])]),
            setting: Setting::WithTies,
            rule: Consensus::default(),
            attempts: 1,
            tasks: vec![Task::T2T],
            limit: None,
            seed: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Preference::{First, Second, Tie};

    #[test]
    fn a_missing_reply_counts_only_where_it_could_decide_otherwise() {
        let open = Vote {
            status: Status::TransportError,
            ..Vote::example(None)
        };
        for (answered, both, one) in [
            (Some(First), Outcome::Unanswered, Outcome::Kept),
            (Some(Second), Outcome::NotConfirmed, Outcome::NotConfirmed),
            (Some(Tie), Outcome::NotConfirmed, Outcome::Unanswered),
            (None, Outcome::NotConfirmed, Outcome::Unanswered),
        ] {
            for (rule, expected) in [("all", both), ("all,one-order", one)] {
                let plan = BuildPlan {
                    rule: rule.parse().unwrap(),
                    ..BuildPlan::example()
                };
                let record = CriterionRecord {
                    criterion: "c".to_owned(),
                    label: First,
                    votes: vec![Vote::example(answered), open.clone()],
                    outcome: Outcome::NotConfirmed,
                };
                assert_eq!(record.decide(&plan, None), expected, "{answered:?} {rule}");
            }
        }
    }

    #[test]
    fn a_plan_is_extended_by_a_larger_limit_and_by_nothing_else() {
        let limited = |limit| BuildPlan {
            limit,
            ..BuildPlan::example()
        };
        for (before, after, extends) in [
            (Some(1), Some(1), true),
            (Some(1), Some(2), true),
            (Some(1), None, true),
            (None, Some(2), false),
            (Some(2), Some(1), false),
        ] {
            let extended = limited(before).is_extended_by(&limited(after));
            assert_eq!(extended, extends, "{before:?} {after:?}");
        }
        let other = BuildPlan {
            seed: 1,
            ..limited(Some(2))
        };
        assert!(!limited(Some(1)).is_extended_by(&other));
    }
}
