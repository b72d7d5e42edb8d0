//! `omnireward demo`: the model that the program carries, and two baselines, over the benchmark that it carries.

use std::fs;

use anyhow::{Context, Result};
use clap::Parser;

use crate::{
    Outcome,
    args::{Cli, Command, DemoArgs, EvalArgs},
    embedded,
    eval::{self, as_typed},
    printer,
    report::{self, Report, Run},
};

/// The judges and the folders of their runs. The baselines are those that judge all nine tasks.
const JUDGES: [(&str, &str); 3] = [
    (embedded::NAME, "embedded"),
    ("baseline:random", "random"),
    ("baseline:first", "first"),
];

/// Carries out the very commands that a user would type, and shows them.
pub(crate) async fn demo(args: DemoArgs, quiet: bool) -> Result<Outcome> {
    let out = |name: &str| args.out.join(name).display().to_string();
    let mut runs = Vec::new();
    let mut benchmark = None;
    for (judge, folder) in JUDGES {
        let words = words(judge, &out(folder));
        let command = as_typed(&words);
        printer::note(&format!("\n$ {command}"));
        let eval_args = parse(&words)?;
        let ended = eval::ask_all(&eval_args, command, quiet).await?;
        let run = Run::load(&ended.dir, &eval_args.reporting)?;
        ended.dir.write_json("results.json", &run.results)?;
        runs.push(run);
        benchmark = Some(ended.benchmark);
    }
    report::over_common_tasks(&mut runs);
    let reporting = parse(&words(embedded::NAME, &out(embedded::NAME)))?.reporting;
    let report = Report::new(&runs, &reporting);
    printer::note("");
    report.print(args.json)?;
    let html = args.out.join("report.html");
    fs::write(&html, report.html(benchmark.as_ref()))
        .with_context(|| format!("cannot write `{}`", html.display()))?;
    printer::note(&next_steps(
        &html.display().to_string(),
        &out(embedded::NAME),
    ));
    Ok(Outcome::Done)
}

/// The command of one evaluation.
fn words(judge: &str, out: &str) -> [String; 8] {
    [
        "omnireward",
        "eval",
        "--judge",
        judge,
        "--benchmark",
        embedded::NAME,
        "--out",
        out,
    ]
    .map(str::to_owned)
}

fn parse(words: &[String]) -> Result<EvalArgs> {
    match Cli::try_parse_from(words)?.command {
        Command::Eval(args) => Ok(*args),
        _ => {
            unreachable!("the demo's commands are evaluations")
        }
    }
}

fn next_steps(html: &str, run: &str) -> String {
    let run = as_typed([run]);
    format!(
        "
what this was
  A small reward model, carried by the program, judged pairs of all nine tasks:
  text, images, video, audio and 3D. The pairs are generated and their labels true by construction.
  So far the model has learned words, sounds, colours and sizes, and little of shapes and places.
  `baseline:random` and `baseline:first` look at nothing; a judge has to beat them.
  Where two criteria prefer different sides of one pair, only a judge that follows them is right.

report: {html}
  Open it in a browser: figures, and every pair with its media side by side.

next, where `omnireward` is this program (`target/release/omnireward`):
  a model of yours
    OPENAI_API_KEY=… omnireward eval --judge openai:gpt-4o-mini \\
      --benchmark embedded --out runs/mine
  your own server
    omnireward eval --judge openai:MODEL --base-url http://localhost:8000/v1 \\
      --benchmark embedded --out runs/mine
  rewards for pairs of yours
    omnireward score --model embedded --input pairs.jsonl
  the real benchmark
    omnireward eval --judge … --benchmark hf:HongbangYuan/OmniRewardBench --out runs/bench
  side by side
    omnireward report {run} runs/mine --html comparison.html"
    )
}
