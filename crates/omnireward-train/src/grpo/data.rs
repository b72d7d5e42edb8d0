//! Which pairs a round asks about.

use std::collections::HashMap;

use omnireward_core::{
    ChatMessage, ModelError, Order, OrderPolicy, Preference, PreferencePair, Setting,
};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::Question;
use crate::{Error, Result, run::in_steps};

/// Pairs to ask about.
#[derive(Clone, Debug)]
pub struct QuestionSet {
    /// Its name, for messages and the record.
    pub name: String,
    /// The pairs.
    pub pairs: Vec<PreferencePair>,
    /// The share of them that is drawn; all of them for none.
    pub share: Option<f64>,
}

/// How a judge asks and is understood: the caller's prompts and parser.
pub trait Protocol: Sync {
    /// The conversation that asks about a pair as it stands.
    ///
    /// # Errors
    ///
    /// When a medium cannot be read, or the pair has not two responses.
    fn messages(
        &self,
        pair: &PreferencePair,
        setting: Setting,
    ) -> Result<Vec<ChatMessage>, ModelError>;

    /// The verdict that can be read from a reply.
    fn verdict(&self, reply: &str, setting: Setting) -> Option<Preference>;
}

/// Pairs with a label that is among the answers offered, and which of them are taken together.
pub(super) struct Pool {
    pub(super) pairs: Vec<PreferencePair>,
    /// Pairs that share what they are about, as the criteria of one scene do.
    groups: Vec<Vec<usize>>,
    /// Pairs that are labelled a tie, where none is offered.
    pub(super) ties_left_out: u64,
}

impl Pool {
    /// # Errors
    ///
    /// Fails when a pair has no label, and when a set has no pair to ask about.
    pub(super) fn new(sets: Vec<QuestionSet>, setting: Setting, seed: u64) -> Result<Self> {
        let mut pool = Self {
            pairs: Vec::new(),
            groups: Vec::new(),
            ties_left_out: 0,
        };
        for (number, set) in sets.into_iter().enumerate() {
            let before = pool.pairs.len();
            let drawn = drawn(set.pairs, set.share, seed, number as u64);
            let mut known: HashMap<String, usize> = HashMap::new();
            for pair in drawn {
                match pair.label {
                    None => return Err(unlabelled(pair.id, set.name)),
                    Some(Preference::Tie) if !setting.offers_tie() => pool.ties_left_out += 1,
                    Some(_) => {
                        let groups = &mut pool.groups;
                        let cluster = pair.cluster().to_owned();
                        let group = *known.entry(cluster).or_insert_with(|| {
                            groups.push(Vec::new());
                            groups.len() - 1
                        });
                        groups[group].push(pool.pairs.len());
                        pool.pairs.push(pair);
                    }
                }
            }
            if pool.pairs.len() == before {
                return Err(Error::NoPairs { set: set.name });
            }
        }
        Ok(pool)
    }

    /// The rounds of an epoch: groups in an order of their own, as many to a round as make `pairs` pairs.
    pub(super) fn rounds(&self, seed: u64, epoch: u64, pairs: usize) -> Vec<Vec<usize>> {
        in_steps(&self.groups, seed, epoch, pairs)
    }

    /// The questions of a round, those about one pair one after another.
    pub(super) fn questions(
        &self,
        round: &[usize],
        (orders, setting): (OrderPolicy, Setting),
        seed: u64,
        protocol: &dyn Protocol,
    ) -> Result<Vec<Question>> {
        let mut questions = Vec::new();
        for &index in round {
            let pair = &self.pairs[index];
            for order in orders.orders(pair, seed) {
                questions.extend(ask(pair, order, setting, protocol)?);
            }
        }
        Ok(questions)
    }
}

/// The question about a pair in one order; none where its label is not among the answers offered.
pub(crate) fn ask(
    pair: &PreferencePair,
    order: Order,
    setting: Setting,
    protocol: &dyn Protocol,
) -> Result<Option<Question>> {
    let turned;
    let shown = match order {
        Order::AsIs => pair,
        Order::Swapped => {
            turned = pair.shown_swapped();
            &turned
        }
    };
    let messages = protocol.messages(shown, setting)?;
    Ok(Question::new(shown, setting, messages))
}

