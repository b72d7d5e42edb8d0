//! `omnireward data dedup`: rows that are in a set twice.

use std::{fmt::Write as _, path::PathBuf};

use anyhow::{Result, ensure};
use clap::Args;
use omnireward_curate::dedup::{self, DedupReport, DedupSettings};
use omnireward_data::Format;

use super::{
    engine::{EngineArgs, MediaArg, inputs, notes, print},
    table::{table, thousands},
};
use crate::{Outcome, bar::Bar};

#[derive(Debug, Args)]
pub(crate) struct DedupArgs {
    /// A file or folder in a known format; give several, and what is kept of duplicates is what comes first.
    #[arg(long = "input", value_name = "PAIRS", required = true)]
    inputs: Vec<PathBuf>,

    /// The format of all inputs; recognised when not given.
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,

    /// Where the rows that stay go, with `report.json` and `dropped.jsonl`. Started again, it goes on where it was.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Only rows whose words and media are exactly the same.
    #[arg(long, conflicts_with = "near")]
    exact: bool,

    /// Also rows that are nearly the same; the default.
    #[arg(long)]
    near: bool,

    /// The least Jaccard similarity of the texts of near duplicates, over runs of three words.
    #[arg(long, default_value_t = DedupSettings::default().threshold, value_name = "T")]
    threshold: f64,

    /// How the rows that stay have their media.
    #[arg(long, value_enum, default_value_t)]
    media: MediaArg,

    /// Print the report as JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    engine: EngineArgs,
}

pub(crate) async fn dedup(args: DedupArgs, quiet: bool) -> Result<Outcome> {
    ensure!(
        args.threshold > 0.0 && args.threshold <= 1.0,
        "`--threshold` is above 0 and at most 1"
    );
    let settings = DedupSettings {
        near: !args.exact,
        threshold: args.threshold,
        strict: args.engine.strict,
        ..DedupSettings::default()
    };
    let inputs = inputs(&args.inputs, args.format);
    let engine = args.engine.config();
    let report = dedup::dedup(
        &inputs,
        &args.out,
        &settings,
        args.media.into(),
        &engine,
        &Bar::new(quiet),
    )
    .await?;
    print(
        args.json.then(|| serde_json::to_string_pretty(&report)),
        || tables(&report),
    )?;
    Ok(Outcome::Done)
}

fn tables(report: &DedupReport) -> String {
    let row = |name: &str, counts: [u64; 4]| {
        std::iter::once(name.to_owned())
            .chain(counts.map(thousands))
            .collect::<Vec<_>>()
    };
    let mut rows: Vec<Vec<String>> = report
        .counts
        .iter()
        .map(|counts| {
            row(
                &counts.name,
                [counts.rows, counts.exact, counts.near, counts.kept],
            )
        })
        .collect();
    if rows.len() > 1 {
        rows.push(row(
            "all",
            [report.rows, report.exact, report.near, report.kept],
        ));
    }
    let mut text = table(&["input", "rows", "exact", "near", "kept"], 1, &rows);
    let _ = writeln!(
        text,
        "{} clusters, the largest of {}; {} candidates were compared",
        thousands(report.clusters),
        thousands(report.largest_cluster),
        thousands(report.compared),
    );
    if report.other_label > 0 {
        let _ = writeln!(
            text,
            "{} of the rows left out have another label than the row that is kept; `dropped.jsonl` says which",
            thousands(report.other_label),
        );
    }
    let bad: u64 = report.inputs.iter().map(|input| input.bad_rows).sum();
    text.push_str(&notes(bad, report.unread_media, report.missing_media));
    text
}
