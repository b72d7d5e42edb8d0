//! `omnireward data build`: criteria written by one model and verified by others.

use std::{fmt::Write as _, path::PathBuf, sync::Arc};

use anyhow::{Context, Result, bail};
use clap::Args;
use omnireward_core::{
    BoxFuture, ChatModel, ChatPart, Judge, ModelError, PreferencePair, Setting, Status, Task, Usage,
};
use omnireward_curate::{
    agreement::PairAgreement,
    build::{
        self, BuildConfig, BuildEnd, BuildOptions, BuildPlan, BuildReport, Builder, Consensus,
        Sample, Show, Stop, Trail, kept_pairs,
    },
};
use omnireward_data::{Dataset, write};
use omnireward_eval::{
    Budget, CachedChat, JudgeRecord, ReplyCache, RunDir, RunManifest, RunPlan, Spend,
};
use omnireward_judges::{ChatJudge, JudgeSpec};
use omnireward_media::Limits;
use serde_json::json;

use super::table::{table, thousands};
use crate::{
    Outcome,
    args::{ChatArgs, ModelArgs, ReadingArgs, SpendingArgs},
    bar::Bar,
    benchmark::Benchmark,
    eval::{command_line, interrupted_by_ctrl_c, prices},
    judge::{self, Prepared},
    printer,
};

/// The folder below `--out` that holds every reply.
const REPLIES: &str = "replies";

/// A request's rough size, which counts against a budget until some have been paid for.
const EXPECTED: Usage = Usage {
    requests: 1,
    prompt_tokens: 1500,
    completion_tokens: 400,
};

#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// The pairs to write criteria for: `embedded`, a directory or file in a known format, or
    /// `hf:OWNER/NAME[@REVISION]`. Their own labels are shown to nobody.
    #[arg(long, value_name = "PAIRS")]
    input: String,

    /// The chat model that writes criteria: `openai:MODEL`.
    #[arg(long, value_name = "MODEL")]
    writer: JudgeSpec,

    /// A judge that verifies them; give several. Any judge of `eval` will do. All chat models of a
    /// build are asked at one `--base-url`.
    #[arg(long = "verifier", value_name = "JUDGE", required = true)]
    verifiers: Vec<JudgeSpec>,

    /// How many verifiers have to confirm a label: `all`, `majority` or `at-least-K`. A verifier
    /// confirms what it says in both orders, or with `,one-order` after the rule, what it says in one
    /// order and does not contradict in the other.
    #[arg(long, default_value = "all")]
    rule: Consensus,

    /// Whether verifiers are offered a tie, which confirms nothing.
    #[arg(long, value_enum, default_value_t = TieArg::Offered)]
    ties: TieArg,

    /// Where everything goes: `pairs.jsonl` with the kept pairs and their media, `trail.jsonl` with
    /// all that was asked and said, `report.json`, and the replies. Started again with the same
    /// settings, a build goes on where it was.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// The tasks to take pairs from, by code or key.
    #[arg(long, value_delimiter = ',', value_name = "T2T,T2I,…")]
    tasks: Vec<Task>,

    /// At most this many pairs, chosen by the seed. A build can go on with a larger limit, which takes
    /// the same pairs and more.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,

    /// Decides which pairs are taken, and in which order the writer sees their responses.
    #[arg(long, default_value_t = 0)]
    seed: u64,

    /// Print the report as JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    chat: ChatArgs,

    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    spending: SpendingArgs,

    #[command(flatten)]
    reading: ReadingArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum TieArg {
    Offered,
    NotOffered,
}

