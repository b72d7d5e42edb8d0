//! Checks of a set as a whole.

use std::collections::{BTreeMap, HashMap, HashSet};

use omnireward_core::{Preference, Task};

use super::{Code, Finding, LintConfig, row::Checked};

/// What is remembered of the rows so far.
#[derive(Default)]
pub(super) struct Set {
    rows: Vec<Row>,
    /// The first row of each content, and what it prefers.
    contents: HashMap<[u8; 32], (u64, Option<[u8; 32]>)>,
    labels: [u64; 2],
}

/// A row that has no finding of its own.
struct Row {
    row: u64,
    checked: Checked,
}

/// The smallest spread that is taken for one, in the logarithm of lengths: texts of a template are
/// nearly equally long, and a few words more are no outlier.
const LEAST_SPREAD: f64 = 0.2;

/// The share of labels at one place from which they are one-sided.
const ONE_SIDED: f64 = 0.95;

/// One-sidedness is judged from this many labels on.
const FEWEST_LABELS: u64 = 100;

impl Set {
    pub(super) fn add(&mut self, row: u64, mut checked: Checked, findings: &mut Vec<Finding>) {
        match checked.label {
            Some(Preference::First) => self.labels[0] += 1,
            Some(Preference::Second) => self.labels[1] += 1,
            _ => {}
        }
        let is_clean = checked.findings.is_empty();
        findings.append(&mut checked.findings);
        if !is_clean {
            return;
        }
        match self.contents.get(&checked.content) {
            None => {
                self.contents
                    .insert(checked.content, (row, checked.preferred));
                self.rows.push(Row { row, checked });
            }
            Some((earlier, preferred)) => {
                let (code, what) = if *preferred == checked.preferred {
                    (Code::DuplicatePair, "with the same label")
                } else {
                    (Code::OppositeLabels, "with another label")
                };
                findings.push(Finding {
                    code,
                    row: Some(row),
                    pair_id: Some(checked.pair_id),
                    field: None,
                    reason: format!("row {earlier} has the same content, {what}"),
                });
            }
        }
    }

    pub(super) fn finish(self, config: &LintConfig, findings: &mut Vec<Finding>) {
        self.lengths(config, findings);
        self.languages(config, findings);
        self.sides(findings);
    }

    /// Lengths that stand out among texts of the same kind and task.
    fn lengths(&self, config: &LintConfig, findings: &mut Vec<Finding>) {
        let mut kinds: BTreeMap<(Task, &str), Vec<f64>> = BTreeMap::new();
        for Row { checked, .. } in &self.rows {
            for text in &checked.texts {
                let lengths = kinds.entry((checked.task, text.kind)).or_default();
                lengths.push((text.characters as f64).ln());
            }
        }
        let usual: BTreeMap<(Task, &str), (f64, f64)> = kinds
            .into_iter()
            .filter(|(_, lengths)| lengths.len() >= config.fewest)
            .map(|(kind, lengths)| (kind, median_and_deviation(lengths)))
            .collect();
        for Row { row, checked } in &self.rows {
            for text in &checked.texts {
                let Some((median, deviation)) = usual.get(&(checked.task, text.kind)) else {
                    continue;
                };
                let distance = (text.characters as f64).ln() - median;
                let score = 0.6745 * distance / deviation.max(LEAST_SPREAD);
                if score.abs() >= config.length_score {
                    let (count, usual) = (text.characters, median.exp());
                    let kind = text.kind;
                    findings.push(Finding {
                        code: Code::LengthOutlier,
                        row: Some(*row),
                        pair_id: Some(checked.pair_id.clone()),
                        field: Some(text.field.clone()),
                        reason: format!(
                            "it has {count} characters; the median {kind} of {} has {usual:.0} (score {score:.1})",
                            checked.task
                        ),
                    });
                }
            }
        }
    }

    /// Texts in a language that is foreign to the set, though their prompt is not in it.
    fn languages(&self, config: &LintConfig, findings: &mut Vec<Finding>) {
        let texts = self.rows.iter().flat_map(|row| &row.checked.texts);
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for language in texts.filter_map(|text| text.language) {
            *counts.entry(language).or_default() += 1;
        }
        let total: usize = counts.values().sum();
        if total < config.fewest {
            return;
        }
        let foreign: HashSet<&str> = counts
            .iter()
            .filter(|(_, count)| {
                (**count as f64) < config.language_share * total as f64 || **count == 1
            })
            .map(|(language, _)| *language)
            .collect();
        for Row { row, checked } in &self.rows {
            let asked = checked.texts.iter().find(|text| text.kind == "prompt");
            let asked = asked.and_then(|text| text.language);
            for text in &checked.texts {
                let language = text.language.filter(|language| foreign.contains(language));
                let Some(language) =
                    language.filter(|language| asked != Some(language) || text.kind == "prompt")
                else {
                    continue;
                };
                let share = 100.0 * counts[language] as f64 / total as f64;
                findings.push(Finding {
                    code: Code::LanguageOutlier,
                    row: Some(*row),
                    pair_id: Some(checked.pair_id.clone()),
                    field: Some(text.field.clone()),
                    reason: format!("it is in `{language}`, as are {share:.1}% of the set's texts"),
                });
            }
        }
    }

    fn sides(&self, findings: &mut Vec<Finding>) {
        let [first, second] = self.labels;
        let total = first + second;
        let most = first.max(second);
        if total < FEWEST_LABELS || (most as f64) < ONE_SIDED * total as f64 {
            return;
        }
        let side = if first > second { "first" } else { "second" };
        findings.push(Finding {
            code: Code::OneSidedLabels,
            row: None,
            pair_id: None,
            field: Some("label".to_owned()),
            reason: format!("{most} of {total} labels prefer the {side} response"),
        });
    }
}

/// The median, and the median distance from it.
fn median_and_deviation(mut values: Vec<f64>) -> (f64, f64) {
    let middle = median(&mut values);
    let mut distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    (middle, median(&mut distances))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 {
        values[half]
    } else {
        f64::midpoint(values[half - 1], values[half])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_large_value_moves_neither_median_nor_deviation() {
        let (middle, deviation) = median_and_deviation(vec![1.0, 2.0, 3.0, 4.0, 1000.0]);
        assert!((middle - 3.0).abs() < 1e-12 && (deviation - 1.0).abs() < 1e-12);
        assert!((median(&mut [4.0, 1.0]) - 2.5).abs() < 1e-12);
    }
}
