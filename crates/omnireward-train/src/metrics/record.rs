use omnireward_core::Task;
use serde::{Deserialize, Deserializer, Serialize};

use crate::grpo::{RoundRecord, VerdictsRecord};

/// A measurement: a line of `metrics.jsonl`, told apart by `kind`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Record {
    /// Of training.
    Step(StepRecord),
    /// Of the model's rewards on pairs that are held out.
    Evaluation(EvaluationRecord),
    /// Of training by GRPO.
    Round(RoundRecord),
    /// Of the model's verdicts on pairs that are held out.
    Verdicts(VerdictsRecord),
}

/// What the steps since the last measurement did: means over their pairs, and the state after the last of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Steps of the optimiser so far.
    pub step: u64,
    /// Passes over the data so far.
    pub epoch: f64,
    /// The mean loss of a pair.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// The share of comparisons whose better response has the larger reward; none when every label was a tie.
    pub accuracy: Option<f64>,
    /// The mean of the better response's reward less the other's; none when every label was a tie.
    pub margin: Option<f64>,
    /// The mean of `−log p` of a word that is learned; none when none are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words_loss: Option<f64>,
    /// The learning rate of the last step.
    pub rate: f64,
    /// The gradient's norm at the last step, before it was clipped.
    #[serde(deserialize_with = "number")]
    pub grad_norm: f64,
    /// Rows that went through the model so far.
    pub rows: u64,
    /// Tokens of all sequences, those counted twice that two of them share, in a second.
    pub tokens_per_second: f64,
    /// Seconds since the training started, over all its restarts.
    pub seconds: f64,
    /// The difference of rewards below which a tie is the likeliest outcome; 0 when it never is.
    pub tie_margin: f64,
}

/// How a model does on pairs that are held out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRecord {
    /// Steps of the optimiser so far.
    pub step: u64,
    /// The set, as the recipe calls it.
    pub name: String,
    /// The mean loss of a pair, ties included where the likelihood knows them.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// Over all pairs whose label is not a tie.
    pub overall: Agreement,
    /// Over those of each task, in the order of the paper's tables.
    pub tasks: Vec<TaskAgreement>,
    /// Over all pairs, ties included, where a tie is predicted below the tie margin.
    pub with_ties: Agreement,
}

impl EvaluationRecord {
    /// The mean of the tasks' accuracies, which counts each task alike; none without a pair.
    pub fn macro_accuracy(&self) -> Option<f64> {
        let shares: Vec<_> = self
            .tasks
            .iter()
            .filter_map(|task| task.agreement.accuracy)
            .collect();
        (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
    }
}

/// On how many pairs a model agrees with the label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Pairs on which it agrees.
    pub correct: u64,
    /// All that were counted.
    pub pairs: u64,
    /// `correct / pairs`; none without a pair.
    pub accuracy: Option<f64>,
}

impl Agreement {
    /// Wilson's 95% interval of the accuracy, with the pairs taken as independent; none without a pair.
    ///
    /// `(p + z²/2n ± z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n)`, Wilson 1927.
    pub fn interval(&self) -> Option<(f64, f64)> {
        const Z: f64 = 1.959_963_984_540_054;
        let (p, n) = (self.accuracy?, self.pairs as f64);
        let shrink = 1.0 + Z * Z / n;
        let centre = (p + Z * Z / (2.0 * n)) / shrink;
        let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt() / shrink;
        Some(((centre - half).max(0.0), (centre + half).min(1.0)))
    }

    /// On `correct` of `pairs`.
    pub fn new(correct: u64, pairs: u64) -> Self {
        Self {
            correct,
            pairs,
            accuracy: (pairs > 0).then(|| correct as f64 / pairs as f64),
        }
    }
}

/// An agreement on the pairs of one task.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskAgreement {
    /// The task.
    pub task: Task,
    /// On its pairs.
    #[serde(flatten)]
    pub agreement: Agreement,
}

impl Record {
    /// Steps, or rounds, so far.
    pub const fn step(&self) -> u64 {
        match self {
            Self::Step(record) => record.step,
            Self::Evaluation(record) => record.step,
            Self::Round(record) => record.step,
            Self::Verdicts(record) => record.step,
        }
    }

    /// Its numbers, named as `TensorBoard` groups them: up to the last `/`.
    pub fn scalars(&self) -> Vec<(String, f64)> {
        match self {
            Self::Step(record) => record.scalars(),
            Self::Evaluation(record) => record.scalars(),
            Self::Round(record) => record.scalars(),
            Self::Verdicts(record) => record.scalars(),
        }
    }
}

impl StepRecord {
    fn scalars(&self) -> Vec<(String, f64)> {
        let always = [
            ("loss", self.loss),
            ("learning_rate", self.rate),
            ("grad_norm", self.grad_norm),
            ("epoch", self.epoch),
            ("tokens_per_second", self.tokens_per_second),
            ("tie_margin", self.tie_margin),
        ];
        let sometimes = [
            ("accuracy", self.accuracy),
            ("margin", self.margin),
            ("words_loss", self.words_loss),
        ];
        always
            .into_iter()
            .chain(
                sometimes
                    .into_iter()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .map(|(name, value)| (format!("train/{name}"), value))
            .collect()
    }
}

impl EvaluationRecord {
    fn scalars(&self) -> Vec<(String, f64)> {
        let overall = [
            ("accuracy".to_owned(), self.overall.accuracy),
            ("macro_accuracy".to_owned(), self.macro_accuracy()),
            ("accuracy_with_ties".to_owned(), self.with_ties.accuracy),
            ("loss".to_owned(), Some(self.loss)),
        ];
        let tasks = self
            .tasks
            .iter()
            .map(|task| (task.task.code().to_owned(), task.agreement.accuracy));
        overall
            .into_iter()
            .chain(tasks)
            .filter_map(|(name, value)| Some((format!("{}/{name}", self.name), value?)))
            .collect()
    }
}

/// A number; one that is not finite is `null` in JSON.
fn number<'de, D: Deserializer<'de>>(reader: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(reader)?.unwrap_or(f64::NAN))
}
