use std::collections::BTreeMap;

use omnireward_core::{Preference, Setting, Status, Task};

use super::{Counts, Method, ResultsConfig};
use crate::{
    Row,
    metrics::{
        CrossFit, Judged, Scored, Tally, TieAnalysis, margin,
        ties::{CURVE_POINTS, cross_fit, curve, fit, walk},
    },
};

/// The rows of one task in one setting, with the verdict that each counts by.
#[derive(Debug)]
pub(crate) struct TaskRows<'a> {
    pub(crate) task: Task,
    /// Every row, counted or not.
    pub(crate) rows: Vec<&'a Row>,
    pub(crate) judged: Vec<Judged<'a>>,
    pub(crate) method: Method,
    pub(crate) ties: Option<TieAnalysis>,
}

impl<'a> TaskRows<'a> {
    /// One entry for each task that has rows of `setting`, in the order of the paper's tables.
    ///
    /// `rows` must be [`sorted`].
    pub(crate) fn of_setting(
        rows: &[&'a Row],
        setting: Setting,
        config: &ResultsConfig,
    ) -> Vec<Self> {
        Task::ALL
            .into_iter()
            .filter_map(|task| {
                let rows: Vec<&Row> = rows
                    .iter()
                    .copied()
                    .filter(|row| row.setting == setting && row.task == task)
                    .collect();
                (!rows.is_empty()).then(|| Self::new(task, rows, setting, config))
            })
            .collect()
    }

    fn new(task: Task, rows: Vec<&'a Row>, setting: Setting, config: &ResultsConfig) -> Self {
        let mut judged: Vec<Judged<'a>> = rows
            .iter()
            .filter_map(|row| {
                Some(Judged {
                    row,
                    label: row.label.filter(|label| counts(*label, setting))?,
                    verdict: verdict(row),
                })
            })
            .collect();
        let calibrated = setting.offers_tie() && is_scorer(&judged);
        let ties = calibrated.then(|| calibrate(&mut judged, config));
        Self {
            task,
            rows,
            judged,
            method: if calibrated {
                Method::CrossFittedThreshold
            } else {
                Method::Verdicts
            },
            ties,
        }
    }

    /// The counted rows that are not labelled a tie, with the verdict that no threshold touched.
    pub(crate) fn without_tie_labels(&self) -> Vec<Judged<'a>> {
        self.judged
            .iter()
            .filter(|j| j.label != Preference::Tie)
            .map(|j| Judged {
                verdict: verdict(j.row),
                ..*j
            })
            .collect()
    }
}

impl Counts {
    pub(crate) fn of(rows: &[&Row], setting: Setting) -> Self {
        let mut statuses = Status::ALL
            .into_iter()
            .map(|status| (status, 0))
            .collect::<BTreeMap<_, _>>();
        let mut pairs: Vec<(Task, &str)> = Vec::with_capacity(rows.len());
        let mut counts = Self::default();
        for row in rows {
            *statuses.entry(row.status).or_default() += 1;
            pairs.push((row.task, &row.pair_id));
            match row.label {
                None => counts.unlabelled += 1,
                Some(label) if !self::counts(label, setting) => counts.ties_left_out += 1,
                Some(label) => {
                    counts.counted += 1;
                    counts.tie_labels += u64::from(label == Preference::Tie);
                }
            }
        }
        pairs.sort_unstable();
        pairs.dedup();
        Self {
            rows: rows.len() as u64,
            pairs: pairs.len() as u64,
            statuses,
            ..counts
        }
    }
}

/// The rows in an order that depends only on their content: by setting, task, place in the
/// benchmark, pair and order.
///
/// The reference walks over margins in the order of the benchmark's file, which decides where
/// margins are equal. Pairs at the same place, which come from one list, go by their ids.
pub(crate) fn sorted(rows: &[Row]) -> Vec<&Row> {
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by(|a, b| {
        (a.setting, a.task)
            .cmp(&(b.setting, b.task))
            .then_with(|| a.position.cmp(&b.position))
            .then_with(|| a.pair_id.cmp(&b.pair_id))
            .then_with(|| a.order.cmp(&b.order))
    });
    sorted
}

/// Whether pairs of this label are asked in this setting.
fn counts(label: Preference, setting: Setting) -> bool {
    setting.offers_tie() || label != Preference::Tie
}

/// The row's preference; none where its scores cannot be compared.
fn verdict(row: &Row) -> Option<Preference> {
    let comparable = row.scores.is_none_or(|[a, b]| !(a - b).is_nan());
    row.preference.filter(|_| comparable)
}

/// Whether the judge says nothing beyond its scores: each preference is the sign of a margin, and there is no reply. What
/// a judge writes stands, however probable it was.
fn is_scorer(judged: &[Judged<'_>]) -> bool {
    let mut verdicts = judged.iter().filter(|j| j.verdict.is_some()).peekable();
    verdicts.peek().is_some()
        && verdicts.all(|j| {
            let sign = margin(j.row).map(|margin| Preference::from_higher(margin, 0.0));
            sign.is_some() && sign == j.verdict && j.row.raw.is_none()
        })
}

/// Replaces each verdict by that of a threshold fitted on the other folds.
fn calibrate(judged: &mut [Judged<'_>], config: &ResultsConfig) -> TieAnalysis {
    let (indices, scored): (Vec<usize>, Vec<Scored>) = judged
        .iter()
        .enumerate()
        .filter(|(_, j)| j.verdict.is_some())
        .filter_map(|(index, j)| {
            let margin = margin(j.row)?;
            Some((
                index,
                Scored {
                    margin,
                    label: j.label,
                },
            ))
        })
        .unzip();
    let clusters: Vec<&str> = indices
        .iter()
        .map(|i| judged[*i].row.group.as_str())
        .collect();
    let (folds, verdicts) = cross_fit(&scored, &clusters, config.folds, config.seed);
    for (index, verdict) in indices.into_iter().zip(verdicts) {
        judged[index].verdict = Some(verdict);
    }
    let tally: Tally = judged.iter().map(Judged::hit).collect();
    let fitted = fit(&scored).expect("a scorer has at least one scored row");
    TieAnalysis {
        fitted,
        fitted_accuracy: fitted.counts.accuracy(),
        cross_fitted_accuracy: (tally.scored > 0).then(|| tally.hits as f64 / tally.scored as f64),
        cross_fitted: CrossFit { folds, tally },
        parity: walk(&scored),
        curve: curve(&scored, CURVE_POINTS),
    }
}
