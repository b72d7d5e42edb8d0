//! Everything that is wrong with a checkpoint, in one list.

mod config;
mod finding;
mod golden;
mod head;
mod numbers;
mod tensors;
mod tokenizer;

use std::{collections::BTreeMap, fmt, path::Path};

use omnireward_core::Progress;
use serde_json::Value;

use super::{
    architecture::{Architecture, Family},
    files::Survey,
};
use crate::{Error, Result};

pub use finding::{Code, Finding, Severity};
pub use golden::{Golden, GoldenPair, Score, ScoreError, write_golden};

/// How thoroughly a checkpoint is examined.
#[derive(Default)]
pub struct Examination<'a> {
    /// Whether every number is read, to find those that are not finite.
    pub deep: bool,
    /// What scores pairs with the checkpoint, to compare with the rewards stored beside it. Without it they are not
    /// compared.
    pub score: Option<&'a Score<'a>>,
}

impl fmt::Debug for Examination<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Examination")
            .field("deep", &self.deep)
            .field("score", &self.score.is_some())
            .finish()
    }
}

/// Examines the checkpoint in the folder `dir`. The list is empty when nothing is wrong.
///
/// No defect hides another: what a missing file would have been needed for is left out, everything else is examined.
/// `progress` counts bytes, when all numbers are read.
///
/// # Errors
///
/// Fails only when the folder itself cannot be read.
pub fn doctor(
    dir: &Path,
    examination: &Examination<'_>,
    progress: &dyn Progress,
) -> Result<Vec<Finding>> {
    let survey = Survey::of(dir)?;
    let mut patient = Patient {
        dir,
        survey: &survey,
        config: None,
        architecture: None,
        findings: Vec::new(),
    };
    config::examine(&mut patient);
    tensors::examine(&mut patient);
    head::examine(&mut patient);
    tokenizer::examine(&mut patient);
    if patient.family() == Some(Family::MiniCpmO) {
        config::examine_preprocessor(&mut patient);
    }
    if examination.deep {
        numbers::examine(&mut patient, progress);
    }
    golden::examine(&mut patient, examination.score);
    let mut findings = patient.findings;
    findings.sort_by_key(|finding| finding.severity);
    Ok(findings)
}

/// A checkpoint that is being examined, and what was found so far.
struct Patient<'a> {
    dir: &'a Path,
    survey: &'a Survey,
    config: Option<Value>,
    architecture: Option<Architecture>,
    findings: Vec<Finding>,
}

impl Patient<'_> {
    fn family(&self) -> Option<Family> {
        self.architecture
            .as_ref()
            .map(|architecture| architecture.family)
    }

    fn report(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Reports what concerns single tensors, of each kind the first few one by one.
    fn report_many(&mut self, findings: Vec<Finding>) {
        let mut kinds: BTreeMap<(Severity, Code), Vec<Finding>> = BTreeMap::new();
        for finding in findings {
            let kind = (finding.severity, finding.code);
            kinds.entry(kind).or_default().push(finding);
        }
        for findings in kinds.into_values() {
            self.report_alike(findings);
        }
    }

    fn report_alike(&mut self, findings: Vec<Finding>) {
        const MOST: usize = 6;
        let more = findings.len().saturating_sub(MOST);
        let last = findings.last().cloned();
        self.findings.extend(findings.into_iter().take(MOST));
        if let (Some(last), 1..) = (last, more) {
            let subject = last.subject.as_deref().unwrap_or("the last").to_owned();
            self.findings.push(Finding {
                subject: Some(format!("{more} more")),
                problem: format!("the same is wrong with {more} more, up to `{subject}`"),
                ..last
            });
        }
    }

    fn has_found(&self, code: Code) -> bool {
        self.findings.iter().any(|finding| finding.code == code)
    }
}

/// An error in words, without its path, which a finding names anyway.
fn reason(error: &Error) -> String {
    match error {
        Error::Config { field, reason, .. } => format!("`{field}`: {reason}"),
        Error::Head { reason, .. }
        | Error::Template { reason, .. }
        | Error::Tokenizer { reason, .. } => reason.clone(),
        other => omnireward_core::error_chain(other),
    }
}
