use omnireward_core::{Setting, Task, Usage};

use super::{
    Counts, Effort, Latency, MacroMean, Overall, OverallTies, Results, ResultsConfig,
    SettingResults, TaskResults, TaskRows, sorted,
};
use crate::{
    Row,
    metrics::{
        Accuracy, Confusion, CriterionFollowing, FailurePolicy, JudgeAgreement, Judged, Policies,
        Position, Scale, Tally, by_cluster, by_criterion, by_models, by_source, standings,
    },
    stats::{Cluster, Resampling, ShareReplicates, percentile_interval},
};

impl Results {
    /// Computes every number from rows, in any order.
    ///
    /// The same rows and config give the same results on any machine and number of threads. Each
    /// (pair, setting, order) should occur once.
    pub fn compute(rows: &[Row], config: &ResultsConfig) -> Self {
        let sorted = sorted(rows);
        let settings = Setting::ALL
            .into_iter()
            .filter(|setting| sorted.iter().any(|row| row.setting == *setting))
            .map(|setting| SettingResults::of(&sorted, setting, config))
            .collect();
        Self {
            config: config.clone(),
            rows: rows.len() as u64,
            settings,
            effort: Effort::of(&sorted),
        }
    }

    /// The numbers of one setting, if it was run.
    pub fn setting(&self, setting: Setting) -> Option<&SettingResults> {
        self.settings
            .iter()
            .find(|results| results.setting == setting)
    }
}

impl SettingResults {
    /// The numbers of one task, if it was run.
    pub fn task(&self, task: Task) -> Option<&TaskResults> {
        self.tasks.iter().find(|results| results.task == task)
    }

    fn of(sorted: &[&Row], setting: Setting, config: &ResultsConfig) -> Self {
        let scale = config.scale(setting);
        let tasks = TaskRows::of_setting(sorted, setting, config);
        let (task_results, replicates): (Vec<TaskResults>, Vec<ShareReplicates>) = tasks
            .iter()
            .map(|task| TaskResults::of(task, scale, config))
            .unzip();
        let judged: Vec<Judged<'_>> = tasks
            .iter()
            .flat_map(|t| t.judged.iter().copied())
            .collect();
        let rows: Vec<&Row> = tasks.iter().flat_map(|t| t.rows.iter().copied()).collect();
        Self {
            setting,
            counts: Counts::of(&rows, setting),
            overall: Overall::of(&task_results, replicates, &judged, scale, config),
            tasks: task_results,
            confusion: Confusion::of(&judged),
            position: Position::of(&judged, scale),
            criterion_following: CriterionFollowing::of(&judged, scale),
            agreement: JudgeAgreement::of(&judged),
            by_source: by_source(&judged, scale),
            by_criterion: by_criterion(&judged, scale),
            by_models: by_models(&judged, scale),
            models: standings(&judged),
            effort: Effort::of(&rows),
        }
    }
}

impl TaskResults {
    /// The numbers of one task, and the resampled shares that its interval comes from.
    fn of(rows: &TaskRows<'_>, scale: Scale, config: &ResultsConfig) -> (Self, ShareReplicates) {
        let tallies = tallies(&rows.judged);
        let replicates = replicates(&tallies, rows.task, scale, config, 0);
        let undecided = rows.without_tie_labels();
        let without_tie_labels = if undecided.len() == rows.judged.len() && rows.ties.is_none() {
            None
        } else {
            let tallies = self::tallies(&undecided);
            let replicates = self::replicates(&tallies, rows.task, scale, config, 1);
            Some(resampled(&tallies, &replicates, scale))
        };
        let accuracy = resampled(&tallies, &replicates, scale);
        let results = Self {
            task: rows.task,
            counts: Counts::of(&rows.rows, scale.setting),
            method: rows.method,
            accuracy,
            without_tie_labels: without_tie_labels.unwrap_or(accuracy),
            confusion: Confusion::of(&rows.judged),
            position: Position::of(&rows.judged, scale),
            criterion_following: CriterionFollowing::of(&rows.judged, scale),
            agreement: JudgeAgreement::of(&rows.judged),
            ties: rows.ties.clone(),
            effort: Effort::of(&rows.rows),
        };
        (results, replicates)
    }
}

