//! Fetches datasets and checkpoints that live on a hub.

use std::env;

use anyhow::{Context, Result};
use omnireward_data::hub::{HubClient, HubConfig, RepoSpec, Snapshot};

use crate::bar::Bar;

/// What a checkpoint is made of. Python code and pickles are neither needed nor wanted, but for a pickled head: it is
/// small and never opened, and whoever lacks a head is told by it what to convert.
const CHECKPOINT_FILES: [&str; 7] = [
    ".safetensors",
    ".gguf",
    ".json",
    ".jinja",
    ".txt",
    ".md",
    "value_head.bin",
];

/// Brings a dataset here: `hf:OWNER/NAME[@REVISION]`.
pub(crate) async fn dataset(spec: &str, quiet: bool) -> Result<Snapshot> {
    snapshot(spec.parse()?, &|_| true, quiet).await
}

/// Brings a checkpoint here: `hf:OWNER/NAME[@REVISION]`.
pub(crate) async fn checkpoint(spec: &str, quiet: bool) -> Result<Snapshot> {
    let repo: RepoSpec = spec.parse()?;
    let is_needed = |name: &str| CHECKPOINT_FILES.iter().any(|ending| name.ends_with(ending));
    snapshot(repo.model(), &is_needed, quiet).await
}

async fn snapshot(
    repo: RepoSpec,
    wanted: &(dyn Fn(&str) -> bool + Sync),
    quiet: bool,
) -> Result<Snapshot> {
    HubClient::new(HubConfig::from_vars(|name| env::var(name).ok()))?
        .snapshot(&repo, wanted, &Bar::new(quiet))
        .await
        .with_context(|| format!("cannot fetch `{repo}`"))
}
