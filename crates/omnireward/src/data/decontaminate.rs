//! `omnireward data decontaminate`: training rows that touch a benchmark.

use std::{fmt::Write as _, path::PathBuf};

use anyhow::{Result, ensure};
use clap::Args;
use omnireward_curate::decontaminate::{self, Action, DecontaminateReport, DecontaminateSettings};
use omnireward_data::Format;

use super::{
    engine::{EngineArgs, MediaArg, inputs, notes, print},
    table::{table, thousands},
};
use crate::{Outcome, bar::Bar};

#[derive(Debug, Args)]
pub(crate) struct DecontaminateArgs {
    /// A file or folder of training pairs in a known format; give several.
    #[arg(long = "input", value_name = "PAIRS", required = true)]
    inputs: Vec<PathBuf>,

    /// The format of all inputs; recognised when not given.
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,

    /// A benchmark in a known format; give several.
    #[arg(long = "against", value_name = "BENCHMARK", required = true)]
    benchmarks: Vec<PathBuf>,

    /// Where the rows go, with `report.json` and `overlaps.jsonl`. Started again, it goes on where it was.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Keep rows that touch a benchmark; their field `overlap` says what they touch.
    #[arg(long, conflicts_with = "remove")]
    flag: bool,

    /// Leave rows out that touch a benchmark; the default.
    #[arg(long)]
    remove: bool,

    /// The least Jaccard similarity of two texts, over runs of three words.
    #[arg(long, default_value_t = DecontaminateSettings::default().threshold, value_name = "T")]
    threshold: f64,

    /// Texts of fewer words say nothing and are not compared.
    #[arg(long, default_value_t = DecontaminateSettings::default().least_words, value_name = "N")]
    least_words: usize,

    /// How the written rows have their media.
    #[arg(long, value_enum, default_value_t)]
    media: MediaArg,

    /// Print the report as JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    engine: EngineArgs,
}

pub(crate) async fn decontaminate(args: DecontaminateArgs, quiet: bool) -> Result<Outcome> {
    ensure!(
        args.threshold > 0.0 && args.threshold <= 1.0,
        "`--threshold` is above 0 and at most 1"
    );
    let settings = DecontaminateSettings {
        action: if args.flag {
            Action::Flag
        } else {
            Action::Remove
        },
        threshold: args.threshold,
        least_words: args.least_words,
        strict: args.engine.strict,
        ..DecontaminateSettings::default()
    };
    let report = decontaminate::decontaminate(
        &inputs(&args.inputs, args.format),
        &inputs(&args.benchmarks, None),
        &args.out,
        &settings,
        args.media.into(),
        &args.engine.config(),
        &Bar::new(quiet),
    )
    .await?;
    print(
        args.json.then(|| serde_json::to_string_pretty(&report)),
        || tables(&report),
    )?;
    Ok(Outcome::Done)
}

fn tables(report: &DecontaminateReport) -> String {
    let trained: Vec<Vec<String>> = report
        .inputs
        .iter()
        .zip(&report.touching_by_input)
        .map(|(input, &touching)| {
            vec![
                input.name.clone(),
                thousands(input.rows),
                thousands(touching),
            ]
        })
        .collect();
    let benchmarks: Vec<Vec<String>> = report
        .benchmarks
        .iter()
        .map(|benchmark| {
            let counts = [
                benchmark.input.rows,
                benchmark.touched,
                benchmark.touched_by,
            ];
            std::iter::once(benchmark.input.name.clone())
                .chain(counts.map(thousands))
                .collect()
        })
        .collect();
    let parts = report.parts;
    let mut text = table(&["input", "rows", "touching"], 1, &trained);
    text.push('\n');
    text.push_str(&table(
        &["benchmark", "rows", "touched", "by rows"],
        1,
        &benchmarks,
    ));
    let _ = writeln!(
        text,
        "\n{} of {} rows touch a benchmark: {} by the prompt, {} by a response, {} by a medium of the prompt, {} by one of a response; {} rows are written",
        thousands(report.touching),
        thousands(report.rows),
        thousands(parts.prompt),
        thousands(parts.response),
        thousands(parts.prompt_media),
        thousands(parts.response_media),
        thousands(report.kept),
    );
    let benchmarks = report.benchmarks.iter().map(|benchmark| &benchmark.input);
    let bad = report
        .inputs
        .iter()
        .chain(benchmarks)
        .map(|input| input.bad_rows)
        .sum();
    text.push_str(&notes(bad, report.unread_media, report.missing_media));
    text
}
