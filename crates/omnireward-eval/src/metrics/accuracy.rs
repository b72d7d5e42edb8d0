use omnireward_core::Setting;
use serde::{Deserialize, Serialize};

use crate::stats::{Cluster, Interval, clustered_wilson};

/// What a verdict without a preference counts as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailurePolicy {
    /// Wrong, as in the reference evaluation.
    #[default]
    Wrong,
    /// What a blind guess among the answers offered earns: 1/2 without ties, 1/3 with them.
    Coin,
    /// Nothing: it leaves the denominator as well.
    LeftOut,
}

impl FailurePolicy {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Wrong, Self::Coin, Self::LeftOut];

    /// `wrong`, `coin` or `left-out`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wrong => "wrong",
            Self::Coin => "coin",
            Self::LeftOut => "left-out",
        }
    }

    /// The share of a hit that one failure earns, and its weight in the denominator.
    pub(crate) fn of_failure(self, setting: Setting) -> (f64, f64) {
        match self {
            Self::Wrong => (0.0, 1.0),
            Self::Coin => (1.0 / answers_offered(setting), 1.0),
            Self::LeftOut => (0.0, 0.0),
        }
    }
}

/// The number of answers a setting offers.
fn answers_offered(setting: Setting) -> f64 {
    if setting.offers_tie() { 3.0 } else { 2.0 }
}

/// The counts behind an accuracy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Verdicts that equal the label.
    pub hits: u64,
    /// Verdicts with a preference.
    pub scored: u64,
    /// Verdicts without one.
    pub unscored: u64,
}

impl Tally {
    /// Counts one verdict: `None` is a failure, otherwise whether it equals the label.
    pub fn add(&mut self, hit: Option<bool>) {
        match hit {
            Some(hit) => {
                self.hits += u64::from(hit);
                self.scored += 1;
            }
            None => self.unscored += 1,
        }
    }

    /// All verdicts.
    pub const fn total(self) -> u64 {
        self.scored + self.unscored
    }

    /// The share of hits under a policy for failures; `None` when nothing is left to divide by.
    pub fn accuracy(self, policy: FailurePolicy, setting: Setting) -> Option<f64> {
        let Cluster { hits, weight } = self.cluster(policy, setting);
        (weight > 0.0).then(|| hits / weight)
    }

    /// The share of verdicts that have a preference.
    pub fn coverage(self) -> Option<f64> {
        (self.total() > 0).then(|| self.scored as f64 / self.total() as f64)
    }

    /// The same counts as hits and weight under a policy.
    pub(crate) fn cluster(self, policy: FailurePolicy, setting: Setting) -> Cluster {
        let (hits, weight) = policy.of_failure(setting);
        let failures = self.unscored as f64;
        Cluster {
            hits: self.hits as f64 + failures * hits,
            weight: self.scored as f64 + failures * weight,
        }
    }
}

impl FromIterator<Option<bool>> for Tally {
    fn from_iter<I: IntoIterator<Item = Option<bool>>>(hits: I) -> Self {
        let mut tally = Self::default();
        hits.into_iter().for_each(|hit| tally.add(hit));
        tally
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.hits += other.hits;
        self.scored += other.scored;
        self.unscored += other.unscored;
    }
}

/// One share under each [`FailurePolicy`]; `None` where nothing is left to divide by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Policies {
    /// Failures are wrong.
    pub wrong: Option<f64>,
    /// Failures earn what a blind guess does.
    pub coin: Option<f64>,
    /// Failures are left out.
    pub left_out: Option<f64>,
}

impl Policies {
    /// The value under one policy.
    pub const fn get(&self, policy: FailurePolicy) -> Option<f64> {
        match policy {
            FailurePolicy::Wrong => self.wrong,
            FailurePolicy::Coin => self.coin,
            FailurePolicy::LeftOut => self.left_out,
        }
    }

    /// Fills each policy from a function.
    pub(crate) fn each(value: impl Fn(FailurePolicy) -> Option<f64>) -> Self {
        Self {
            wrong: value(FailurePolicy::Wrong),
            coin: value(FailurePolicy::Coin),
            left_out: value(FailurePolicy::LeftOut),
        }
    }
}

/// An accuracy with everything needed to judge it. Shares are between 0 and 1.
///
/// The unit is the verdict: where both orders were asked, each counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// The share of hits under the run's failure policy.
    pub value: Option<f64>,
    /// Its interval, clustered by group.
    pub interval: Option<Interval>,
    /// The counts.
    pub tally: Tally,
    /// The number of clusters the verdicts belong to.
    pub clusters: u64,
    /// The share of verdicts with a preference.
    pub coverage: Option<f64>,
    /// The accuracy under every failure policy.
    pub policies: Policies,
}

impl Accuracy {
    /// Sums up one tally for each cluster, with a clustered Wilson interval.
    pub(crate) fn of_clusters(tallies: &[Tally], scale: Scale) -> Self {
        let mut total = Tally::default();
        for tally in tallies {
            total += *tally;
        }
        let clusters: Vec<Cluster> = tallies
            .iter()
            .map(|tally| tally.cluster(scale.policy, scale.setting))
            .collect();
        Self {
            value: total.accuracy(scale.policy, scale.setting),
            interval: clustered_wilson(&clusters, scale.confidence),
            tally: total,
            clusters: tallies.len() as u64,
            coverage: total.coverage(),
            policies: Policies::each(|policy| total.accuracy(policy, scale.setting)),
        }
    }
}

/// What turns counts into an [`Accuracy`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) setting: Setting,
    pub(crate) policy: FailurePolicy,
    pub(crate) confidence: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_differ_only_in_what_failures_count() {
        let tally: Tally = [Some(true), Some(true), Some(false), None]
            .into_iter()
            .collect();
        let of = |policy| tally.accuracy(policy, Setting::WithoutTies);
        let expected = [Some(0.5), Some(0.625), Some(2.0 / 3.0)];
        assert_eq!(FailurePolicy::ALL.map(of), expected);
        assert_eq!(tally.coverage(), Some(0.75));
        let with_ties = tally
            .accuracy(FailurePolicy::Coin, Setting::WithTies)
            .unwrap();
        assert!((with_ties - (2.0 + 1.0 / 3.0) / 4.0).abs() < 1e-15);
    }

    #[test]
    fn nothing_scored_is_no_number() {
        let tally: Tally = [None, None].into_iter().collect();
        assert_eq!(
            tally.accuracy(FailurePolicy::LeftOut, Setting::WithTies),
            None
        );
        assert_eq!(
            tally.accuracy(FailurePolicy::Wrong, Setting::WithTies),
            Some(0.0)
        );
    }
}
