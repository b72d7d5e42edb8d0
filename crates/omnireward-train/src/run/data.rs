//! Which pairs are trained on in which step.

use std::collections::HashMap;

use omnireward_core::{Part, Preference, PreferencePair};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use crate::{
    Error, Result,
    objective::{Judgement, Likelihood},
};

/// Pairs to train on, with what their loss counts.
#[derive(Clone, Debug)]
pub struct TrainingSet {
    /// Its name, for messages and the model card.
    pub name: String,
    /// The pairs.
    pub pairs: Vec<PreferencePair>,
    /// What the loss of each counts.
    pub weight: f64,
    /// The share of their loss that is about words, in place of the recipe's `objective.language_modelling`.
    pub language_modelling: Option<f64>,
}

/// A pair with the answer that is to be learned.
#[derive(Clone, Debug)]
pub(super) struct Example {
    pub(super) pair: PreferencePair,
    pub(super) judgement: Judgement,
    pub(super) weight: f64,
    /// The share of its loss that is about words.
    pub(super) language_modelling: f64,
    pub(super) margin: f64,
}

impl Example {
    /// # Errors
    ///
    /// Fails when the pair has no label that can be learned from.
    pub(super) fn new(pair: PreferencePair, weight: f64, set: &str) -> Result<Self> {
        let number = |field: &str| match pair.extra.get(field) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(number) if number.is_finite() => Ok(Some(number)),
                _ => Err(unusable(&pair, set, format!("`{field}` is not a number"))),
            },
        };
        let margin = number(MARGIN)?.unwrap_or(0.0);
        let probability = number(PROBABILITY)?;
        let judgement = match (probability, pair.label, &pair.ranking) {
            (Some(probability), None, None) if pair.responses.len() == 2 => {
                if !(0.0..=1.0).contains(&probability) {
                    let reason = format!("`{PROBABILITY}` is not from 0 to 1");
                    return Err(unusable(&pair, set, reason));
                }
                Judgement::Probability(probability)
            }
            (None, Some(label), None) if pair.responses.len() == 2 => Judgement::Preferred(label),
            (None, None, Some(ranking)) if ranking.len() == pair.responses.len() => {
                Judgement::Ranking(ranking.clone())
            }
            (None, None, None) => {
                return Err(unusable(&pair, set, "has no label".to_owned()));
            }
            _ => {
                let reason = "has more than one of a label, a ranking and a probability, or one that does not fit its responses";
                return Err(unusable(&pair, set, reason.to_owned()));
            }
        };
        Ok(Self {
            pair,
            judgement,
            weight,
            language_modelling: 0.0,
            margin,
        })
    }
}

impl Example {
    /// Whether a share of its loss is about words.
    pub(super) fn learns_words(&self) -> bool {
        self.language_modelling > 0.0
    }
}

/// The field of a pair that gives the probability that the first response is preferred, in place of a label.
const PROBABILITY: &str = "probability";
/// The field of a pair that says by how much the preferred reward is to be higher.
const MARGIN: &str = "margin";

fn unusable(pair: &PreferencePair, set: &str, reason: String) -> Error {
    Error::Pair {
        set: set.to_owned(),
        pair: pair.id.clone(),
        reason,
    }
}

/// Examples, and those of them that are taken together: the criteria of one scene, whose media are then encoded once.
#[derive(Debug)]
pub(super) struct Examples {
    pub(super) all: Vec<Example>,
    groups: Vec<Vec<usize>>,
}

impl Examples {
    /// Of sets, each with its own share of words or else with `language_modelling`.
    pub(super) fn new(sets: Vec<TrainingSet>, language_modelling: f64) -> Result<Self> {
        let mut all = Vec::new();
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for set in sets {
            if set.pairs.is_empty() {
                return Err(Error::NoPairs { set: set.name });
            }
            let mut known: HashMap<String, usize> = HashMap::new();
            for pair in set.pairs {
                let group = *known.entry(pair.cluster().to_owned()).or_insert_with(|| {
                    groups.push(Vec::new());
                    groups.len() - 1
                });
                groups[group].push(all.len());
                all.push(Example {
                    language_modelling: set.language_modelling.unwrap_or(language_modelling),
                    ..Example::new(pair, set.weight, &set.name)?
                });
            }
        }
        Ok(Self { all, groups })
    }

    /// # Errors
    ///
    /// Fails when the likelihood can learn from none of the examples, since all are ties.
    pub(super) fn check(&self, likelihood: Likelihood) -> Result<()> {
        let pairs = self.all.len();
        if self.left_out(likelihood) == pairs as u64 {
            return Err(Error::OnlyTies { pairs });
        }
        Ok(())
    }

    /// Examples that are ties, where the likelihood does not speak of them.
    pub(super) fn left_out(&self, likelihood: Likelihood) -> u64 {
        if likelihood.knows_ties() {
            return 0;
        }
        let is_tie = |example: &&Example| match &example.judgement {
            Judgement::Preferred(preference) => *preference == Preference::Tie,
            Judgement::Probability(_) => false,
            Judgement::Ranking(ranks) => ranks.iter().all(|rank| *rank == ranks[0]),
        };
        self.all.iter().filter(is_tie).count() as u64
    }

    /// Whether a share of any example's loss is about words.
    pub(super) fn have_words(&self) -> bool {
        self.all.iter().any(Example::learns_words)
    }

    /// # Errors
    ///
    /// Fails when a share of the loss is about words and there are none to learn.
    pub(super) fn check_words(&self) -> Result<()> {
        let has_words = |example: &Example| {
            let pair = &example.pair;
            example.judgement.best().is_some_and(|best| {
                let parts = pair.prompt.iter().chain(&pair.responses[best].parts);
                let mut words = parts.filter_map(Part::as_text);
                words.any(|words| !words.is_empty())
            })
        };
        let mut learning = self.all.iter().filter(|example| example.learns_words());
        match learning.clone().next() {
            Some(first) if !learning.any(has_words) => Err(Error::NoWords {
                share: first.language_modelling,
            }),
            _ => Ok(()),
        }
    }

    /// The steps of an epoch: groups in an order of their own, as many to a step as make `pairs` pairs. The last step
    /// may have fewer.
    ///
    /// The order depends on the seed and the epoch alone, so that a run that is taken up again goes on with the pairs
    /// that it would have had.
    pub(super) fn steps(&self, seed: u64, epoch: u64, pairs: usize) -> Vec<Vec<usize>> {
        in_steps(&self.groups, seed, epoch, pairs)
    }
}

/// Members of groups in an order that the seed and the epoch give to groups, as many groups together as make so many
/// members. The last part may have fewer.
pub(crate) fn in_steps(
    groups: &[Vec<usize>],
    seed: u64,
    epoch: u64,
    members: usize,
) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..groups.len()).collect();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(epoch);
    order.shuffle(&mut random);
    let mut steps = Vec::new();
    let mut step = Vec::new();
    for group in order {
        step.extend(&groups[group]);
        if step.len() >= members {
            steps.push(std::mem::take(&mut step));
        }
    }
    if !step.is_empty() {
        steps.push(step);
    }
    steps
}
