use crate::{Result, generation::prompt::unusable};

/// A reply that ends with one of a few choices, such as a verdict.
///
/// What the model writes freely comes first, up to where it would stop or has reached its longest length. Then `lead`
/// is put down, and one of the choices is drawn by the model's probabilities of their first tokens among themselves.
/// With a longest length of 0 that is all of the reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    /// Tokens between what was written freely and the choice; none is fine.
    pub lead: Vec<u32>,
    /// The choices, which begin with different tokens.
    pub choices: Vec<Vec<u32>>,
    /// A reply whose free part has one of these strings is left as it is. It takes a generator that
    /// [knows the words](super::Words) of tokens.
    pub unless: Vec<String>,
}

/// Choices that a reply is expected to make by itself, such as a verdict. It changes no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// What stands right before the choice. It takes a generator that [knows the words](super::Words) of tokens.
    pub lead: String,
    /// The first token of each choice; all differ.
    pub first: Vec<u32>,
}

/// What was chosen under a [`Constraint`], or where a reply was [`Watched`].
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Which of the choices.
    pub index: usize,
    /// The model's probability of each, given that it is one of them, at temperature 1.
    pub probabilities: Vec<f64>,
}

impl Constraint {
    /// The most tokens that it adds to a reply.
    pub(super) fn longest(&self) -> usize {
        self.lead.len() + self.choices.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// The first tokens of the choices.
    pub(super) fn first_tokens(&self) -> Vec<u32> {
        self.choices
            .iter()
            .filter_map(|choice| choice.first().copied())
            .collect()
    }

    /// Fails unless there are choices, all of which begin with tokens of their own among `vocabulary`.
    pub(crate) fn check(&self, vocabulary: usize) -> Result<()> {
        let first = self.first_tokens();
        if first.len() < self.choices.len() {
            return Err(unusable("there is no choice, or an empty one"));
        }
        check_first(&first)?;
        check_known(
            self.lead.iter().chain(self.choices.iter().flatten()),
            vocabulary,
        )
    }
}

impl Watched {
    /// Fails unless there are choices, all of which begin with tokens of their own among `vocabulary`.
    pub(crate) fn check(&self, vocabulary: usize) -> Result<()> {
        check_first(&self.first)?;
        check_known(self.first.iter(), vocabulary)
    }
}

fn check_first(first: &[u32]) -> Result<()> {
    if first.is_empty() {
        return Err(unusable("there is no choice, or an empty one"));
    }
    let is_repeated = |(index, token): (usize, &u32)| first[..index].contains(token);
    if let Some((index, _)) = first.iter().enumerate().find(|found| is_repeated(*found)) {
        return Err(unusable(format!(
            "choice `{index}` begins with the same token as one before it"
        )));
    }
    Ok(())
}

fn check_known<'a>(mut tokens: impl Iterator<Item = &'a u32>, vocabulary: usize) -> Result<()> {
    if let Some(token) = tokens.find(|token| **token as usize >= vocabulary) {
        return Err(unusable(format!(
            "token `{token}` of a choice is outside of the vocabulary of `{vocabulary}`"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_told_apart_by_their_first_tokens() {
        let of = |choices: &[&[u32]]| Constraint {
            lead: vec![9],
            choices: choices.iter().map(|choice| choice.to_vec()).collect(),
            unless: Vec::new(),
        };
        let fine = of(&[&[1, 2], &[2], &[3, 2, 1]]);
        fine.check(10).unwrap();
        assert_eq!((fine.longest(), fine.first_tokens()), (4, vec![1, 2, 3]));
        let said = |constraint: Constraint| constraint.check(10).unwrap_err().to_string();
        assert!(said(of(&[])).contains("no choice"));
        assert!(said(of(&[&[1], &[]])).contains("empty"));
        assert!(said(of(&[&[1, 2], &[3], &[1, 4]])).contains("choice `2`"));
        assert!(said(of(&[&[1, 10]])).contains("token `10`"));
    }
}
