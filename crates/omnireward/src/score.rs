//! `omnireward score`: gives every response of a file of pairs a reward.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use omnireward_core::{PreferencePair, Progress, RewardModel, error_chain};
use omnireward_models::{RewardScorer, Scored};
use serde_json::{Value, json};

use crate::{Outcome, args::ScoreArgs, bar::Bar, benchmark::Benchmark, local_model, printer};

/// Pairs read ahead and scored together; how they are packed is the scorer's to decide.
const PAIRS_AT_ONCE: usize = 16;

pub(crate) async fn score(args: ScoreArgs, quiet: bool) -> Result<Outcome> {
    let input = Benchmark::open(&args.input, &args.reading, &args.tasks, quiet).await?;
    let scorer =
        local_model::open(&args.model, &args.settings, args.cache.as_deref(), quiet).await?;
    let settings = json!({
        "omnireward": env!("OMNIREWARD_VERSION"),
        "model": args.model.to_string(),
        "identity": scorer.identity().settings,
        "input": input.record.fingerprint,
    });
    let mut output = Output::open(args.output.as_deref(), &settings, args.overwrite)?;
    let total = input
        .dataset
        .parts()
        .iter()
        .map(|part| part.rows)
        .sum::<Option<u64>>();
    let bar = Bar::new(quiet);
    bar.begin("scoring", total);
    let counts =
        tokio::task::block_in_place(|| score_all(&scorer, &input, &mut output, &args, &bar));
    bar.end();
    let counts = counts?;
    if !quiet {
        counts.tell();
        local_model::tell_cache(&scorer);
    }
    Ok(if counts.failed + counts.bad_rows > 0 {
        Outcome::BelowThreshold
    } else {
        Outcome::Done
    })
}

#[derive(Default)]
struct Counts {
    scored: u64,
    kept: u64,
    failed: u64,
    bad_rows: u64,
    tokens: u64,
    rows: u64,
    first_failure: Option<String>,
}

impl Counts {
    fn tell(&self) {
        let mut parts = vec![format!("{} pairs scored", self.scored)];
        if self.kept > 0 {
            parts.push(format!("{} kept from before", self.kept));
        }
        if self.failed > 0 {
            parts.push(format!("{} could not be scored", self.failed));
        }
        if self.bad_rows > 0 {
            parts.push(format!("{} rows could not be used", self.bad_rows));
        }
        if self.rows > 0 {
            parts.push(format!(
                "{} tokens, of which {:.0}% were computed",
                self.tokens,
                100.0 * self.rows as f64 / self.tokens as f64
            ));
        }
        printer::note(&parts.join(", "));
        if let Some(failure) = &self.first_failure {
            printer::note(&format!("the first that failed: {failure}"));
        }
    }

    fn fail(&mut self, reason: String) {
        self.first_failure.get_or_insert(reason);
    }
}

fn score_all(
    scorer: &RewardScorer,
    input: &Benchmark,
    output: &mut Output,
    args: &ScoreArgs,
    bar: &Bar,
) -> Result<Counts> {
    let mut counts = Counts::default();
    let mut batch = Vec::with_capacity(PAIRS_AT_ONCE);
    let limit = args.limit.map_or(usize::MAX, |limit| limit as usize);
    for pair in input.dataset.pairs().take(limit) {
        match pair {
            Ok(pair) if output.holds(&pair.id) => {
                counts.kept += 1;
                bar.advance(1, "");
            }
            Ok(pair) => batch.push(pair),
            Err(error) if args.reading.strict => return Err(error.into()),
            Err(error) => {
                counts.bad_rows += 1;
                counts.fail(error_chain(&error));
            }
        }
        if batch.len() == PAIRS_AT_ONCE {
            score_batch(scorer, &mut batch, output, args, bar, &mut counts)?;
        }
    }
    score_batch(scorer, &mut batch, output, args, bar, &mut counts)?;
    Ok(counts)
}

fn score_batch(
    scorer: &RewardScorer,
    batch: &mut Vec<PreferencePair>,
    output: &mut Output,
    args: &ScoreArgs,
    bar: &Bar,
    counts: &mut Counts,
) -> Result<()> {
    let scored = scorer.score_pairs(batch);
    for (pair, scored) in batch.drain(..).zip(scored) {
        match scored {
            Ok(scored) => {
                counts.scored += 1;
                counts.tokens += scored.tokens.iter().sum::<usize>() as u64;
                counts.rows += scored.rows as u64;
                output.write(&line(&pair, &scored))?;
            }
            Err(error) if args.reading.strict => return Err(error.into()),
            Err(error) => {
                let reason = error_chain(&error);
                output.write(&json!({ "id": pair.id, "task": pair.task, "error": reason }))?;
                counts.failed += 1;
                counts.fail(reason);
            }
        }
        bar.advance(1, &cache_note(scorer));
    }
    output.flush()
}

fn cache_note(scorer: &RewardScorer) -> String {
    scorer
        .cache_stats()
        .hit_rate()
        .map_or_else(String::new, |rate| {
            format!("media cache {:.0}%", 100.0 * rate)
        })
}

