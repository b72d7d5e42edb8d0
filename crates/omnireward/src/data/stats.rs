//! `omnireward data stats`: what sets of pairs are made of.

mod page;

use std::{fmt::Write as _, path::PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use omnireward_curate::stats::{self, Agreement, Lengths, Section, Stats, StatsSettings};
use omnireward_data::Format;

use super::{
    engine::{EngineArgs, inputs, notes, print},
    table::{percent, table, thousands},
};
use crate::{Outcome, bar::Bar, printer};

#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    /// A file or folder in a known format; give several.
    #[arg(long = "input", value_name = "PAIRS", required = true)]
    inputs: Vec<PathBuf>,

    /// The format of all inputs; recognised when not given.
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,

    /// Where the statistics go, with a sample of the rows. Started again, it goes on where it was.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Write a page with plots and samples to this file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Rows of each task that are samples.
    #[arg(long, default_value_t = 12, value_name = "N")]
    samples: u16,

    /// Draw the samples with this seed.
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,

    /// Print the statistics as JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    engine: EngineArgs,
}

pub(crate) async fn stats(args: StatsArgs, quiet: bool) -> Result<Outcome> {
    let settings = StatsSettings {
        samples: usize::from(args.samples),
        seed: args.seed,
        strict: args.engine.strict,
    };
    let bar = Bar::new(quiet);
    let inputs = inputs(&args.inputs, args.format);
    let engine = args.engine.config();
    let (out, _temporary) = if let Some(out) = &args.out {
        (out.clone(), None)
    } else {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        (folder.path().join("stats"), Some(folder))
    };
    let found = stats::stats(&inputs, &out, &settings, &engine, &bar).await?;
    print(
        args.json.then(|| serde_json::to_string_pretty(&found)),
        || tables(&found),
    )?;
    if let Some(file) = &args.html {
        page::write(file, &found, &out, &args)?;
        printer::note(&format!("page: {}", file.display()));
    }
    Ok(Outcome::Done)
}

/// The statistics for a terminal.
fn tables(stats: &Stats) -> String {
    let named: Vec<(&str, &Section)> = stats
        .tasks
        .iter()
        .map(|(task, section)| (task.code(), section))
        .chain([("all", &stats.all)])
        .collect();
    let mut text = sections("task", &named);
    let sources: Vec<(&str, &Section)> = stats
        .sources
        .iter()
        .map(|(name, section)| (name.as_str(), section))
        .collect();
    if sources.len() > 1 {
        let _ = write!(text, "\n{}", sections("source", &sources));
    }
    let _ = write!(text, "\n{}", media(&named));
    let _ = write!(text, "\n{}", lengths(&named));
    let _ = write!(text, "\n{}", criteria(&stats.all));
    if let Some(agreement) = &stats.agreement {
        let _ = write!(text, "\n{}", raters(agreement));
    }
    let bad = stats.inputs.iter().map(|input| input.bad_rows).sum();
    text.push_str(&notes(bad, 0, 0));
    text
}

fn sections(what: &str, sections: &[(&str, &Section)]) -> String {
    let rows: Vec<Vec<String>> = sections
        .iter()
        .map(|(name, section)| {
            let labels = section.labels;
            vec![
                (*name).to_owned(),
                thousands(section.rows),
                percent(Some(section.share)),
                thousands(section.groups),
                thousands(section.with_criterion),
                thousands(labels.none),
                percent(labels.tie_share()),
                percent(labels.first_share()),
            ]
        })
        .collect();
    let heading = [
        what,
        "rows",
        "share",
        "groups",
        "with criterion",
        "unlabelled",
        "ties",
        "first preferred",
    ];
    table(&heading, 1, &rows)
}

fn media(sections: &[(&str, &Section)]) -> String {
    let rows: Vec<Vec<String>> = sections
        .iter()
        .map(|(name, section)| {
            let media = section.media;
            let counts = [
                media.text_only_rows,
                media.images,
                media.videos,
                media.audios,
                media.meshes,
            ];
            std::iter::once((*name).to_owned())
                .chain(counts.map(thousands))
                .collect()
        })
        .collect();
    table(
        &[
            "task",
            "rows of text alone",
            "images",
            "videos",
            "audios",
            "meshes",
        ],
        1,
        &rows,
    )
}

fn lengths(sections: &[(&str, &Section)]) -> String {
    let parts = sections.iter().flat_map(|(name, section)| {
        let parts = [
            ("prompts", section.prompt_words),
            ("responses", section.response_words),
            ("criteria", section.criterion_words),
        ];
        parts
            .into_iter()
            .filter_map(move |(part, words)| Some((*name, part, words?)))
    });
    let rows: Vec<Vec<String>> = parts
        .map(|(name, part, words)| length_row(name, part, &words))
        .collect();
    let heading = [
        "task", "words of", "texts", "mean", "least", "25%", "50%", "75%", "95%", "most",
    ];
    table(&heading, 2, &rows)
}

fn length_row(name: &str, part: &str, words: &Lengths) -> Vec<String> {
    let quantiles = [
        words.least,
        words.quarter,
        words.median,
        words.three_quarters,
        words.most_of_20,
        words.most,
    ];
    [
        name.to_owned(),
        part.to_owned(),
        thousands(words.count),
        format!("{:.1}", words.mean),
    ]
    .into_iter()
    .chain(quantiles.map(thousands))
    .collect()
}

fn criteria(section: &Section) -> String {
    let rows: Vec<Vec<String>> = section
        .criteria_per_group
        .iter()
        .map(|(criteria, groups)| vec![thousands(*criteria), thousands(*groups)])
        .collect();
    let mut text = table(&["criteria", "groups"], 0, &rows);
    if let Some(mean) = section.mean_criteria_per_group {
        let opposite = thousands(section.groups_with_opposite_labels);
        let _ = writeln!(
            text,
            "{mean:.2} criteria in a group that has any; in {opposite} groups they prefer different responses"
        );
    }
    text
}

/// A coefficient of agreement; a dash where there is none.
fn coefficient(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"))
}

fn raters(agreement: &Agreement) -> String {
    let rows: Vec<Vec<String>> = agreement
        .pairs
        .iter()
        .map(|pair| {
            vec![
                format!("{} and {}", pair.first, pair.second),
                thousands(pair.items),
                percent(Some(pair.observed)),
                coefficient(pair.cohen),
            ]
        })
        .collect();
    let mut text = table(&["raters", "items", "agree", "Cohen's kappa"], 1, &rows);
    let _ = writeln!(
        text,
        "{} items with {} labels: Fleiss' kappa {}, Krippendorff's alpha {}",
        thousands(agreement.items),
        thousands(agreement.labels),
        coefficient(agreement.fleiss),
        coefficient(agreement.krippendorff),
    );
    text
}
