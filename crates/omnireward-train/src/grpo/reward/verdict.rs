use omnireward_core::Preference;

use super::{Candidate, RewardFunction};

/// 1 when the verdict is the label, else 0, and so when none can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict;

impl RewardFunction for Verdict {
    fn name(&self) -> &'static str {
        "verdict"
    }

    fn value(&self, candidate: &Candidate<'_>) -> Option<f64> {
        let is_right = candidate.answer.verdict == Some(candidate.question.label);
        Some(f64::from(u8::from(is_right)))
    }
}

/// As [`Verdict`], but that a tie is half as wrong as the wrong side: a verdict of a tie where one side is better, or of
/// a side where both tie, is worth `near`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TieAware {
    /// What a verdict is worth that differs from the label by a tie.
    pub near: f64,
}

impl RewardFunction for TieAware {
    fn name(&self) -> &'static str {
        "ties"
    }

    fn value(&self, candidate: &Candidate<'_>) -> Option<f64> {
        let label = candidate.question.label;
        Some(match candidate.answer.verdict {
            Some(verdict) if verdict == label => 1.0,
            Some(verdict) if verdict == Preference::Tie || label == Preference::Tie => self.near,
            _ => 0.0,
        })
    }
}
