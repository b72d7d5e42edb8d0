use omnireward_core::Preference;
use serde::{Deserialize, Serialize};

use super::Judged;

/// Labels against verdicts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// Pairs labelled for the first response.
    pub first: ConfusionRow,
    /// Pairs labelled for the second response.
    pub second: ConfusionRow,
    /// Pairs labelled a tie.
    pub tie: ConfusionRow,
}

/// The verdicts on the pairs of one label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfusionRow {
    /// For the first response.
    pub first: u64,
    /// For the second response.
    pub second: u64,
    /// For neither.
    pub tie: u64,
    /// No preference.
    pub unscored: u64,
}

impl Confusion {
    pub(crate) fn of(judged: &[Judged<'_>]) -> Self {
        let mut confusion = Self::default();
        for item in judged {
            confusion.row_mut(item.label).add(item.verdict);
        }
        confusion
    }

    /// The row of one label.
    pub const fn row(&self, label: Preference) -> &ConfusionRow {
        match label {
            Preference::First => &self.first,
            Preference::Second => &self.second,
            Preference::Tie => &self.tie,
        }
    }

    fn row_mut(&mut self, label: Preference) -> &mut ConfusionRow {
        match label {
            Preference::First => &mut self.first,
            Preference::Second => &mut self.second,
            Preference::Tie => &mut self.tie,
        }
    }
}

impl ConfusionRow {
    /// The number of one verdict, or of none.
    pub const fn count(&self, verdict: Option<Preference>) -> u64 {
        match verdict {
            Some(Preference::First) => self.first,
            Some(Preference::Second) => self.second,
            Some(Preference::Tie) => self.tie,
            None => self.unscored,
        }
    }

    /// All verdicts on this label.
    pub const fn total(&self) -> u64 {
        self.first + self.second + self.tie + self.unscored
    }

    fn add(&mut self, verdict: Option<Preference>) {
        *match verdict {
            Some(Preference::First) => &mut self.first,
            Some(Preference::Second) => &mut self.second,
            Some(Preference::Tie) => &mut self.tie,
            None => &mut self.unscored,
        } += 1;
    }
}
