use omnireward_core::Preference;

use super::{Candidate, RewardFunction, share};

/// The share of replies in the other order that give the same verdict; 0 for a reply without one. It speaks only of
/// pairs that are asked about in both orders.
///
/// Agreement alone rewards a policy that always says the same of a pair, so it stands beside `verdict`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreement;

impl RewardFunction for Agreement {
    fn name(&self) -> &'static str {
        "agreement"
    }

    fn value(&self, candidate: &Candidate<'_>) -> Option<f64> {
        let turned = candidate.answer.verdict.map(Preference::swapped);
        share(candidate.turned, |answer| {
            turned.is_some() && answer.verdict == turned
        })
    }
}
