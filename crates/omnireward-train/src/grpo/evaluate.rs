//! Verdicts of a model on pairs that are held out.

use std::collections::BTreeMap;

use omnireward_core::{Finish, Order, Preference, Progress, Setting, Task};

use super::{
    Answer, Protocol, Question, RolloutEngine, RolloutRequest, VerdictsRecord, ask, rollouts,
};
use crate::{
    Best, HeldOut, Result,
    metrics::{Agreement, TaskAgreement},
    policy::Policy,
    recipe::RolloutRecipe,
};

/// Pairs that are asked about together.
const AT_ONCE: usize = 32;

/// How held-out pairs are asked about: in both orders, greedily.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) protocol: &'a dyn Protocol,
    pub(crate) setting: Setting,
    pub(crate) rollout: &'a RolloutRecipe,
}

impl Asking<'_> {
    /// How the model's verdicts are after so many steps.
    pub(crate) fn evaluate(
        self,
        policy: &Policy,
        engine: &mut dyn RolloutEngine,
        held_out: &HeldOut,
        step: u64,
        progress: &dyn Progress,
    ) -> Result<VerdictsRecord> {
        progress.begin(
            &format!("evaluating on {}", held_out.name),
            Some(held_out.pairs.len() as u64),
        );
        let mut tally = Tally::default();
        for pairs in held_out.pairs.chunks(AT_ONCE) {
            let mut questions = Vec::new();
            for pair in pairs {
                for order in [Order::AsIs, Order::Swapped] {
                    questions.extend(ask(pair, order, self.setting, self.protocol)?);
                }
            }
            let answers = self.answers(policy, engine, &questions)?;
            tally.add(&questions, &answers);
            progress.advance(pairs.len() as u64, "");
        }
        progress.end();
        Ok(tally.record(step, &held_out.name))
    }

    /// The greedy answer to each question.
    fn answers(
        self,
        policy: &Policy,
        engine: &mut dyn RolloutEngine,
        questions: &[Question],
    ) -> Result<Vec<Answer>> {
        let greedy = RolloutRecipe {
            temperature: 0.0,
            ..self.rollout.clone()
        };
        let room = greedy.max_tokens as usize;
        let prompts = policy.each(questions, |question| {
            policy.prompt(&question.pair, &question.messages, room)
        })?;
        let requests: Vec<RolloutRequest<'_>> = questions
            .iter()
            .zip(&prompts)
            .map(|(question, prompt)| RolloutRequest {
                messages: &question.messages,
                prompt,
                first: 0,
                count: 1,
                end: policy.end,
            })
            .collect();
        let replies = engine.sample(&policy.network, &requests, &greedy, 0)?;
        let mut answers = Vec::with_capacity(questions.len());
        for ((question, request), replies) in questions.iter().zip(&requests).zip(replies) {
            rollouts::check(&question.pair, request, &replies)?;
            answers.extend(replies.into_iter().map(|rollout| Answer {
                verdict: self.protocol.verdict(&rollout.text, question.setting),
                rollout,
            }));
        }
        Ok(answers)
    }
}

/// The better of two evaluations, by the share of right verdicts over all held-out sets; the earlier where they are the same.
pub(crate) fn best(known: Option<Best>, step: u64, records: &[VerdictsRecord]) -> Option<Best> {
    let (correct, pairs) = records.iter().fold((0, 0), |(correct, pairs), record| {
        let Agreement {
            correct: own_correct,
            pairs: own_pairs,
            ..
        } = record.overall;
        (correct + own_correct, pairs + own_pairs)
    });
    let accuracy = Agreement::new(correct, pairs).accuracy?;
    let is_better = known.is_none_or(|best| accuracy > best.accuracy);
    is_better.then_some(Best { step, accuracy })
}

#[derive(Default)]
struct Tally {
    tasks: BTreeMap<Task, (u64, u64)>,
    unread: u64,
    cut: u64,
    tokens: u64,
    /// Pairs whose verdicts agree in both orders, and all pairs.
    agreeing: (u64, u64),
}

impl Tally {
    /// Adds answers to questions of which those about one pair follow one another.
    fn add(&mut self, questions: &[Question], answers: &[Answer]) {
        let asked: Vec<(&Question, &Answer)> = questions.iter().zip(answers).collect();
        for &(question, answer) in &asked {
            let (correct, all) = self.tasks.entry(question.task).or_default();
            *correct += u64::from(answer.verdict == Some(question.label));
            *all += 1;
            self.unread += u64::from(answer.verdict.is_none());
            self.cut += u64::from(answer.rollout.finish == Finish::Length);
            self.tokens += answer.rollout.tokens.len() as u64;
        }
        for orders in asked.chunk_by(|(one, _), (other, _)| one.is_turned(other)) {
            if let [(_, one), (_, other)] = orders {
                let turned = other.verdict.map(Preference::swapped);
                let agrees = one.verdict.is_some() && one.verdict == turned;
                self.agreeing.0 += u64::from(agrees);
                self.agreeing.1 += 1;
            }
        }
    }

    fn record(&self, step: u64, name: &str) -> VerdictsRecord {
        let (mut correct, mut all) = (0, 0);
        let mut tasks = Vec::new();
        for (&task, &(own_correct, own_all)) in &self.tasks {
            correct += own_correct;
            all += own_all;
            tasks.push(TaskAgreement {
                task,
                agreement: Agreement::new(own_correct, own_all),
            });
        }
        VerdictsRecord {
            step,
            name: name.to_owned(),
            overall: Agreement::new(correct, all),
            tasks,
            orders: Agreement::new(self.agreeing.0, self.agreeing.1),
            unread: self.unread,
            cut: self.cut,
            tokens: self.tokens as f64 / all.max(1) as f64,
        }
    }
}
