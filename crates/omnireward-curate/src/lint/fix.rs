//! Repairs what can be repaired without a loss.

use omnireward_core::{Criterion, Part, PreferencePair};
use serde::{Deserialize, Serialize};

use super::{Code, Finding, words::is_stray};

/// What a fix makes of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Fixed {
    /// The row, repaired or as it was; `None` when it is to be removed, because an earlier row says the
    /// same.
    pub pair: Option<PreferencePair>,
    /// What was changed.
    pub changes: Vec<Change>,
}

/// One change of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The finding that it is for.
    pub code: Code,
    /// The row, from 1.
    pub row: u64,
    /// The pair's id.
    pub pair_id: String,
    /// The field, or `row` for a whole one.
    pub field: String,
    /// What was there.
    pub before: String,
    /// What is there now; `None` for a row that is removed.
    pub after: Option<String>,
}

/// Repairs a row for which `findings` were made: removes control characters, and the white space around a
/// criterion; a row that repeats an earlier one, label included, is removed. Everything else stays as it is,
/// since no program can know what was meant.
pub fn fix(pair: PreferencePair, row: u64, findings: &[Finding]) -> Fixed {
    let mut changes = Vec::new();
    let has = |code: Code| findings.iter().any(|finding| finding.code == code);
    if let Some(finding) = findings
        .iter()
        .find(|finding| finding.code == Code::DuplicatePair)
    {
        changes.push(Change {
            code: finding.code,
            row,
            pair_id: pair.id.clone(),
            field: "row".to_owned(),
            before: finding.reason.clone(),
            after: None,
        });
        return Fixed {
            pair: None,
            changes,
        };
    }
    let mut fixed = pair;
    if has(Code::ControlCharacter) {
        without_control_characters(&mut fixed, row, &mut changes);
    }
    if has(Code::UntrimmedCriterion) {
        let criterion = fixed
            .criterion
            .take()
            .map(|criterion| criterion.to_string());
        fixed.criterion = criterion.and_then(|before| {
            let after = before.trim().to_owned();
            note(
                &mut changes,
                Code::UntrimmedCriterion,
                row,
                &fixed.id,
                "criterion",
                &before,
                &after,
            );
            Criterion::new(after)
        });
    }
    Fixed {
        pair: Some(fixed),
        changes,
    }
}

fn without_control_characters(pair: &mut PreferencePair, row: u64, changes: &mut Vec<Change>) {
    let id = pair.id.clone();
    let mut clean = |field: &str, text: &str| {
        let after: String = text.chars().filter(|c| !is_stray(*c)).collect();
        if after != text {
            note(
                changes,
                Code::ControlCharacter,
                row,
                &id,
                field,
                text,
                &after,
            );
        }
        after
    };
    for part in &mut pair.prompt {
        if let Part::Text(text) = part {
            *text = clean("prompt", text);
        }
    }
    if let Some(criterion) = pair.criterion.take() {
        pair.criterion = Criterion::new(clean("criterion", &criterion));
    }
    for (index, response) in pair.responses.iter_mut().enumerate() {
        for part in &mut response.parts {
            if let Part::Text(text) = part {
                *text = clean(&super::row::response_field(index), text);
            }
        }
    }
}

fn note(
    changes: &mut Vec<Change>,
    code: Code,
    row: u64,
    pair_id: &str,
    field: &str,
    before: &str,
    after: &str,
) {
    changes.push(Change {
        code,
        row,
        pair_id: pair_id.to_owned(),
        field: field.to_owned(),
        before: before.to_owned(),
        after: Some(after.to_owned()),
    });
}
