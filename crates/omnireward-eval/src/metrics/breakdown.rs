use std::{cmp::Reverse, collections::BTreeMap};

use omnireward_core::Preference;
use serde::{Deserialize, Serialize};

use super::{Accuracy, Judged, Scale, by_cluster};

/// The accuracy on the rows that share a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// What they share: a source or a criterion.
    pub name: String,
    /// The accuracy on them.
    pub accuracy: Accuracy,
}

/// The accuracy on the rows whose responses come from the same two models, on either side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelPair {
    /// The two models, sorted by name.
    pub models: [String; 2],
    /// The accuracy on them.
    pub accuracy: Accuracy,
}

/// How often a response model wins, by the judge and by the labels.
///
/// A tie is half a win. Only rows with a verdict between two different named models count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelStanding {
    /// The response model.
    pub model: String,
    /// Rows that count.
    pub rows: u64,
    /// The share of them it wins by the judge.
    pub judge_win_rate: f64,
    /// The share of them it wins by the labels.
    pub label_win_rate: f64,
}

/// Groups sorted by name.
pub(crate) fn by_source(judged: &[Judged<'_>], scale: Scale) -> Vec<Group> {
    grouped(judged, scale, |j| j.row.source.as_deref())
}

/// Groups sorted by size, then by name.
pub(crate) fn by_criterion(judged: &[Judged<'_>], scale: Scale) -> Vec<Group> {
    let mut groups = grouped(judged, scale, |j| j.row.criterion.as_deref());
    groups.sort_by_key(|group| Reverse(group.accuracy.tally.total()));
    groups
}

/// Pairs of models sorted by name.
pub(crate) fn by_models(judged: &[Judged<'_>], scale: Scale) -> Vec<ModelPair> {
    let key = |j: &Judged<'_>| {
        let [first, second] = &j.row.models;
        let mut models = [first.clone()?, second.clone()?];
        models.sort_unstable();
        Some(models)
    };
    collect(judged, key)
        .into_iter()
        .map(|(models, rows)| ModelPair {
            models,
            accuracy: accuracy(&rows, scale),
        })
        .collect()
}

/// Standings, the labels' best first, then by name.
pub(crate) fn standings(judged: &[Judged<'_>]) -> Vec<ModelStanding> {
    let mut wins: BTreeMap<&str, (u64, f64, f64)> = BTreeMap::new();
    for item in judged {
        let ([Some(first), Some(second)], Some(verdict)) = (&item.row.models, item.verdict) else {
            continue;
        };
        if first == second {
            continue;
        }
        let swapped = (verdict.swapped(), item.label.swapped());
        for (model, (verdict, label)) in [(first, (verdict, item.label)), (second, swapped)] {
            let entry = wins.entry(model).or_default();
            entry.0 += 1;
            entry.1 += first_wins(verdict);
            entry.2 += first_wins(label);
        }
    }
    let mut standings: Vec<ModelStanding> = wins
        .into_iter()
        .map(|(model, (rows, judge, label))| ModelStanding {
            model: model.to_owned(),
            rows,
            judge_win_rate: judge / rows as f64,
            label_win_rate: label / rows as f64,
        })
        .collect();
    standings.sort_by(|a, b| b.label_win_rate.total_cmp(&a.label_win_rate));
    standings
}

fn first_wins(preference: Preference) -> f64 {
    match preference {
        Preference::First => 1.0,
        Preference::Tie => 0.5,
        Preference::Second => 0.0,
    }
}

fn grouped(
    judged: &[Judged<'_>],
    scale: Scale,
    name: impl for<'a> Fn(&Judged<'a>) -> Option<&'a str>,
) -> Vec<Group> {
    collect(judged, name)
        .into_iter()
        .map(|(name, rows)| Group {
            name: name.to_owned(),
            accuracy: accuracy(&rows, scale),
        })
        .collect()
}

fn collect<'a, 'b, K: Ord>(
    judged: &'a [Judged<'b>],
    key: impl Fn(&Judged<'b>) -> Option<K>,
) -> BTreeMap<K, Vec<&'a Judged<'b>>> {
    let mut groups: BTreeMap<K, Vec<&Judged<'_>>> = BTreeMap::new();
    for item in judged {
        if let Some(key) = key(item) {
            groups.entry(key).or_default().push(item);
        }
    }
    groups
}

fn accuracy(rows: &[&Judged<'_>], scale: Scale) -> Accuracy {
    let tallies = by_cluster(rows.iter().map(|j| (j.cluster(), j.hit())));
    Accuracy::of_clusters(&tallies, scale)
}
