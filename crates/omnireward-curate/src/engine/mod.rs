//! The query engine that everything larger than memory goes through.
//!
//! A plan is built from tables (parquet files) and functions over texts and media, and is run here or on a cluster: the
//! same plan, the same functions. How many partitions work on it decides nothing about results; whatever reads a result
//! in order asks for the order.

#[cfg(feature = "distributed")]
pub mod cluster;
mod functions;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use datafusion::{
    dataframe::DataFrame,
    error::DataFusionError,
    execution::{
        FunctionRegistry, SendableRecordBatchStream, SessionState, SessionStateBuilder,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::FairSpillPool,
        runtime_env::RuntimeEnvBuilder,
    },
    prelude::{ParquetReadOptions, SessionConfig, SessionContext},
};

use url::Url;

use crate::Error;

pub(crate) use functions::modality_named;

/// How the engine works.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Partitions that are worked on at once.
    pub partitions: usize,
    /// Memory for sorting, joining and grouping, in bytes; what needs more is spilled.
    pub memory_bytes: usize,
    /// Where spilled rows go; the system's folder for temporary files when `None`.
    pub spill: Option<PathBuf>,
    /// The scheduler of a cluster, such as `df://host:50050`, that runs the plans instead of this process. All its machines
    /// see the same files under the same paths.
    #[cfg(feature = "distributed")]
    pub scheduler: Option<String>,
}

impl Default for EngineConfig {
    /// As many partitions as there are cores, and a gibibyte.
    fn default() -> Self {
        Self {
            partitions: thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: 1 << 30,
            spill: None,
            #[cfg(feature = "distributed")]
            scheduler: None,
        }
    }
}

impl EngineConfig {
    /// The engine's settings that both ways to run share.
    pub(crate) fn session(&self) -> SessionConfig {
        let mut config = SessionConfig::new()
            .with_target_partitions(self.partitions)
            .with_batch_size(1024);
        let options = config.options_mut();
        // One sorter has all the memory: a union of many tables would have one for each, and none with enough.
        options.optimizer.repartition_sorts = false;
        // The functions take plain strings.
        options.execution.parquet.schema_force_view_types = false;
        // Merging spilled rows has to find room where sorting took all.
        options.execution.sort_spill_reservation_bytes = (self.memory_bytes / 16).min(16 << 20);
        config
    }

    /// A session with all functions.
    pub(crate) fn state(&self) -> Result<SessionState, Error> {
        let spill = self
            .spill
            .as_ref()
            .map_or(DiskManagerMode::OsTmpDirectory, |folder| {
                DiskManagerMode::Directories(vec![folder.clone()])
            });
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(self.memory_bytes)))
            .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(spill))
            .build_arc()?;
        let mut state = SessionStateBuilder::new()
            .with_config(self.session())
            .with_runtime_env(runtime)
            .with_default_features()
            .build();
        for function in functions::all() {
            state.register_udf(Arc::new(function))?;
        }
        Ok(state)
    }
}

/// Runs plans.
#[derive(Clone)]
pub(crate) struct Engine {
    context: SessionContext,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("session", &self.context.session_id())
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// The engine that `config` asks for: in this process, or a cluster's.
    ///
    /// # Errors
    ///
    /// [`Error::Engine`] when the folder for spilled rows cannot be made, or the scheduler's address is none.
    #[cfg_attr(
        not(feature = "distributed"),
        expect(clippy::unused_async, reason = "only a cluster is waited for")
    )]
    pub(crate) async fn open(config: &EngineConfig) -> Result<Self, Error> {
        #[cfg(feature = "distributed")]
        if let Some(scheduler) = &config.scheduler {
            return cluster::connect(scheduler, config).await;
        }
        Ok(Self::over(SessionContext::new_with_state(config.state()?)))
    }

    /// An engine over a session whose functions are all there.
    const fn over(context: SessionContext) -> Self {
        Self { context }
    }

    /// The rows of parquet files that have the same columns.
    pub(crate) async fn table(&self, files: &[PathBuf]) -> Result<DataFrame, Error> {
        let paths: Vec<String> = files
            .iter()
            .map(|file| address(file))
            .collect::<Result<_, _>>()?;
        let options = ParquetReadOptions::default();
        Ok(self.context.read_parquet(paths, options).await?)
    }

    /// A function by its name.
    pub(crate) fn function(&self, name: &str) -> Arc<datafusion::logical_expr::ScalarUDF> {
        self.context
            .udf(name)
            .expect("every engine has all functions")
    }

    /// Starts a plan and returns its rows as they come.
    pub(crate) async fn stream(&self, plan: DataFrame) -> Result<SendableRecordBatchStream, Error> {
        Ok(plan.execute_stream().await?)
    }
}

/// A file as an address: executors may have another working folder, and in an address nothing is a pattern.
fn address(file: &Path) -> Result<String, Error> {
    let path = std::path::absolute(file).map_err(Error::reading(file))?;
    let address = Url::from_file_path(&path).expect("an absolute path is an address");
    Ok(address.into())
}

impl From<DataFusionError> for Error {
    fn from(source: DataFusionError) -> Self {
        Self::Engine(Box::new(source))
    }
}
