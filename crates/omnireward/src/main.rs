//! The command-line program: reads arguments and the environment, joins the crates, prints.

mod args;
mod bar;
mod benchmark;
mod data;
mod demo;
mod embedded;
mod eval;
mod hub;
mod judge;
mod local_model;
mod model;
mod printer;
mod report;
mod score;
mod synth;
mod train;
mod writing;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::args::{Cli, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How a command that could be carried out ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// All was done.
    Done,
    /// It finished, below a threshold that the user stated.
    BelowThreshold,
    /// It stopped before the end, and can be started again.
    Stopped,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::Train(command) = &cli.command {
        train::prepare(command);
    }
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_env("OMNIREWARD_LOG").unwrap_or_else(|_| EnvFilter::new("warn")),
        )
        .with_writer(std::io::stderr)
        .init();
    match carry_out(cli) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::BelowThreshold) => ExitCode::from(1),
        Ok(Outcome::Stopped) => ExitCode::from(2),
        Err(error) => {
            printer::error(&error);
            ExitCode::from(2)
        }
    }
}

fn carry_out(cli: Cli) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match cli.command {
            Command::Demo(args) => demo::demo(args, cli.quiet).await,
            Command::Eval(args) => eval::eval(*args, cli.quiet).await,
            Command::Score(args) => score::score(*args, cli.quiet).await,
            Command::Report(args) => report::report(args).await,
            Command::Model(command) => model::model(command, cli.quiet).await,
            Command::Data(command) => data::data(command, cli.quiet).await,
            Command::Train(command) => train::train(command, cli.quiet).await,
        }
    })
}
