//! `omnireward data export`: pairs in the forms that trainers read.

use std::{fmt::Write as _, path::PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use omnireward_data::{
    Dataset, Error,
    export::{ExportOptions, Exported, Target, export as export_pairs},
};

use super::table::{table, thousands};
use crate::{Outcome, args::ReadingArgs, bar::Bar, benchmark::Benchmark, printer};

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The pairs: `embedded`, a directory or file in a known format, or `hf:OWNER/NAME[@REVISION]`; several are joined.
    #[arg(long, num_args = 1.., required = true, value_name = "PAIRS")]
    input: Vec<String>,

    /// The form: `llama-factory`, `trl`, `ms-swift`, `openrlhf` or `pairs`.
    #[arg(long, value_name = "FORM")]
    to: Target,

    /// The folder to write.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// What the set is called, and its file.
    #[arg(long, default_value = "preferences", value_name = "NAME", value_parser = plain_name)]
    name: String,

    /// Leave out what the form cannot hold, and count it, rather than refuse.
    #[arg(long)]
    drop_what_does_not_fit: bool,

    /// Copy media, rather than give their files a second name in the folder.
    #[arg(long)]
    copy_media: bool,

    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    reading: ReadingArgs,
}

fn plain_name(name: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !name.is_empty() && !name.starts_with('.') && name.chars().all(is_plain) {
        Ok(name.to_owned())
    } else {
        Err("a name has letters, digits, `-`, `_` and `.`, and does not begin with `.`".to_owned())
    }
}

pub(crate) async fn export(args: ExportArgs, quiet: bool) -> Result<Outcome> {
    let mut sources = Vec::with_capacity(args.input.len());
    for input in &args.input {
        sources.push(Benchmark::open(input, &args.reading, &[], quiet).await?);
    }
    let datasets: Vec<Dataset> = sources
        .iter()
        .map(|source| source.dataset.clone())
        .collect();
    let options = ExportOptions {
        name: args.name.clone(),
        drop_unfit: args.drop_what_does_not_fit,
        strict: args.reading.strict,
        copy_media: args.copy_media,
    };
    let bar = Bar::new(quiet);
    let exported =
        tokio::task::block_in_place(|| export_pairs(&datasets, args.to, &args.out, &options, &bar));
    let exported = match exported {
        Err(error @ Error::Unfit { .. }) => Err(error)
            .context("nothing was written; `--drop-what-does-not-fit` leaves such pairs out"),
        Err(error @ Error::Link { .. }) => Err(error)
            .context("media cannot be shared with this folder; `--copy-media` copies them"),
        other => other.context("cannot export"),
    }?;
    printer::data(&if args.json {
        format!("{}\n", serde_json::to_string_pretty(&exported)?)
    } else {
        summary(args.to, &exported)
    })?;
    Ok(Outcome::Done)
}

fn summary(target: Target, exported: &Exported) -> String {
    let counts = [
        ("pairs written", exported.pairs),
        ("pairs left out", exported.pairs_dropped()),
        ("rows that could not be read", exported.rows_refused),
        ("media that are not there", exported.missing_media),
    ];
    let rows = counts.map(|(what, count)| vec![what.to_owned(), thousands(count)]);
    let mut text = table(&[target.name(), "count"], 1, &rows);
    if !exported.dropped.is_empty() {
        let dropped = exported.dropped.iter().map(|dropped| {
            let because = format!("{} in `{}`", dropped.reason, dropped.field);
            vec![because, dropped.first.clone(), thousands(dropped.pairs)]
        });
        text.push('\n');
        let heading = ["left out because of", "the first", "pairs"];
        text.push_str(&table(&heading, 2, &dropped.collect::<Vec<_>>()));
    }
    if let Some(first) = &exported.first_refused {
        let _ = writeln!(text, "\nfirst row that could not be read: {first}");
    }
    if let Some(first) = &exported.first_missing {
        let _ = writeln!(text, "\nfirst medium that is not there: {first}");
    }
    for file in &exported.files {
        let _ = writeln!(text, "{}", file.display());
    }
    text
}
