use std::sync::Arc;

use crate::{
    Result,
    generation::{
        Choice, Constraint, Stop, Watched, Words,
        sampling::{self, Drawn, Sampler},
    },
};

/// What was written after a prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The tokens, the one that ended it included.
    pub tokens: Vec<u32>,
    /// The logarithm of each token's probability under the model itself: at temperature 1, before penalties, cuts and
    /// constraints.
    pub log_probabilities: Vec<f64>,
    /// Why it ended.
    pub end: End,
    /// What was chosen at its end, under a [`Constraint`], or the last choice of one that is [`Watched`].
    pub choice: Option<Choice>,
}

/// Why a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By a token of [`Stop::tokens`].
    Token,
    /// By one of [`Stop::strings`].
    String,
    /// It reached its longest length.
    Length,
    /// It ended with one of a constraint's choices.
    Choice,
}

/// When replies to one request end.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    /// The most tokens that are written freely.
    pub(super) free: usize,
    pub(super) stop: Stop,
    pub(super) constraint: Option<Constraint>,
    pub(super) watched: Option<Watched>,
}

/// A reply that is being written.
#[derive(Debug)]
pub(super) struct Draft {
    terms: Arc<Terms>,
    sampler: Sampler,
    tokens: Vec<u32>,
    log_probabilities: Vec<f64>,
    choice: Option<Choice>,
    phase: Phase,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Anything.
    Free,
    /// This token of the constraint's lead, or the choice when there are no more.
    Lead(usize),
    /// This token of the choice.
    Chosen { choice: usize, at: usize },
}

impl Draft {
    pub(super) fn new(terms: Arc<Terms>, sampler: Sampler) -> Self {
        let phase = if terms.free == 0 {
            Phase::Lead(0)
        } else {
            Phase::Free
        };
        Self {
            terms,
            sampler,
            tokens: Vec::new(),
            log_probabilities: Vec::new(),
            choice: None,
            phase,
        }
    }

    /// The tokens so far.
    pub(super) fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Writes one more token, by the model's scores of all, and says whether it was the last.
    pub(super) fn write(&mut self, logits: &[f32], words: Option<&Words>) -> Result<Option<End>> {
        match self.phase {
            Phase::Free => self.write_freely(logits, words),
            Phase::Lead(_) | Phase::Chosen { .. } => self.write_constrained(logits),
        }
    }

    /// The reply, which ended so.
    pub(super) fn finish(self, end: End) -> Reply {
        Reply {
            tokens: self.tokens,
            log_probabilities: self.log_probabilities,
            end,
            choice: self.choice,
        }
    }

    fn write_freely(&mut self, logits: &[f32], words: Option<&Words>) -> Result<Option<End>> {
        let drawn = self.sampler.draw(logits)?;
        if self.terms.stop.tokens.contains(&drawn.token) {
            if self.is_to_be_closed(words) {
                self.phase = Phase::Lead(0);
                return self.write_constrained(logits);
            }
            self.push(drawn);
            return Ok(Some(End::Token));
        }
        self.watch(logits, drawn.token, words)?;
        self.push(drawn);
        let end = if self.has_stop_string(words) {
            End::String
        } else if self.tokens.len() >= self.terms.free {
            End::Length
        } else {
            return Ok(None);
        };
        if self.is_to_be_closed(words) {
            self.phase = Phase::Lead(0);
            return Ok(None);
        }
        Ok(Some(end))
    }

    fn write_constrained(&mut self, logits: &[f32]) -> Result<Option<End>> {
        let terms = Arc::clone(&self.terms);
        let Some(constraint) = &terms.constraint else {
            return Ok(Some(End::Length));
        };
        let (choice, at) = match self.phase {
            Phase::Lead(at) => {
                if let Some(token) = constraint.lead.get(at) {
                    let taken = self.sampler.take(logits, *token)?;
                    self.push(taken);
                    self.phase = Phase::Lead(at + 1);
                    return Ok(None);
                }
                let first = constraint.first_tokens();
                let (index, probabilities) = self.sampler.choose(logits, &first)?;
                self.choice = Some(Choice {
                    index,
                    probabilities,
                });
                (index, 0)
            }
            Phase::Chosen { choice, at } => (choice, at),
            Phase::Free => return Ok(None),
        };
        let tokens = &constraint.choices[choice];
        let taken = self.sampler.take(logits, tokens[at])?;
        self.push(taken);
        let at = at + 1;
        self.phase = Phase::Chosen { choice, at };
        Ok((at == tokens.len()).then_some(End::Choice))
    }

    /// Notes how probable the choices were, if `token` is one of them and comes where they do.
    fn watch(&mut self, logits: &[f32], token: u32, words: Option<&Words>) -> Result<()> {
        let Some(Watched { lead, first }) = &self.terms.watched else {
            return Ok(());
        };
        let Some(index) = first.iter().position(|choice| *choice == token) else {
            return Ok(());
        };
        if words.is_some_and(|words| words.are_last(&self.tokens, lead)) {
            self.choice = Some(Choice {
                index,
                probabilities: sampling::among(logits, first)?,
            });
        }
        Ok(())
    }

