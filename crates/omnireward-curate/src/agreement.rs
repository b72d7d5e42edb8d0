//! How far raters agree, beyond what chance alone would give.

use std::collections::BTreeMap;

use omnireward_core::Preference;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The labels that several raters gave to items: for each item, who said what.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ratings {
    items: Vec<BTreeMap<String, Preference>>,
}

/// How far raters agree. Each coefficient is 1 for full agreement and 0 for that of chance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Items with two labels or more.
    pub items: u64,
    /// Labels of those items.
    pub labels: u64,
    /// Every two raters with items in common, in the order of names.
    pub pairs: Vec<PairAgreement>,
    /// Fleiss' kappa; `None` when items have different numbers of labels, or all labels are equal.
    pub fleiss: Option<f64>,
    /// Krippendorff's alpha for nominal data; `None` when all labels are equal.
    pub krippendorff: Option<f64>,
}

/// Two raters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairAgreement {
    /// One.
    pub first: String,
    /// The other.
    pub second: String,
    /// Items that both labelled.
    pub items: u64,
    /// The share on which they agree; 0 without items.
    pub observed: f64,
    /// Cohen's kappa; `None` when both always gave one and the same label, and without items.
    pub cohen: Option<f64>,
}

impl PairAgreement {
    /// Compares what two raters said about the items that both labelled. Labels are of any kind.
    ///
    /// `κ = (pₒ − pₑ) / (1 − pₑ)` with the observed agreement `pₒ`, and `pₑ = Σ p_a p_b` over the categories (Cohen, "A
    /// coefficient of agreement for nominal scales", 1960).
    pub fn new<L: Ord>(
        first: impl Into<String>,
        second: impl Into<String>,
        labels: &[(L, L)],
    ) -> Self {
        let mut shares: BTreeMap<&L, [f64; 2]> = BTreeMap::new();
        for (a, b) in labels {
            shares.entry(a).or_default()[0] += 1.0;
            shares.entry(b).or_default()[1] += 1.0;
        }
        // Without items nothing is divided, and the sums below are 0.
        let n = labels.len().max(1) as f64;
        let same = labels.iter().filter(|(a, b)| a == b).count();
        let observed = same as f64 / n;
        let by_chance: f64 = shares.values().map(|[a, b]| a / n * (b / n)).sum();
        Self {
            first: first.into(),
            second: second.into(),
            items: labels.len() as u64,
            observed,
            cohen: beyond_chance(observed, by_chance).filter(|_| !labels.is_empty()),
        }
    }
}

impl Ratings {
    /// The labels in a record of a pair: the votes of a [build](crate::build) that were answered (a verifier asked in
    /// several orders counts where it gave one answer), else a field `ratings` that is an object of names and labels.
    pub fn push(&mut self, record: &Value) {
        let found = votes(record)
            .or_else(|| ratings(record))
            .unwrap_or_default();
        if found.len() > 1 {
            self.items.push(found);
        }
    }

    /// Whether no item has several labels.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How far the raters agree; `None` when no item has several labels.
    pub fn agreement(&self) -> Option<Agreement> {
        if self.items.is_empty() {
            return None;
        }
        Some(Agreement {
            items: self.items.len() as u64,
            labels: self.items.iter().map(|item| item.len() as u64).sum(),
            pairs: self.pairs(),
            fleiss: self.fleiss(),
            krippendorff: self.krippendorff(),
        })
    }

    fn pairs(&self) -> Vec<PairAgreement> {
        let mut labels: BTreeMap<(&str, &str), Vec<(Preference, Preference)>> = BTreeMap::new();
        for item in &self.items {
            let raters: Vec<_> = item.iter().collect();
            for (index, (first, a)) in raters.iter().enumerate() {
                for (second, b) in &raters[index + 1..] {
                    labels.entry((first, second)).or_default().push((**a, **b));
                }
            }
        }
        labels
            .into_iter()
            .map(|((first, second), labels)| PairAgreement::new(first, second, &labels))
            .collect()
    }

