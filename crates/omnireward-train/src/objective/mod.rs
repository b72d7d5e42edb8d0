//! What training makes smaller: how unlikely the labels are under the rewards.
//!
//! Four likelihoods turn rewards into probabilities of what a person says; [`Objective::evaluate`] adds up their
//! negative logarithms over questions and differentiates them by hand, in `f64`. Rewards `r`, `Δ` the difference of
//! two, `σ` the logistic function, `τ` the tie parameter, which is learned with the model:
//!
//! | | one of two is preferred | a tie |
//! |---|---|---|
//! | [`BradleyTerry`](Likelihood::BradleyTerry) | `σ(Δ)` | is left out, and counted |
//! | [`Davidson`](Likelihood::Davidson) | `e^{Δ/2} / z`, `z = e^{Δ/2} + e^{-Δ/2} + ν`, `log ν = τ` | `ν / z` |
//! | [`RaoKupper`](Likelihood::RaoKupper) | `σ(Δ - log θ)`, `log θ = log(1 + e^τ)` | the rest |
//! | [`PlackettLuce`](Likelihood::PlackettLuce) | the best is chosen, then the best of the others, … | is left out, and counted |
//!
//! A tie is the likeliest outcome near `Δ = 0` as soon as `τ > 0`, under both that know ties; see
//! [`Objective::tie_margin`].

mod bradley_terry;
mod comparison;
mod davidson;
mod logistic;
mod plackett_luce;
mod rao_kupper;
#[cfg(test)]
mod tests;

use std::{
    cmp::Ordering,
    ops::{AddAssign, Range},
};

use omnireward_core::Preference;
use serde::{Deserialize, Serialize};

use comparison::{Comparison, Outcome, Term};

/// One question put to the rewards: which of some responses is preferred.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The places of its responses among the rewards.
    pub responses: Range<usize>,
    /// What the label says.
    pub judgement: Judgement,
    /// How much it counts: its loss and its gradient are multiplied by this.
    pub weight: f64,
    /// The share of its gradient that is taken, where another loss of the same pair has the rest: 1 for all of it.
    pub share: f64,
    /// By how much the preferred reward is to be higher before it counts as higher; 0 for none (Touvron et al.
    /// 2023, eq. 2).
    pub margin: f64,
}

/// What a label says about the responses of one [`Item`].
#[derive(Clone, Debug, PartialEq)]
pub enum Judgement {
    /// Which of two is preferred.
    Preferred(Preference),
    /// How probable it is that the first of two is preferred: a soft label.
    Probability(f64),
    /// A rank for each response, 1 for the best, the same for those that tie.
    Ranking(Vec<u32>),
}

impl Judgement {
    /// The place of the response that none is preferred to, if there is one such; the first of those that tie with it
    /// in a ranking that prefers them to others.
    pub fn best(&self) -> Option<usize> {
        match self {
            Self::Preferred(Preference::First) => Some(0),
            Self::Preferred(Preference::Second) => Some(1),
            Self::Preferred(Preference::Tie) => None,
            Self::Probability(first) => match first.total_cmp(&0.5) {
                Ordering::Greater => Some(0),
                Ordering::Less => Some(1),
                Ordering::Equal => None,
            },
            Self::Ranking(ranks) => {
                let best = ranks.iter().min()?;
                let is_preferred = ranks.iter().any(|rank| rank != best);
                ranks
                    .iter()
                    .position(|rank| rank == best)
                    .filter(|_| is_preferred)
            }
        }
    }
}

/// How rewards become probabilities of judgements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Likelihood {
    /// Bradley and Terry (1952). A ranking is the mean of its comparisons.
    BradleyTerry,
    /// Davidson (1970): ties have a width of their own, which is learned.
    Davidson,
    /// Rao and Kupper (1967): rewards closer than a threshold, which is learned, are hard to tell apart.
    RaoKupper,
    /// Plackett (1975) and Luce (1959): a ranking is a row of choices. Of two, the same as Bradley–Terry.
    PlackettLuce,
}

/// The loss of training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    /// How rewards become probabilities of judgements.
    pub likelihood: Likelihood,
    /// Coefficient of the squared sum of a pair's rewards, which keeps rewards around zero (Eisenstein et al. 2023;
    /// `center_rewards_coefficient` of TRL). 0 leaves them where they are. Of more than two responses, it is the
    /// mean over their pairs.
    pub centring: f64,
}

