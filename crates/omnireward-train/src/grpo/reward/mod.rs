//! What a reply is worth: named functions, weighted and added up.

mod agreement;
mod criterion_flip;
mod format;
mod length;
#[cfg(test)]
mod tests;
mod verdict;

use super::{Answer, Question};
use crate::{Error, Result};

pub use agreement::Agreement;
pub use criterion_flip::CriterionFlip;
pub use format::{AnswerForm, Format};
pub use length::Length;
pub use verdict::{TieAware, Verdict};

/// A reply with all that its reward may depend on.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The question.
    pub question: &'a Question,
    /// The reply.
    pub answer: &'a Answer,
    /// Whether the prompt ended with the tag that opens thinking, so that the reply does not have it.
    pub thinking_is_open: bool,
    /// Replies to the same pair in the other order, if that was asked too.
    pub turned: &'a [Answer],
    /// Replies about the same responses under criteria that prefer the other one.
    pub opposed: &'a [&'a [Answer]],
}

/// A part of a reward.
pub trait RewardFunction: Send + Sync {
    /// What it is called in recipes and records.
    fn name(&self) -> &'static str;

    /// What the reply is worth; nothing where the function does not speak of it, which counts 0.
    fn value(&self, candidate: &Candidate<'_>) -> Option<f64>;
}

/// A function with what it counts.
pub struct Weighted {
    /// The function.
    pub function: Box<dyn RewardFunction>,
    /// What its value is multiplied by.
    pub weight: f64,
}

/// The functions of a training.
#[derive(Default)]
pub struct Rewards(pub Vec<Weighted>);

/// What a reply is worth, and why.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reward {
    /// The weighted sum.
    pub total: f64,
    /// The value of each function, before its weight, in their order.
    pub parts: Vec<Option<f64>>,
}

impl Rewards {
    /// The functions' names, in their order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|part| part.function.name())
    }

    /// What a reply is worth, which is number `rollout` of its group.
    ///
    /// # Errors
    ///
    /// [`Error::Reward`] when a function gives something that is no finite number.
    pub fn of(&self, candidate: &Candidate<'_>, rollout: usize) -> Result<Reward> {
        let mut reward = Reward::default();
        for Weighted { function, weight } in &self.0 {
            let value = function.value(candidate);
            if let Some(value) = value {
                if !value.is_finite() {
                    return Err(Error::Reward {
                        function: function.name(),
                        pair: candidate.question.pair.clone(),
                        rollout: rollout + 1,
                        value,
                    });
                }
                reward.total += weight * value;
            }
            reward.parts.push(value);
        }
        Ok(reward)
    }
}

impl std::fmt::Debug for Rewards {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = self
            .0
            .iter()
            .map(|part| (part.function.name(), part.weight));
        f.debug_map().entries(parts).finish()
    }
}

impl std::fmt::Debug for Weighted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Weighted")
            .field("function", &self.function.name())
            .field("weight", &self.weight)
            .finish()
    }
}

/// The share of answers for which something holds; nothing of none.
fn share<'a>(
    answers: impl IntoIterator<Item = &'a Answer>,
    holds: impl Fn(&Answer) -> bool,
) -> Option<f64> {
    let (mut all, mut held) = (0_u32, 0_u32);
    for answer in answers {
        all += 1;
        held += u32::from(holds(answer));
    }
    (all > 0).then(|| f64::from(held) / f64::from(all))
}