impl Overall {
    fn of(
        tasks: &[TaskResults],
        replicates: Vec<ShareReplicates>,
        judged: &[Judged<'_>],
        scale: Scale,
        config: &ResultsConfig,
    ) -> Self {
        let is_common = |task: Task| {
            config
                .common_tasks
                .as_ref()
                .is_none_or(|common| common.contains(&task))
        };
        let common = MacroMean::of(tasks, &replicates, is_common, scale);
        let own = MacroMean::of(tasks, &replicates, |_| true, scale);
        let all = replicates.into_iter().reduce(|mut sum, task| {
            sum.add(&task);
            sum
        });
        let micro = all.map_or_else(Accuracy::default, |all| {
            resampled(&tallies(judged), &all, scale)
        });
        Self {
            common,
            own,
            micro,
            ties: OverallTies::of(tasks),
        }
    }
}

impl MacroMean {
    fn of(
        tasks: &[TaskResults],
        replicates: &[ShareReplicates],
        wanted: impl Fn(Task) -> bool,
        scale: Scale,
    ) -> Self {
        let (tasks, replicates): (Vec<&TaskResults>, Vec<&ShareReplicates>) = tasks
            .iter()
            .zip(replicates)
            .filter(|(task, _)| wanted(task.task))
            .unzip();
        let mean = |policy: FailurePolicy| {
            mean(tasks.iter().map(|task| task.accuracy.policies.get(policy)))
        };
        Self {
            tasks: tasks.iter().map(|task| task.task).collect(),
            value: mean(scale.policy),
            interval: joint_means(&replicates)
                .and_then(|means| percentile_interval(means, scale.confidence)),
            policies: Policies::each(mean),
        }
    }
}

impl OverallTies {
    fn of(tasks: &[TaskResults]) -> Option<Self> {
        let ties = || tasks.iter().map(|task| task.ties.as_ref());
        Some(Self {
            cross_fitted: mean(ties().map(|t| t?.cross_fitted_accuracy))?,
            fitted: mean(ties().map(|t| t?.fitted_accuracy))?,
            parity: mean(ties().map(|t| t?.parity.accuracy))?,
        })
    }
}

impl Effort {
    fn of(rows: &[&Row]) -> Self {
        let mut usage = Usage::default();
        for row in rows {
            usage += row.usage;
        }
        Self {
            usage,
            latency_ms: Latency::of(rows.iter().map(|row| row.latency_ms).collect()),
        }
    }
}

impl Latency {
    fn of(mut millis: Vec<u64>) -> Option<Self> {
        millis.sort_unstable();
        let max = *millis.last()?;
        // The smallest value that at least this share of rows does not exceed.
        let quantile = |share: f64| millis[(share * millis.len() as f64).ceil() as usize - 1];
        Some(Self {
            mean: millis.iter().sum::<u64>() as f64 / millis.len() as f64,
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            max,
        })
    }
}

impl ResultsConfig {
    pub(crate) fn scale(&self, setting: Setting) -> Scale {
        Scale {
            setting,
            policy: self.failure_policy,
            confidence: self.confidence,
        }
    }
}

fn tallies(judged: &[Judged<'_>]) -> Vec<Tally> {
    by_cluster(judged.iter().map(|j| (j.cluster(), j.hit())))
}

/// Resamples one task's clusters. Every (setting, task, purpose) has its own random numbers.
fn replicates(
    tallies: &[Tally],
    task: Task,
    scale: Scale,
    config: &ResultsConfig,
    purpose: u32,
) -> ShareReplicates {
    let clusters: Vec<Cluster> = tallies
        .iter()
        .map(|tally| tally.cluster(scale.policy, scale.setting))
        .collect();
    let how = Resampling {
        resamples: config.resamples,
        seed: config.seed,
        stream: purpose * 64 + scale.setting as u32 * 32 + task as u32,
    };
    ShareReplicates::draw(&clusters, how)
}

/// An accuracy whose interval comes from resampling.
fn resampled(tallies: &[Tally], replicates: &ShareReplicates, scale: Scale) -> Accuracy {
    Accuracy {
        interval: replicates.interval(scale.confidence),
        ..Accuracy::of_clusters(tallies, scale)
    }
}

/// The mean over tasks in each resample; `None` without tasks or where one has no share.
fn joint_means(tasks: &[&ShareReplicates]) -> Option<Vec<f64>> {
    let mut sums: Option<Vec<f64>> = None;
    for task in tasks {
        let shares = task.shares().collect::<Option<Vec<f64>>>()?;
        match &mut sums {
            None => sums = Some(shares),
            Some(sums) => sums
                .iter_mut()
                .zip(shares)
                .for_each(|(sum, share)| *sum += share),
        }
    }
    let count = tasks.len() as f64;
    sums.map(|sums| sums.into_iter().map(|sum| sum / count).collect())
}

/// The mean of values that must all be there; `None` without any.
fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let values = values.collect::<Option<Vec<f64>>>()?;
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
