//! `omnireward train`: makes reward models, and models that write verdicts.

mod page;
mod protocol;
mod service;
mod writers;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use omnireward_core::{PreferencePair, Progress, Task, error_chain};
use omnireward_data::Format;
use omnireward_judges::JudgeSpec;
use omnireward_models::checkpoint::fingerprint;
use omnireward_train::{
    GrpoRecipe, HeldOut, Recipe, SftRecipe, Trained, Training, TrainingSet,
    recipe::{DataRecipe, HeldOutRecipe},
};
use serde_json::{Value, json};

use crate::{
    Outcome,
    args::ReadingArgs,
    bar::Bar,
    benchmark::Benchmark,
    local_model::{self, Checkpoint},
    model::store_golden,
    printer,
};

#[derive(Debug, Subcommand)]
pub(crate) enum TrainCommand {
    /// Train a model that gives rewards, on preferences: Bradley-Terry and its kin.
    Bt(BtArgs),
    /// Train a model that writes on answers to questions about pairs.
    Sft(writers::WriterArgs),
    /// Train a model that writes by its own replies: group-relative policy optimisation.
    Grpo(Box<writers::GrpoArgs>),
}

#[derive(Debug, Args)]
pub(crate) struct BtArgs {
    /// What is trained, on what and how.
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) recipe: PathBuf,

    /// Settings that take the place of the recipe's: `train.learning_rate=1e-5`.
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,

    /// Where checkpoints, metrics and the page go. Started again with the same recipe, a run goes on where it was.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,

    /// A folder of media features that several runs share. Without one they are kept in memory.
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,

    /// Memory for features of media, in megabytes.
    #[arg(long, default_value_t = 2048, value_name = "MB")]
    pub(crate) cache_memory: u64,

    /// End at the first row of the data that cannot be used, rather than count it.
    #[arg(long)]
    pub(crate) strict: bool,

    /// Print what was made as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Settles what cannot be changed once threads are there.
///
/// Where every thread has a micro-batch to itself, candle's own threads, which share the work of each operator, would
/// only stand in their way.
pub(crate) fn prepare(command: &TrainCommand) {
    let is_side_by_side = match command {
        TrainCommand::Bt(args) => Recipe::read(&args.recipe, &args.overrides)
            .map(|recipe| recipe.train.micro_batch_pairs.is_some()),
        TrainCommand::Sft(args) => {
            SftRecipe::read(&args.recipe, &args.overrides).map(|recipe| recipe.train.side_by_side)
        }
        TrainCommand::Grpo(args) => GrpoRecipe::read(&args.run.recipe, &args.run.overrides)
            .map(|recipe| recipe.train.side_by_side),
    };
    // What is wrong with a recipe is said when it is read in earnest.
    if is_side_by_side.unwrap_or(false) {
        #[expect(
            unsafe_code,
            reason = "candle takes the number of its threads from the environment alone"
        )]
        // SAFETY: the program calls this before it starts its first thread.
        unsafe {
            std::env::set_var("CANDLE_NUM_THREADS", "1");
        }
    }
}

pub(crate) async fn train(command: TrainCommand, quiet: bool) -> Result<Outcome> {
    match command {
        TrainCommand::Bt(args) => bt(&args, quiet).await,
        TrainCommand::Sft(args) => writers::sft(&args, quiet).await,
        TrainCommand::Grpo(args) => writers::grpo(&args, quiet).await,
    }
}

async fn bt(args: &BtArgs, quiet: bool) -> Result<Outcome> {
    let recipe = Recipe::read(&args.recipe, &args.overrides)?;
    let spec: JudgeSpec = recipe
        .model
        .path
        .parse()
        .with_context(|| format!("`model.path` of `{}`", args.recipe.display()))?;
    if matches!(spec, JudgeSpec::Embedded) && recipe.train.lora.is_some() {
        bail!(
            "`train.lora` of `{}`: an adapter names the folder of its base, and `model.path` is `{spec}`, which has none",
            args.recipe.display()
        );
    }
    let base = Checkpoint::find(&spec, quiet).await?;
    let mut data = Data::new(args.strict, quiet);
    let mut sets = Vec::new();
    for set in &recipe.data {
        sets.push(TrainingSet {
            name: set.path.clone(),
            pairs: data.pairs(&set.into()).await?,
            weight: set.weight,
            language_modelling: set.language_modelling,
        });
    }
    let mut held_out = Vec::new();
    for set in &recipe.evaluation.data {
        held_out.push(HeldOut {
            name: set.name().to_owned(),
            pairs: data.pairs(&set.into()).await?,
        });
    }
    let cache = local_model::media_cache(args.cache.as_deref(), args.cache_memory)?;
    let training = Training {
        recipe: &recipe,
        base: base.path(),
        sets,
        held_out,
        cache: &cache,
        out: &args.out,
        host: &host(),
        record: json!({
            "omnireward": env!("OMNIREWARD_VERSION"),
            "model": { "path": recipe.model.path, "fingerprint": fingerprint(base.path())? },
            "data": data.record,
        }),
    };
    let bar = Bar::new(quiet);
    let trained = tokio::task::block_in_place(|| training.run(&bar))?;
    for checkpoint in trained.best.iter().chain([&trained.last]) {
        store_golden(checkpoint)?;
    }
    let about = page::About {
        verb: "bt",
        base: &recipe.model.path,
        settings: recipe.settings(),
    };
    page::write(&args.out, about, trained.best_evaluation)?;
    if args.json {
        printer::data(&format!("{}\n", serde_json::to_string_pretty(&trained)?))?;
    } else {
        tell(&trained, &args.out);
    }
    Ok(Outcome::Done)
}

