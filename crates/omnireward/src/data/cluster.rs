//! `omnireward data cluster`: the processes of a cluster that runs the plans of `dedup`, `decontaminate`, `mix` and `stats`.

use std::net::SocketAddr;

use anyhow::Result;
use clap::{Args, Subcommand};
use omnireward_curate::engine::cluster::{ExecutorAddress, serve_executor, serve_scheduler};

use super::engine::ResourceArgs;
use crate::Outcome;

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Deal out the stages of plans: one process in a cluster.
    Scheduler(SchedulerArgs),
    /// Carry stages out: one process on each machine.
    Executor(ExecutorArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SchedulerArgs {
    /// The address to listen on. Whoever reaches it can read what this user can read.
    #[arg(long, default_value = "127.0.0.1:50050", value_name = "IP:PORT")]
    listen: SocketAddr,

    /// How executors call this machine.
    #[arg(long, default_value = "localhost", value_name = "HOST")]
    external_host: String,

    #[command(flatten)]
    resources: ResourceArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ExecutorArgs {
    /// The address to listen on; the port after it is taken as well. Whoever reaches it can read what this user can read.
    #[arg(long, default_value = "127.0.0.1:50051", value_name = "IP:PORT")]
    listen: SocketAddr,

    /// How the other machines call this one.
    #[arg(long, default_value = "localhost", value_name = "HOST")]
    external_host: String,

    /// The scheduler's machine.
    #[arg(long, default_value = "localhost", value_name = "HOST")]
    scheduler_host: String,

    /// The scheduler's port.
    #[arg(long, default_value_t = 50050, value_name = "PORT")]
    scheduler_port: u16,

    #[command(flatten)]
    resources: ResourceArgs,
}

/// Runs until it is stopped.
pub(crate) async fn cluster(command: ClusterCommand) -> Result<Outcome> {
    match command {
        ClusterCommand::Scheduler(args) => {
            serve_scheduler(args.listen, &args.external_host, &args.resources.config()).await?;
        }
        ClusterCommand::Executor(args) => {
            let address = ExecutorAddress {
                listen: args.listen,
                external_host: args.external_host,
                scheduler_host: args.scheduler_host,
                scheduler_port: args.scheduler_port,
            };
            serve_executor(&address, &args.resources.config()).await?;
        }
    }
    Ok(Outcome::Done)
}
