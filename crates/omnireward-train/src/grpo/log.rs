//! What a training by GRPO measures, and replies to be read.

use std::{collections::BTreeMap, fs, path::Path};

use omnireward_core::Finish;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Counts, group::Group, reward::Rewards, update::Learnt};
use crate::{
    Error, Result,
    metrics::{Agreement, TaskAgreement},
};

/// What the rounds since the last measurement did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoundRecord {
    /// Rounds so far.
    pub step: u64,
    /// Passes over the pairs so far.
    pub epoch: f64,
    /// Steps of the optimiser so far, those included in which there was nothing to learn.
    pub updates: u64,
    /// The mean reward of a reply.
    pub reward: f64,
    /// The mean value of each reward function, over the replies of which it speaks, before its weight.
    pub rewards: BTreeMap<String, f64>,
    /// The share of replies whose verdict is the label.
    pub accuracy: f64,
    /// The share of replies without a verdict that can be read.
    pub unread: f64,
    /// The share of replies that were cut at their longest.
    pub cut: f64,
    /// The mean length of a reply, in tokens.
    pub tokens: f64,
    /// Groups of replies.
    pub groups: u64,
    /// Groups whose rewards are all the same: there is nothing to learn from them, and they are left out.
    pub skipped: u64,
    /// Groups none of whose replies has a verdict that can be read.
    pub unread_groups: u64,
    /// The mean loss of a step; none when there was nothing to learn.
    pub loss: Option<f64>,
    /// The mean divergence from the reference, `k3`, in nats for each token; none without a reference.
    pub divergence: Option<f64>,
    /// The mean entropy of what could have stood in a token's place, in nats, at the temperature of sampling.
    pub entropy: Option<f64>,
    /// The share of tokens whose ratio was below its bound.
    pub clipped_low: Option<f64>,
    /// The share of tokens whose ratio was above its bound.
    pub clipped_high: Option<f64>,
    /// The learning rate of the last step.
    pub rate: f64,
    /// The gradient's norm at the last step, before it was clipped.
    pub grad_norm: f64,
    /// Tokens that were sampled in a second of sampling.
    pub tokens_per_second: f64,
    /// Seconds since the training started, over all its restarts.
    pub seconds: f64,
}

/// Verdicts of a model on pairs that are held out, each asked about once in each order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerdictsRecord {
    /// Steps, or rounds, so far.
    pub step: u64,
    /// The set, as the recipe calls it.
    pub name: String,
    /// Replies whose verdict is the label; one that cannot be read is wrong.
    pub overall: Agreement,
    /// The same by task, in the order of the paper's tables.
    pub tasks: Vec<TaskAgreement>,
    /// Pairs whose verdicts agree in both orders.
    pub orders: Agreement,
    /// Replies without a verdict that can be read.
    pub unread: u64,
    /// Replies that were cut at their longest.
    pub cut: u64,
    /// The mean length of a reply, in tokens.
    pub tokens: f64,
}

impl RoundRecord {
    pub(crate) fn scalars(&self) -> Vec<(String, f64)> {
        let always = [
            ("reward", self.reward),
            ("accuracy", self.accuracy),
            ("unread", self.unread),
            ("cut", self.cut),
            ("tokens", self.tokens),
            ("skipped", self.skipped as f64 / self.groups.max(1) as f64),
            ("learning_rate", self.rate),
            ("grad_norm", self.grad_norm),
            ("epoch", self.epoch),
            ("tokens_per_second", self.tokens_per_second),
        ];
        let sometimes = [
            ("loss", self.loss),
            ("divergence", self.divergence),
            ("entropy", self.entropy),
            ("clipped_low", self.clipped_low),
            ("clipped_high", self.clipped_high),
        ];
        let known = sometimes
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        let named = always.into_iter().chain(known);
        let parts = self.rewards.iter();
        named
            .map(|(name, value)| (format!("train/{name}"), value))
            .chain(parts.map(|(name, value)| (format!("reward/{name}"), *value)))
            .collect()
    }
}

impl VerdictsRecord {
    /// The mean of the tasks' accuracies, which counts each task alike; none without a pair.
    pub fn macro_accuracy(&self) -> Option<f64> {
        let shares = self.tasks.iter().filter_map(|task| task.agreement.accuracy);
        let shares: Vec<f64> = shares.collect();
        (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
    }

    pub(crate) fn scalars(&self) -> Vec<(String, f64)> {
        let replies = self.overall.pairs.max(1) as f64;
        let overall = [
            ("accuracy", self.overall.accuracy),
            ("macro_accuracy", self.macro_accuracy()),
            ("agreement", self.orders.accuracy),
            ("unread", Some(self.unread as f64 / replies)),
            ("cut", Some(self.cut as f64 / replies)),
            ("tokens", Some(self.tokens)),
        ];
        let tasks = self
            .tasks
            .iter()
            .map(|task| (task.task.code(), task.agreement.accuracy));
        let named = overall.into_iter().chain(tasks);
        named
            .filter_map(|(name, value)| Some((format!("{}/{name}", self.name), value?)))
            .collect()
    }
}

/// What happened since the last line of metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Window {
    reward: f64,
    /// By function: the sum of its values, and how many.
    rewards: BTreeMap<String, (f64, u64)>,
    right: u64,
    unread: u64,
    cut: u64,
    replies: u64,
    tokens: u64,
    groups: u64,
    skipped: u64,
    unread_groups: u64,
    loss: f64,
    /// Steps that there was something to learn in.
    steps: u64,
    counts: Counts,
    entropy: f64,
    rate: f64,
    norm: f64,
    sampling_seconds: f64,
}

