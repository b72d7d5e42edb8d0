use omnireward_core::Preference;

use super::{Judgement, Likelihood};

/// Two responses of an item and what its judgement says of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Comparison {
    /// Its place among the item's responses.
    pub first: usize,
    /// Its place among the item's responses.
    pub second: usize,
    pub outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Outcome {
    /// The first is preferred with this probability, else the second.
    Decided(f64),
    Tied,
}

/// The negative logarithm of the probability of one outcome, and its derivatives.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Term {
    pub loss: f64,
    /// By the difference of the two rewards.
    pub by_difference: f64,
    /// By the tie parameter.
    pub by_tie: f64,
}

/// All comparisons of two that a judgement of so many responses implies.
pub(super) fn comparisons(judgement: &Judgement, responses: usize) -> Vec<Comparison> {
    match judgement {
        Judgement::Preferred(preference) => vec![of_two(responses, (*preference).into())],
        Judgement::Probability(first) => vec![of_two(responses, Outcome::Decided(*first))],
        Judgement::Ranking(ranks) => {
            assert_eq!(
                ranks.len(),
                responses,
                "a ranking has a rank for each response"
            );
            of_ranks(ranks)
        }
    }
}

fn of_two(responses: usize, outcome: Outcome) -> Comparison {
    assert_eq!(responses, 2, "a preference is between two responses");
    Comparison {
        first: 0,
        second: 1,
        outcome,
    }
}

fn of_ranks(ranks: &[u32]) -> Vec<Comparison> {
    let pairs = (1..ranks.len()).flat_map(|second| (0..second).map(move |first| (first, second)));
    pairs
        .map(|(first, second)| Comparison {
            first,
            second,
            outcome: Preference::from_lower(ranks[first], ranks[second]).into(),
        })
        .collect()
}

impl Comparison {
    /// Its term, by the difference of its rewards, or nothing when the likelihood does not speak of it.
    pub(super) fn term(
        &self,
        likelihood: Likelihood,
        rewards: &[f64],
        margin: f64,
        tie: f64,
    ) -> Option<Term> {
        let difference = rewards[self.first] - rewards[self.second];
        match self.outcome {
            Outcome::Decided(first) => {
                let for_first = likelihood.preferred(difference - margin, tie);
                let for_second = likelihood.preferred(-difference - margin, tie).mirrored();
                Some(for_first.mixed(first, &for_second))
            }
            Outcome::Tied => likelihood.tied(difference, tie),
        }
    }
}

impl Outcome {
    /// The preference it is counted as.
    pub(super) fn label(self) -> Preference {
        match self {
            Self::Decided(first) => Preference::from_higher(first, 0.5),
            Self::Tied => Preference::Tie,
        }
    }
}

impl From<Preference> for Outcome {
    fn from(preference: Preference) -> Self {
        match preference {
            Preference::First => Self::Decided(1.0),
            Preference::Second => Self::Decided(0.0),
            Preference::Tie => Self::Tied,
        }
    }
}

impl Term {
    /// The same with the responses in the other order.
    fn mirrored(self) -> Self {
        Self {
            by_difference: -self.by_difference,
            ..self
        }
    }

    /// So much of this, and the rest of `other`.
    fn mixed(self, share: f64, other: &Self) -> Self {
        let mix = |own: f64, other: f64| share * own + (1.0 - share) * other;
        Self {
            loss: mix(self.loss, other.loss),
            by_difference: mix(self.by_difference, other.by_difference),
            by_tie: mix(self.by_tie, other.by_tie),
        }
    }
}
