use std::{collections::HashMap, hash::Hash};

use omnireward_core::{Order, Preference, Setting, Task};
use serde::{Deserialize, Serialize};

use crate::{
    MacroMean, Results, ResultsConfig, Row,
    metrics::{Judged, Scale},
    results::{TaskRows, sorted},
    stats::{
        Cluster, Interval, McNemar, Resampling, ShareReplicates, cluster_robust_variance, holm,
        mcnemar, minimal_detectable_gap, percentile_interval,
    },
};

/// The power at which the smallest detectable gap is stated.
pub const POWER: f64 = 0.8;

/// Two or more runs beside each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What the numbers depend on besides the rows. Its common tasks are ignored: they are found.
    pub config: ResultsConfig,
    /// The runs' names, in the order given.
    pub runs: Vec<String>,
    /// One entry for each setting that at least two runs have.
    pub settings: Vec<SettingComparison>,
}

/// The runs beside each other in one setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SettingComparison {
    /// The setting.
    pub setting: Setting,
    /// The tasks that every run with this setting has.
    pub tasks: Vec<Task>,
    /// Each run's scores, in the order of the runs.
    pub scores: Vec<RunScore>,
    /// For every two runs: the gap over the common tasks.
    pub overall: Vec<Gap>,
    /// For every two runs and every common task: the gap.
    pub by_task: Vec<Gap>,
}

/// The overall scores of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunScore {
    /// The run.
    pub run: String,
    /// Over the tasks that all runs have.
    pub common: MacroMean,
    /// Over its own tasks.
    pub own: MacroMean,
}

/// How much better one run is than another on the verdicts that both have.
///
/// Verdicts are matched by task, pair and order; those with different labels do not match.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// The task; `None` for the unweighted mean over the common tasks.
    pub task: Option<Task>,
    /// The first run.
    pub first: String,
    /// The second run.
    pub second: String,
    /// Matched verdicts.
    pub verdicts: u64,
    /// Matched pairs: with both orders asked, half as many.
    pub pairs: u64,
    /// Each run's counted verdicts without a partner, or left out by the failure policy.
    pub unmatched: [u64; 2],
    /// Each run's accuracy on the matched verdicts.
    pub accuracy: [f64; 2],
    /// The first accuracy minus the second.
    pub gap: f64,
    /// The interval of the gap: clusters resampled, with both runs' verdicts on them.
    pub interval: Option<Interval>,
    /// Who is right more often, pair by pair.
    pub by_pair: PairedTest,
    /// Who is right more often, group by group: to be preferred where several pairs share one.
    pub by_group: PairedTest,
    /// The smallest gap that so many pairs, with so many of them discordant, show with 80% power.
    pub minimal_detectable_gap: Option<f64>,
}

/// The exact test of [`McNemar`], extended to units with several verdicts by the sign of their difference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairedTest {
    /// The discordant counts and p-values.
    #[serde(flatten)]
    pub test: McNemar,
    /// The p-value adjusted by Holm's method for all gaps in the same list.
    pub holm: f64,
}

/// Compares runs, each a name and its rows.
///
/// The runs must be over the same benchmark, which is for the caller to check (the manifests hold
/// its fingerprint): rows know their pair's id only, and ids of different benchmarks coincide.
///
/// Judges that score are compared by the verdicts of their cross-fitted thresholds where a tie was
/// offered.
pub fn compare(runs: &[(&str, &[Row])], config: &ResultsConfig) -> Comparison {
    let runs: Vec<Run<'_>> = runs
        .iter()
        .map(|(name, rows)| Run {
            name,
            rows,
            sorted: sorted(rows),
        })
        .collect();
    Comparison {
        config: config.clone(),
        runs: runs.iter().map(|run| run.name.to_owned()).collect(),
        settings: Setting::ALL
            .into_iter()
            .filter_map(|setting| compare_setting(&runs, setting, config))
            .collect(),
    }
}

struct Run<'a> {
    name: &'a str,
    rows: &'a [Row],
    sorted: Vec<&'a Row>,
}

/// A run's verdicts in one setting.
struct Verdicts<'a> {
    run: &'a Run<'a>,
    tasks: Vec<TaskRows<'a>>,
}

impl<'a> Verdicts<'a> {
    fn scored(&self, task: Task, scale: Scale) -> Vec<Scored<'a>> {
        self.tasks
            .iter()
            .filter(|rows| rows.task == task)
            .flat_map(|rows| &rows.judged)
            .map(|judged| Scored::of(judged, scale))
            .collect()
    }
}

