//! `omnireward eval`: asks a judge about a benchmark, then counts and reports.

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context, Result, bail};
use omnireward_core::{Judge, Preference, Setting, Task};
use omnireward_eval::{
    Budget, CachedChat, Estimate, JudgeRecord, Prices, ReplyCache, RunDir, RunEnd, RunManifest,
    RunOptions, RunPlan, Spend, Stop, run,
};
use omnireward_judges::JudgeSpec;

use crate::{
    Outcome,
    args::{EvalArgs, QuestionArgs, SettingArg, SpendingArgs},
    bar::Bar,
    benchmark::Benchmark,
    judge::Prepared,
    printer,
    report::{self, Run},
};

pub(crate) async fn eval(args: EvalArgs, quiet: bool) -> Result<Outcome> {
    if args.dry_run {
        return dry_run(&args, quiet).await;
    }
    report::check_published(&args.reporting.published)?;
    let ended = ask_all(&args, command_line(), quiet).await?;
    let mut run = Run::load(&ended.dir, &args.reporting)?;
    run.dollars = ended.dollars;
    report::finish(&ended.dir, &run, &ended.benchmark, &args.reporting)?;
    Ok(outcome(&ended.end, &run, args.min_accuracy))
}

/// A run that asked all it could.
pub(crate) struct Ended {
    pub(crate) dir: Arc<RunDir>,
    pub(crate) benchmark: Benchmark,
    end: RunEnd,
    /// What the run has cost, where prices are known.
    dollars: Option<f64>,
}

/// Asks the judge every question that the run directory holds no answer to. `command` is what
/// repeats the run.
pub(crate) async fn ask_all(args: &EvalArgs, command: String, quiet: bool) -> Result<Ended> {
    let benchmark =
        Benchmark::open(&args.benchmark, &args.reading, &args.questions.tasks, quiet).await?;
    let prepared = Prepared::new(&args.judge, &args.chat, &args.model, quiet).await?;
    let judge = prepared.judge(&args.chat, |model| model)?;
    let manifest = manifest(args, command, judge.as_ref(), &benchmark);
    let plan = &manifest.plan;
    let estimate = Estimate::new(
        &benchmark.dataset,
        plan,
        judge.as_ref(),
        args.chat.votes.get(),
    );
    if !quiet {
        announce(args, judge.as_ref(), &benchmark, plan, &estimate);
    }
    let dir = Arc::new(RunDir::create_or_resume(&args.out, &manifest)?);
    let spend = Arc::new(spend(&args.spending, &estimate, &dir)?);
    let shared = args
        .chat
        .cache
        .as_deref()
        .filter(|_| prepared.is_chat())
        .map(ReplyCache::open)
        .transpose()?
        .map(Arc::new);
    let judge = prepared.judge(&args.chat, |model| {
        Arc::new(CachedChat::new(model, dir.clone(), shared, spend.clone()))
    })?;
    let options = RunOptions {
        strict: args.reading.strict,
        planned: estimate.planned,
        requests_per_question: args.chat.votes.get() * args.chat.attempts.get(),
        concurrency: prepared.concurrency(args.chat.votes.get()),
        interrupted: interrupted_by_ctrl_c(),
    };
    let bar = Bar::new(quiet);
    let end = run(judge, &benchmark.dataset, plan, &dir, &spend, options, &bar).await?;
    if !quiet {
        tell(&end, &spend);
        prepared.tell();
    }
    Ok(Ended {
        dollars: spend.has_prices().then(|| spend.dollars()),
        dir,
        benchmark,
        end,
    })
}

