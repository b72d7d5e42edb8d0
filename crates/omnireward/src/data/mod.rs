//! `omnireward data`: makes preference data. One file a verb.

mod audit;
mod build;
#[cfg(feature = "distributed")]
mod cluster;
#[cfg(feature = "engine")]
mod decontaminate;
#[cfg(feature = "engine")]
mod dedup;
#[cfg(feature = "engine")]
mod engine;
mod export;
mod import;
mod lint;
#[cfg(feature = "engine")]
mod mix;
#[cfg(feature = "engine")]
mod stats;
mod table;

use anyhow::Result;
use clap::Subcommand;

use crate::{
    Outcome,
    synth::{self, SynthArgs},
};

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Read published preference sets, or any known format, into pairs.
    Import(import::ImportArgs),
    /// Write pairs in the form that a trainer reads.
    Export(export::ExportArgs),
    /// Generate pairs of all nine tasks from a seed, whose labels are true by construction.
    Synth(SynthArgs),
    /// Have one model write criteria for pairs, and others verify them.
    Build(Box<build::BuildArgs>),
    /// Find what is wrong with a set of pairs, and repair what is safe.
    Lint(lint::LintArgs),
    /// Leave out rows that are in a set twice, exactly or nearly.
    #[cfg(feature = "engine")]
    Dedup(dedup::DedupArgs),
    /// Leave out, or flag, training rows that touch a benchmark.
    #[cfg(feature = "engine")]
    Decontaminate(decontaminate::DecontaminateArgs),
    /// Make a training mixture from a recipe.
    #[cfg(feature = "engine")]
    Mix(mix::MixArgs),
    /// Say what sets of pairs are made of.
    #[cfg(feature = "engine")]
    Stats(stats::StatsArgs),
    /// Start a process of a cluster that works on tables.
    #[cfg(feature = "distributed")]
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// Compute every label of a build again from what it recorded.
    Audit(audit::AuditArgs),
}

pub(crate) async fn data(command: DataCommand, quiet: bool) -> Result<Outcome> {
    match command {
        DataCommand::Import(args) => import::import(args, quiet).await,
        DataCommand::Export(args) => export::export(args, quiet).await,
        DataCommand::Build(args) => build::build(*args, quiet).await,
        DataCommand::Lint(args) => lint::lint(args, quiet).await,
        #[cfg(feature = "engine")]
        DataCommand::Dedup(args) => dedup::dedup(args, quiet).await,
        #[cfg(feature = "engine")]
        DataCommand::Decontaminate(args) => decontaminate::decontaminate(args, quiet).await,
        #[cfg(feature = "engine")]
        DataCommand::Mix(args) => mix::mix(args, quiet).await,
        #[cfg(feature = "engine")]
        DataCommand::Stats(args) => stats::stats(args, quiet).await,
        #[cfg(feature = "distributed")]
        DataCommand::Cluster(command) => cluster::cluster(command).await,
        DataCommand::Audit(args) => audit::audit(&args),
        DataCommand::Synth(args) => tokio::task::block_in_place(|| synth::synthesise(&args, quiet)),
    }
}
