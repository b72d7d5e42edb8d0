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

use crate::{
    Outcome,
    args::ScoreArgs,
    bar::Bar,
    benchmark::Benchmark,
    local_model::{self, Checkpoint},
    printer,
};

/// Pairs read ahead and scored together; how they are packed is the scorer's to decide.
const PAIRS_AT_ONCE: usize = 16;

pub(crate) async fn score(args: ScoreArgs, quiet: bool) -> Result<Outcome> {
    let input = Benchmark::open(&args.input, &args.reading, &args.tasks, quiet).await?;
    let checkpoint = Checkpoint::find(&args.model, quiet).await?;
    let cache = args.cache.as_deref();
    let model = local_model::open(&args.model, checkpoint, &args.settings, cache)?;
    let scorer = model.scorer.as_ref();
    let settings = json!({
        "omnireward": env!("OMNIREWARD_VERSION"),
        "model": args.model.to_string(),
        "identity": scorer.identity().settings,
        "input": input.record.fingerprint,
    });
    let mut output = Output::open(args.output.as_deref(), &settings, args.overwrite)?;
    let rows = input.dataset.parts().iter().map(|part| part.rows);
    let limit = args.limit.unwrap_or(u64::MAX);
    let total = rows
        .sum::<Option<u64>>()
        .or(args.limit)
        .map(|rows| rows.min(limit));
    let bar = Bar::new(quiet);
    bar.begin("scoring", total);
    let counts =
        tokio::task::block_in_place(|| score_all(scorer, &input, &mut output, &args, &bar));
    bar.end();
    let counts = counts?;
    if !quiet {
        counts.tell();
        local_model::tell(scorer);
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
    let mut left = args.limit.unwrap_or(u64::MAX);
    for pair in input.dataset.pairs() {
        if left == 0 {
            break;
        }
        match pair {
            Ok(pair) => {
                left -= 1;
                if output.holds(&pair.id) {
                    counts.kept += 1;
                    bar.advance(1, "");
                } else {
                    batch.push(pair);
                }
            }
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
        let context = || format!("cannot write `{}`", path.display());
        let (file, held) = if !overwrite && has_scores(path) {
            check_settings(path, settings)?;
            let held = resume(path)?;
            let file = OpenOptions::new().append(true).open(path);
            (file.with_context(context)?, held)
        } else {
            make_folder(path)?;
            // Emptied before the settings are written: killed in between, scores never stand beside settings of others.
            let file = File::create(path).with_context(context)?;
            write_settings(path, settings)?;
            (file, HashSet::new())
        };
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

/// Whether a file holds anything.
fn has_scores(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.len() > 0)
}

/// Settings stand beside the scores, so that a file never holds scores of two models.
fn settings_path(path: &Path) -> PathBuf {
    beside(path, ".settings.json")
}

/// The file beside another whose name goes on with `ending`.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn make_folder(path: &Path) -> Result<()> {
    match path.parent() {
        None => Ok(()),
        Some(folder) => fs::create_dir_all(folder)
            .with_context(|| format!("cannot make `{}`", folder.display())),
    }
}

fn write_settings(path: &Path, settings: &Value) -> Result<()> {
    let path = settings_path(path);
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
    // Bytes, since a line can be cut off inside a character.
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        number += 1;
        reader.read_until(b'\n', &mut line).with_context(context)?;
        if line.last() != Some(&b'\n') {
            break;
        }
        let value: Value = serde_json::from_slice(&line)
            .with_context(|| format!("line {number} of `{}` is damaged", path.display()))?;
        if value.get("rewards").is_some() {
            held.extend(value["id"].as_str().map(str::to_owned));
            kept.extend_from_slice(&line);
        }
    }
    let partial = beside(path, ".partial");
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
        // Cut off inside a character.
        file.write_all(b"{\"id\": \"c\xe2\x82").unwrap();
        // A neighbour whose name differs only behind the last dot.
        let neighbour = folder.path().join("scores.partial");
        fs::write(&neighbour, "mine").unwrap();
        let resumed = Output::open(Some(&path), &settings, false).unwrap();
        assert!(resumed.holds("a") && !resumed.holds("b") && !resumed.holds("c"));
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
        assert_eq!(fs::read_to_string(&neighbour).unwrap(), "mine");
        let other = Output::open(Some(&path), &json!({"model": "n"}), false);
        assert!(other.is_err_and(|error| error.to_string().contains("another model")));
        assert!(Output::open(Some(&path), &json!({"model": "n"}), true).is_ok());
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
        // What holds nothing belongs to nobody.
        assert!(Output::open(Some(&path), &json!({"model": "o"}), false).is_ok());
    }
}
