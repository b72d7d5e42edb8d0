//! `omnireward data lint`: finds what is wrong with a set, and repairs what is safe.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use omnireward_core::PreferencePair;
use omnireward_curate::lint::{Change, Code, Finding, LintConfig, LintReport, fix, lint as check};
use omnireward_data::{Dataset, write};
use serde_json::json;

use super::table::{table, thousands};
use crate::{Outcome, args::ReadingArgs, bar::Bar, benchmark::Benchmark, printer};

#[derive(Debug, Args)]
pub(crate) struct LintArgs {
    /// The pairs: `embedded`, a directory or file in a known format, or `hf:OWNER/NAME[@REVISION]`.
    #[arg(long, value_name = "PAIRS")]
    input: String,

    /// Repair what can be repaired without a loss, and show every change. Needs `--out`.
    #[arg(long, requires = "out")]
    fix: bool,

    /// Where the repaired set goes: `pairs.jsonl` with its media, `changes.jsonl`, and
    /// `removed/` with the rows that are left out. The input stays as it is.
    #[arg(long, value_name = "DIR", requires = "fix")]
    out: Option<PathBuf>,

    /// Findings that are not reported, by their codes.
    #[arg(long, value_delimiter = ',', value_name = "CODE,…")]
    ignore: Vec<Code>,

    /// Do not read or decode media.
    #[arg(long)]
    no_media: bool,

    /// Exit with 1 when there are more findings than this.
    #[arg(long, default_value_t = 0, value_name = "N")]
    max_findings: u64,

    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    reading: ReadingArgs,
}

pub(crate) async fn lint(args: LintArgs, quiet: bool) -> Result<Outcome> {
    let source = Benchmark::open(&args.input, &args.reading, &[], quiet).await?;
    tokio::task::block_in_place(|| examine(&args, &source.dataset, quiet))
}

fn examine(args: &LintArgs, dataset: &Dataset, quiet: bool) -> Result<Outcome> {
    let config = LintConfig {
        decode_media: !args.no_media,
        ignored: args.ignore.clone(),
        ..LintConfig::default()
    };
    let bar = Bar::new(quiet);
    let report = check(dataset.pairs(), &config, &bar, dataset.rows());
    let changes = match &args.out {
        Some(out) => repair(dataset, &report, out)?,
        None => Vec::new(),
    };
    printer::data(&if args.json {
        let whole = json!({"rows": report.rows, "findings": report.findings, "changes": changes});
        format!("{}\n", serde_json::to_string_pretty(&whole)?)
    } else {
        format!("{}{}", diff(&changes), summary(&report))
    })?;
    Ok(if report.findings.len() as u64 > args.max_findings {
        Outcome::BelowThreshold
    } else {
        Outcome::Done
    })
}

/// Writes the repaired set into a new folder, with the rows that were left out beside it. `pairs.jsonl` gets its name
/// last: where it is, everything is there. Stopped before, the same can be asked for again.
fn repair(dataset: &Dataset, report: &LintReport, out: &Path) -> Result<Vec<Change>> {
    if out.join("pairs.jsonl").exists() {
        bail!(
            "`{}` holds a set already; give another folder",
            out.display()
        );
    }
    std::fs::create_dir_all(out).with_context(|| format!("cannot write `{}`", out.display()))?;
    let mut of_row: HashMap<u64, Vec<Finding>> = HashMap::new();
    for finding in &report.findings {
        if let Some(row) = finding.row {
            of_row.entry(row).or_default().push(finding.clone());
        }
    }
    let (mut changes, mut removed) = (Vec::new(), Vec::new());
    let rows = dataset.pairs().zip(1..).filter_map(|(pair, row)| {
        // A row that cannot be read is a finding, and cannot be written either.
        let pair: PreferencePair = pair.ok()?;
        let found = of_row.get(&row).map(Vec::as_slice).unwrap_or_default();
        let fixed = fix(pair.clone(), row, found);
        if fixed.pair.is_none() {
            removed.push(pair);
        }
        changes.extend(fixed.changes);
        fixed.pair
    });
    let partial = out.join("pairs.jsonl.partial");
    write::pairs_jsonl(&partial, rows)?;
    // In a folder of their own: a set is all that lies in its folder.
    let beside = out.join("removed");
    std::fs::create_dir_all(&beside)
        .with_context(|| format!("cannot make `{}`", beside.display()))?;
    write::pairs_jsonl(&beside.join("pairs.jsonl"), &removed)?;
    let mut lines = String::new();
    for change in &changes {
        writeln!(lines, "{}", serde_json::to_string(change)?)?;
    }
    let file = out.join("changes.jsonl");
    std::fs::write(&file, lines).with_context(|| format!("cannot write `{}`", file.display()))?;
    let file = out.join("pairs.jsonl");
    std::fs::rename(&partial, &file)
        .with_context(|| format!("cannot write `{}`", file.display()))?;
    Ok(changes)
}

/// Every change with what was there and what is there now. What cannot be seen is escaped.
fn diff(changes: &[Change]) -> String {
    let mut lines = Vec::new();
    for change in changes {
        let Change {
            code,
            row,
            pair_id,
            field,
            ..
        } = change;
        lines.push(format!("@@ row {row}, `{pair_id}`, {field}: {code}\n"));
        lines.push(format!("- {}\n", shown(&change.before)));
        lines.push(match &change.after {
            Some(after) => format!("+ {}\n", shown(after)),
            None => "(the row is moved to removed/)\n".to_owned(),
        });
    }
    lines.concat()
}

fn shown(text: &str) -> String {
    const MOST: usize = 200;
    let escaped: String = text.escape_debug().collect();
    match escaped.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &escaped[..end]),
        None => escaped,
    }
}

fn summary(report: &LintReport) -> String {
    let mut text = String::new();
    if !report.findings.is_empty() {
        let mut counts: BTreeMap<Code, u64> = BTreeMap::new();
        for finding in &report.findings {
            *counts.entry(finding.code).or_default() += 1;
        }
        let found: Vec<Vec<String>> = report.findings.iter().map(cells).collect();
        let counts: Vec<Vec<String>> = counts
            .into_iter()
            .map(|(code, count)| vec![code.to_string(), thousands(count)])
            .collect();
        text.push_str(&table(&["finding", "where", "because"], 3, &found));
        text.push('\n');
        text.push_str(&table(&["finding", "times"], 1, &counts));
        text.push('\n');
    }
    let (rows, findings) = (report.rows, report.findings.len());
    let _ = writeln!(text, "{findings} findings in {rows} rows");
    text
}

fn cells(finding: &Finding) -> Vec<String> {
    let mut place = finding
        .row
        .map_or_else(|| "the set".to_owned(), |row| format!("row {row}"));
    if let Some(id) = &finding.pair_id {
        let _ = write!(place, " `{id}`");
    }
    if let Some(field) = &finding.field {
        let _ = write!(place, ", {field}");
    }
    vec![finding.code.to_string(), place, finding.reason.clone()]
}