pub(crate) async fn build(args: BuildArgs, quiet: bool) -> Result<Outcome> {
    let source = Benchmark::open(&args.input, &args.reading, &args.tasks, quiet).await?;
    let parts = Parts::prepare(&args, quiet).await?;
    // Everything but the memory in front of the models, which needs a plan to be opened.
    let plain = parts.builder(&args, |model| model)?;
    let tasks = tasks(&args, &plain);
    let plan = plain.plan(source.record.fingerprint.clone(), tasks.clone(), args.limit);
    let mut trail = Trail::create_or_resume(&args.out, plan.clone())?;
    let replies = Arc::new(RunDir::create_or_resume(
        &args.out.join(REPLIES),
        &manifest(&args, &plan, &source),
    )?);
    let spend = Arc::new(spend(&args, &replies)?);
    let shared = args
        .chat
        .cache
        .as_deref()
        .map(ReplyCache::open)
        .transpose()?;
    let shared = shared.map(Arc::new);
    let builder = parts.builder(&args, |model| {
        Arc::new(CachedChat::new(
            model,
            replies.clone(),
            shared.clone(),
            spend.clone(),
        ))
    })?;

    let bar = Bar::new(quiet);
    let sample = Sample::new(&source.dataset, &tasks, args.limit, args.seed, &bar);
    check(&sample, &args)?;
    let end = ask(
        &builder,
        &sample,
        &source.dataset,
        &mut trail,
        &spend,
        &parts,
        &bar,
    )
    .await?;
    let records = trail.records();
    write_pairs(&args, &plan, &trail, &sample, &source.dataset)?;
    let report = BuildReport::new(&plan, &records);
    write_report(&args, &report)?;
    if !quiet {
        tell(&end, &sample, &spend);
    }
    printer::data(&if args.json {
        format!("{}\n", serde_json::to_string_pretty(&report)?)
    } else {
        summary(&report, &plan, &spend)
    })?;
    Ok(if end.stopped.is_some() {
        Outcome::Stopped
    } else {
        Outcome::Done
    })
}

/// The writer and the verifiers, ready but for their memory.
struct Parts {
    writer: Prepared,
    verifiers: Vec<Prepared>,
}

impl Parts {
    async fn prepare(args: &BuildArgs, quiet: bool) -> Result<Self> {
        if args.chat.votes.get() > 1 || args.chat.fallback.is_some() {
            bail!(
                "`--votes` and `--fallback` would hide who said what; give more verifiers instead"
            );
        }
        let writer = Prepared::new(&args.writer, &args.chat, &args.model, quiet).await?;
        if writer.chat_model(&args.chat).is_none() {
            bail!(
                "`--writer {}` is no chat model, and criteria have to be written",
                args.writer
            );
        }
        let mut verifiers = Vec::new();
        for spec in &args.verifiers {
            verifiers.push(Prepared::new(spec, &args.chat, &args.model, quiet).await?);
        }
        Ok(Self { writer, verifiers })
    }

    /// The builder, with `remember` put in front of every chat model.
    fn builder(
        &self,
        args: &BuildArgs,
        remember: impl Fn(Arc<dyn ChatModel>) -> Arc<dyn ChatModel>,
    ) -> Result<Builder> {
        let (writer, shown) = self
            .writer
            .chat_model(&args.chat)
            .context("the writer is a chat model")?;
        let verifiers: Result<Vec<Arc<dyn Judge>>> = self
            .verifiers
            .iter()
            .map(|verifier| verifier.judge(&args.chat, &remember))
            .collect();
        let config = BuildConfig {
            rule: args.rule,
            setting: setting(args),
            sampling: judge::sampling(&args.chat),
            attempts: args.chat.attempts.get(),
            seed: args.seed,
            limits: Limits::default(),
        };
        Ok(Builder::new(
            remember(writer),
            Arc::new(ShownByJudge(shown)),
            verifiers?,
            config,
        )?)
    }

    /// How many pairs may be under way: each asks about two criteria in two orders.
    fn pairs_at_once(&self) -> usize {
        const QUESTIONS: usize = 4;
        let all = std::iter::once(&self.writer).chain(&self.verifiers);
        let least = all.map(|part| (part.concurrency(1))()).min().unwrap_or(1);
        least.div_ceil(QUESTIONS)
    }
}

/// Shows a pair as a judge of the same kind is shown it.
struct ShownByJudge(ChatJudge);

impl Show for ShownByJudge {
    fn show<'a>(
        &'a self,
        pair: &'a PreferencePair,
    ) -> BoxFuture<'a, Result<Vec<ChatPart>, ModelError>> {
        Box::pin(async move {
            let request = self.0.request(pair, Setting::WithTies, 0).await?;
            let message = request.messages.into_iter().next_back();
            Ok(message.map(|message| message.parts).unwrap_or_default())
        })
    }
}