/// Says what would be asked, and shows the first question as the judge would see it.
async fn dry_run(args: &EvalArgs, quiet: bool) -> Result<Outcome> {
    let benchmark =
        Benchmark::open(&args.benchmark, &args.reading, &args.questions.tasks, quiet).await?;
    let prepared = Prepared::new(&args.judge, &args.chat, &args.model, quiet).await?;
    let judge = prepared.judge(&args.chat, |model| model)?;
    let plan = plan(&args.questions, &benchmark);
    let votes = args.chat.votes.get();
    let estimate = Estimate::new(&benchmark.dataset, &plan, judge.as_ref(), votes);
    announce(args, judge.as_ref(), &benchmark, &plan, &estimate);
    let setting = *plan
        .settings
        .first()
        .context("there is no setting to ask in")?;
    let pair = benchmark
        .dataset
        .pairs()
        .filter_map(Result::ok)
        .filter(|pair| plan.tasks.contains(&pair.task) && judge.supports(pair.task))
        .flat_map(|pair| pair.comparisons())
        .find(|pair| setting.offers_tie() || pair.label != Some(Preference::Tie))
        .context("the benchmark has no pair that this judge would be asked about")?;
    printer::data(&prepared.show_request(&args.chat, &pair, setting).await?)?;
    Ok(Outcome::Done)
}

fn manifest(
    args: &EvalArgs,
    command: String,
    judge: &dyn Judge,
    benchmark: &Benchmark,
) -> RunManifest {
    RunManifest {
        omnireward: env!("OMNIREWARD_VERSION").to_owned(),
        started: jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string(),
        command,
        plan: plan(&args.questions, benchmark),
        judge: JudgeRecord::new(args.judge.to_string(), judge.identity()),
        benchmark: benchmark.record.clone(),
    }
}

fn plan(questions: &QuestionArgs, benchmark: &Benchmark) -> RunPlan {
    let mut tasks = questions.tasks.clone();
    if tasks.is_empty() {
        let parts = benchmark.dataset.parts();
        tasks = match parts
            .iter()
            .map(|part| part.task)
            .collect::<Option<Vec<Task>>>()
        {
            Some(tasks) => tasks,
            None => Task::ALL.to_vec(),
        };
    }
    tasks.sort();
    tasks.dedup();
    RunPlan {
        tasks,
        settings: match questions.setting {
            SettingArg::WithTies => vec![Setting::WithTies],
            SettingArg::WithoutTies => vec![Setting::WithoutTies],
            SettingArg::Both => Setting::ALL.to_vec(),
        },
        order: questions.order,
        seed: questions.seed,
        limit: questions.limit,
    }
}

/// The command as it was typed, for repeating it. Keys are never arguments, but a URL may hold a
/// password or a key, which are left out.
pub(crate) fn command_line() -> String {
    let words = env::args().skip(1).map(|word| without_secrets(&word));
    as_typed(std::iter::once("omnireward".to_owned()).chain(words))
}

/// Words as a shell takes them.
pub(crate) fn as_typed(words: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let quoted = words.into_iter().map(|word| quoted(word.as_ref()));
    quoted.collect::<Vec<_>>().join(" ")
}