/// What a recipe asks of a set of pairs.
struct Wanted<'a> {
    path: &'a str,
    format: Option<&'a str>,
    tasks: Option<&'a [Task]>,
    limit: Option<usize>,
    criteria: bool,
}

/// What recipes say of a set, whether it is learned from or held out.
macro_rules! wanted {
    ($($set:ty),*) => {$(
        impl<'a> From<&'a $set> for Wanted<'a> {
            fn from(set: &'a $set) -> Self {
                Self {
                    path: &set.path,
                    format: set.format.as_deref(),
                    tasks: set.tasks.as_deref(),
                    limit: set.max_pairs,
                    criteria: set.criteria,
                }
            }
        }
    )*};
}

wanted!(DataRecipe, HeldOutRecipe);

/// Reads sets of pairs, and remembers what they were.
struct Data {
    strict: bool,
    quiet: bool,
    record: Vec<Value>,
    /// What is embedded lies in folders that go away with this.
    open: Vec<Benchmark>,
}

impl Data {
    fn new(strict: bool, quiet: bool) -> Self {
        Self {
            strict,
            quiet,
            record: Vec::new(),
            open: Vec::new(),
        }
    }

    async fn pairs(&mut self, wanted: &Wanted<'_>) -> Result<Vec<PreferencePair>> {
        let reading = ReadingArgs {
            format: wanted
                .format
                .map(str::parse::<Format>)
                .transpose()
                .with_context(|| format!("the format of `{}`", wanted.path))?,
            strict: self.strict,
            allow_urls: false,
        };
        let tasks = wanted.tasks.unwrap_or_default();
        let data = Benchmark::open(wanted.path, &reading, tasks, self.quiet).await?;
        let bar = Bar::new(self.quiet);
        bar.begin(&format!("reading {}", wanted.path), None);
        let mut pairs = Vec::new();
        let mut bad = Vec::new();
        for pair in data.dataset.pairs() {
            match pair {
                Ok(pair) => pairs.push(pair),
                Err(error) if self.strict || !error.is_row() => return Err(error.into()),
                Err(error) => bad.push(error_chain(&error)),
            }
            bar.advance(1, "");
            if wanted.limit.is_some_and(|limit| pairs.len() >= limit) {
                break;
            }
        }
        bar.end();
        if let Some(first) = bad.first() {
            printer::note(&format!(
                "{} rows of `{}` cannot be used; the first: {first}",
                bad.len(),
                wanted.path
            ));
        }
        if !wanted.criteria {
            for pair in &mut pairs {
                pair.criterion = None;
            }
        }
        self.record.push(json!({
            "path": wanted.path,
            "fingerprint": data.record.fingerprint,
            "pairs": pairs.len(),
        }));
        self.open.push(data);
        Ok(pairs)
    }
}

fn tell(trained: &Trained, out: &Path) {
    let minutes = trained.seconds / 60.0;
    let mut lines = vec![format!("{} steps in {minutes:.1} minutes", trained.steps)];
    if let Some(best) = trained.best_evaluation {
        lines.push(format!(
            "best on held-out pairs after step {}: {:.2}% without ties",
            best.step,
            100.0 * best.accuracy
        ));
    }
    if trained.tie_margin > 0.0 {
        lines.push(format!(
            "rewards closer than {:.3} are ties",
            trained.tie_margin
        ));
    }
    if trained.ties_left_out > 0 {
        lines.push(format!(
            "{} pairs are ties, which the likelihood leaves out",
            trained.ties_left_out
        ));
    }
    if let [first, ..] = &trained.without_gradient[..] {
        lines.push(format!(
            "{} parameters received no gradient, `{first}` among them",
            trained.without_gradient.len()
        ));
    }
    let model = trained.best.as_ref().unwrap_or(&trained.last);
    lines.push(format!("checkpoint: {}", model.display()));
    lines.push(format!("curves:     {}", out.join(page::PAGE).display()));
    printer::note(&lines.join("\n"));
}

/// The machine's name, as the shell or the system has it.
fn host() -> String {
    let named = ["HOSTNAME", "COMPUTERNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok());
    named.unwrap_or_else(|| "localhost".to_owned())
}
