//! `omnireward demo`: a baseline and recorded judges over the small set inside the program.

use std::fs;

use anyhow::{Context, Result};
use clap::Parser;
use omnireward_data::OpenOptions;

use crate::{
    Outcome,
    args::{Cli, Command, DemoArgs, EvalArgs},
    benchmark::{Benchmark, RECORDED},
    eval, printer,
    report::{self, Report, Run},
};

/// Carries out the very commands that a user would type, and shows them.
pub(crate) async fn demo(args: DemoArgs, quiet: bool) -> Result<Outcome> {
    let out = args.out.display().to_string();
    let recorded = args.out.join("recorded.jsonl");
    fs::create_dir_all(&args.out)
        .and_then(|()| fs::write(&recorded, RECORDED))
        .with_context(|| format!("cannot write `{}`", recorded.display()))?;
    let baseline = format!(
        "omnireward eval --judge baseline:random --benchmark embedded --out {out}/baseline"
    );
    let replay = format!(
        "omnireward eval --judge replay:{out}/recorded.jsonl --benchmark embedded --tasks T2T,T2I --out {out}/recorded"
    );
    let mut runs = Vec::new();
    for command in [&baseline, &replay] {
        printer::note(&format!("\n$ {command}"));
        let eval_args = parse(command)?;
        let ended = eval::ask_all(&eval_args, command.clone(), quiet).await?;
        let run = Run::load(&ended.dir, &eval_args.reporting)?;
        ended.dir.write_json("results.json", &run.results)?;
        runs.push(run);
    }
    report::over_common_tasks(&mut runs);
    let reporting = parse(&baseline)?.reporting;
    let report = Report::new(&runs, &reporting);
    printer::note("");
    report.print(args.json)?;
    let html = args.out.join("report.html");
    let benchmark = Benchmark::open_embedded(&OpenOptions::default())?;
    fs::write(&html, report.html(Some(&benchmark)))
        .with_context(|| format!("cannot write `{}`", html.display()))?;
    printer::note(&next_steps(&html.display().to_string(), &out));
    Ok(Outcome::Done)
}

fn parse(command: &str) -> Result<EvalArgs> {
    match Cli::try_parse_from(command.split(' '))?.command {
        Command::Eval(args) => Ok(*args),
        _ => {
            unreachable!("the demo's commands are evaluations")
        }
    }
}

fn next_steps(html: &str, out: &str) -> String {
    format!(
        "
report: {html}
  Open it in a browser: figures, and every pair with its media side by side.

next, where `omnireward` is this program (`target/release/omnireward`):
  a model of yours
    OPENAI_API_KEY=… omnireward eval --judge openai:gpt-4o-mini \\
      --benchmark embedded --out runs/mine
  your own server
    omnireward eval --judge openai:MODEL --base-url http://localhost:8000/v1 \\
      --benchmark embedded --out runs/mine
  the real benchmark
    omnireward eval --judge … --benchmark hf:HongbangYuan/OmniRewardBench --out runs/bench
  side by side
    omnireward report {out}/recorded runs/mine --html comparison.html"
    )
}
