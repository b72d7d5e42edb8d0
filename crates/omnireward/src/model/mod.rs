//! `omnireward model`: checkpoints written, looked into, examined and fetched.

mod args;
mod doctor;
mod inspect;
mod table;

use std::{fs, path::PathBuf, time::Instant};

use anyhow::{Context, Result};
use omnireward_core::{Setting, joined_text};
use omnireward_judges::question_words;
use omnireward_models::checkpoint::{RandomCheckpoint, train_tokenizer};
use serde_json::Value;

use crate::{
    Outcome, args::ReadingArgs, bar::Bar, benchmark::Benchmark, embedded, hub,
    local_model::Checkpoint, printer,
};
use args::{PullArgs, RandomArgs, TokenizerArgs};

pub(crate) use args::ModelCommand;
pub(crate) use doctor::store_golden;
pub(crate) use table::grouped;

pub(crate) async fn model(command: ModelCommand, quiet: bool) -> Result<Outcome> {
    match command {
        ModelCommand::Random(args) => tokio::task::block_in_place(|| random(&args, quiet)),
        ModelCommand::Tokenizer(args) => tokenizer(&args, quiet).await,
        ModelCommand::Inspect(args) => inspect::inspect(&args, quiet).await,
        ModelCommand::Doctor(args) => doctor::doctor(&args, quiet).await,
        ModelCommand::Pull(args) => pull(&args, quiet).await,
    }
}

fn random(args: &RandomArgs, quiet: bool) -> Result<Outcome> {
    let layers = args
        .layers
        .map(|layers| ("num_hidden_layers".to_owned(), layers.get().into()));
    let checkpoint = RandomCheckpoint {
        overrides: layers.into_iter().chain(args.fields.clone()).collect(),
        dtype: args.dtype.into(),
        seed: args.seed,
        for_training: args.for_training,
        tokenizer: args.tokenizer.clone(),
        max_shard_bytes: args.shard.get() as usize * 1_000_000,
        replace: args.force,
        ..RandomCheckpoint::new(args.kind.into(), args.size.into())
    };
    let start = Instant::now();
    let written = checkpoint
        .write(&args.out, &Bar::new(quiet))
        .with_context(|| format!("cannot write `{}`", args.out.display()))?;
    if !quiet {
        let seconds = start.elapsed().as_secs_f64();
        printer::note(&format!(
            "{} parameters, {} written in {seconds:.1} s",
            table::grouped(written.parameters),
            table::size(written.bytes),
        ));
    }
    printer::data(&format!("{}\n", written.path.display()))?;
    Ok(Outcome::Done)
}

async fn tokenizer(args: &TokenizerArgs, quiet: bool) -> Result<Outcome> {
    let reading = ReadingArgs {
        format: None,
        strict: true,
        allow_urls: false,
    };
    let input = Benchmark::open(&args.input, &reading, &[], quiet).await?;
    let mut texts = Vec::new();
    for pair in input.dataset.pairs() {
        let pair = pair?;
        // What stands before the turns of every conversation.
        texts.push("system\nuser\nassistant\n".to_owned());
        texts.push(joined_text(&pair.prompt));
        texts.extend(pair.criterion.as_deref().map(str::to_owned));
        texts.extend(
            pair.responses
                .iter()
                .map(|response| joined_text(&response.parts)),
        );
        if args.questions {
            texts.extend(
                question_words(&pair, Setting::WithoutTies)
                    .into_iter()
                    .flatten(),
            );
            let answer = pair.extra.get("answer").and_then(Value::as_str);
            texts.extend(answer.map(str::to_owned));
        }
    }
    let json = train_tokenizer(texts.into_iter(), args.size as usize);
    fs::write(&args.out, json).with_context(|| format!("cannot write `{}`", args.out.display()))?;
    printer::data(&format!("{}\n", args.out.display()))?;
    Ok(Outcome::Done)
}

async fn pull(args: &PullArgs, quiet: bool) -> Result<Outcome> {
    let snapshot = hub::checkpoint(&args.model, quiet).await?;
    if !quiet {
        printer::note(&format!("revision {}", snapshot.revision));
    }
    printer::data(&format!("{}\n", snapshot.path.display()))?;
    Ok(Outcome::Done)
}

/// What a name stands for, fetched if need be.
async fn local(model: &str, quiet: bool) -> Result<Checkpoint> {
    if model == embedded::NAME {
        return Checkpoint::embedded();
    }
    let path = if model.starts_with("hf:") {
        hub::checkpoint(model, quiet).await?.path
    } else {
        PathBuf::from(model)
    };
    Ok(Checkpoint::Here(path))
}
