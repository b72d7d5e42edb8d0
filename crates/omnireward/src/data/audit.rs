//! `omnireward data audit`: computes every label of a build again.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use omnireward_core::{Identity, PreferencePair, Setting};
use omnireward_curate::build::{Mismatch, Reread, Trail, audit as audit_trail, audit_pairs};
use omnireward_data::{OpenOptions, open};
use omnireward_judges::{ParityParser, Parser};
use serde_json::{Value, json};

use crate::{Outcome, printer};

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// The folder of a build.
    #[arg(value_name = "DIR")]
    build: PathBuf,

    /// Print what differs as JSON.
    #[arg(long)]
    json: bool,
}

/// Reads every reply again, applies the rule to every vote, and compares with what is recorded and
/// with the pairs that were written. Ends below its threshold when anything differs.
pub(crate) fn audit(args: &AuditArgs) -> Result<Outcome> {
    let (plan, records) = Trail::read(&args.build)?;
    let reader = |verifier: &str, reply: &str, setting: Setting| {
        let verifier = plan.verifiers.iter().find(|known| known.name == verifier);
        match verifier.and_then(parser) {
            None => Reread::Unknown,
            Some(parser) => parser
                .read(reply, setting)
                .map_or(Reread::Unreadable, |reading| {
                    Reread::Prefers(reading.preference)
                }),
        }
    };
    let mut found = audit_trail(&plan, &records, Some(&reader));
    found.extend(audit_pairs(&records, written(args)?));
    let criteria: usize = records.iter().map(|record| record.criteria.len()).sum();
    let votes = records.iter().flat_map(|record| &record.criteria);
    let votes: usize = votes.map(|criterion| criterion.votes.len()).sum();
    printer::data(&if args.json {
        let found: Vec<_> = found
            .iter()
            .map(|Mismatch { pair_id, what }| json!({"pair_id": pair_id, "what": what}))
            .collect();
        let counts = json!({
            "pairs": records.len(), "criteria": criteria, "votes": votes, "mismatches": found,
        });
        format!("{}\n", serde_json::to_string_pretty(&counts)?)
    } else {
        let mut lines: Vec<String> = found
            .iter()
            .map(|Mismatch { pair_id, what }| format!("{pair_id}: {what}"))
            .collect();
        lines.push(format!(
            "{} pairs, {criteria} criteria, {votes} votes; {} do not follow from the record",
            records.len(),
            found.len()
        ));
        lines.join("\n") + "\n"
    })?;
    Ok(if found.is_empty() {
        Outcome::Done
    } else {
        Outcome::BelowThreshold
    })
}

/// How a verifier's replies are read; `None` for a judge that is no chat model.
fn parser(verifier: &Identity) -> Option<Parser> {
    match &verifier.settings["parser"] {
        Value::Null => None,
        Value::String(_) => Some(Parser::Parity(ParityParser)),
        _ => Some(Parser::default()),
    }
}

/// The pairs that the build wrote; none where it kept none.
fn written(args: &AuditArgs) -> Result<Vec<PreferencePair>> {
    let file = args.build.join("pairs.jsonl");
    let length = std::fs::metadata(&file)
        .with_context(|| {
            format!(
                "`{}` is not there: the build has not ended yet",
                file.display()
            )
        })?
        .len();
    if length == 0 {
        return Ok(Vec::new());
    }
    let options = OpenOptions {
        format: Some(omnireward_data::Format::Pairs),
        ..OpenOptions::default()
    };
    let rows = open(&file, &options)?.pairs();
    Ok(rows.collect::<Result<_, _>>()?)
}
