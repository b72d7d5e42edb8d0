//! `omnireward train sft` and `omnireward train grpo`: makes models that write verdicts.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use omnireward_core::PreferencePair;
use omnireward_judges::JudgeSpec;
use omnireward_models::checkpoint::fingerprint;
use omnireward_train::{
    GrpoRecipe, HeldOut, SftRecipe,
    grpo::{GrpoTrained, GrpoTraining, LocalEngine, QuestionSet, RolloutEngine},
    recipe::{AnswersRecipe, Engine, HeldOutRecipe, QuestionsRecipe},
    sft::{AnswerSet, SftTrained, SftTraining},
};
use serde_json::{Value, json};

use super::{
    Data, Wanted, host, page,
    protocol::ChatProtocol,
    service::{ServiceArgs, ServiceEngine},
};
use crate::{Outcome, bar::Bar, local_model::Checkpoint, printer};

#[derive(Debug, Args)]
pub(crate) struct WriterArgs {
    /// What is trained, on what and how.
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) recipe: PathBuf,

    /// Settings that take the place of the recipe's: `train.learning_rate=1e-5`.
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,

    /// Where checkpoints, metrics, replies to read and the page go. Started again with the same recipe, a run goes on
    /// where it was.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,

    /// End at the first row of the data that cannot be used, rather than count it.
    #[arg(long)]
    pub(crate) strict: bool,

    /// Print what was made as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GrpoArgs {
    #[command(flatten)]
    pub(crate) run: WriterArgs,

    #[command(flatten)]
    pub(crate) service: ServiceArgs,
}

pub(super) async fn sft(args: &WriterArgs, quiet: bool) -> Result<Outcome> {
    let recipe = SftRecipe::read(&args.recipe, &args.overrides)?;
    let base = base(&recipe.model.path, args, quiet).await?;
    let mut data = Data::new(args.strict, quiet);
    let mut sets = Vec::new();
    for set in &recipe.data {
        sets.push(AnswerSet {
            name: set.path.clone(),
            pairs: data.pairs(&set.into()).await?,
            weight: set.weight,
        });
    }
    let held_out = held_out(&mut data, &recipe.evaluation.data).await?;
    let protocol = ChatProtocol::new(recipe.question);
    let training = SftTraining {
        recipe: &recipe,
        base: base.path(),
        sets,
        held_out,
        protocol: &protocol,
        out: &args.out,
        host: &host(),
        record: record(&recipe.model.path, base.path(), &data, &protocol)?,
    };
    let bar = Bar::new(quiet);
    let trained = tokio::task::block_in_place(|| training.run(&bar))?;
    let about = page::About {
        verb: "sft",
        base: &recipe.model.path,
        settings: recipe.settings(),
    };
    page::write(&args.out, about, trained.best_evaluation)?;
    tell(
        args,
        &serde_json::to_value(&trained)?,
        &told_of_sft(&trained),
    )
}

pub(super) async fn grpo(args: &GrpoArgs, quiet: bool) -> Result<Outcome> {
    let GrpoArgs { run: args, service } = args;
    let recipe = GrpoRecipe::read(&args.recipe, &args.overrides)?;
    let base = base(&recipe.model.path, args, quiet).await?;
    let engine: Box<dyn RolloutEngine> = match recipe.rollout.engine {
        Engine::Local => Box::new(LocalEngine::new(recipe.train.side_by_side)),
        Engine::Service => {
            let folder = args.out.join("handed-over");
            Box::new(ServiceEngine::new(service, &folder)?)
        }
    };
    let mut data = Data::new(args.strict, quiet);
    let mut sets = Vec::new();
    for set in &recipe.data {
        let pairs = data.pairs(&set.into()).await?;
        sets.push(QuestionSet {
            name: set.path.clone(),
            // A list of more responses is asked about two by two.
            pairs: pairs.iter().flat_map(PreferencePair::comparisons).collect(),
            share: set.share,
        });
    }
    let held_out = held_out(&mut data, &recipe.evaluation.data).await?;
    let protocol = ChatProtocol::new(recipe.question);
    let training = GrpoTraining {
        recipe: &recipe,
        base: base.path(),
        sets,
        held_out,
        protocol: &protocol,
        engine,
        rewards: recipe
            .rewards
            .functions(&recipe.question, recipe.rollout.max_tokens),
        out: &args.out,
        host: &host(),
        record: record(&recipe.model.path, base.path(), &data, &protocol)?,
    };
    let bar = Bar::new(quiet);
    let trained = tokio::task::block_in_place(|| training.run(&bar))?;
    let about = page::About {
        verb: "grpo",
        base: &recipe.model.path,
        settings: recipe.settings(),
    };
    page::write(&args.out, about, trained.best_evaluation)?;
    tell(
        args,
        &serde_json::to_value(&trained)?,
        &told_of_grpo(&trained),
    )
}

