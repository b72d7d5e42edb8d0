//! Checks of a set as a whole.

use std::collections::{BTreeMap, HashMap, HashSet};

use omnireward_core::{Preference, Task};

use super::{Code, Finding, LintConfig, row::Checked};

/// What is remembered of the rows so far.
#[derive(Default)]
pub(super) struct Set {
    rows: Vec<Row>,
    /// The first row of each content, and what it prefers; a row with a label goes before one without.
    contents: HashMap<[u8; 32], (u64, Option<[u8; 32]>)>,
    labels: [u64; 2],
}

/// A row that has no finding against its content.
struct Row {
    row: u64,
    checked: Checked,
}

/// Findings that are not against a row's content, which is compared with others all the same.
const HARMLESS: [Code; 4] = [
    Code::Unlabelled,
    Code::RemoteMedium,
    Code::UncheckedMedium,
    Code::WrongExtension,
];

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
        let mut own = checked.findings.iter();
        let is_clean = own.all(|finding| HARMLESS.contains(&finding.code));
        findings.append(&mut checked.findings);
        if !is_clean {
            return;
        }
        let this = (row, checked.preferred);
        let same = checked
            .content
            .and_then(|content| self.earlier(content, this));
        let Some((earlier, preferred)) = same else {
            self.rows.push(Row { row, checked });
            return;
        };
        let (code, what) = match (preferred, checked.preferred) {
            (before, now) if before == now => (Code::DuplicatePair, "with the same label"),
            (Some(_), Some(_)) => (Code::OppositeLabels, "with another label"),
            // One of them has no label, which is a finding already, and the other has.
            (None, _) | (_, None) => return,
        };
        findings.push(Finding {
            code,
            row: Some(row),
            pair_id: Some(checked.pair_id),
            field: None,
            reason: format!("row {earlier} has the same content, {what}"),
        });
    }

    /// The row that had this content before, and what it prefers. Where that is nothing, and this row
    /// has a label, later rows are compared with this one.
    fn earlier(
        &mut self,
        content: [u8; 32],
        this: (u64, Option<[u8; 32]>),
    ) -> Option<(u64, Option<[u8; 32]>)> {
        let Some(known) = self.contents.get_mut(&content) else {
            self.contents.insert(content, this);
            return None;
        };
        let before = *known;
        if before.1.is_none() && this.1.is_some() {
            *known = this;
        }
        Some(before)
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

    /// A row with one finding, and this content and preference.
    fn checked(code: Code, content: Option<u8>, preferred: Option<u8>) -> Checked {
        let finding = Finding {
            code,
            row: None,
            pair_id: None,
            field: None,
            reason: String::new(),
        };
        Checked {
            findings: vec![finding],
            pair_id: "p".to_owned(),
            task: Task::T2T,
            texts: Vec::new(),
            content: content.map(|byte| [byte; 32]),
            preferred: preferred.map(|byte| [byte; 32]),
            label: None,
        }
    }

    /// What is found by comparing rows, with their numbers.
    fn compared(rows: impl IntoIterator<Item = Checked>) -> Vec<(u64, Code)> {
        let (mut set, mut findings) = (Set::default(), Vec::new());
        for (row, checked) in (1..).zip(rows) {
            set.add(row, checked, &mut findings);
        }
        let of_set = findings
            .iter()
            .filter_map(|found| Some((found.row?, found.code)));
        of_set.collect()
    }

    #[test]
    fn only_a_finding_against_its_content_keeps_a_row_from_being_compared() {
        for code in Code::ALL {
            let rows = [Some(1), Some(1), Some(2)].map(|p| checked(code, Some(7), p));
            let expected: &[(u64, Code)] = if HARMLESS.contains(&code) {
                &[(2, Code::DuplicatePair), (3, Code::OppositeLabels)]
            } else {
                &[]
            };
            assert_eq!(compared(rows), expected, "{code}");
        }
    }

    #[test]
    fn media_that_are_not_known_make_nothing_the_same() {
        let rows = [None, None].map(|content| checked(Code::RemoteMedium, content, Some(1)));
        assert!(compared(rows).is_empty());
    }

    #[test]
    fn a_missing_label_is_not_another_one() {
        let rows = |preferred: &[Option<u8>]| {
            let rows = preferred.iter();
            compared(rows.map(|p| checked(Code::Unlabelled, Some(7), *p)))
        };
        assert_eq!(rows(&[Some(1), None, Some(2)]), [(3, Code::OppositeLabels)]);
        assert_eq!(rows(&[None, Some(1), Some(1)]), [(3, Code::DuplicatePair)]);
        assert_eq!(rows(&[None, None]), [(2, Code::DuplicatePair)]);
    }

    #[test]
    fn one_large_value_moves_neither_median_nor_deviation() {
        let (middle, deviation) = median_and_deviation(vec![1.0, 2.0, 3.0, 4.0, 1000.0]);
        assert!((middle - 3.0).abs() < 1e-12 && (deviation - 1.0).abs() < 1e-12);
        assert!((median(&mut [4.0, 1.0]) - 2.5).abs() < 1e-12);
    }
}