fn setting(args: &BuildArgs) -> Setting {
    match args.ties {
        TieArg::Offered => Setting::WithTies,
        TieArg::NotOffered => Setting::WithoutTies,
    }
}

fn tasks(args: &BuildArgs, builder: &Builder) -> Vec<Task> {
    let mut tasks = args.tasks.clone();
    if tasks.is_empty() {
        tasks = Task::ALL.to_vec();
    }
    tasks.sort();
    tasks.dedup();
    tasks.retain(|task| builder.supports(*task));
    tasks
}

/// What the folder of replies is bound to: replies of another build are not taken for this one's.
fn manifest(args: &BuildArgs, plan: &BuildPlan, source: &Benchmark) -> RunManifest {
    let specs = args.verifiers.iter().map(ToString::to_string);
    // A build may go on with a larger limit, which changes no reply.
    let unlimited = BuildPlan {
        limit: None,
        ..plan.clone()
    };
    let who = omnireward_core::Identity::new("build", json!(unlimited));
    RunManifest {
        omnireward: env!("OMNIREWARD_VERSION").to_owned(),
        started: jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string(),
        command: command_line(),
        plan: RunPlan {
            tasks: plan.tasks.clone(),
            settings: vec![plan.setting],
            order: omnireward_core::OrderPolicy::Both,
            seed: plan.seed,
            limit: None,
        },
        judge: JudgeRecord::new(specs.collect::<Vec<_>>().join(" "), who),
        benchmark: source.record.clone(),
    }
}

fn spend(args: &BuildArgs, replies: &RunDir) -> Result<Spend> {
    let budget = Budget {
        dollars: args.spending.budget,
        tokens: args.spending.budget_tokens,
    };
    if budget
        .dollars
        .is_some_and(|dollars| dollars.is_nan() || dollars <= 0.0)
    {
        bail!("`--budget` must be more than nothing");
    }
    Ok(Spend::new(
        prices(&args.spending),
        budget,
        EXPECTED,
        replies.spent()?,
    ))
}

fn check(sample: &Sample, args: &BuildArgs) -> Result<()> {
    if let Some(first) = sample.bad_rows.first() {
        if args.reading.strict {
            bail!("a row of `{}` cannot be used: {first}", args.input);
        }
        let count = sample.bad_rows.len();
        printer::note(&format!("{count} rows cannot be used, the first: {first}"));
    }
    if sample.is_empty() {
        bail!(
            "`{}` has no pair of these tasks that every verifier supports",
            args.input
        );
    }
    Ok(())
}

async fn ask(
    builder: &Builder,
    sample: &Sample,
    dataset: &Dataset,
    trail: &mut Trail,
    spend: &Spend,
    parts: &Parts,
    bar: &Bar,
) -> Result<BuildEnd> {
    let interrupted = interrupted_by_ctrl_c();
    let stop = |requests: u64| {
        if interrupted.load(std::sync::atomic::Ordering::Relaxed) {
            Some(Stop::Interrupted)
        } else {
            spend.would_pass(requests).then_some(Stop::Budget)
        }
    };
    let options = BuildOptions {
        concurrency: &|| parts.pairs_at_once(),
        stop: &stop,
        total: sample.len(),
    };
    Ok(build::build(builder, sample.pairs(dataset), trail, &options, bar).await?)
}

/// Writes the kept pairs, whole or not at all.
fn write_pairs(
    args: &BuildArgs,
    plan: &BuildPlan,
    trail: &Trail,
    sample: &Sample,
    dataset: &Dataset,
) -> Result<()> {
    let partial = args.out.join("pairs.jsonl.partial");
    let pairs = sample.pairs(dataset).flat_map(|(_, pair)| {
        let record = trail.record(&pair.id);
        record
            .map(|record| kept_pairs(plan, record, &pair))
            .unwrap_or_default()
    });
    write::pairs_jsonl(&partial, pairs)?;
    let file = args.out.join("pairs.jsonl");
    std::fs::rename(&partial, &file).with_context(|| format!("cannot write `{}`", file.display()))
}

fn write_report(args: &BuildArgs, report: &BuildReport) -> Result<()> {
    let file = args.out.join("report.json");
    let partial = args.out.join("report.json.partial");
    std::fs::write(&partial, serde_json::to_vec_pretty(report)?)
        .and_then(|()| std::fs::rename(&partial, &file))
        .with_context(|| format!("cannot write `{}`", file.display()))
}