/// What [`Objective::evaluate`] found.
///
/// All are sums, not means, so that those of parts add up to that of the whole; the mean loss is `loss / weight`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// `Σ wᵢ·ℓᵢ` over the items that the likelihood speaks of.
    pub loss: f64,
    /// `Σ wᵢ` over the same items.
    pub weight: f64,
    /// The derivative of `loss` by each reward, of each item its share.
    pub gradient: Vec<f64>,
    /// The derivative of `loss` by the tie parameter, of each item its share.
    pub tie_gradient: f64,
    /// How the rewards agree with the labels.
    pub counts: Counts,
}

/// How rewards agree with labels, counted over comparisons of two: a ranking of `k` responses is `k(k-1)/2` of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Comparisons whose label prefers one side.
    pub comparisons: u64,
    /// Those of them where that side has the higher reward; equal rewards are not correct.
    pub correct: u64,
    /// Comparisons whose label is a tie, or a soft label of one half.
    pub ties: u64,
    /// Ties that the likelihood does not speak of: they have no part in the loss.
    pub left_out: u64,
    /// `Σ (chosen - rejected)` over `comparisons`.
    pub margin: f64,
}

impl Objective {
    /// Adds up the loss of `items` and its derivatives by `rewards` and by the tie parameter `tie`, which is `τ` of
    /// the [module's table](self) (and of no effect under a likelihood without ties).
    ///
    /// The loss of an item is `-log P` of its judgement. Under a likelihood of pairs, a ranking is the mean over its
    /// comparisons; under Plackett–Luce, it is the mean over its choices. A margin is taken from the preferred reward
    /// wherever one is preferred. A soft label `p` is `p` of a preference for the first and `1 - p` of one for the
    /// second. Centring is added to an item that has a loss.
    ///
    /// # Panics
    ///
    /// Panics when an item names a place beyond the rewards, or its judgement is of another number of responses.
    pub fn evaluate(&self, rewards: &[f64], items: &[Item], tie: f64) -> Evaluation {
        let mut evaluation = Evaluation {
            gradient: vec![0.0; rewards.len()],
            ..Evaluation::default()
        };
        for item in items {
            let own = &rewards[item.responses.clone()];
            let comparisons = comparison::comparisons(&item.judgement, own.len());
            for comparison in &comparisons {
                evaluation
                    .counts
                    .add(comparison, own, self.likelihood.knows_ties());
            }
            if let Some(loss) = self.loss(own, item, &comparisons, tie) {
                evaluation.add(item, &loss);
            }
        }
        evaluation
    }

    /// The difference of two rewards below which a tie is the likeliest outcome; 0 where it never is.
    pub fn tie_margin(&self, tie: f64) -> f64 {
        match self.likelihood {
            Likelihood::BradleyTerry | Likelihood::PlackettLuce => 0.0,
            Likelihood::Davidson => davidson::tie_margin(tie),
            Likelihood::RaoKupper => rao_kupper::tie_margin(tie),
        }
    }

    /// The loss of one item, or nothing when the likelihood does not speak of it.
    fn loss(
        &self,
        rewards: &[f64],
        item: &Item,
        comparisons: &[Comparison],
        tie: f64,
    ) -> Option<ItemLoss> {
        let mut loss = match (self.likelihood, &item.judgement) {
            (Likelihood::PlackettLuce, Judgement::Ranking(ranks)) => {
                plackett_luce::ranking(rewards, ranks, item.margin)
            }
            _ => self.pairwise(rewards, item.margin, comparisons, tie),
        }?;
        loss.centre(rewards, self.centring);
        Some(loss)
    }

    /// The mean over those comparisons that the likelihood speaks of.
    fn pairwise(
        &self,
        rewards: &[f64],
        margin: f64,
        comparisons: &[Comparison],
        tie: f64,
    ) -> Option<ItemLoss> {
        let terms: Vec<(&Comparison, Term)> = comparisons
            .iter()
            .filter_map(|comparison| {
                let term = comparison.term(self.likelihood, rewards, margin, tie)?;
                Some((comparison, term))
            })
            .collect();
        if terms.is_empty() {
            return None;
        }
        let share = 1.0 / terms.len() as f64;
        let mut loss = ItemLoss::nothing(rewards.len());
        for (comparison, term) in terms {
            loss.loss += share * term.loss;
            loss.gradient[comparison.first] += share * term.by_difference;
            loss.gradient[comparison.second] -= share * term.by_difference;
            loss.by_tie += share * term.by_tie;
        }
        Some(loss)
    }
}

