//! Held-out pairs.

use std::{collections::BTreeMap, ops::AddAssign};

use omnireward_core::{Preference, PreferencePair, Progress, Task};

use super::{data::Example, forward::Learner, prepare};
use crate::{
    Error, Result,
    lanes::Lanes,
    metrics::{Agreement, EvaluationRecord, TaskAgreement},
    objective::{Counts, Item, Judgement},
};

/// Examples that are made ready together.
const AT_ONCE: usize = 32;

/// Pairs that a model is measured on.
#[derive(Clone, Debug)]
pub struct HeldOut {
    /// What they are called in metrics.
    pub name: String,
    /// The pairs.
    pub pairs: Vec<PreferencePair>,
}

/// The pairs with their answers.
pub(super) struct HeldOutExamples {
    name: String,
    examples: Vec<Example>,
}

impl HeldOutExamples {
    pub(super) fn new(held_out: HeldOut) -> Result<Self> {
        let HeldOut { name, pairs } = held_out;
        let examples = pairs
            .into_iter()
            .map(|pair| Example::new(pair, 1.0, &name))
            .collect::<Result<Vec<_>>>()?;
        if examples.is_empty() {
            return Err(Error::NoPairs { set: name });
        }
        Ok(Self { name, examples })
    }

    pub(super) fn examples(&self) -> &[Example] {
        &self.examples
    }

    /// How the model does on them.
    pub(super) fn evaluate(
        &self,
        learner: Learner<'_>,
        source: &prepare::Source<'_>,
        lanes: &Lanes,
        progress: &dyn Progress,
    ) -> Result<EvaluationRecord> {
        let stage = format!("evaluating on {}", self.name);
        progress.begin(&stage, Some(self.examples.len() as u64));
        let pieces: Vec<&[Example]> = self.examples.chunks(AT_ONCE).collect();
        let work = |piece: usize| {
            let examples: Vec<&Example> = pieces[piece].iter().collect();
            let batch = prepare::batch(learner, &examples, source)?;
            let mut tally = Tally::default();
            for stream in &batch.streams {
                let rewards = learner.rewards(stream, &batch.features)?;
                for (item, task) in stream.items().iter().zip(stream.tasks()) {
                    tally.add(learner, &rewards, item, task);
                }
            }
            progress.advance(examples.len() as u64, "");
            Ok(tally)
        };
        let mut sum = Tally::default();
        let take = |tally| {
            sum += tally;
            Ok(())
        };
        lanes.each(pieces.len(), work, take)?;
        progress.end();
        Ok(sum.record(learner.step, &self.name))
    }
}

#[derive(Default)]
struct Tally {
    loss: f64,
    weight: f64,
    all: Counts,
    tasks: BTreeMap<Task, Counts>,
    with_ties: (u64, u64),
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.loss += other.loss;
        self.weight += other.weight;
        self.all += other.all;
        for (task, counts) in other.tasks {
            *self.tasks.entry(task).or_default() += counts;
        }
        self.with_ties.0 += other.with_ties.0;
        self.with_ties.1 += other.with_ties.1;
    }
}

impl Tally {
    fn add(&mut self, learner: Learner<'_>, rewards: &[f64], item: &Item, task: Task) {
        let Learner { objective, tie, .. } = learner;
        let evaluation = objective.evaluate(rewards, std::slice::from_ref(item), tie);
        self.loss += evaluation.loss;
        self.weight += evaluation.weight;
        self.all += evaluation.counts;
        *self.tasks.entry(task).or_default() += evaluation.counts;
        if let Judgement::Preferred(label) = item.judgement {
            let margin = rewards[item.responses.start] - rewards[item.responses.start + 1];
            let predicted = if margin.abs() <= objective.tie_margin(tie) {
                Preference::Tie
            } else {
                Preference::from_higher(margin, 0.0)
            };
            self.with_ties.0 += u64::from(predicted == label);
            self.with_ties.1 += 1;
        }
    }

    fn record(self, step: u64, name: &str) -> EvaluationRecord {
        let agreement = |counts: &Counts| Agreement::new(counts.correct, counts.comparisons);
        EvaluationRecord {
            step,
            name: name.to_owned(),
            loss: self.loss / self.weight.max(f64::MIN_POSITIVE),
            overall: agreement(&self.all),
            tasks: self
                .tasks
                .iter()
                .map(|(&task, counts)| TaskAgreement {
                    task,
                    agreement: agreement(counts),
                })
                .collect(),
            with_ties: Agreement::new(self.with_ties.0, self.with_ties.1),
        }
    }
}
