use std::{collections::HashMap, hash::Hash};

use omnireward_core::{Preference, Task};

use super::Tally;
use crate::Row;

/// A row that counts, with the verdict it counts by.
///
/// The verdict is the row's preference, or comes from a tie threshold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged<'a> {
    pub(crate) row: &'a Row,
    pub(crate) label: Preference,
    pub(crate) verdict: Option<Preference>,
}

impl<'a> Judged<'a> {
    /// Whether the verdict equals the label; `None` without a verdict.
    pub(crate) fn hit(&self) -> Option<bool> {
        self.verdict.map(|verdict| verdict == self.label)
    }

    /// What is resampled as a whole.
    pub(crate) fn cluster(&self) -> (Task, &'a str) {
        (self.row.task, &self.row.group)
    }

    /// Which pair the row is about.
    pub(crate) fn pair(&self) -> (Task, &'a str) {
        (self.row.task, &self.row.pair_id)
    }
}

/// One tally for each cluster, in the order of first appearance, from trials that name theirs.
pub(crate) fn by_cluster<K: Eq + Hash>(
    trials: impl IntoIterator<Item = (K, Option<bool>)>,
) -> Vec<Tally> {
    let mut index = HashMap::new();
    let mut tallies: Vec<Tally> = Vec::new();
    for (cluster, hit) in trials {
        let slot = *index.entry(cluster).or_insert_with(|| {
            tallies.push(Tally::default());
            tallies.len() - 1
        });
        tallies[slot].add(hit);
    }
    tallies
}

/// The first score minus the second, where there are scores and the difference is a number.
pub(crate) fn margin(row: &Row) -> Option<f64> {
    row.scores
        .map(|[first, second]| first - second)
        .filter(|margin| margin.is_finite())
}