impl Likelihood {
    /// Whether a tie is a label to learn from, by a tie parameter that is learned too.
    pub const fn knows_ties(self) -> bool {
        match self {
            Self::Davidson | Self::RaoKupper => true,
            Self::BradleyTerry | Self::PlackettLuce => false,
        }
    }

    /// One side is preferred, whose reward is higher by `advantage`.
    fn preferred(self, advantage: f64, tie: f64) -> Term {
        match self {
            Self::BradleyTerry | Self::PlackettLuce => bradley_terry::preferred(advantage),
            Self::Davidson => davidson::preferred(advantage, tie),
            Self::RaoKupper => rao_kupper::preferred(advantage, tie),
        }
    }

    /// Two responses tie whose rewards differ by `difference`.
    fn tied(self, difference: f64, tie: f64) -> Option<Term> {
        match self {
            Self::BradleyTerry | Self::PlackettLuce => None,
            Self::Davidson => Some(davidson::tied(difference, tie)),
            Self::RaoKupper => Some(rao_kupper::tied(difference, tie)),
        }
    }
}

impl Evaluation {
    fn add(&mut self, item: &Item, loss: &ItemLoss) {
        self.loss += item.weight * loss.loss;
        self.weight += item.weight;
        let weight = item.share * item.weight;
        self.tie_gradient += weight * loss.by_tie;
        for (sum, own) in self.gradient[item.responses.clone()]
            .iter_mut()
            .zip(&loss.gradient)
        {
            *sum += weight * own;
        }
    }
}

impl Counts {
    fn add(&mut self, comparison: &Comparison, rewards: &[f64], ties_are_known: bool) {
        let difference = rewards[comparison.first] - rewards[comparison.second];
        match comparison.outcome.label() {
            Preference::First => self.decided(difference),
            Preference::Second => self.decided(-difference),
            Preference::Tie => {
                self.ties += 1;
                let left_out = comparison.outcome == Outcome::Tied && !ties_are_known;
                self.left_out += u64::from(left_out);
            }
        }
    }

    fn decided(&mut self, advantage: f64) {
        self.comparisons += 1;
        self.correct += u64::from(advantage > 0.0);
        self.margin += advantage;
    }
}

impl Counts {
    /// The share of comparisons that are correct; nothing where there are none.
    pub fn accuracy(&self) -> Option<f64> {
        self.mean(self.correct as f64)
    }

    /// By how much the chosen reward is higher than the rejected one, on average; nothing where there are none.
    pub fn mean_margin(&self) -> Option<f64> {
        self.mean(self.margin)
    }

    fn mean(&self, sum: f64) -> Option<f64> {
        (self.comparisons > 0).then(|| sum / self.comparisons as f64)
    }
}

/// Joins the evaluation of further rewards: sums are added, and the gradient by those rewards comes after its own.
impl AddAssign for Evaluation {
    fn add_assign(&mut self, other: Self) {
        self.loss += other.loss;
        self.weight += other.weight;
        self.gradient.extend(other.gradient);
        self.tie_gradient += other.tie_gradient;
        self.counts += other.counts;
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.comparisons += other.comparisons;
        self.correct += other.correct;
        self.ties += other.ties;
        self.left_out += other.left_out;
        self.margin += other.margin;
    }
}

/// The loss of one item, before its weight, and its derivatives by the item's own rewards.
struct ItemLoss {
    loss: f64,
    gradient: Vec<f64>,
    by_tie: f64,
}

impl ItemLoss {
    fn nothing(responses: usize) -> Self {
        Self {
            loss: 0.0,
            gradient: vec![0.0; responses],
            by_tie: 0.0,
        }
    }

    /// Adds the mean over pairs of `coefficient · (rᵢ + rⱼ)²`.
    fn centre(&mut self, rewards: &[f64], coefficient: f64) {
        let pairs = rewards.len() * rewards.len().saturating_sub(1) / 2;
        let share = coefficient / pairs as f64;
        for second in 1..rewards.len() {
            for first in 0..second {
                let sum = rewards[first] + rewards[second];
                self.loss += share * sum * sum;
                self.gradient[first] += 2.0 * share * sum;
                self.gradient[second] += 2.0 * share * sum;
            }
        }
    }
}
