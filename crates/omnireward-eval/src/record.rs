use omnireward_core::{Order, Preference, PreferencePair, Setting, Status, Task, Usage, Verdict};
use serde::{Deserialize, Serialize};

/// One verdict with what is needed to count it: a row of a run's `verdicts.sqlite`.
///
/// Preference and scores are in the dataset's order of responses, whatever order the judge saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The pair's id.
    pub pair_id: String,
    /// Its place in the benchmark, from 0, in the order in which the benchmark's files are read.
    /// Rows that cannot be used have a place too; the comparisons of one list share theirs.
    pub position: u64,
    /// Its task.
    pub task: Task,
    /// Whether a tie was among the answers offered.
    pub setting: Setting,
    /// The order the judge saw.
    pub order: Order,
    /// The key that intervals are clustered by.
    pub group: String,
    /// The dataset or subset.
    pub source: Option<String>,
    /// What "better" meant.
    pub criterion: Option<String>,
    /// The models that made the two responses, in the dataset's order.
    pub models: [Option<String>; 2],
    /// The human or constructed label.
    pub label: Option<Preference>,
    /// How asking ended.
    pub status: Status,
    /// What the judge prefers, when readable.
    pub preference: Option<Preference>,
    /// One score for each response, from judges that have numbers.
    pub scores: Option<[f64; 2]>,
    /// The reasons given.
    pub rationale: Option<String>,
    /// The reply as it was received.
    pub raw: Option<String>,
    /// What it cost.
    pub usage: Usage,
    /// A sentence for people.
    pub detail: Option<String>,
    /// Wall time from asking to having the verdict.
    pub latency_ms: u64,
}

impl Row {
    /// Records `verdict`, which is already in the dataset's order, on `pair`, which is at
    /// `position` in the benchmark.
    pub fn new(
        pair: &PreferencePair,
        position: u64,
        setting: Setting,
        order: Order,
        verdict: Verdict,
        latency_ms: u64,
    ) -> Self {
        let model = |index: usize| pair.responses.get(index).and_then(|r| r.model.clone());
        Self {
            pair_id: pair.id.clone(),
            position,
            task: pair.task,
            setting,
            order,
            group: pair.cluster().to_owned(),
            source: pair.source.clone(),
            criterion: pair.criterion.as_ref().map(ToString::to_string),
            models: [model(0), model(1)],
            label: pair.label,
            status: verdict.status,
            preference: verdict.preference,
            scores: verdict.scores.and_then(|s| s.try_into().ok()),
            rationale: verdict.rationale,
            raw: verdict.raw,
            usage: verdict.usage,
            detail: verdict.detail,
            latency_ms,
        }
    }
}