    /// `κ = (P̄ − P̄ₑ) / (1 − P̄ₑ)`, where `P̄` is the mean over items of the share of pairs of labels that agree, and
    /// `P̄ₑ = Σ p²` over the shares of the categories (Fleiss, "Measuring nominal scale agreement among many raters",
    /// 1971, equations 3 to 7).
    fn fleiss(&self) -> Option<f64> {
        let raters = self.items.first()?.len();
        if self.items.iter().any(|item| item.len() != raters) {
            return None;
        }
        let pairs = (raters * (raters - 1)) as f64;
        let counts = self.items.iter().map(counts);
        let agreeing = counts
            .clone()
            .map(|counts| counts.iter().map(|n| n * (n - 1.0)).sum::<f64>() / pairs);
        let observed = agreeing.sum::<f64>() / self.items.len() as f64;
        let all = (self.items.len() * raters) as f64;
        let shares = sum(counts).map(|count| count / all);
        beyond_chance(observed, shares.iter().map(|share| share * share).sum())
    }

    /// `α = 1 − Dₒ/Dₑ` with `Dₒ = Σ_{c≠k} o_ck / n` and `Dₑ = Σ_{c≠k} n_c n_k / (n (n − 1))`, where an item with `m`
    /// labels adds `1/(m − 1)` to `o_ck` for each ordered pair of its labels (Krippendorff, "Computing Krippendorff's
    /// alpha-reliability", 2011, section C).
    fn krippendorff(&self) -> Option<f64> {
        let counts = self.items.iter().map(counts);
        let total = sum(counts.clone());
        let n: f64 = total.iter().sum();
        let disagreeing: f64 = counts
            .map(|counts| {
                let m: f64 = counts.iter().sum();
                let same: f64 = counts.iter().map(|count| count * (count - 1.0)).sum();
                (m * (m - 1.0) - same) / (m - 1.0)
            })
            .sum();
        let by_chance = n * n - total.iter().map(|count| count * count).sum::<f64>();
        (by_chance > 0.0).then(|| 1.0 - (n - 1.0) * disagreeing / by_chance)
    }
}

fn beyond_chance(observed: f64, by_chance: f64) -> Option<f64> {
    // Where chance gives everything, there is nothing beyond it.
    (by_chance < 1.0 - 1e-12).then(|| (observed - by_chance) / (1.0 - by_chance))
}

const CATEGORIES: [Preference; 3] = [Preference::First, Preference::Second, Preference::Tie];

fn counts(item: &BTreeMap<String, Preference>) -> [f64; 3] {
    CATEGORIES.map(|label| item.values().filter(|given| **given == label).count() as f64)
}

fn sum(counts: impl Iterator<Item = [f64; 3]>) -> [f64; 3] {
    counts.fold([0.0; 3], |mut sum, counts| {
        for (sum, count) in sum.iter_mut().zip(counts) {
            *sum += count;
        }
        sum
    })
}

fn votes(record: &Value) -> Option<BTreeMap<String, Preference>> {
    let votes = record.get("build")?.get("votes")?.as_array()?;
    let mut given: BTreeMap<String, Option<Preference>> = BTreeMap::new();
    for vote in votes {
        let rater = vote.get("verifier")?.as_str()?;
        let label = vote.get("preference").and_then(label);
        given
            .entry(rater.to_owned())
            .and_modify(|known| *known = known.filter(|known| Some(*known) == label))
            .or_insert(label);
    }
    Some(
        given
            .into_iter()
            .filter_map(|(rater, label)| Some((rater, label?)))
            .collect(),
    )
}

fn ratings(record: &Value) -> Option<BTreeMap<String, Preference>> {
    let given = record.get("ratings")?.as_object()?.iter();
    Some(
        given
            .filter_map(|(rater, given)| Some((rater.clone(), label(given)?)))
            .collect(),
    )
}

