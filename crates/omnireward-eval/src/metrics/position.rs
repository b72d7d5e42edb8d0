use std::collections::HashMap;

use omnireward_core::{Order, Preference};
use serde::{Deserialize, Serialize};

use super::{Judged, Scale, Tally, by_cluster};
use crate::stats::{Cluster, Interval, clustered_wilson, cohen_kappa};

/// How verdicts depend on the order in which the responses were shown.
///
/// Only pairs asked in both orders enter the numbers about both orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Pairs asked in both orders.
    pub pairs: u64,
    /// Pairs with a preference in both orders.
    pub comparable: u64,
    /// Comparable pairs with the same preference in both.
    pub consistent: u64,
    /// `consistent / comparable`.
    pub consistency: Option<f64>,
    /// The interval of `consistency`, clustered by group.
    pub consistency_interval: Option<Interval>,
    /// Pairs judged rightly in both orders.
    pub right_in_both: u64,
    /// `right_in_both / pairs`: a failure in either order is wrong.
    pub both_orders_accuracy: Option<f64>,
    /// The accuracy in the dataset's order, under the run's failure policy.
    pub accuracy_as_is: Option<f64>,
    /// The accuracy in the other order.
    pub accuracy_swapped: Option<f64>,
    /// Cohen's kappa between the preferences in the two orders, over comparable pairs.
    pub kappa: Option<f64>,
    /// Verdicts for the response that was shown first.
    pub first_shown: u64,
    /// Verdicts for either response.
    pub decided: u64,
    /// `first_shown / decided`. With both orders asked, a judge without bias is at 1/2.
    pub first_position_share: Option<f64>,
    /// The interval of `first_position_share`, clustered by group.
    pub first_position_interval: Option<Interval>,
    /// The share of decided labels that were for the response shown first: what to compare with
    /// when only one order was asked.
    pub first_position_labels: Option<f64>,
}

/// The verdicts on one pair, in both orders.
type BothOrders<'a, 'b> = (&'a Judged<'b>, &'a Judged<'b>);

impl Position {
    /// `first_position_share`, where it can be held against 1/2: where both orders were asked.
    pub fn first_position_bias(&self) -> Option<f64> {
        self.first_position_share.filter(|_| self.pairs > 0)
    }

    pub(crate) fn of(judged: &[Judged<'_>], scale: Scale) -> Self {
        let both = both_orders(judged);
        let comparable: Vec<(Preference, Preference)> = both
            .iter()
            .filter_map(|(a, b)| Some((a.verdict?, b.verdict?)))
            .collect();
        let consistent = comparable.iter().filter(|(a, b)| a == b).count();
        let right = both
            .iter()
            .filter(|(a, b)| a.hit() == Some(true) && b.hit() == Some(true))
            .count();
        let accuracy = |order| {
            let tally: Tally = judged
                .iter()
                .filter(|j| j.row.order == order)
                .map(Judged::hit)
                .collect();
            tally.accuracy(scale.policy, scale.setting)
        };
        let shown = shown_first(judged);
        let first_shown = shown.iter().filter(|(first, _)| *first).count();
        Self {
            pairs: both.len() as u64,
            comparable: comparable.len() as u64,
            consistent: consistent as u64,
            consistency: share(consistent, comparable.len()),
            consistency_interval: clustered(
                both.iter()
                    .filter_map(|(a, b)| Some((a.verdict? == b.verdict?, *a))),
                scale.confidence,
            ),
            right_in_both: right as u64,
            both_orders_accuracy: share(right, both.len()),
            accuracy_as_is: accuracy(Order::AsIs),
            accuracy_swapped: accuracy(Order::Swapped),
            kappa: cohen_kappa(comparable),
            first_shown: first_shown as u64,
            decided: shown.len() as u64,
            first_position_share: share(first_shown, shown.len()),
            first_position_interval: clustered(shown.iter().copied(), scale.confidence),
            first_position_labels: label_share(judged),
        }
    }
}

/// Pairs that have a row in each order.
fn both_orders<'a, 'b>(judged: &'a [Judged<'b>]) -> Vec<BothOrders<'a, 'b>> {
    let swapped: HashMap<_, _> = judged
        .iter()
        .filter(|j| j.row.order == Order::Swapped)
        .map(|j| (j.pair(), j))
        .collect();
    judged
        .iter()
        .filter(|j| j.row.order == Order::AsIs)
        .filter_map(|j| Some((j, *swapped.get(&j.pair())?)))
        .collect()
}

/// For each verdict for either response, whether it was for the one shown first.
fn shown_first<'a, 'b>(judged: &'a [Judged<'b>]) -> Vec<(bool, &'a Judged<'b>)> {
    judged
        .iter()
        .filter_map(|j| Some((is_shown_first(j.verdict?, j.row.order)?, j)))
        .collect()
}

fn label_share(judged: &[Judged<'_>]) -> Option<f64> {
    let labels: Vec<bool> = judged
        .iter()
        .filter_map(|j| is_shown_first(j.label, j.row.order))
        .collect();
    share(labels.iter().filter(|first| **first).count(), labels.len())
}

/// Whether a preference is for the response shown first; `None` for a tie.
fn is_shown_first(preference: Preference, order: Order) -> Option<bool> {
    let shown = match order {
        Order::AsIs => preference,
        Order::Swapped => preference.swapped(),
    };
    match shown {
        Preference::First => Some(true),
        Preference::Second => Some(false),
        Preference::Tie => None,
    }
}

/// The interval of a share of `true`, clustered by the group of the row beside it.
fn clustered<'a, 'b: 'a>(
    trials: impl Iterator<Item = (bool, &'a Judged<'b>)>,
    confidence: f64,
) -> Option<Interval> {
    let tallies = by_cluster(trials.map(|(hit, judged)| (judged.cluster(), Some(hit))));
    let clusters: Vec<Cluster> = tallies
        .into_iter()
        .map(|tally| Cluster {
            hits: tally.hits as f64,
            weight: tally.scored as f64,
        })
        .collect();
    clustered_wilson(&clusters, confidence)
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
