use omnireward_core::Preference;

use super::{Candidate, RewardFunction, share};

/// The share of replies about the same responses, under a criterion that prefers the other one, which prefer the other
/// one; 0 for a reply that prefers none. It speaks only of pairs with such a criterion beside them.
///
/// A policy that has a favourite whatever the criterion says gets nothing from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CriterionFlip;

impl RewardFunction for CriterionFlip {
    fn name(&self) -> &'static str {
        "criterion_flip"
    }

    fn value(&self, candidate: &Candidate<'_>) -> Option<f64> {
        let verdict = candidate.answer.verdict;
        let side = verdict.filter(|verdict| *verdict != Preference::Tie);
        let other = side.map(Preference::swapped);
        let opposed = candidate.opposed.iter().copied().flatten();
        share(opposed, |answer| other.is_some() && answer.verdict == other)
    }
}
