//! The one rule by which ratings and rankings become pairs.
//!
//! Several published sets rate single responses instead of comparing two. Within one prompt and
//! one criterion, every two rated responses make a pair, in the order of the file: the one with
//! the higher mean is preferred, and equal means are a tie. A [`TieRule`] may widen the tie to
//! gaps that are small beside the spread of the raters.
//!
//! Ranks are ratings with the sign turned: rank 1 beats rank 2, and equal ranks are a tie.

use omnireward_core::{Part, Preference, PreferencePair, Response, Task};
use serde_json::{Map, Value, json};

use super::source;
use crate::RowError;

/// When two ratings count as equal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum TieRule {
    /// Only when the means are equal.
    EqualMeans,
    /// When the means differ by less than this share of the raters' pooled standard deviation,
    /// `|m1 − m2| < share · sqrt((s1² + s2²) / 2)`: the effect size (Cohen's d) is below `share`.
    EffectBelow(f64),
}

impl TieRule {
    fn is_tie(self, first: &Rating, second: &Rating) -> bool {
        let gap = (first.mean - second.mean).abs();
        match self {
            Self::EqualMeans => gap == 0.0,
            Self::EffectBelow(share) => {
                let spread = |rating: &Rating| rating.spread.unwrap_or(0.0).powi(2);
                let pooled = f64::midpoint(spread(first), spread(second)).sqrt();
                gap < share * pooled || gap == 0.0
            }
        }
    }

    /// Which of two ratings is preferred.
    pub(crate) fn prefer(self, first: &Rating, second: &Rating) -> Preference {
        if self.is_tie(first, second) {
            Preference::Tie
        } else if first.mean > second.mean {
            Preference::First
        } else {
            Preference::Second
        }
    }
}

/// What raters said about one response under one criterion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rating {
    /// The mean over the raters; higher is better.
    pub(crate) mean: f64,
    /// The raters' standard deviation, where the set gives it.
    pub(crate) spread: Option<f64>,
}

impl Rating {
    /// A rating known only by its mean.
    pub(crate) fn of(mean: f64) -> Self {
        Self { mean, spread: None }
    }

    /// The mean and the sample standard deviation of single ratings; `None` when there are none.
    /// One rating has no spread.
    pub(crate) fn mean_of(ratings: &[f64]) -> Option<Self> {
        if ratings.is_empty() {
            return None;
        }
        let count = ratings.len() as f64;
        let mean = ratings.iter().sum::<f64>() / count;
        let squares: f64 = ratings.iter().map(|rating| (rating - mean).powi(2)).sum();
        let spread = (ratings.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
        Some(Self { mean, spread })
    }

    /// A rank as a rating: 1 is best.
    pub(crate) fn from_rank(rank: u32) -> Self {
        Self::of(-f64::from(rank))
    }
}

/// One rated response.
#[derive(Clone, Debug)]
pub(crate) struct Rated {
    /// Names the response within its item, and so in the pair's id.
    pub(crate) key: String,
    /// The response.
    pub(crate) response: Response,
    /// Its rating.
    pub(crate) rating: Rating,
    /// The other fields of its record.
    pub(crate) details: Map<String, Value>,
}

/// What the rated responses of one prompt share.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// Stands before the two keys in each pair's id.
    pub(crate) id: String,
    /// The mapping.
    pub(crate) task: Task,
    /// The prompt, with its media.
    pub(crate) prompt: Vec<Part>,
    /// The wording of the criterion; empty for none.
    pub(crate) criterion: String,
    /// The set or subset.
    pub(crate) source: String,
    /// The key that the pairs of one prompt share.
    pub(crate) group: String,
    /// Fields copied to every pair.
    pub(crate) extra: Map<String, Value>,
}

/// All pairs of an item's responses, made as they are asked for. Ids are
/// `<item>/<key>_vs_<key>`; `extra` holds both means as `ratings` and, where the responses have
/// records of their own, what else those say as `details`.
pub(crate) fn pairs(
    item: Item,
    rated: Vec<Rated>,
    rule: TieRule,
) -> Result<impl Iterator<Item = PreferencePair> + Send + 'static, RowError> {
    source::few(rated.len())?;
    Ok(positions(rated.len()).map(move |(i, j)| pair(&item, &rated[i], &rated[j], rule)))
}

