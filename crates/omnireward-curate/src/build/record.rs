//! What a build keeps of every pair it asked about.

use std::fmt;

use omnireward_core::{Identity, Order, Preference, Setting, Status, Task, Usage};
use serde::{Deserialize, Serialize};

use super::{Consensus, Stance};

/// Everything that decides what a build asks and keeps; the first line of its trail.
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
    /// Which answers verifiers are offered.
    pub setting: Setting,
    /// When a criterion is kept.
    pub rule: Consensus,
    /// How often a writer is asked, at most, until its reply can be read.
    pub attempts: u32,
    /// The tasks that pairs are taken from.
    pub tasks: Vec<Task>,
    /// At most this many pairs.
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

impl PairRecord {
    /// Whether everything that was asked was answered, so that nothing is to be asked again.
    pub fn is_whole(&self) -> bool {
        let mut votes = self.criteria.iter().flat_map(|criterion| &criterion.votes);
        self.writer.status.is_answered() && votes.all(|vote| vote.status.is_answered())
    }

    /// What the pair cost, by the replies that its record holds.
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
        let is_open = |verifier: &Identity| {
            let mut votes = self.votes.iter();
            votes.any(|vote| vote.verifier == verifier.name && !vote.status.is_answered())
        };
        let best_case: Vec<Stance> = stances
            .iter()
            .zip(&plan.verifiers)
            .map(|(stance, verifier)| match stance {
                Stance::Unknown if is_open(verifier) => Stance::Confirms,
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
