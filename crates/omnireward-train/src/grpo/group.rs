//! Replies to one question, what they are worth, and what is to be learned from them.

use omnireward_models::{generation::Prompt, writer::WritingNetwork};

use super::{
    Answer, Question, Rollout, Scale, advantages,
    reward::{Candidate, Reward, Rewards},
};
use crate::{
    Result,
    policy::{Dialogue, Policy, Scorer, streams},
};

/// Tokens at the end of a prompt in which an opened tag is looked for.
const TAIL: usize = 8;

/// A question with the replies to it.
pub(super) struct Group {
    pub(super) question: Question,
    pub(super) prompt: Prompt,
    pub(super) answers: Vec<Answer>,
    pub(super) rewards: Vec<Reward>,
    /// None where all rewards are the same.
    pub(super) advantages: Option<Vec<f64>>,
    /// The log-probabilities of each reply's tokens when it was sampled, where the weights have changed since.
    pub(super) old: Option<Vec<Vec<f64>>>,
    /// Those under the reference, where the divergence from it counts.
    pub(super) reference: Option<Vec<Vec<f64>>>,
}

impl Group {
    /// Replies that are not yet worth anything.
    pub(super) fn new(question: Question, prompt: Prompt, answers: Vec<Answer>) -> Self {
        Self {
            question,
            prompt,
            answers,
            rewards: Vec::new(),
            advantages: None,
            old: None,
            reference: None,
        }
    }

    pub(super) fn dialogue(&self) -> Dialogue<'_> {
        Dialogue {
            prompt: &self.prompt,
            replies: self
                .answers
                .iter()
                .map(|answer| &answer.rollout.tokens[..])
                .collect(),
        }
    }

    pub(super) fn replies(&self) -> impl Iterator<Item = &Rollout> {
        self.answers.iter().map(|answer| &answer.rollout)
    }

    /// Whether no verdict can be read from any of the replies.
    pub(super) fn is_unread(&self) -> bool {
        self.answers.iter().all(|answer| answer.verdict.is_none())
    }
}

/// Says what the replies of a round are worth, and how much better than the others of their group.
///
/// # Errors
///
/// [`Error::Reward`](crate::Error::Reward) when a function gives something that is no finite number.
pub(super) fn judge(
    groups: &mut [Group],
    rewards: &Rewards,
    (scale, epsilon): (Scale, f64),
    network: &WritingNetwork,
) -> Result<()> {
    let worth = (0..groups.len())
        .map(|place| worth(groups, place, rewards, network))
        .collect::<Result<Vec<_>>>()?;
    for (group, worth) in groups.iter_mut().zip(worth) {
        let totals: Vec<f64> = worth.iter().map(|reward| reward.total).collect();
        group.advantages = advantages(&totals, scale, epsilon);
        group.rewards = worth;
    }
    Ok(())
}

/// What the replies of one group are worth, beside the other groups of the round.
fn worth(
    groups: &[Group],
    place: usize,
    rewards: &Rewards,
    network: &WritingNetwork,
) -> Result<Vec<Reward>> {
    let group = &groups[place];
    let turned = groups
        .iter()
        .find(|other| group.question.is_turned(&other.question));
    let opposed: Vec<&[Answer]> = groups
        .iter()
        .filter(|other| group.question.is_opposed(&other.question))
        .map(|other| &other.answers[..])
        .collect();
    let thinking_is_open = opens_thinking(&group.prompt, network);
    let answers = group.answers.iter().enumerate();
    answers
        .map(|(rollout, answer)| {
            let candidate = Candidate {
                question: &group.question,
                answer,
                thinking_is_open,
                turned: turned.map_or(&[][..], |other| &other.answers[..]),
                opposed: &opposed,
            };
            rewards.of(&candidate, rollout)
        })
        .collect()
}

/// Whether the prompt ends with the tag that opens thinking.
fn opens_thinking(prompt: &Prompt, network: &WritingNetwork) -> bool {
    let tail = &prompt.rows[prompt.rows.len().saturating_sub(TAIL)..];
    let words = tail.iter().filter(|row| row.feature.is_none());
    let tokens: Vec<u32> = words.map(|row| row.token).collect();
    network.text(&tokens).trim_end().ends_with("<think>")
}

/// The log-probabilities of the tokens of each group's replies, as a decoder has them.
pub(super) fn observe(
    policy: &Policy,
    scorer: Scorer<'_>,
    groups: &[&Group],
    batch_rows: usize,
) -> Result<Vec<Vec<Vec<f64>>>> {
    let dialogues: Vec<Dialogue<'_>> = groups.iter().map(|group| group.dialogue()).collect();
    let streams = streams(&dialogues, batch_rows);
    let observed = policy.each(&streams, |(_, stream)| {
        Ok(scorer.observe(stream)?.log_probabilities)
    })?;
    let mut all = Vec::with_capacity(groups.len());
    for ((range, stream), observed) in streams.iter().zip(observed) {
        let mut replies = stream.replies.iter();
        for dialogue in &dialogues[range.clone()] {
            let own = replies.by_ref().take(dialogue.replies.len());
            all.push(own.map(|span| observed[span.clone()].to_vec()).collect());
        }
    }
    Ok(all)
}