    /// Whether a choice is to follow what was written freely.
    fn is_to_be_closed(&self, words: Option<&Words>) -> bool {
        let Some(constraint) = &self.terms.constraint else {
            return false;
        };
        !words.is_some_and(|words| words.contain(&self.tokens, &constraint.unless))
    }

    fn has_stop_string(&self, words: Option<&Words>) -> bool {
        words.is_some_and(|words| words.end_with(&self.tokens, &self.terms.stop.strings))
    }

    fn push(&mut self, drawn: Drawn) {
        self.tokens.push(drawn.token);
        self.log_probabilities.push(drawn.log_probability);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::Sampling;

    /// Scores of five tokens by which this one is likeliest.
    fn wanting(token: usize) -> [f32; 5] {
        let mut logits = [0.0; 5];
        logits[token] = 3.0;
        logits
    }

    fn write(terms: Terms, wanted: &[usize]) -> Option<Reply> {
        let words = Words::new(|tokens| {
            let each = tokens.iter().map(|token| format!("{token} "));
            each.collect::<Vec<_>>().concat()
        });
        let sampler = Sampler::new(Sampling::default(), 0, std::iter::empty());
        let mut draft = Draft::new(Arc::new(terms), sampler);
        for token in wanted {
            if let Some(end) = draft.write(&wanting(*token), Some(&words)).unwrap() {
                return Some(draft.finish(end));
            }
        }
        None
    }

    fn terms(free: usize, constraint: Option<Constraint>) -> Terms {
        Terms {
            free,
            stop: Stop {
                tokens: vec![4],
                strings: vec!["2 3 ".to_owned()],
            },
            constraint,
            watched: None,
        }
    }

    fn ended(terms: Terms, wanted: &[usize]) -> (Vec<u32>, End) {
        let reply = write(terms, wanted).expect("it ends");
        assert_eq!(reply.tokens.len(), reply.log_probabilities.len());
        (reply.tokens, reply.end)
    }

    #[test]
    fn a_reply_ends_by_token_string_or_length() {
        assert_eq!(ended(terms(9, None), &[1, 4, 2]), (vec![1, 4], End::Token));
        assert_eq!(ended(terms(9, None), &[2, 3, 2]), (vec![2, 3], End::String));
        assert_eq!(ended(terms(2, None), &[2, 1, 3]), (vec![2, 1], End::Length));
        assert_eq!(write(terms(9, None), &[1, 2, 1]), None);
    }

    #[test]
    fn a_constraint_closes_what_was_written_freely() {
        let constraint = |unless: &[&str]| {
            Some(Constraint {
                lead: vec![3, 3],
                choices: vec![vec![0, 1], vec![2]],
                unless: unless.iter().map(|string| (*string).to_owned()).collect(),
            })
        };
        // Where it would have stopped, the lead comes instead; the model likes the first choice better.
        let whole = &[1, 4, 0, 0, 0];
        let closed = (vec![1, 3, 3, 0, 1], End::Choice);
        assert_eq!(ended(terms(9, constraint(&[])), whole), closed);
        let cut = (vec![1, 3, 3, 2], End::Choice);
        assert_eq!(ended(terms(1, constraint(&[])), &[1, 0, 0, 2]), cut);
        let alone = write(terms(0, constraint(&[])), &[0, 0, 2]).expect("it ends");
        assert_eq!(alone.tokens, [3, 3, 2]);
        let choice = alone.choice.expect("there is one");
        let expected = 1.0 / (1.0 + 3.0_f64.exp());
        assert!(
            (choice.probabilities[0] - expected).abs() < 1e-6,
            "{choice:?}"
        );
        assert_eq!(choice.index, 1);
        let told = (vec![1, 0, 4], End::Token);
        assert_eq!(ended(terms(9, constraint(&["1 0 "])), &[1, 0, 4]), told);
    }

    #[test]
    fn a_watched_choice_is_told_and_changes_nothing() {
        let watched = Some(Watched {
            lead: "1 ".to_owned(),
            first: vec![0, 3],
        });
        let terms = |watched| Terms {
            watched,
            ..terms(9, None)
        };
        let tokens = [0, 1, 2, 1, 3, 3, 4];
        let plain = write(terms(None), &tokens).expect("it ends");
        let reply = write(terms(watched), &tokens).expect("it ends");
        assert_eq!((&reply.tokens, reply.end), (&plain.tokens, plain.end));
        assert_eq!(plain.choice, None);
        let choice = reply.choice.expect("it was made");
        assert_eq!(choice.index, 1);
        let expected = 1.0 / (1.0 + 3.0_f64.exp());
        assert!(
            (choice.probabilities[0] - expected).abs() < 1e-6,
            "{choice:?}"
        );
    }
}
