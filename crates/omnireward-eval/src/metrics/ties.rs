//! Ties read from margins: when two scores are close enough to call the responses equal.
//!
//! A threshold `e` turns a margin `m` into a tie when `|m| ≤ e` and into its sign otherwise. The
//! accuracy counts concordant verdicts and ties that both sides see (Deutsch, Foster and Freitag
//! 2023, arXiv 2305.14324, "pairwise accuracy with tie calibration").
//!
//! Three ways to choose `e` stand beside each other. [`fit`] tries every threshold that makes a
//! difference on the pairs at hand, so what it reports is an upper bound. [`cross_fit`] applies to
//! each fold the threshold of the others. [`walk`] repeats the reference implementation, which
//! published figures come from, with its faults.

use omnireward_core::Preference;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Tally;

/// A margin (first score minus second) with the label it should agree with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// The first response's score minus the second's; finite.
    pub margin: f64,
    /// The label.
    pub label: Preference,
}

/// How margins and labels agree at one threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TieCounts {
    /// Neither is a tie and they agree.
    pub concordant: u64,
    /// Neither is a tie and they disagree. A margin of zero that is not declared a tie is here.
    pub discordant: u64,
    /// Only the label is a tie.
    pub label_ties: u64,
    /// Only the verdict is a tie.
    pub judge_ties: u64,
    /// Both are ties.
    pub both_ties: u64,
}

impl TieCounts {
    /// Verdicts that equal the label.
    pub const fn hits(&self) -> u64 {
        self.concordant + self.both_ties
    }

    /// All pairs.
    pub const fn total(&self) -> u64 {
        self.concordant + self.discordant + self.label_ties + self.judge_ties + self.both_ties
    }

    /// `hits / total`; `None` without pairs.
    pub fn accuracy(&self) -> Option<f64> {
        (self.total() > 0).then(|| self.hits() as f64 / self.total() as f64)
    }

    /// The counts when nothing is declared a tie.
    fn untied(scored: &[Scored]) -> Self {
        let mut counts = Self::default();
        for s in scored {
            *counts.untied_cell(*s) += 1;
        }
        counts
    }

    /// Declares one pair a tie.
    fn tie(&mut self, scored: Scored) {
        *self.untied_cell(scored) -= 1;
        if scored.label == Preference::Tie {
            self.both_ties += 1;
        } else {
            self.judge_ties += 1;
        }
    }

    fn untied_cell(&mut self, scored: Scored) -> &mut u64 {
        if scored.label == Preference::Tie {
            &mut self.label_ties
        } else if sign(scored.margin) == scored.label {
            &mut self.concordant
        } else {
            &mut self.discordant
        }
    }
}

/// A threshold and what it gives on the pairs it was fitted on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TieThreshold {
    /// Margins up to this size are ties; `None` declares none, not even a margin of zero.
    pub threshold: Option<f64>,
    /// The counts at this threshold.
    pub counts: TieCounts,
    /// Whether another threshold gives the same accuracy. The smallest is reported.
    pub ambiguous: bool,
}

impl TieThreshold {
    /// The verdict that a margin becomes. A margin of zero is a tie at any threshold: where none
    /// was the best choice, no pair with equal scores had a tie for a label.
    pub fn apply(&self, margin: f64) -> Preference {
        if self
            .threshold
            .is_some_and(|threshold| margin.abs() <= threshold)
        {
            Preference::Tie
        } else {
            sign(margin)
        }
    }
}

/// What the reference's walk over margins gives.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Walk {
    /// The best number of hits it read.
    pub hits: u64,
    /// The number of pairs.
    pub total: u64,
    /// `hits / total`; `None` without pairs, where the reference returns −∞.
    pub accuracy: Option<f64>,
}

/// Verdicts from thresholds fitted on the other folds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrossFit {
    /// The threshold applied to each fold, fitted on the others.
    pub folds: Vec<TieThreshold>,
    /// Hits on held-out pairs, with failures apart.
    pub tally: Tally,
}

