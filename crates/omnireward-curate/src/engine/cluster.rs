//! The same plans on a cluster: Ballista's scheduler and executors.
//!
//! Scheduler and executors have to know the functions that plans use, so they are started by [`serve_scheduler`] and
//! [`serve_executor`], by whatever starts processes on the machines; all machines see the tables under the same paths.
//! [`Loopback`] starts all of it in one process, with the sockets between them.

use std::{net::SocketAddr, sync::Arc};

use ballista::prelude::SessionContextExt;
use ballista_core::{
    extension::SessionConfigExt, registry::BallistaFunctionRegistry,
    serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient,
};
use ballista_executor::{
    executor_process::{ExecutorProcessConfig, start_executor_process},
    new_standalone_executor_from_state,
};
use ballista_scheduler::{
    cluster::BallistaCluster, config::SchedulerConfig, scheduler_process::start_server,
    standalone::new_standalone_scheduler_from_state,
};
use datafusion::{
    error::DataFusionError,
    execution::{SessionState, SessionStateBuilder},
    prelude::SessionContext,
};

use super::{Engine, EngineConfig, functions};
use crate::Error;

/// A scheduler and executors in this process, which talk over loopback sockets.
#[derive(Clone, Copy, Debug)]
pub struct Loopback {
    scheduler: SocketAddr,
}

impl Loopback {
    /// Starts a scheduler, and `executors` that each work on one partition at a time. They end with the runtime.
    ///
    /// # Errors
    ///
    /// [`Error::Engine`] when a socket cannot be had.
    pub async fn start(config: &EngineConfig, executors: usize) -> Result<Self, Error> {
        let state = cluster_state(config)?;
        let scheduler = new_standalone_scheduler_from_state(&state)
            .await
            .map_err(failed)?;
        let cluster = Self { scheduler };
        for _ in 0..executors {
            let client = SchedulerGrpcClient::connect(cluster.http())
                .await
                .map_err(failed)?;
            // Each executor has its own memory.
            let state = cluster_state(config)?;
            new_standalone_executor_from_state(client, 1, &state)
                .await
                .map_err(failed)?;
        }
        Ok(cluster)
    }

    /// What [`EngineConfig::scheduler`] says to use it.
    pub fn address(&self) -> String {
        format!("df://{}", self.scheduler)
    }

    fn http(&self) -> String {
        format!("http://{}", self.scheduler)
    }
}

/// Runs a scheduler at an address until the process ends; `external_host` is how executors call this machine.
///
/// # Errors
///
/// [`Error::Engine`] when the address cannot be had, or the scheduler gives up.
pub async fn serve_scheduler(
    address: SocketAddr,
    external_host: &str,
    config: &EngineConfig,
) -> Result<(), Error> {
    let state = cluster_state(config)?;
    let session = state.config().clone();
    let scheduler = SchedulerConfig {
        bind_host: address.ip().to_string(),
        bind_port: address.port(),
        external_host: external_host.to_owned(),
        override_config_producer: Some(Arc::new(move || session.clone())),
        override_session_builder: Some(Arc::new(move |config| {
            let existing = SessionStateBuilder::new_from_existing(state.clone());
            Ok(existing.with_config(config).build())
        })),
        ..SchedulerConfig::default()
    };
    let cluster = BallistaCluster::new_from_config(&scheduler)
        .await
        .map_err(failed)?;
    start_server(cluster, address, Arc::new(scheduler))
        .await
        .map_err(failed)
}

/// Where an executor is, and whom it works for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorAddress {
    /// The address it listens on for rows; requests come to the port after it.
    pub listen: SocketAddr,
    /// How the other machines call this one.
    pub external_host: String,
    /// The scheduler's machine.
    pub scheduler_host: String,
    /// The scheduler's port.
    pub scheduler_port: u16,
}

/// Runs an executor until the process ends, on as many partitions at once as the configuration says.
///
/// # Errors
///
/// [`Error::NoPortAfter`] when there is no port after its own; [`Error::Engine`] when the scheduler cannot be reached, or
/// the executor gives up.
pub async fn serve_executor(address: &ExecutorAddress, config: &EngineConfig) -> Result<(), Error> {
    let no_port = || Error::NoPortAfter {
        address: address.listen,
    };
    let grpc_port = address.listen.port().checked_add(1).ok_or_else(no_port)?;
    let state = cluster_state(config)?;
    let session = state.config().clone();
    let executor = ExecutorProcessConfig {
        bind_host: address.listen.ip().to_string(),
        external_host: Some(address.external_host.clone()),
        port: address.listen.port(),
        grpc_port,
        scheduler_host: address.scheduler_host.clone(),
        scheduler_port: address.scheduler_port,
        scheduler_connect_timeout_seconds: 60,
        vcores: config.partitions,
        memory_pool_size: Some(config.memory_bytes as u64),
        work_dir: config
            .spill
            .as_ref()
            .map(|folder| folder.to_string_lossy().into_owned()),
        override_function_registry: Some(Arc::new(BallistaFunctionRegistry::from(&state))),
        override_config_producer: Some(Arc::new(move || session.clone())),
        ..ExecutorProcessConfig::default()
    };
    start_executor_process(Arc::new(executor))
        .await
        .map_err(failed)
}

/// An engine whose plans a cluster runs.
pub(super) async fn connect(scheduler: &str, config: &EngineConfig) -> Result<Engine, Error> {
    let context = SessionContext::remote_with_state(scheduler, cluster_state(config)?).await?;
    // To connect leaves a session with the engine's own functions alone.
    for function in functions::all() {
        context.register_udf(function);
    }
    Ok(Engine::over(context))
}

fn cluster_state(config: &EngineConfig) -> Result<SessionState, Error> {
    let state = config.state()?;
    let session = state.config().clone().upgrade_for_ballista();
    Ok(SessionStateBuilder::new_from_existing(state)
        .with_config(session)
        .build())
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    DataFusionError::External(Box::new(error)).into()
}
