//! Answers to be learned.

use std::collections::HashMap;

use omnireward_core::PreferencePair;

use crate::{Error, Result, run::in_steps};

/// Pairs with the answers to questions about them.
#[derive(Clone, Debug)]
pub struct AnswerSet {
    /// Its name, for messages.
    pub name: String,
    /// The pairs, as they are shown, each with its answer in the field `answer`.
    pub pairs: Vec<PreferencePair>,
    /// What the loss of an answer counts.
    pub weight: f64,
}

/// The field of a pair that holds the answer.
const ANSWER: &str = "answer";

/// A pair with its answer.
pub(super) struct Example {
    pub(super) pair: PreferencePair,
    pub(super) answer: String,
    pub(super) weight: f64,
}

/// All of them, and those that share what they are about.
pub(super) struct Examples {
    pub(super) all: Vec<Example>,
    groups: Vec<Vec<usize>>,
}

impl Examples {
    /// # Errors
    ///
    /// Fails when a set is empty, and when a pair has no answer.
    pub(super) fn new(sets: Vec<AnswerSet>) -> Result<Self> {
        let mut examples = Self {
            all: Vec::new(),
            groups: Vec::new(),
        };
        for set in sets {
            if set.pairs.is_empty() {
                return Err(Error::NoPairs { set: set.name });
            }
            let mut known: HashMap<String, usize> = HashMap::new();
            for pair in set.pairs {
                let answer = answer(&pair, &set.name)?;
                let groups = &mut examples.groups;
                let group = *known.entry(pair.cluster().to_owned()).or_insert_with(|| {
                    groups.push(Vec::new());
                    groups.len() - 1
                });
                groups[group].push(examples.all.len());
                examples.all.push(Example {
                    pair,
                    answer,
                    weight: set.weight,
                });
            }
        }
        Ok(examples)
    }

    /// The steps of an epoch: groups in an order of their own, as many to a step as make so many answers.
    pub(super) fn steps(&self, seed: u64, epoch: u64, answers: usize) -> Vec<Vec<usize>> {
        in_steps(&self.groups, seed, epoch, answers)
    }
}

fn answer(pair: &PreferencePair, set: &str) -> Result<String> {
    let answer = pair.extra.get(ANSWER).and_then(|answer| answer.as_str());
    match answer {
        Some(answer) if !answer.trim().is_empty() => Ok(answer.to_owned()),
        _ => Err(Error::Pair {
            set: set.to_owned(),
            pair: pair.id.clone(),
            reason: format!("has no text in `{ANSWER}` to be learned"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use omnireward_core::{Response, Task};

    use super::*;

    fn pair(id: &str, answer: Option<&str>) -> PreferencePair {
        let mut pair = PreferencePair::new(id, Task::T2T, "p", ["a", "b"].map(Response::text));
        if let Some(answer) = answer {
            pair.extra.insert(ANSWER.to_owned(), answer.into());
        }
        pair
    }

    fn examples(pairs: Vec<PreferencePair>) -> Result<Examples> {
        Examples::new(vec![AnswerSet {
            name: "set".to_owned(),
            pairs,
            weight: 1.0,
        }])
    }

    #[test]
    fn every_pair_has_an_answer() {
        let found = examples(vec![pair("a", Some("[[A]]")), pair("b", Some("[[B]]"))]).unwrap();
        assert_eq!(found.all[1].answer, "[[B]]");
        assert_eq!(found.steps(1, 0, 1).len(), 2);
        for answer in [None, Some(" ")] {
            let error = examples(vec![pair("a", answer)]).err().unwrap().to_string();
            assert!(
                error.contains("`a` of `set` has no text in `answer`"),
                "{error}"
            );
        }
        assert!(matches!(examples(Vec::new()), Err(Error::NoPairs { .. })));
    }
}