fn line(pair: &PreferencePair, scored: &Scored) -> Value {
    let mut line = json!({
        "id": pair.id,
        "task": pair.task,
        "rewards": scored.rewards,
        "best": best(&scored.rewards),
        "tokens": scored.tokens,
    });
    if let [first, second] = scored.rewards[..] {
        line["margin"] = json!(first - second);
    }
    if scored.cut.iter().any(|&cut| cut > 0) {
        line["cut"] = json!(scored.cut);
    }
    line
}

/// Which responses have the highest reward, counted from 1; several where they are equal.
fn best(rewards: &[f64]) -> Vec<usize> {
    let highest = rewards.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (1..)
        .zip(rewards)
        .filter(|&(_, &reward)| reward >= highest)
        .map(|(number, _)| number)
        .collect()
}

/// Where lines go. A file remembers which pairs it holds, so that a run that was stopped goes on.
struct Output {
    writer: BufWriter<Box<dyn Write>>,
    held: HashSet<String>,
}

impl Output {
    fn open(path: Option<&Path>, settings: &Value, overwrite: bool) -> Result<Self> {
        let Some(path) = path else {
            return Ok(Self {
                writer: BufWriter::new(Box::new(printer::stdout())),
                held: HashSet::new(),
            });
        };
        let resumed = !overwrite && path.exists();
        let held = if resumed {
            check_settings(path, settings)?;
            resume(path)?
        } else {
            write_settings(path, settings)?;
            HashSet::new()
        };
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .append(resumed)
            .truncate(!resumed)
            .open(path)
            .with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(Self {
            writer: BufWriter::new(Box::new(file)),
            held,
        })
    }

    fn holds(&self, id: &str) -> bool {
        self.held.contains(id)
    }

    fn write(&mut self, line: &Value) -> Result<()> {
        writeln!(self.writer, "{line}").context("cannot write a score")
    }

    fn flush(&mut self) -> Result<()> {
        match self.writer.flush() {
            // A reader that stopped reading, such as `head`, ends the work.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                bail!("nobody reads the scores any more")
            }
            other => other.context("cannot write the scores"),
        }
    }
}

/// Settings stand beside the scores, so that a file never holds scores of two models.
fn settings_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".settings.json");
    PathBuf::from(name)
}

fn write_settings(path: &Path, settings: &Value) -> Result<()> {
    let path = settings_path(path);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make `{}`", folder.display()))?;
    }
    fs::write(&path, format!("{settings:#}\n"))
        .with_context(|| format!("cannot write `{}`", path.display()))
}

fn check_settings(path: &Path, settings: &Value) -> Result<()> {
    let beside = settings_path(path);
    let recorded = fs::read_to_string(&beside).with_context(|| {
        format!(
            "`{}` exists, and `{}`, which would say what made it, cannot be read; give another output or `--overwrite`",
            path.display(),
            beside.display()
        )
    })?;
    let recorded: Value = serde_json::from_str(&recorded)
        .with_context(|| format!("`{}` is damaged", beside.display()))?;
    if &recorded == settings {
        return Ok(());
    }
    let differing: Vec<&str> = ["omnireward", "model", "identity", "input"]
        .into_iter()
        .filter(|field| recorded.get(field) != settings.get(field))
        .collect();
    bail!(
        "`{}` holds scores made with another {}; give another output or `--overwrite`",
        path.display(),
        differing.join(", ")
    )
}

/// The pairs that a file of scores holds. A line that was cut off when the program was killed is removed; a pair
/// that failed is scored again.
fn resume(path: &Path) -> Result<HashSet<String>> {
    let context = || format!("cannot resume `{}`", path.display());
    let mut reader = BufReader::new(File::open(path).with_context(context)?);
    let mut held = HashSet::new();
    let mut kept = Vec::new();
    let mut line = String::new();
    let mut number = 0;
    loop {
        line.clear();
        number += 1;
        if reader.read_line(&mut line).with_context(context)? == 0 || !line.ends_with('\n') {
            break;
        }
        let value: Value = serde_json::from_str(&line)
            .with_context(|| format!("line {number} of `{}` is damaged", path.display()))?;
        if value.get("rewards").is_some() {
            held.extend(value["id"].as_str().map(str::to_owned));
            kept.extend_from_slice(line.as_bytes());
        }
    }
    let partial = path.with_extension("partial");
    fs::write(&partial, kept).with_context(context)?;
    fs::rename(&partial, path).with_context(context)?;
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_counted_from_one_and_may_be_several() {
        assert_eq!(best(&[1.0, 3.0, 2.0]), [2]);
        assert_eq!(best(&[2.0, 1.0, 2.0]), [1, 3]);
    }

    #[test]
    fn a_file_of_scores_goes_on_where_it_was_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scores.jsonl");
        let settings = json!({"model": "m"});
        let mut output = Output::open(Some(&path), &settings, false).unwrap();
        output.write(&json!({"id": "a", "rewards": [1.0]})).unwrap();
        output.write(&json!({"id": "b", "error": "gone"})).unwrap();
        output.flush().unwrap();
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"id\": \"c\", \"rew").unwrap();
        let resumed = Output::open(Some(&path), &settings, false).unwrap();
        assert!(resumed.holds("a") && !resumed.holds("b") && !resumed.holds("c"));
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
        let other = Output::open(Some(&path), &json!({"model": "n"}), false);
        assert!(other.is_err_and(|error| error.to_string().contains("another model")));
        assert!(Output::open(Some(&path), &json!({"model": "n"}), true).is_ok());
    }
}