fn tell(end: &BuildEnd, sample: &Sample, spend: &Spend) {
    let mut parts = vec![format!(
        "{} of {} pairs asked about",
        end.asked, sample.available
    )];
    if end.kept > 0 {
        parts.push(format!("{} kept from before", end.kept));
    }
    let spent = spend.so_far();
    if spent.requests > 0 {
        parts.push(format!(
            "{} requests, {} tokens read and {} written in all",
            spent.requests, spent.prompt_tokens, spent.completion_tokens
        ));
    }
    printer::note(&parts.join(", "));
    if let Some(failure) = &end.first_failure {
        printer::note(&format!(
            "the first without an answer: {failure}; start the same command again to ask again"
        ));
    }
    match end.stopped {
        Some(Stop::Budget) => printer::note(
            "stopped: the budget would be passed; start the same command with a larger one to go on",
        ),
        Some(Stop::Interrupted) => printer::note("stopped; start the same command again to go on"),
        None => {}
    }
}

fn summary(report: &BuildReport, plan: &BuildPlan, spend: &Spend) -> String {
    let rule = format!("rule `{}`", plan.rule);
    let mut text = table(&[rule.as_str(), "share"], 1, &counts(report));
    let verifiers: Vec<Vec<String>> = report
        .verifiers
        .iter()
        .map(|verifier| {
            let confirms = verifier.stances.get("confirms").copied();
            vec![
                verifier.name.clone(),
                share(
                    confirms.unwrap_or_default(),
                    verifier.stances.values().sum(),
                ),
                share(verifier.consistent, verifier.in_both_orders),
            ]
        })
        .collect();
    let heading = ["verifier", "confirms", "the same in both orders"];
    let _ = write!(text, "\n{}", table(&heading, 1, &verifiers));
    if !report.agreement.is_empty() {
        let agreement: Vec<Vec<String>> = report.agreement.iter().map(agreeing).collect();
        let heading = ["verifiers", "criteria", "agree", "Cohen's kappa"];
        let _ = write!(text, "\n{}", table(&heading, 1, &agreement));
    }
    if spend.has_prices() {
        let _ = writeln!(text, "\ncost ${:.4}", spend.dollars());
    }
    text
}

fn counts(report: &BuildReport) -> Vec<Vec<String>> {
    let (pairs, criteria) = (report.pairs, report.criteria);
    let mut rows = vec![
        ("criteria kept".to_owned(), share(report.kept(), criteria)),
        (
            "both sides written".to_owned(),
            share(report.flips_written, pairs),
        ),
        (
            "both sides kept".to_owned(),
            share(report.flips_kept, pairs),
        ),
        (
            "no criterion found".to_owned(),
            share(report.without_criterion, pairs),
        ),
        (
            "kept for the first".to_owned(),
            share(report.kept_first, report.kept()),
        ),
    ];
    let writer = report.writer.iter();
    let failed = writer.filter(|(status, _)| *status != Status::Readable.name());
    rows.extend(failed.map(|(status, count)| (format!("writer {status}"), share(*count, pairs))));
    let outcomes = report.outcomes.iter();
    let dropped =
        outcomes.filter(|(outcome, count)| *outcome != build::Outcome::Kept.name() && **count > 0);
    rows.extend(
        dropped.map(|(outcome, count)| (format!("dropped {outcome}"), share(*count, criteria))),
    );
    rows.into_iter()
        .map(|(what, share)| vec![what, share])
        .collect()
}

fn agreeing(both: &PairAgreement) -> Vec<String> {
    vec![
        format!("{} and {}", both.first, both.second),
        thousands(both.items),
        format!("{:.1}%", 100.0 * both.observed),
        both.cohen
            .map_or_else(|| "–".to_owned(), |kappa| format!("{kappa:.3}")),
    ]
}

fn share(part: u64, whole: u64) -> String {
    let percent = 100.0 * part as f64 / whole.max(1) as f64;
    format!(
        "{} of {} ({percent:.1}%)",
        thousands(part),
        thousands(whole)
    )
}
