//! `omnireward data mix`: a training mixture from a recipe.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use omnireward_curate::mix::{self, Count, MixRecipe, MixReport};

use super::{
    engine::{EngineArgs, notes, print},
    table::{table, thousands},
};
use crate::{Outcome, bar::Bar, printer};

#[derive(Debug, Args)]
pub(crate) struct MixArgs {
    /// The recipe: which sets, and how much of each.
    #[arg(long, value_name = "FILE")]
    recipe: PathBuf,

    /// Where relative paths of the recipe begin; the recipe's folder when not given.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,

    /// Where the mixture goes, with `report.json`. Started again, it goes on where it was.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Sample with this seed instead of the recipe's.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// At most this many rows of any subset, instead of what the recipe says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_samples: Option<u64>,

    /// Print the report as JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    engine: EngineArgs,
}

/// Exits with 1 when a count is not as the recipe says.
pub(crate) async fn mix(args: MixArgs, quiet: bool) -> Result<Outcome> {
    let mut recipe = MixRecipe::read(&args.recipe)?;
    recipe.seed = args.seed.unwrap_or(recipe.seed);
    recipe.max_samples = args.max_samples.or(recipe.max_samples);
    recipe.strict |= args.engine.strict;
    let folder = args.recipe.parent().unwrap_or(Path::new(""));
    let root = args.root.as_deref().unwrap_or(folder);
    let report = mix::mix(
        &recipe,
        root,
        &args.out,
        &args.engine.config(),
        &Bar::new(quiet),
    )
    .await?;
    print(
        args.json.then(|| serde_json::to_string_pretty(&report)),
        || tables(&report),
    )?;
    let disagreements = report.disagreements();
    for disagreement in &disagreements {
        printer::note(&format!("not as the recipe says: {disagreement}"));
    }
    Ok(if disagreements.is_empty() {
        Outcome::Done
    } else {
        Outcome::BelowThreshold
    })
}

fn tables(report: &MixReport) -> String {
    let counts = |count: Count| {
        let expected = count.expected.map_or_else(|| "–".to_owned(), thousands);
        [thousands(count.taken), expected]
    };
    let subsets: Vec<Vec<String>> = report
        .subsets
        .iter()
        .map(|subset| {
            let words =
                [subset.task.code(), &subset.input.name, subset.kind.name()].map(str::to_owned);
            let read = thousands(subset.input.rows);
            words
                .into_iter()
                .chain([read])
                .chain(counts(subset.count))
                .collect()
        })
        .collect();
    let tasks = report
        .by_task
        .iter()
        .map(|(task, count)| (task.code(), *count));
    let kinds = report
        .by_kind
        .iter()
        .map(|(kind, count)| (kind.name(), *count));
    let sums: Vec<Vec<String>> = tasks
        .chain(kinds)
        .chain([("all", report.total)])
        .map(|(name, count)| {
            std::iter::once(name.to_owned())
                .chain(counts(count))
                .collect()
        })
        .collect();
    let mut text = table(
        &["task", "subset", "kind", "read", "taken", "expected"],
        3,
        &subsets,
    );
    text.push('\n');
    text.push_str(&table(&["", "taken", "expected"], 1, &sums));
    let bad = report
        .subsets
        .iter()
        .map(|subset| subset.input.bad_rows)
        .sum();
    text.push_str(&notes(bad, 0, report.missing_media));
    text
}