/// The accuracy at one threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// The threshold; `None` declares no tie.
    pub threshold: Option<f64>,
    /// The accuracy over scored pairs.
    pub accuracy: f64,
    /// The share of pairs declared a tie.
    pub tied: f64,
}

/// Everything about tie thresholds on one task. Accuracies are over pairs with a finite margin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TieAnalysis {
    /// The best threshold on these pairs: an upper bound.
    pub fitted: TieThreshold,
    /// Its accuracy.
    pub fitted_accuracy: Option<f64>,
    /// Thresholds fitted on other folds, from which the headline comes.
    pub cross_fitted: CrossFit,
    /// The accuracy of held-out verdicts over scored pairs.
    pub cross_fitted_accuracy: Option<f64>,
    /// The reference's figure, with pairs in the benchmark's order.
    pub parity: Walk,
    /// Accuracy against threshold, from no tie to all tied; thinned to at most
    /// [`CURVE_POINTS`].
    pub curve: Vec<CurvePoint>,
}

/// The most points a tie curve keeps.
pub const CURVE_POINTS: usize = 200;

/// The threshold with the highest accuracy on `scored`; among equals, the smallest.
///
/// Margins of equal size move together, and declaring no tie is among the choices. `None` without
/// pairs.
pub fn fit(scored: &[Scored]) -> Option<TieThreshold> {
    let states = states(scored);
    let best = states.iter().map(|(_, counts)| counts.hits()).max()?;
    let mut winners = states.iter().filter(|(_, counts)| counts.hits() == best);
    let (threshold, counts) = *winners.next()?;
    Some(TieThreshold {
        threshold,
        counts,
        ambiguous: winners.next().is_some(),
    })
}

/// Gives each pair the verdict of a threshold fitted on the folds it is not in.
///
/// `clusters[i]` names what pair `i` is drawn with; a cluster is never divided. Folds are dealt
/// out in the order of a seeded hash of the names, so they depend neither on the order of the
/// pairs nor on the machine. With fewer clusters than folds, each is a fold; with a single
/// cluster nothing can be held out and no tie is declared.
///
/// Returns the threshold of each fold and the verdict on each pair.
pub fn cross_fit(
    scored: &[Scored],
    clusters: &[&str],
    folds: u32,
    seed: u64,
) -> (Vec<TieThreshold>, Vec<Preference>) {
    let fold_of = deal(clusters, folds, seed);
    let count = fold_of.iter().max().map_or(0, |last| last + 1);
    let thresholds: Vec<TieThreshold> = (0..count)
        .map(|fold| {
            let others: Vec<Scored> = scored
                .iter()
                .zip(&fold_of)
                .filter(|(_, of)| **of != fold)
                .map(|(s, _)| *s)
                .collect();
            fit(&others).unwrap_or(TieThreshold {
                threshold: None,
                counts: TieCounts::default(),
                ambiguous: false,
            })
        })
        .collect();
    let verdicts = scored
        .iter()
        .zip(&fold_of)
        .map(|(s, fold)| thresholds[*fold].apply(s.margin))
        .collect();
    (thresholds, verdicts)
}

/// The reference's calibration, fault for fault.
///
/// Pairs are declared ties one at a time in the order of `|margin|` (stable, so equal margins keep
/// the order of `scored`), and the accuracy is read after each. Declaring none is never tried, and
/// margins of equal size pass through states that no threshold gives. So the figure depends on the
/// order of the pairs and may be above or below the true optimum; see [`fit`].
pub fn walk(scored: &[Scored]) -> Walk {
    let mut sorted = scored.to_vec();
    sorted.sort_by(|a, b| a.margin.abs().total_cmp(&b.margin.abs()));
    let mut counts = TieCounts::untied(scored);
    let best = sorted
        .into_iter()
        .map(|s| {
            counts.tie(s);
            counts.hits()
        })
        .max();
    let total = scored.len() as u64;
    Walk {
        hits: best.unwrap_or(0),
        total,
        accuracy: best.map(|hits| hits as f64 / total as f64),
    }
}

