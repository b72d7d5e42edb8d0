//! `omnireward model doctor`: what is wrong with a checkpoint.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result, bail};
use omnireward_core::PreferencePair;
use omnireward_models::{
    MediaCache, NetworkOptions, Precision, RewardScorer,
    checkpoint::{self, Examination, Finding, Severity, doctor::ScoreError},
};
use serde_json::json;

use super::{
    args::DoctorArgs,
    local,
    table::{Page, WIDTH, counted, tail},
};
use crate::{Outcome, bar::Bar, local_model::Checkpoint, printer};

pub(super) async fn doctor(args: &DoctorArgs, quiet: bool) -> Result<Outcome> {
    let checkpoint = local(&args.model, quiet).await?;
    let (path, shown) = (checkpoint.path(), checkpoint.shown());
    if path.is_file() {
        bail!(
            "`{}` is a file; the doctor examines folders",
            path.display()
        );
    }
    if args.write_golden && matches!(checkpoint, Checkpoint::Embedded(_)) {
        bail!("the program's own model cannot be written to; leave out `--write-golden`");
    }
    let findings = tokio::task::block_in_place(|| examine(path, args, quiet))?;
    let defects = count(&findings, Severity::Defect);
    if args.json {
        let report = json!({ "path": shown, "deep": args.deep, "findings": findings });
        printer::data(&format!("{}\n", serde_json::to_string_pretty(&report)?))?;
    } else {
        page(shown, args, &findings).print()?;
    }
    Ok(if defects > 0 {
        Outcome::BelowThreshold
    } else {
        Outcome::Done
    })
}

fn examine(path: &Path, args: &DoctorArgs, quiet: bool) -> Result<Vec<Finding>> {
    let score = |pairs: &[PreferencePair], precision| score(path, pairs, precision);
    let examination = Examination {
        deep: args.deep,
        score: (!args.write_golden).then_some(&score),
    };
    let findings = checkpoint::doctor(path, &examination, &Bar::new(quiet))
        .with_context(|| format!("cannot examine `{}`", path.display()))?;
    let defects = count(&findings, Severity::Defect);
    if args.write_golden && defects > 0 {
        printer::note(&format!(
            "no golden rewards were stored, since the checkpoint has {}",
            counted(defects, "defect")
        ));
    } else if args.write_golden {
        let pairs = store_golden(path)?;
        if !quiet {
            printer::note(&format!("{} stored", counted(pairs, "golden pair")));
        }
    }
    Ok(findings)
}

/// Stores in a checkpoint what it gives to a few pairs, and says how many they are.
pub(crate) fn store_golden(path: &Path) -> Result<usize> {
    let score = |pairs: &[PreferencePair], precision| score(path, pairs, precision);
    let golden = checkpoint::write_golden(path, Precision::F32, &score)
        .map_err(|error| anyhow::Error::from_boxed(error).context("cannot store golden rewards"))?;
    Ok(golden.pairs.len())
}

/// Opens the checkpoint and scores pairs of words.
fn score(
    path: &Path,
    pairs: &[PreferencePair],
    precision: Precision,
) -> Result<Vec<Vec<f64>>, ScoreError> {
    let options = NetworkOptions {
        precision,
        ..NetworkOptions::default()
    };
    let scorer = RewardScorer::open(path, &options, Arc::new(MediaCache::in_memory(0)))?;
    let scored = scorer.score_pairs(pairs).into_iter();
    let rewards = scored.map(|scored| scored.map(|scored| scored.rewards));
    Ok(rewards.collect::<Result<_, _>>()?)
}

fn count(findings: &[Finding], severity: Severity) -> usize {
    let alike = findings
        .iter()
        .filter(|finding| finding.severity == severity);
    alike.count()
}

fn page(path: &Path, args: &DoctorArgs, findings: &[Finding]) -> Page {
    let mut page = Page::new();
    let (defects, warnings) = (
        count(findings, Severity::Defect),
        count(findings, Severity::Warning),
    );
    let title = match (defects, warnings) {
        (0, 0) => "nothing is wrong".to_owned(),
        (defects, 0) => counted(defects, "defect"),
        (0, warnings) => counted(warnings, "warning"),
        (defects, warnings) => format!(
            "{} and {}",
            counted(defects, "defect"),
            counted(warnings, "warning")
        ),
    };
    let title = page.strong(&title);
    page.line(&title);
    page.line(&tail(&path.display().to_string(), WIDTH));
    if !args.deep {
        let remark = page.faint("numbers were not read; `--deep` reads them");
        page.line(&remark);
    }
    for finding in findings {
        page.line("");
        show(&mut page, finding);
    }
    page
}

fn show(page: &mut Page, finding: &Finding) {
    const INDENT: usize = 9;
    let severity = format!("{:<INDENT$}", finding.severity);
    let severity = match finding.severity {
        Severity::Defect => page.alarming(&severity),
        Severity::Warning => page.strong(&severity),
    };
    let code = page.strong(finding.code.name());
    page.line(&format!("{severity}{code} in {}", finding.file));
    page.paragraph(INDENT, &finding.problem);
    page.paragraph(INDENT, &format!("→ {}", finding.mend));
}
