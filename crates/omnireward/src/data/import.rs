//! `omnireward data import`: published preference sets as our own pairs.

use std::{fmt::Write as _, path::PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use omnireward_data::{
    Error,
    sources::{ImportOptions, Imported, SOURCES, Source, import as import_pairs},
};
use serde_json::{Value, json};

use super::table::{table, thousands};
use crate::{Outcome, bar::Bar, hub, printer};

/// Recognises the format by its content, whatever set it is.
const AUTO: &str = "auto";

#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(crate) struct ImportArgs {
    /// The set, by its name in `--list`, or `auto` for any format that is recognised.
    #[arg(long, value_name = "SOURCE", required_unless_present = "list")]
    from: Option<String>,

    /// Its files or folders, or `hf:OWNER/NAME[@REVISION]`.
    #[arg(long, num_args = 1.., value_name = "PATH", required_unless_present = "list")]
    input: Vec<String>,

    /// The folder for `pairs.jsonl` and its media. Started again with the same arguments, an import goes on where it was.
    #[arg(long, value_name = "DIR", required_unless_present = "list")]
    out: Option<PathBuf>,

    /// At most this many pairs.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,

    /// End at the first bad row, rather than count it.
    #[arg(long)]
    strict: bool,

    /// Copy media, rather than give their files a second name in the folder.
    #[arg(long)]
    copy_media: bool,

    /// Print the summary, or the list, as JSON.
    #[arg(long)]
    json: bool,

    /// Say which sets are known, what is read of them, and how their rows become pairs.
    #[arg(long)]
    list: bool,
}

pub(crate) async fn import(args: ImportArgs, quiet: bool) -> Result<Outcome> {
    if args.list {
        printer::data(&listed(args.json)?)?;
        return Ok(Outcome::Done);
    }
    let source = match args.from.as_deref() {
        None | Some(AUTO) => None,
        Some(name) => Some(Source::named(name)?),
    };
    let Some(out) = &args.out else {
        bail!("an import needs `--out`");
    };
    let mut inputs = Vec::with_capacity(args.input.len());
    for input in &args.input {
        inputs.push(if input.starts_with("hf:") {
            hub::dataset(input, quiet).await?.path
        } else {
            PathBuf::from(input)
        });
    }
    let options = ImportOptions {
        limit: args.limit,
        strict: args.strict,
        copy_media: args.copy_media,
    };
    let bar = Bar::new(quiet);
    let imported =
        tokio::task::block_in_place(|| import_pairs(source, &inputs, out, &options, &bar));
    let imported = match imported {
        Err(error @ Error::Link { .. }) => Err(error)
            .context("media cannot be shared with this folder; `--copy-media` copies them"),
        other => other.context("cannot import"),
    }?;
    printer::data(&if args.json {
        format!("{}\n", serde_json::to_string_pretty(&imported)?)
    } else {
        summary(source, &imported)
    })?;
    Ok(Outcome::Done)
}

fn summary(source: Option<&Source>, imported: &Imported) -> String {
    let name = source.map_or(AUTO, |source| source.name);
    let counts = [
        ("rows read", imported.rows_read),
        ("pairs made", imported.pairs),
        ("  first preferred", imported.first),
        ("  second preferred", imported.second),
        ("  ties", imported.ties),
        ("  unlabelled", imported.unlabelled),
        ("rows refused", imported.rows_refused()),
        ("media", imported.media),
        ("media that are not there", imported.missing_media),
    ];
    let rows = counts.map(|(what, count)| vec![what.to_owned(), thousands(count)]);
    let mut text = table(&[name, "count"], 1, &rows);
    if !imported.refused.is_empty() {
        let rows: Vec<Vec<String>> = imported
            .refused
            .iter()
            .map(|(reason, refusals)| {
                let count = thousands(refusals.rows);
                vec![reason.clone(), refusals.first.clone(), count]
            })
            .collect();
        text.push('\n');
        text.push_str(&table(&["refused because", "the first", "rows"], 2, &rows));
    }
    for lost in &imported.lost {
        let _ = writeln!(text, "\nlost: {lost}");
    }
    text
}

fn listed(as_json: bool) -> Result<String> {
    if as_json {
        let sources: Vec<Value> = SOURCES.iter().map(described).collect();
        return Ok(format!("{}\n", serde_json::to_string_pretty(&sources)?));
    }
    let mut text = String::new();
    for source in &SOURCES {
        let _ = writeln!(
            text,
            "{} ({}): {}\n  published  {}\n  read       {}\n  pairs      {}\n  confirmed  {}\n",
            source.name,
            source.task,
            source.title,
            source.published,
            source.reads,
            source.rule,
            source.confirmed
        );
    }
    text.push_str(
        "auto: whatever is recognised by its content; `docs/guide/formats.md` has the formats\n",
    );
    Ok(text)
}

fn described(source: &Source) -> Value {
    json!({
        "name": source.name, "title": source.title, "published": source.published, "task": source.task,
        "format": source.format.name(), "reads": source.reads, "rule": source.rule, "confirmed": source.confirmed,
    })
}