/// The accuracy at every threshold that makes a difference, thinned evenly to `points`.
pub fn curve(scored: &[Scored], points: usize) -> Vec<CurvePoint> {
    let states = states(scored);
    let last = states.len().saturating_sub(1);
    let kept = states.len().min(points.max(2));
    (0..kept)
        .map(|i| states[if kept > 1 { i * last / (kept - 1) } else { 0 }])
        .filter_map(|(threshold, counts)| {
            Some(CurvePoint {
                threshold,
                accuracy: counts.accuracy()?,
                tied: (counts.judge_ties + counts.both_ties) as f64 / counts.total() as f64,
            })
        })
        .collect()
}

/// The share of pairs with a label other than a tie whose margin has the label's sign; equality is
/// wrong. The first number is the hits, the second the pairs.
pub fn sign_accuracy(scored: &[Scored]) -> (u64, u64) {
    let decided = scored.iter().filter(|s| s.label != Preference::Tie);
    let hits = decided.clone().filter(|s| sign(s.margin) == s.label);
    (hits.count() as u64, decided.count() as u64)
}

/// The counts at no threshold and at each distinct `|margin|`, in rising order.
fn states(scored: &[Scored]) -> Vec<(Option<f64>, TieCounts)> {
    let mut sorted = scored.to_vec();
    sorted.sort_by(|a, b| a.margin.abs().total_cmp(&b.margin.abs()));
    let mut counts = TieCounts::untied(scored);
    let mut states = Vec::new();
    if !sorted.is_empty() {
        states.push((None, counts));
    }
    for equal in sorted.chunk_by(|a, b| a.margin.abs().total_cmp(&b.margin.abs()).is_eq()) {
        for s in equal {
            counts.tie(*s);
        }
        states.push((Some(equal[0].margin.abs()), counts));
    }
    states
}

/// The preference a margin states; zero is a tie.
fn sign(margin: f64) -> Preference {
    Preference::from_higher(margin, 0.0)
}

/// The fold of each entry, by cluster.
fn deal(clusters: &[&str], folds: u32, seed: u64) -> Vec<usize> {
    let mut names: Vec<(Vec<u8>, &str)> = clusters
        .iter()
        .map(|name| (seeded_hash(name, seed), *name))
        .collect();
    names.sort_unstable();
    names.dedup();
    let folds = (folds.max(2) as usize).min(names.len().max(1));
    let fold_of: std::collections::HashMap<&str, usize> = names
        .iter()
        .enumerate()
        .map(|(rank, (_, name))| (*name, rank % folds))
        .collect();
    clusters.iter().map(|name| fold_of[name]).collect()
}