fn compare_setting(
    runs: &[Run<'_>],
    setting: Setting,
    config: &ResultsConfig,
) -> Option<SettingComparison> {
    let verdicts: Vec<Verdicts<'_>> = runs
        .iter()
        .map(|run| Verdicts {
            run,
            tasks: TaskRows::of_setting(&run.sorted, setting, config),
        })
        .filter(|verdicts| !verdicts.tasks.is_empty())
        .collect();
    if verdicts.len() < 2 {
        return None;
    }
    let tasks: Vec<Task> = Task::ALL
        .into_iter()
        .filter(|task| {
            verdicts
                .iter()
                .all(|v| v.tasks.iter().any(|t| t.task == *task))
        })
        .collect();
    let config = ResultsConfig {
        common_tasks: Some(tasks.clone()),
        ..config.clone()
    };
    let mut overall = Vec::new();
    let mut by_task = Vec::new();
    for (i, first) in verdicts.iter().enumerate() {
        for second in &verdicts[i + 1..] {
            let differences: Vec<Differences> = tasks
                .iter()
                .map(|task| Differences::of(first, second, *task, config.scale(setting)))
                .collect();
            by_task.extend(differences.iter().filter_map(|task| {
                gap(
                    [first, second],
                    Some(task.task),
                    std::slice::from_ref(task),
                    setting,
                    &config,
                )
            }));
            overall.extend(gap([first, second], None, &differences, setting, &config));
        }
    }
    adjust(&mut overall);
    adjust(&mut by_task);
    Some(SettingComparison {
        setting,
        scores: verdicts
            .iter()
            .filter_map(|v| score(v.run, setting, &config))
            .collect(),
        tasks,
        overall,
        by_task,
    })
}

fn score(run: &Run<'_>, setting: Setting, config: &ResultsConfig) -> Option<RunScore> {
    let results = Results::compute(run.rows, config);
    let overall = &results.setting(setting)?.overall;
    Some(RunScore {
        run: run.name.to_owned(),
        common: overall.common.clone(),
        own: overall.own.clone(),
    })
}

/// What two runs score on each matched verdict of one task.
struct Differences {
    task: Task,
    /// For each pair, in rows' order: its group's index, and what each run scored.
    pairs: Vec<(usize, Vec<[f64; 2]>)>,
    groups: usize,
    unmatched: [u64; 2],
}

impl Differences {
    fn of(first: &Verdicts<'_>, second: &Verdicts<'_>, task: Task, scale: Scale) -> Self {
        let (first, second) = (first.scored(task, scale), second.scored(task, scale));
        let partners: HashMap<_, f64> = second
            .iter()
            .filter_map(|s| Some((s.key(), s.value?)))
            .collect();
        let mut pairs: Vec<(usize, Vec<[f64; 2]>)> = Vec::new();
        let (mut pair_index, mut group_index) = (Index::default(), Index::default());
        let mut matched = 0;
        for scored in &first {
            let (Some(value), Some(partner)) = (scored.value, partners.get(&scored.key())) else {
                continue;
            };
            matched += 1;
            let pair = pair_index.of(&scored.pair);
            if pair == pairs.len() {
                pairs.push((group_index.of(&scored.group), Vec::with_capacity(2)));
            }
            pairs[pair].1.push([value, *partner]);
        }
        Self {
            task,
            pairs,
            groups: group_index.0.len(),
            unmatched: [first.len() as u64 - matched, second.len() as u64 - matched],
        }
    }

    fn verdicts(&self) -> impl Iterator<Item = [f64; 2]> + '_ {
        self.pairs
            .iter()
            .flat_map(|(_, values)| values.iter().copied())
    }

    /// Each run's accuracy; `None` when nothing matches.
    fn accuracy(&self) -> Option<[f64; 2]> {
        let count = self.verdicts().count() as f64;
        let sum = |run: usize| self.verdicts().map(|values| values[run]).sum::<f64>();
        (count > 0.0).then(|| [sum(0) / count, sum(1) / count])
    }

    /// The first run's score minus the second's, for each pair.
    fn by_pair(&self) -> Vec<f64> {
        self.pairs
            .iter()
            .map(|(_, values)| values.iter().map(|[a, b]| a - b).sum())
            .collect()
    }

    /// For each group: the difference plus the number of verdicts, of the number of verdicts. As a
    /// share this is the gap plus one, and never negative.
    fn by_group(&self) -> Vec<Cluster> {
        let mut groups = vec![Cluster::default(); self.groups];
        for (group, values) in &self.pairs {
            for [a, b] in values {
                groups[*group].hits += a - b + 1.0;
                groups[*group].weight += 1.0;
            }
        }
        groups
    }

    fn minimal_detectable_gap(&self, confidence: f64) -> Option<f64> {
        let pairs = self.pairs.len() as f64;
        let differences = self.by_pair();
        let discordant = differences.iter().filter(|d| **d != 0.0).count() as f64 / pairs;
        let independent: Vec<Cluster> = self
            .pairs
            .iter()
            .map(|(_, values)| Cluster {
                hits: values.iter().map(|[a, b]| a - b).sum(),
                weight: values.len() as f64,
            })
            .collect();
        let variance =
            |clusters: &[Cluster]| cluster_robust_variance(clusters).filter(|v| *v > 0.0);
        let design = match (variance(&self.by_group()), variance(&independent)) {
            (Some(clustered), Some(independent)) => (clustered / independent).max(1.0),
            _ => 1.0,
        };
        Some(minimal_detectable_gap(pairs, discordant, confidence, POWER)? * design.sqrt())
    }
}