/// The positions of a pair's two sides, in the order of [`pairs`].
pub(crate) fn positions(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count).flat_map(move |i| (i + 1..count).map(move |j| (i, j)))
}

fn pair(item: &Item, first: &Rated, second: &Rated, rule: TieRule) -> PreferencePair {
    let id = format!("{}/{}_vs_{}", item.id, first.key, second.key);
    let responses = [first.response.clone(), second.response.clone()];
    let mut pair = PreferencePair::new(id, item.task, "", responses)
        .with_criterion(item.criterion.as_str())
        .with_label(rule.prefer(&first.rating, &second.rating));
    pair.prompt.clone_from(&item.prompt);
    pair.source = Some(item.source.clone());
    pair.group = Some(item.group.clone());
    pair.extra.clone_from(&item.extra);
    pair.extra.insert(
        "ratings".to_owned(),
        json!([first.rating.mean, second.rating.mean]),
    );
    if let (Some(one), Some(two)) = (first.rating.spread, second.rating.spread) {
        pair.extra.insert("spreads".to_owned(), json!([one, two]));
    }
    if !first.details.is_empty() || !second.details.is_empty() {
        let details = json!([first.details, second.details]);
        pair.extra.insert("details".to_owned(), details);
    }
    pair
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rating(mean: f64, spread: f64) -> Rating {
        Rating {
            mean,
            spread: Some(spread),
        }
    }

    #[test]
    fn the_higher_mean_wins_and_equal_means_tie() {
        let rule = TieRule::EqualMeans;
        assert_eq!(
            rule.prefer(&Rating::of(3.0), &Rating::of(2.9)),
            Preference::First
        );
        assert_eq!(
            rule.prefer(&Rating::of(2.0), &Rating::of(2.9)),
            Preference::Second
        );
        assert_eq!(
            rule.prefer(&Rating::of(2.0), &Rating::of(2.0)),
            Preference::Tie
        );
    }

    #[test]
    fn the_spread_widens_the_tie() {
        let effect = TieRule::EffectBelow(0.5);
        assert_eq!(
            effect.prefer(&rating(3.0, 1.0), &rating(2.6, 1.0)),
            Preference::Tie
        );
        assert_eq!(
            effect.prefer(&rating(3.0, 0.2), &rating(2.6, 0.2)),
            Preference::First
        );
        assert_eq!(
            effect.prefer(&rating(3.0, 0.0), &rating(3.0, 0.0)),
            Preference::Tie
        );
    }

    #[test]
    fn ranks_prefer_the_lower() {
        let rule = TieRule::EqualMeans;
        assert_eq!(
            rule.prefer(&Rating::from_rank(1), &Rating::from_rank(2)),
            Preference::First
        );
        assert_eq!(
            rule.prefer(&Rating::from_rank(4), &Rating::from_rank(4)),
            Preference::Tie
        );
    }

    #[test]
    fn no_ratings_have_no_mean() {
        assert_eq!(Rating::mean_of(&[]), None);
        assert_eq!(Rating::mean_of(&[2.0]), Some(Rating::of(2.0)));
        assert_eq!(Rating::mean_of(&[1.0, 2.0, 3.0]), Some(rating(2.0, 1.0)));
    }

    proptest! {
        #[test]
        fn exchanging_the_ratings_exchanges_the_preference(
            a in -5.0..5.0, b in -5.0..5.0, s in 0.0..2.0, t in 0.0..2.0, width in 0.0..2.0
        ) {
            let (one, two) = (rating(a, s), rating(b, t));
            for rule in [TieRule::EqualMeans, TieRule::EffectBelow(width)] {
                prop_assert_eq!(rule.prefer(&one, &two), rule.prefer(&two, &one).swapped());
            }
        }
    }
}