fn seeded_hash(name: &str, seed: u64) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(name.as_bytes());
    hash.finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Preference::{First, Second, Tie};
    use proptest::prelude::*;

    fn scored(pairs: &[(f64, Preference)]) -> Vec<Scored> {
        pairs
            .iter()
            .map(|&(margin, label)| Scored { margin, label })
            .collect()
    }

    /// The best hits over every threshold, from the definition.
    fn brute_force(scored: &[Scored]) -> (u64, usize) {
        let mut thresholds: Vec<f64> = scored.iter().map(|s| s.margin.abs()).collect();
        thresholds.push(-1.0);
        thresholds.sort_by(f64::total_cmp);
        thresholds.dedup();
        let hits = |e: f64| {
            scored
                .iter()
                .filter(|s| {
                    let tied = s.margin.abs() <= e;
                    match s.label {
                        Tie => tied,
                        First => !tied && s.margin > 0.0,
                        Second => !tied && s.margin < 0.0,
                    }
                })
                .count() as u64
        };
        let all: Vec<u64> = thresholds.into_iter().map(hits).collect();
        let best = all.iter().copied().max().unwrap();
        (best, all.iter().filter(|h| **h == best).count())
    }

    #[test]
    fn one_right_pair_scores_nothing_in_the_walk() {
        let one = scored(&[(0.5, First)]);
        assert_eq!(walk(&one).accuracy, Some(0.0));
        let exact = fit(&one).unwrap();
        assert_eq!(
            (exact.threshold, exact.counts.accuracy()),
            (None, Some(1.0))
        );
        assert!(!exact.ambiguous);
    }

    #[test]
    fn no_pairs_are_no_number() {
        assert_eq!(
            walk(&[]),
            Walk {
                hits: 0,
                total: 0,
                accuracy: None
            }
        );
        assert_eq!(fit(&[]), None);
        assert!(curve(&[], 10).is_empty());
        assert!(cross_fit(&[], &[], 5, 0).1.is_empty());
    }

    #[test]
    fn the_walk_reads_states_no_threshold_gives() {
        let ties_first = scored(&[(1.0, Tie), (1.0, First)]);
        let ties_last = scored(&[(1.0, First), (1.0, Tie)]);
        assert_eq!(walk(&ties_first).hits, 2);
        assert_eq!(walk(&ties_last).hits, 1);
        assert_eq!(fit(&ties_first), fit(&ties_last));
        assert_eq!(fit(&ties_first).unwrap().counts.hits(), 1);
        assert!(fit(&ties_first).unwrap().ambiguous);
    }

    #[test]
    fn clusters_are_not_divided_and_folds_ignore_order() {
        let names: Vec<String> = (0..23).map(|i| format!("g{}", i / 2)).collect();
        let clusters: Vec<&str> = names.iter().map(String::as_str).collect();
        let folds = deal(&clusters, 5, 7);
        assert!((0..22).step_by(2).all(|i| folds[i] == folds[i + 1]));
        assert_eq!(folds.iter().max(), Some(&4));
        let mut reversed = clusters.clone();
        reversed.reverse();
        let mut back = deal(&reversed, 5, 7);
        back.reverse();
        assert_eq!(back, folds);
        assert_ne!(deal(&clusters, 5, 8), folds);
    }

    #[test]
    fn held_out_pairs_do_not_choose_their_threshold() {
        // Every cluster but one wants ties up to 1; the odd one is judged by the others' threshold.
        let mut pairs = vec![(0.5, Tie), (1.0, Tie), (3.0, First)];
        pairs.push((0.9, First));
        let (thresholds, verdicts) = cross_fit(&scored(&pairs), &["a", "b", "c", "d"], 4, 0);
        assert_eq!(thresholds.len(), 4);
        assert_eq!(verdicts[3], Tie);
    }

    fn margins() -> impl Strategy<Value = Vec<Scored>> {
        let label = prop::sample::select(Preference::ALL.to_vec());
        prop::collection::vec((-6_i32..=6, label), 1..40).prop_map(|pairs| {
            pairs
                .into_iter()
                .map(|(m, label)| Scored {
                    margin: f64::from(m) / 4.0,
                    label,
                })
                .collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn fit_is_the_brute_force_optimum(scored in margins()) {
            let exact = fit(&scored).unwrap();
            let (best, ways) = brute_force(&scored);
            prop_assert_eq!(exact.counts.hits(), best);
            prop_assert_eq!(exact.counts.total(), scored.len() as u64);
            prop_assert_eq!(exact.ambiguous, ways > 1);
            let applied = scored.iter().filter(|s| exact.apply(s.margin) == s.label).count();
            prop_assert_eq!(applied as u64, best);
        }

        #[test]
        fn swapping_responses_changes_no_threshold(scored in margins()) {
            let swapped: Vec<Scored> = scored
                .iter()
                .map(|s| Scored { margin: -s.margin, label: s.label.swapped() })
                .collect();
            prop_assert_eq!(fit(&scored), fit(&swapped));
            prop_assert_eq!(walk(&scored), walk(&swapped));
        }

        #[test]
        fn the_curve_starts_untied_and_ends_all_tied(scored in margins(), points in 2_usize..20) {
            let curve = curve(&scored, points);
            prop_assert!(curve.len() <= points);
            prop_assert_eq!(curve[0].threshold, None);
            prop_assert_eq!(curve.last().map(|point| point.tied), Some(1.0));
        }
    }
}