/// Where a training stands.
pub(super) struct Standing {
    pub(super) step: u64,
    pub(super) epoch: f64,
    pub(super) updates: u64,
    pub(super) seconds: f64,
    /// Whether there is a reference to diverge from.
    pub(super) has_reference: bool,
}

impl Window {
    /// Adds a round's groups.
    pub(super) fn add_groups(&mut self, groups: &[Group], rewards: &Rewards, seconds: f64) {
        for group in groups {
            self.groups += 1;
            self.skipped += u64::from(group.advantages.is_none());
            self.unread_groups += u64::from(group.is_unread());
            for (answer, reward) in group.answers.iter().zip(&group.rewards) {
                self.replies += 1;
                self.tokens += answer.rollout.tokens.len() as u64;
                self.right += u64::from(answer.verdict == Some(group.question.label));
                self.unread += u64::from(answer.verdict.is_none());
                self.cut += u64::from(answer.rollout.finish == Finish::Length);
                self.reward += reward.total;
                for (name, value) in rewards.names().zip(&reward.parts) {
                    if let Some(value) = value {
                        let (sum, count) = self.rewards.entry(name.to_owned()).or_default();
                        *sum += value;
                        *count += 1;
                    }
                }
            }
        }
        self.sampling_seconds += seconds;
    }

    /// Adds a step, of this rate.
    pub(super) fn add_step(&mut self, learnt: Option<&Learnt>, rate: f64) {
        self.rate = rate;
        if let Some(learnt) = learnt {
            self.steps += 1;
            self.loss += learnt.loss;
            self.counts += learnt.counts;
            self.entropy += learnt.entropy;
            self.norm = learnt.norm;
        }
    }

    /// The mean reward so far, for a line beside the progress bar.
    pub(super) fn note(&self) -> String {
        let share = |count: u64| 100.0 * count as f64 / self.replies.max(1) as f64;
        format!(
            "reward {:.3} · right {:.0}% · unread {:.1}% · {:.0} tokens · skipped {} of {} groups",
            self.reward / self.replies.max(1) as f64,
            share(self.right),
            share(self.unread),
            self.tokens as f64 / self.replies.max(1) as f64,
            self.skipped,
            self.groups,
        )
    }

    pub(super) fn record(self, standing: &Standing) -> RoundRecord {
        let replies = self.replies.max(1) as f64;
        let learned = |sum: f64| (self.counts.tokens > 0).then(|| sum / self.counts.tokens as f64);
        RoundRecord {
            step: standing.step,
            epoch: standing.epoch,
            updates: standing.updates,
            reward: self.reward / replies,
            accuracy: self.right as f64 / replies,
            unread: self.unread as f64 / replies,
            cut: self.cut as f64 / replies,
            tokens: self.tokens as f64 / replies,
            groups: self.groups,
            skipped: self.skipped,
            unread_groups: self.unread_groups,
            loss: (self.steps > 0).then(|| self.loss / self.steps as f64),
            divergence: learned(self.counts.divergence).filter(|_| standing.has_reference),
            entropy: learned(self.entropy),
            clipped_low: learned(self.counts.clipped_low as f64),
            clipped_high: learned(self.counts.clipped_high as f64),
            rate: self.rate,
            grad_norm: self.norm,
            tokens_per_second: self.tokens as f64 / self.sampling_seconds.max(1e-9),
            seconds: standing.seconds,
            rewards: self
                .rewards
                .into_iter()
                .map(|(name, (sum, count))| (name, sum / count as f64))
                .collect(),
        }
    }
}

/// Writes some replies of a round down, to be read: those to its first questions, a line of JSON each, in
/// `rollouts/round-STEP.jsonl`.
pub(super) fn write_samples(out: &Path, round: u64, groups: &[Group], count: usize) -> Result<()> {
    if count == 0 {
        return Ok(());
    }
    let folder = out.join("rollouts");
    fs::create_dir_all(&folder).map_err(|source| Error::io(&folder, source))?;
    let lines: String = groups
        .iter()
        .flat_map(lines)
        .take(count)
        .map(|line| line + "\n")
        .collect();
    let path = folder.join(format!("round-{round:08}.jsonl"));
    fs::write(&path, lines).map_err(|source| Error::io(&path, source))
}

fn lines(group: &Group) -> impl Iterator<Item = String> {
    let answers = group.answers.iter().enumerate();
    answers.map(move |(index, answer)| {
        let advantages = group.advantages.as_ref();
        json!({
            "pair": group.question.pair,
            "order": group.question.order,
            "label": group.question.label,
            "verdict": answer.verdict,
            "reward": group.rewards[index].total,
            "parts": group.rewards[index].parts,
            "advantage": advantages.map(|advantages| advantages[index]),
            "tokens": answer.rollout.tokens.len(),
            "text": answer.rollout.text,
        })
        .to_string()
    })
}
