//! Finds what is wrong with the pairs of a set.
//!
//! [`lint()`] reads a set once. Each row is checked by itself: its words, its criterion, its media,
//! which are decoded. Then the set as a whole: duplicates, texts that stand out by length or language,
//! labels that prefer one place. Every [`Finding`] has a [`Code`], a row and a reason. [`fix()`] repairs
//! what can be repaired without a loss.
//!
//! A row that has a finding against its content is left out of the statistics, so that one defect
//! gives one finding. Findings that are ignored do not count, and neither do those that leave the
//! content as it is: a missing label, a medium that was not looked at or has another name.

mod code;
mod criterion;
mod fix;
mod media;
mod row;
mod set;
mod wording;
mod words;

use omnireward_core::{PreferencePair, Progress, error_chain};
use omnireward_media::Limits;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use code::{Code, Finding};
pub use fix::{Change, Fixed, fix};
use row::Checked;
pub use wording::names_a_side;

/// What is checked, and how strictly.
#[derive(Clone, Debug)]
pub struct LintConfig {
    /// How large media may be.
    pub limits: Limits,
    /// Whether media are read and decoded. Default: true. Without it, rows are compared only where
    /// their media came with the set as bytes: files may have one content under two names.
    pub decode_media: bool,
    /// Codes that are not reported.
    pub ignored: Vec<Code>,
    /// The modified z-score from which a text's length stands out. It is `0.6745·(x − median) / MAD` of
    /// the logarithms of lengths (Iglewicz and Hoaglin, *How to Detect and Handle Outliers*, 1993, who
    /// take 3.5 for normal data; lengths of answers have longer tails). Default: 7.
    pub length_score: f64,
    /// The share of a set's texts below which a language is foreign to it. Default: 0.01.
    pub language_share: f64,
    /// Statistics are taken of at least this many. Default: 30.
    pub fewest: usize,
}

impl Default for LintConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            decode_media: true,
            ignored: Vec::new(),
            length_score: 7.0,
            language_share: 0.01,
            fewest: 30,
        }
    }
}

/// What was found in a set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LintReport {
    /// How many rows were read.
    pub rows: u64,
    /// What was found, by row and then by code; what concerns the whole set comes last.
    pub findings: Vec<Finding>,
}

/// Rows that are checked at once.
const CHUNK: usize = 256;

/// Checks every pair of a set. Rows that cannot be read are findings, too.
pub fn lint(
    pairs: impl Iterator<Item = Result<PreferencePair, omnireward_data::Error>>,
    config: &LintConfig,
    progress: &dyn Progress,
    total: Option<u64>,
) -> LintReport {
    progress.begin("checking", total);
    let mut pairs = pairs.zip(1..).peekable();
    let mut report = LintReport::default();
    let mut set = set::Set::default();
    while pairs.peek().is_some() {
        let chunk: Vec<_> = pairs.by_ref().take(CHUNK).collect();
        report.rows += chunk.len() as u64;
        let checked: Vec<(u64, Result<Checked, Finding>)> = chunk
            .into_par_iter()
            .map(|(pair, row)| (row, checked(pair, row, config)))
            .collect();
        for (row, checked) in checked {
            match checked {
                Ok(checked) => set.add(row, checked, &mut report.findings),
                Err(unreadable) => report.findings.push(unreadable),
            }
            progress.advance(1, "");
        }
    }
    set.finish(config, &mut report.findings);
    progress.end();
    report
        .findings
        .retain(|finding| !config.ignored.contains(&finding.code));
    report.findings.sort_by_key(|finding| {
        (
            finding.row.unwrap_or(u64::MAX),
            finding.code,
            finding.field.clone(),
        )
    });
    report
}

fn checked(
    pair: Result<PreferencePair, omnireward_data::Error>,
    row: u64,
    config: &LintConfig,
) -> Result<Checked, Finding> {
    match pair {
        Ok(pair) => {
            let mut checked = Checked::new(&pair, row, config);
            // What nobody wants to hear of keeps a row from nothing.
            checked
                .findings
                .retain(|finding| !config.ignored.contains(&finding.code));
            Ok(checked)
        }
        Err(error) => Err(Finding {
            code: Code::UnreadableRow,
            row: Some(row),
            pair_id: None,
            field: None,
            reason: error_chain(&error),
        }),
    }
}
