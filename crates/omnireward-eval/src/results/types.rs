use std::collections::BTreeMap;

use omnireward_core::{Setting, Status, Task, Usage};
use serde::{Deserialize, Serialize};

use crate::{
    metrics::{
        Accuracy, Confusion, CriterionFollowing, FailurePolicy, Group, JudgeAgreement, ModelPair,
        ModelStanding, Policies, Position, TieAnalysis,
    },
    stats::Interval,
};

/// What influences [`Results`] besides the rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResultsConfig {
    /// What a verdict without a preference counts as in the headline.
    pub failure_policy: FailurePolicy,
    /// The confidence of every interval.
    pub confidence: f64,
    /// How many times the clusters are resampled.
    pub resamples: u32,
    /// Seeds the resampling and the folds.
    pub seed: u64,
    /// The number of folds across which tie thresholds are fitted.
    pub folds: u32,
    /// The tasks that all compared judges support; `None` means the run's own.
    pub common_tasks: Option<Vec<Task>>,
}

impl Default for ResultsConfig {
    fn default() -> Self {
        Self {
            failure_policy: FailurePolicy::Wrong,
            confidence: 0.95,
            resamples: 10_000,
            seed: 0,
            folds: 5,
            common_tasks: None,
        }
    }
}

/// Every number of a run: the content of `results.json`.
///
/// Shares and accuracies are between 0 and 1. What cannot be computed is `None`, never a
/// stand-in number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// What the numbers depend on besides the rows.
    pub config: ResultsConfig,
    /// The number of rows they were computed from.
    pub rows: u64,
    /// One entry for each setting that was run, with ties first.
    pub settings: Vec<SettingResults>,
    /// What all requests together cost.
    pub effort: Effort,
}

/// The numbers of one setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SettingResults {
    /// The setting.
    pub setting: Setting,
    /// What was counted and what was left out.
    pub counts: Counts,
    /// The numbers over all tasks.
    pub overall: Overall,
    /// One entry for each task that was run, in the order of the paper's tables.
    pub tasks: Vec<TaskResults>,
    /// Labels against verdicts.
    pub confusion: Confusion,
    /// How verdicts depend on the order of the responses.
    pub position: Position,
    /// Whether verdicts follow the criterion; `None` when no criteria disagree.
    pub criterion_following: Option<CriterionFollowing>,
    /// Chance-corrected agreement with the labels.
    pub agreement: JudgeAgreement,
    /// Accuracy by source, sorted by name; empty when no row names one.
    pub by_source: Vec<Group>,
    /// Accuracy by criterion, the most frequent first, then by wording.
    pub by_criterion: Vec<Group>,
    /// Accuracy by the two response models, sorted by name.
    pub by_models: Vec<ModelPair>,
    /// How often each response model wins, by the judge and by the labels; the labels' best first.
    pub models: Vec<ModelStanding>,
    /// What the requests of this setting cost.
    pub effort: Effort,
}

/// The numbers over all tasks of a setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overall {
    /// The unweighted mean over the tasks that all compared judges support: the headline.
    pub common: MacroMean,
    /// The unweighted mean over the run's own tasks, as published tables have it.
    pub own: MacroMean,
    /// Every verdict counted alike.
    pub micro: Accuracy,
    /// Means over the run's own tasks of the accuracies with a tie threshold; `None` unless every
    /// task was scored and a tie could be answered.
    pub ties: Option<OverallTies>,
}

/// An unweighted mean over tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MacroMean {
    /// The tasks that entered it.
    pub tasks: Vec<Task>,
    /// The mean, under the run's failure policy.
    pub value: Option<f64>,
    /// Its interval: all tasks' clusters resampled jointly.
    pub interval: Option<Interval>,
    /// The mean under each failure policy; `None` where a task has no value.
    pub policies: Policies,
}

/// Three accuracies with a tie threshold for each task, averaged over tasks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OverallTies {
    /// Thresholds fitted on other folds: what can be expected of new data.
    pub cross_fitted: f64,
    /// Thresholds fitted on the pairs they are applied to: an upper bound.
    pub fitted: f64,
    /// The reference's walk, for comparison with published figures.
    pub parity: f64,
}

/// The numbers of one task in one setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskResults {
    /// The task.
    pub task: Task,
    /// What was counted and what was left out.
    pub counts: Counts,
    /// What [`accuracy`](Self::accuracy) was computed from.
    pub method: Method,
    /// The headline.
    pub accuracy: Accuracy,
    /// Over the pairs whose label is not a tie; a verdict of a tie is wrong. For a judge that
    /// scores, no threshold is applied: the higher score wins and equality is wrong. The same as
    /// `accuracy` where no tie was offered.
    pub without_tie_labels: Accuracy,
    /// Labels against verdicts.
    pub confusion: Confusion,
    /// How verdicts depend on the order of the responses.
    pub position: Position,
    /// Whether verdicts follow the criterion; `None` when no criteria disagree.
    pub criterion_following: Option<CriterionFollowing>,
    /// Chance-corrected agreement with the labels.
    pub agreement: JudgeAgreement,
    /// Tie thresholds, where a tie was offered to a judge that scores.
    pub ties: Option<TieAnalysis>,
    /// What the requests of this task cost.
    pub effort: Effort,
}

/// What a verdict is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The preference that the judge stated, or the sign of its margin.
    Verdicts,
    /// A tie where the margin is within a threshold fitted on other folds, otherwise its sign.
    CrossFittedThreshold,
}

/// How many rows there are and why some do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows of the run.
    pub rows: u64,
    /// Distinct pairs among them.
    pub pairs: u64,
    /// Rows without a label, which count nowhere.
    pub unlabelled: u64,
    /// Rows labelled a tie in a setting that offers none, which count nowhere.
    pub ties_left_out: u64,
    /// Rows that count: the denominator when failures are wrong.
    pub counted: u64,
    /// Counted rows labelled a tie.
    pub tie_labels: u64,
    /// Rows by how asking ended; all ways are listed.
    pub statuses: BTreeMap<Status, u64>,
}

/// Requests, tokens and time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Effort {
    /// The sum over rows.
    pub usage: Usage,
    /// How long rows took; `None` without rows.
    pub latency_ms: Option<Latency>,
}

/// Quantiles of the time from asking to having a verdict, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// The mean.
    pub mean: f64,
    /// Half of the rows were at most this slow.
    pub p50: u64,
    /// Nine in ten.
    pub p90: u64,
    /// Ninety-nine in a hundred.
    pub p99: u64,
    /// The slowest.
    pub max: u64,
}