/// A share of the pairs, in their order, drawn by the seed.
fn drawn(
    pairs: Vec<PreferencePair>,
    share: Option<f64>,
    seed: u64,
    set: u64,
) -> Vec<PreferencePair> {
    let Some(share) = share else {
        return pairs;
    };
    let count = (share * pairs.len() as f64).ceil() as usize;
    let mut places: Vec<usize> = (0..pairs.len()).collect();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // Apart from the streams that shuffle epochs.
    random.set_stream(u64::MAX - set);
    places.shuffle(&mut random);
    let mut is_drawn = vec![false; pairs.len()];
    for place in places.into_iter().take(count) {
        is_drawn[place] = true;
    }
    let chosen = pairs.into_iter().zip(is_drawn);
    chosen
        .filter_map(|(pair, is_drawn)| is_drawn.then_some(pair))
        .collect()
}

fn unlabelled(pair: String, set: String) -> Error {
    Error::Pair {
        set,
        pair,
        reason: "has no label, by which a verdict is right or wrong".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use omnireward_core::{Response, Task};

    use super::*;
    use Preference::{First, Second};

    struct Plain;

    impl Protocol for Plain {
        fn messages(&self, _: &PreferencePair, _: Setting) -> Result<Vec<ChatMessage>, ModelError> {
            Ok(Vec::new())
        }

        fn verdict(&self, _: &str, _: Setting) -> Option<Preference> {
            None
        }
    }

    fn pair(id: &str, group: &str, label: Preference) -> PreferencePair {
        let responses = ["a", "b"].map(Response::text);
        let mut pair = PreferencePair::new(id, Task::T2T, "p", responses).with_label(label);
        pair.group = Some(group.to_owned());
        pair
    }

    fn pool(pairs: Vec<PreferencePair>, share: Option<f64>, setting: Setting) -> Result<Pool> {
        let set = QuestionSet {
            name: "set".to_owned(),
            pairs,
            share,
        };
        Pool::new(vec![set], setting, 7)
    }

    #[test]
    fn a_share_is_drawn_by_the_seed_and_keeps_its_order() {
        let pairs: Vec<PreferencePair> = (0..100)
            .map(|index| {
                pair(
                    &format!("{index:02}"),
                    &index.to_string(),
                    Preference::First,
                )
            })
            .collect();
        let ids = |share| -> Vec<String> {
            let pool = pool(pairs.clone(), Some(share), Setting::WithTies).unwrap();
            pool.pairs.into_iter().map(|pair| pair.id).collect()
        };
        let few = ids(0.03);
        assert_eq!((few.len(), few.is_sorted()), (3, true));
        assert_eq!(few, ids(0.03));
        assert_eq!(ids(1.0).len(), 100);
        assert!(few.iter().all(|id| ids(0.2).contains(id)));
    }

    #[test]
    fn a_question_is_asked_in_each_order_and_knows_what_it_is_beside() {
        let pairs = vec![
            pair("a", "scene", Preference::First),
            pair("b", "scene", Preference::Second),
            pair("c", "scene", Preference::Tie),
            pair("d", "other", Preference::First),
        ];
        let pool = pool(pairs, None, Setting::WithoutTies).unwrap();
        assert_eq!((pool.pairs.len(), pool.ties_left_out), (3, 1));
        let rounds = pool.rounds(1, 0, 2);
        assert_eq!(rounds.concat().len(), 3);
        let scene = rounds.iter().find(|round| round.contains(&0)).unwrap();
        assert!(scene.contains(&1), "criteria of one scene stay together");
        let asked = (OrderPolicy::Both, Setting::WithoutTies);
        let questions = pool.questions(&[0, 1, 2], asked, 1, &Plain).unwrap();
        let labels: Vec<_> = questions
            .iter()
            .map(|one| (&one.pair[..], one.label))
            .collect();
        let expected = [
            ("a", First),
            ("a", Second),
            ("b", Second),
            ("b", First),
            ("d", First),
            ("d", Second),
        ];
        assert_eq!(labels, expected);
        let places = |holds: &dyn Fn(&Question) -> bool| -> Vec<usize> {
            let all = questions.iter().enumerate();
            all.filter_map(|(place, one)| holds(one).then_some(place))
                .collect()
        };
        assert_eq!(places(&|one| one.is_turned(&questions[0])), [1]);
        assert_eq!(places(&|one| questions[0].is_opposed(one)), [2]);
        assert_eq!(places(&|one| questions[4].is_opposed(one)), [0_usize; 0]);
    }

    #[test]
    fn sets_without_questions_are_refused() {
        let ties = pool(
            vec![pair("a", "a", Preference::Tie)],
            None,
            Setting::WithoutTies,
        );
        assert!(matches!(ties, Err(Error::NoPairs { set }) if set == "set"));
        let mut bare = pair("a", "a", Preference::First);
        bare.label = None;
        let error = pool(vec![bare], None, Setting::WithTies).err().unwrap();
        assert!(
            error.to_string().contains("`a` of `set` has no label"),
            "{error}"
        );
    }
}