fn without_secrets(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else {
        return word.to_owned();
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (host, path) = rest
        .split_once('/')
        .map_or((rest, None), |(host, path)| (host, Some(path)));
    let host = host.rsplit('@').next().unwrap_or_default();
    match path {
        Some(path) => format!("{scheme}://{host}/{path}"),
        None => format!("{scheme}://{host}"),
    }
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Says on stderr what is about to be asked, and about what it costs.
fn announce(
    args: &EvalArgs,
    judge: &dyn Judge,
    benchmark: &Benchmark,
    plan: &RunPlan,
    estimate: &Estimate,
) {
    let codes: Vec<&str> = plan.tasks.iter().map(|task| task.code()).collect();
    printer::note(&format!(
        "{} on {} ({}), {}: about {} questions",
        judge.identity().name,
        benchmark.record.name,
        benchmark.record.format,
        if codes.len() == Task::ALL.len() {
            "all its tasks".to_owned()
        } else {
            codes.join(", ")
        },
        estimate.questions,
    ));
    if matches!(args.judge, JudgeSpec::OpenAi { .. }) {
        let usage = estimate.usage;
        let prices = prices(&args.spending);
        let dollars = if prices == Prices::default() {
            "give --price-in and --price-out for a cost".to_owned()
        } else {
            format!("about ${:.2}", prices.cost(usage))
        };
        printer::note(&format!(
            "estimate: {} requests, {:.2}M tokens read, {:.2}M written; {dollars} (may be off by a factor of two)",
            usage.requests,
            usage.prompt_tokens as f64 / 1e6,
            usage.completion_tokens as f64 / 1e6,
        ));
    }
}

pub(crate) fn prices(spending: &SpendingArgs) -> Prices {
    Prices {
        prompt: spending.price_in.unwrap_or_default(),
        completion: spending.price_out.unwrap_or_default(),
    }
}

fn spend(spending: &SpendingArgs, estimate: &Estimate, dir: &RunDir) -> Result<Spend> {
    let budget = Budget {
        dollars: spending.budget,
        tokens: spending.budget_tokens,
    };
    if budget
        .dollars
        .is_some_and(|dollars| dollars.is_nan() || dollars <= 0.0)
    {
        bail!("`--budget` must be more than nothing");
    }
    Ok(Spend::new(
        prices(spending),
        budget,
        estimate.usage,
        dir.spent()?,
    ))
}

/// The first Ctrl-C lets the run end after what is under way; the second ends the program.
pub(crate) fn interrupted_by_ctrl_c() -> Arc<AtomicBool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            if flag.swap(true, Ordering::Relaxed) {
                std::process::abort();
            }
            printer::note("stopping after the requests under way; again to stop at once");
        }
    });
    interrupted
}

fn tell(end: &RunEnd, spend: &Spend) {
    let mut parts = vec![format!("{} asked", end.asked)];
    if end.kept > 0 {
        parts.push(format!("{} kept from before", end.kept));
    }
    if end.bad_rows > 0 {
        parts.push(format!(
            "{} rows of the benchmark could not be used",
            end.bad_rows
        ));
    }
    let spent = spend.so_far();
    if spent.requests > 0 {
        parts.push(format!(
            "{} tokens read and {} written in all",
            spent.prompt_tokens, spent.completion_tokens
        ));
    }
    if spend.has_prices() {
        parts.push(format!("${:.2}", spend.dollars()));
    }
    printer::note(&parts.join(", "));
    if let Some(failure) = &end.first_failure {
        printer::note(&format!("the first question without an answer: {failure}"));
    }
    if !end.unsupported.is_empty() {
        let codes: Vec<&str> = end.unsupported.iter().map(|task| task.code()).collect();
        printer::note(&format!(
            "left out, not supported by this judge: {}",
            codes.join(", ")
        ));
    }
    match end.stopped {
        Some(Stop::Budget) => printer::note(
            "stopped: the budget would be passed; start the same command with a larger one to go on",
        ),
        Some(Stop::Interrupted) => {
            printer::note("stopped; start the same command again to go on");
        }
        None => {}
    }
}

fn outcome(end: &RunEnd, run: &Run, min_accuracy: Option<f64>) -> Outcome {
    if end.stopped.is_some() {
        return Outcome::Stopped;
    }
    let is_below = |bar: f64| {
        run.results.settings.iter().any(|setting| {
            setting
                .overall
                .own
                .value
                .is_none_or(|accuracy| 100.0 * accuracy < bar)
        })
    };
    if min_accuracy.is_some_and(is_below) {
        Outcome::BelowThreshold
    } else {
        Outcome::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_command_holds_no_secret() {
        let cases = [
            (
                "--base-url=https://name:pass@host:8000/v1?key=hush",
                "--base-url=https://host:8000/v1",
            ),
            ("http://host/v1", "http://host/v1"),
            ("http://name@host?x=1", "http://host"),
            ("runs/a b", "runs/a b"),
        ];
        for (typed, recorded) in cases {
            assert_eq!(without_secrets(typed), recorded);
        }
        assert_eq!(quoted("runs/a b"), "'runs/a b'");
        assert_eq!(quoted("replay:x#GPT-4/CoT"), "'replay:x#GPT-4/CoT'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
