//! Counts of a build.

use std::collections::BTreeMap;

use omnireward_core::{Preference, Task, Usage};
use serde::{Deserialize, Serialize};

use super::{BuildPlan, CriterionRecord, Outcome, PairRecord, Stance};
use crate::agreement::PairAgreement;

/// What a build asked, obtained and kept. Every number is a count of records, or a share of two.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BuildReport {
    /// Pairs shown to the writer.
    pub pairs: u64,
    /// Pairs by how asking the writer ended.
    pub writer: BTreeMap<String, u64>,
    /// Pairs for which the writer replied that it finds no criterion.
    pub without_criterion: u64,
    /// Criteria obtained.
    pub criteria: u64,
    /// Pairs with criteria for both sides, before verification.
    pub flips_written: u64,
    /// Pairs with kept criteria for both sides.
    pub flips_kept: u64,
    /// Criteria by outcome; every outcome is listed.
    pub outcomes: BTreeMap<String, u64>,
    /// Kept criteria that prefer the first response, in the dataset's order.
    pub kept_first: u64,
    /// Of each task: pairs, criteria, kept criteria, and pairs with both sides kept.
    pub tasks: BTreeMap<String, TaskCounts>,
    /// Of each verifier, in the order of asking.
    pub verifiers: Vec<VerifierCounts>,
    /// Between each two verifiers, over their stances on the criteria where both are known.
    pub agreement: Vec<PairAgreement>,
    /// The tokens of all recorded replies.
    pub usage: Usage,
}

/// Counts of one task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCounts {
    /// Pairs shown to the writer.
    pub pairs: u64,
    /// Criteria obtained.
    pub criteria: u64,
    /// Criteria kept.
    pub kept: u64,
    /// Pairs with kept criteria for both sides.
    pub flips_kept: u64,
}

/// Counts of one verifier.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VerifierCounts {
    /// Its name.
    pub name: String,
    /// Criteria by what it says about them.
    pub stances: BTreeMap<String, u64>,
    /// Criteria on which it has a preference in both orders.
    pub in_both_orders: u64,
    /// How often the two are the same.
    pub consistent: u64,
}

impl BuildReport {
    /// Counts the records of a build.
    pub fn new(plan: &BuildPlan, records: &[PairRecord]) -> Self {
        let mut report = Self {
            outcomes: Outcome::ALL
                .iter()
                .map(|o| (o.name().to_owned(), 0))
                .collect(),
            ..Self::default()
        };
        for record in records {
            report.count(record);
        }
        let criteria = records.iter().flat_map(|record| &record.criteria);
        let verified: Vec<(&CriterionRecord, Vec<Stance>)> = criteria
            .filter(|criterion| !criterion.votes.is_empty())
            .map(|criterion| (criterion, criterion.stances(plan)))
            .collect();
        let count = plan.verifiers.len();
        report.verifiers = (0..count)
            .map(|index| verifier(plan, index, &verified))
            .collect();
        let twos = (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b)));
        report.agreement = twos
            .map(|(a, b)| agreement(plan, a, b, &verified))
            .collect();
        report
    }

    fn count(&mut self, record: &PairRecord) {
        self.pairs += 1;
        let status = record.writer.status;
        *self.writer.entry(status.name().to_owned()).or_default() += 1;
        self.without_criterion +=
            u64::from(record.criteria.is_empty() && status == omnireward_core::Status::Readable);
        let kept = |c: &&CriterionRecord| c.outcome == Outcome::Kept;
        let (criteria, kept) = (record.criteria.iter(), record.criteria.iter().filter(kept));
        let (flips_written, flips_kept) = (has_both(criteria.clone()), has_both(kept.clone()));
        self.criteria += criteria.clone().count() as u64;
        self.flips_written += u64::from(flips_written);
        self.flips_kept += u64::from(flips_kept);
        self.kept_first += kept
            .clone()
            .filter(|c| c.label == Preference::First)
            .count() as u64;
        for criterion in criteria.clone() {
            *self
                .outcomes
                .entry(criterion.outcome.name().to_owned())
                .or_default() += 1;
        }
        let task = self
            .tasks
            .entry(Task::code(record.task).to_owned())
            .or_default();
        task.pairs += 1;
        task.criteria += criteria.count() as u64;
        task.kept += kept.count() as u64;
        task.flips_kept += u64::from(flips_kept);
        self.usage += record.usage();
    }

    /// How many criteria are kept.
    pub fn kept(&self) -> u64 {
        self.outcomes
            .get(Outcome::Kept.name())
            .copied()
            .unwrap_or_default()
    }
}

fn has_both<'a>(criteria: impl Iterator<Item = &'a CriterionRecord> + Clone) -> bool {
    let mut sides = criteria.map(|criterion| criterion.label);
    let first = sides.next();
    sides.any(|side| first.is_some_and(|first| first != side))
}

fn verifier(
    plan: &BuildPlan,
    index: usize,
    verified: &[(&CriterionRecord, Vec<Stance>)],
) -> VerifierCounts {
    let name = plan.verifiers[index].name.clone();
    let mut counts = VerifierCounts {
        name,
        ..VerifierCounts::default()
    };
    for (criterion, stances) in verified {
        *counts
            .stances
            .entry(stance_name(stances[index]).to_owned())
            .or_default() += 1;
        let said: Vec<Preference> = criterion
            .votes
            .iter()
            .filter(|vote| vote.verifier == counts.name)
            .filter_map(|vote| vote.preference)
            .collect();
        if let [one, other] = said[..] {
            counts.in_both_orders += 1;
            counts.consistent += u64::from(one == other);
        }
    }
    counts
}

/// How far two verifiers say the same about the criteria on which neither stance is unknown.
fn agreement(
    plan: &BuildPlan,
    a: usize,
    b: usize,
    verified: &[(&CriterionRecord, Vec<Stance>)],
) -> PairAgreement {
    let known = |stance: Stance| stance != Stance::Unknown;
    let both: Vec<(Stance, Stance)> = verified
        .iter()
        .map(|(_, stances)| (stances[a], stances[b]))
        .filter(|(one, other)| known(*one) && known(*other))
        .collect();
    let [one, other] = [a, b].map(|index| plan.verifiers[index].name.as_str());
    PairAgreement::new(one, other, &both)
}

const fn stance_name(stance: Stance) -> &'static str {
    match stance {
        Stance::Confirms => "confirms",
        Stance::Contradicts => "contradicts",
        Stance::Undecided => "undecided",
        Stance::Unknown => "unknown",
    }
}