/// The gap over one task or the mean over several; `None` when a task has no matched verdicts.
fn gap(
    runs: [&Verdicts<'_>; 2],
    task: Option<Task>,
    tasks: &[Differences],
    setting: Setting,
    config: &ResultsConfig,
) -> Option<Gap> {
    let accuracies = tasks
        .iter()
        .map(Differences::accuracy)
        .collect::<Option<Vec<_>>>()?;
    if accuracies.is_empty() {
        return None;
    }
    let count = accuracies.len() as f64;
    let mean = |run: usize| accuracies.iter().map(|a| a[run]).sum::<f64>() / count;
    let accuracy = [mean(0), mean(1)];
    let detectable = tasks
        .iter()
        .map(|t| t.minimal_detectable_gap(config.confidence))
        .collect::<Option<Vec<f64>>>()
        .map(|gaps| gaps.iter().map(|gap| gap * gap).sum::<f64>().sqrt() / count);
    let sum = |of: fn(&Differences) -> u64| tasks.iter().map(of).sum::<u64>();
    Some(Gap {
        task,
        first: runs[0].run.name.to_owned(),
        second: runs[1].run.name.to_owned(),
        verdicts: sum(|t| t.verdicts().count() as u64),
        pairs: sum(|t| t.pairs.len() as u64),
        unmatched: [sum(|t| t.unmatched[0]), sum(|t| t.unmatched[1])],
        accuracy,
        gap: accuracy[0] - accuracy[1],
        interval: interval(tasks, setting, config),
        by_pair: paired_test(tasks.iter().flat_map(Differences::by_pair)),
        by_group: paired_test(
            tasks
                .iter()
                .flat_map(Differences::by_group)
                .map(|group| group.hits - group.weight),
        ),
        minimal_detectable_gap: detectable,
    })
}

/// Resamples each task's clusters and takes the mean gap over tasks.
fn interval(tasks: &[Differences], setting: Setting, config: &ResultsConfig) -> Option<Interval> {
    let mut means = vec![0.0; config.resamples as usize];
    for task in tasks {
        let how = Resampling {
            resamples: config.resamples,
            seed: config.seed,
            stream: 128 + setting as u32 * 32 + task.task as u32,
        };
        let replicates = ShareReplicates::draw(&task.by_group(), how);
        for (mean, share) in means.iter_mut().zip(replicates.shares()) {
            *mean += (share? - 1.0) / tasks.len() as f64;
        }
    }
    percentile_interval(means, config.confidence)
}

fn paired_test(differences: impl Iterator<Item = f64>) -> PairedTest {
    // Sums of thirds may miss zero by rounding; real differences are at least 1/3.
    const SMALL: f64 = 1e-9;
    let (mut first, mut second) = (0, 0);
    for difference in differences {
        first += u64::from(difference > SMALL);
        second += u64::from(difference < -SMALL);
    }
    let test = mcnemar(first, second);
    PairedTest { test, holm: test.p }
}

/// Adjusts the p-values of a list of gaps for how many there are.
fn adjust(gaps: &mut [Gap]) {
    let by_pair = holm(
        &gaps
            .iter()
            .map(|gap| gap.by_pair.test.p)
            .collect::<Vec<_>>(),
    );
    let by_group = holm(
        &gaps
            .iter()
            .map(|gap| gap.by_group.test.p)
            .collect::<Vec<_>>(),
    );
    for (gap, (pair, group)) in gaps.iter_mut().zip(by_pair.into_iter().zip(by_group)) {
        gap.by_pair.holm = pair;
        gap.by_group.holm = group;
    }
}

/// What one verdict scores under the failure policy; `None` when that leaves it out.
struct Scored<'a> {
    pair: &'a str,
    group: &'a str,
    order: Order,
    label: Preference,
    value: Option<f64>,
}

impl<'a> Scored<'a> {
    fn of(judged: &Judged<'a>, scale: Scale) -> Self {
        let (hits, weight) = scale.policy.of_failure(scale.setting);
        let value = match judged.hit() {
            Some(hit) => Some(f64::from(u8::from(hit))),
            None => (weight > 0.0).then_some(hits),
        };
        Self {
            pair: &judged.row.pair_id,
            group: &judged.row.group,
            order: judged.row.order,
            label: judged.label,
            value,
        }
    }

    fn key(&self) -> (&'a str, Order, Preference) {
        (self.pair, self.order, self.label)
    }
}

/// Numbers names in the order of first appearance.
struct Index<T>(HashMap<T, usize>);

impl<T: Eq + Hash + Copy> Index<T> {
    fn of(&mut self, name: &T) -> usize {
        let next = self.0.len();
        *self.0.entry(*name).or_insert(next)
    }
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}
