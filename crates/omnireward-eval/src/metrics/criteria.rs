use std::collections::{BTreeMap, HashMap};

use omnireward_core::Preference;
use serde::{Deserialize, Serialize};

use super::{Accuracy, Judged, Scale, by_cluster};
use crate::stats::Interval;

/// Whether verdicts change when the criterion makes the label change.
///
/// Counted over groups of pairs with the same responses whose criteria put them the other way
/// round: at least one label for the first response and one for the second. Ties in such groups
/// are left out. A judge that does not read the criterion answers alike throughout a group, so its
/// [`balanced_accuracy`](Self::balanced_accuracy) is exactly 1/2 and no group is all right.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CriterionFollowing {
    /// Groups whose criteria disagree.
    pub groups: u64,
    /// Pairs in them.
    pub pairs: u64,
    /// Over their verdicts, each counted alike.
    pub accuracy: Accuracy,
    /// The mean over groups of the mean of the two sides' accuracies; failures are wrong.
    pub balanced_accuracy: f64,
    /// Its standard normal interval over groups; `None` with one group.
    pub balanced_interval: Option<Interval>,
    /// Groups in which every verdict was right.
    pub all_right: u64,
    /// `all_right / groups`.
    pub all_right_share: f64,
    /// Groups in which every verdict was the same: what a blind judge does.
    pub unmoved: u64,
}

impl CriterionFollowing {
    /// `unmoved / groups`.
    pub fn unmoved_share(&self) -> f64 {
        self.unmoved as f64 / self.groups as f64
    }

    /// `None` when no criteria disagree.
    pub(crate) fn of(judged: &[Judged<'_>], scale: Scale) -> Option<Self> {
        let groups = flipped(judged);
        if groups.is_empty() {
            return None;
        }
        let members = || groups.iter().flatten().copied();
        let mut pairs: Vec<_> = members().map(Judged::pair).collect();
        pairs.sort_unstable();
        pairs.dedup();
        let balanced: Vec<f64> = groups.iter().map(|group| balanced(group)).collect();
        let all_right = groups
            .iter()
            .filter(|group| group.iter().all(|j| j.hit() == Some(true)))
            .count();
        let unmoved = groups
            .iter()
            .filter(|group| {
                group
                    .iter()
                    .all(|j| j.verdict.is_some() && j.verdict == group[0].verdict)
            })
            .count();
        let count = groups.len() as f64;
        Some(Self {
            groups: groups.len() as u64,
            pairs: pairs.len() as u64,
            accuracy: Accuracy::of_clusters(
                &by_cluster(members().map(|j| (j.cluster(), j.hit()))),
                scale,
            ),
            balanced_accuracy: balanced.iter().sum::<f64>() / count,
            balanced_interval: crate::stats::mean_interval(&balanced, scale.confidence),
            all_right: all_right as u64,
            all_right_share: all_right as f64 / count,
            unmoved: unmoved as u64,
        })
    }
}

/// The rows of each group of same responses that has labels for both, without ties.
fn flipped<'a, 'b>(judged: &'a [Judged<'b>]) -> Vec<Vec<&'a Judged<'b>>> {
    let mut groups: BTreeMap<_, Vec<&Judged<'_>>> = BTreeMap::new();
    for item in judged.iter().filter(|j| j.label != Preference::Tie) {
        groups.entry(responses_key(item)).or_default().push(item);
    }
    groups
        .into_values()
        .filter(|group| {
            let has = |label| group.iter().any(|j| j.label == label);
            has(Preference::First) && has(Preference::Second) && has_several_criteria(group)
        })
        .collect()
}

/// Labels of one wording that differ are annotators who disagree, not criteria.
fn has_several_criteria(group: &[&Judged<'_>]) -> bool {
    let mut sides: HashMap<Option<&str>, Preference> = HashMap::new();
    group.iter().all(|j| {
        let criterion = j.row.criterion.as_deref();
        *sides.entry(criterion).or_insert(j.label) == j.label
    })
}

/// What rows about the same two responses share.
///
/// A group can hold several pairs of responses when it comes from a ranked list: then ids end in
/// `#i-j`, which tells them apart.
fn responses_key<'a>(
    judged: &Judged<'a>,
) -> (
    omnireward_core::Task,
    &'a str,
    [Option<&'a str>; 2],
    &'a str,
) {
    let row = judged.row;
    let models = [row.models[0].as_deref(), row.models[1].as_deref()];
    (
        row.task,
        &row.group,
        models,
        comparison_suffix(&row.pair_id),
    )
}

/// The `i-j` of an id that ends in `#i-j`, or nothing.
fn comparison_suffix(id: &str) -> &str {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    id.rsplit_once('#')
        .map(|(_, suffix)| suffix)
        .filter(|suffix| {
            suffix
                .split_once('-')
                .is_some_and(|(i, j)| is_number(i) && is_number(j))
        })
        .unwrap_or_default()
}

/// The mean of the accuracies on the two sides' labels.
fn balanced(group: &[&Judged<'_>]) -> f64 {
    let side = |label| {
        let (mut hits, mut all) = (0.0, 0.0);
        for item in group.iter().filter(|j| j.label == label) {
            hits += f64::from(u8::from(item.hit() == Some(true)));
            all += 1.0;
        }
        hits / all
    };
    f64::midpoint(side(Preference::First), side(Preference::Second))
}