async fn base(path: &str, args: &WriterArgs, quiet: bool) -> Result<Checkpoint> {
    let spec: JudgeSpec = path
        .parse()
        .with_context(|| format!("`model.path` of `{}`", args.recipe.display()))?;
    Checkpoint::find(&spec, quiet).await
}

async fn held_out(data: &mut Data, sets: &[HeldOutRecipe]) -> Result<Vec<HeldOut>> {
    let mut held_out = Vec::new();
    for set in sets {
        let pairs = data.pairs(&set.into()).await?;
        held_out.push(HeldOut {
            name: set.name().to_owned(),
            pairs: pairs.iter().flat_map(PreferencePair::comparisons).collect(),
        });
    }
    Ok(held_out)
}

fn record(path: &str, base: &Path, data: &Data, protocol: &ChatProtocol) -> Result<Value> {
    Ok(json!({
        "omnireward": env!("OMNIREWARD_VERSION"),
        "model": { "path": path, "fingerprint": fingerprint(base)? },
        "protocol": protocol.identity(),
        "data": data.record,
    }))
}

impl<'a> From<&'a QuestionsRecipe> for Wanted<'a> {
    fn from(set: &'a QuestionsRecipe) -> Self {
        Self {
            path: &set.path,
            format: set.format.as_deref(),
            tasks: set.tasks.as_deref(),
            limit: set.max_pairs,
            criteria: set.criteria,
        }
    }
}

impl<'a> From<&'a AnswersRecipe> for Wanted<'a> {
    fn from(set: &'a AnswersRecipe) -> Self {
        Self {
            path: &set.path,
            format: set.format.as_deref(),
            tasks: set.tasks.as_deref(),
            limit: set.max_pairs,
            criteria: true,
        }
    }
}

fn tell(args: &WriterArgs, trained: &Value, lines: &[String]) -> Result<Outcome> {
    if args.json {
        printer::data(&format!("{}\n", serde_json::to_string_pretty(trained)?))?;
    } else {
        printer::note(&lines.join("\n"));
        let page = args.out.join(page::PAGE);
        printer::note(&format!("curves:     {}", page.display()));
    }
    Ok(Outcome::Done)
}

fn told_of_sft(trained: &SftTrained) -> Vec<String> {
    let minutes = trained.seconds / 60.0;
    let mut lines = vec![format!("{} steps in {minutes:.1} minutes", trained.steps)];
    if let Some(best) = trained.best_evaluation {
        lines.push(right(best.step, best.accuracy));
    }
    let model = trained.best.as_ref().unwrap_or(&trained.last);
    lines.push(format!("checkpoint: {}", model.display()));
    lines
}

fn told_of_grpo(trained: &GrpoTrained) -> Vec<String> {
    let minutes = trained.seconds / 60.0;
    let mut lines = vec![format!(
        "{} rounds and {} updates in {minutes:.1} minutes",
        trained.rounds, trained.updates
    )];
    if let Some(newest) = &trained.newest {
        lines.push(format!(
            "at the end {:.1}% of replies are right and {:.1}% cannot be read; {} of {} groups taught nothing",
            100.0 * newest.accuracy,
            100.0 * newest.unread,
            newest.skipped,
            newest.groups
        ));
    }
    if let Some(best) = trained.best_evaluation {
        lines.push(right(best.step, best.accuracy));
    }
    if trained.ties_left_out > 0 {
        lines.push(format!(
            "{} pairs are ties, which were not offered",
            trained.ties_left_out
        ));
    }
    let model = trained.best.as_ref().unwrap_or(&trained.last);
    lines.push(format!("checkpoint: {}", model.display()));
    lines
}

fn right(step: u64, accuracy: f64) -> String {
    let percent = 100.0 * accuracy;
    format!("best on held-out pairs after step {step}: {percent:.2}% right, over both orders")
}