fn label(value: &Value) -> Option<Preference> {
    value.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rated(items: &[&[(&str, &str)]]) -> Ratings {
        let mut ratings = Ratings::default();
        for item in items {
            let given: serde_json::Map<_, _> = item
                .iter()
                .map(|(rater, label)| ((*rater).to_owned(), json!(label)))
                .collect();
            ratings.push(&json!({"ratings": given}));
        }
        ratings
    }

    fn close(found: Option<f64>, expected: f64) {
        let found = found.expect("there is a coefficient");
        assert!((found - expected).abs() < 1e-9, "{found} {expected}");
    }

    /// Two raters, 10 items: 4 both first, 3 both second, 2 first/second, 1 second/first.
    fn ten() -> Ratings {
        let table = [
            ("first", "first", 4),
            ("second", "second", 3),
            ("first", "second", 2),
            ("second", "first", 1),
        ];
        let mut ratings = Ratings::default();
        for (a, b, times) in table {
            for _ in 0..times {
                ratings.push(&json!({"ratings": {"a": a, "b": b}}));
            }
        }
        ratings
    }

    #[test]
    fn coefficients_are_those_worked_out_by_hand() {
        let agreement = ten().agreement().unwrap();
        assert_eq!((agreement.items, agreement.labels), (10, 20));
        // pₒ = 0.7; pₑ = 0.6 · 0.5 + 0.4 · 0.5 = 0.5.
        close(agreement.pairs[0].cohen, 0.4);
        // 11 firsts and 9 seconds: P̄ₑ = 0.55² + 0.45² = 0.505.
        close(agreement.fleiss, (0.7 - 0.505) / 0.495);
        // Dₒ = 6/20; Dₑ = 2 · 11 · 9 / (20 · 19).
        close(agreement.krippendorff, 1.0 - (6.0 / 20.0) / (198.0 / 380.0));
    }

    #[test]
    fn two_raters_may_use_labels_of_any_kind() {
        // Observed 3/4; expected 3/4·1/2 + 1/4·1/2 = 1/2.
        let labels = [("x", "x"), ("x", "x"), ("y", "y"), ("x", "y")];
        let both = PairAgreement::new("a", "b", &labels);
        assert_eq!((both.items, both.observed), (4, 0.75));
        close(both.cohen, 0.5);
        assert_eq!(PairAgreement::new("a", "b", &labels[..2]).cohen, None);
        let none = PairAgreement::new::<u8>("a", "b", &[]);
        assert_eq!((none.items, none.observed, none.cohen), (0, 0.0, None));
    }

    #[test]
    fn missing_labels_leave_alpha_and_take_fleiss() {
        let ratings = rated(&[
            &[("a", "first"), ("b", "first"), ("c", "first")],
            &[("a", "tie"), ("b", "second")],
            &[("a", "second")],
        ]);
        let agreement = ratings.agreement().unwrap();
        assert_eq!(
            (agreement.items, agreement.labels, agreement.fleiss),
            (2, 5, None)
        );
        // n = 5 with 3 firsts, one tie, one second: Dₒ = 2/5, Dₑ = (25 − 9 − 1 − 1) / 20.
        close(agreement.krippendorff, 1.0 - (2.0 / 5.0) / (14.0 / 20.0));
    }

    #[test]
    fn without_variation_there_is_no_coefficient() {
        let agreement = rated(&[&[("a", "tie"), ("b", "tie")]]).agreement().unwrap();
        assert_eq!(
            (
                agreement.krippendorff,
                agreement.fleiss,
                agreement.pairs[0].cohen
            ),
            (None, None, None)
        );
        assert_eq!(rated(&[&[("a", "tie")]]).agreement(), None);
    }

    #[test]
    fn a_verifier_that_contradicts_itself_has_no_vote() {
        let vote = |verifier: &str, preference: &str| json!({"verifier": verifier, "preference": preference});
        let votes = [
            vote("x", "first"),
            vote("x", "second"),
            vote("y", "first"),
            vote("y", "first"),
            vote("z", "tie"),
        ];
        let mut ratings = Ratings::default();
        ratings.push(&json!({"build": {"votes": votes}}));
        assert_eq!(ratings.items[0].keys().collect::<Vec<_>>(), ["y", "z"]);
    }
}
