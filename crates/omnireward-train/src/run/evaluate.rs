//! Held-out pairs.

use std::collections::BTreeMap;

use omnireward_core::{Preference, PreferencePair, Progress, Task};

use super::{data::Example, prepare, trainee::Trainee};
use crate::{
    Error, Result,
    metrics::{Agreement, EvaluationRecord, TaskAgreement},
    objective::{Counts, Item, Judgement, Objective},
};

/// Examples that are made ready together.
const AT_ONCE: usize = 64;

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
}

impl Trainee {
    /// How the model does on held-out pairs.
    pub(super) fn evaluate(
        &self,
        held_out: &HeldOutExamples,
        objective: &Objective,
        source: &prepare::Source<'_>,
        progress: &dyn Progress,
    ) -> Result<EvaluationRecord> {
        let mut tally = Tally::default();
        let stage = format!("evaluating on {}", held_out.name);
        progress.begin(&stage, Some(held_out.examples.len() as u64));
        for examples in held_out.examples.chunks(AT_ONCE) {
            let examples: Vec<&Example> = examples.iter().collect();
            let batch = prepare::batch(&self.network, &examples, source)?;
            for stream in batch.streams {
                let rewards = self.rewards(&stream, &batch.features)?;
                for (item, task) in stream.items().iter().zip(stream.tasks()) {
                    tally.add(objective, &rewards, item, task, self.tie);
                }
            }
            progress.advance(examples.len() as u64, "");
        }
        progress.end();
        Ok(tally.record(self.step, &held_out.name))
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

impl Tally {
    fn add(&mut self, objective: &Objective, rewards: &[f64], item: &Item, task: Task, tie: f64) {
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
