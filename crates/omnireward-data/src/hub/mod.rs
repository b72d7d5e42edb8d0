//! Datasets and checkpoints from a hub: `hf:owner/name`, or `hf:owner/name@revision`.
//!
//! A [`HubClient`] brings the wanted files of one commit into the cache that Python's
//! `huggingface_hub` uses as well, so that neither downloads what the other has. Interrupted
//! downloads go on where they stopped, sizes are checked, and content too where the hub tells its
//! SHA-256. Nothing here reads the environment: the program passes a lookup to
//! [`HubConfig::from_vars`].

mod cache;
mod config;
mod download;
mod error;
mod extract;
mod spec;

use std::{path::PathBuf, sync::Arc};

use futures::{StreamExt, TryStreamExt, stream};
use omnireward_core::Progress;

use crate::Error;
use cache::RepoCache;
use download::{Listed, Remote};

pub(crate) use cache::{extracted_media, shared_blobs};
pub use config::{HubConfig, Secret};
pub use error::HubError;
pub use spec::{RepoKind, RepoSpec};

/// Files fetched at the same time.
const PARALLEL_FILES: usize = 4;

/// Fetches repositories into the cache.
#[derive(Clone, Debug)]
pub struct HubClient {
    config: Arc<HubConfig>,
    remote: Remote,
}

/// The files of a repository at one commit, on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The folder with the files.
    pub path: PathBuf,
    /// The commit, which stays the same whatever happens to the branch.
    pub revision: String,
}

impl HubClient {
    /// A client with these settings.
    ///
    /// # Errors
    ///
    /// When the endpoint is not an address, or no HTTP client can be made.
    pub fn new(config: HubConfig) -> Result<Self, Error> {
        let config = Arc::new(config);
        Ok(Self {
            remote: Remote::new(config.clone())?,
            config,
        })
    }

    /// Brings the files for which `wanted` holds to this machine and says where they are.
    ///
    /// What the cache has is not fetched again, and offline nothing is fetched at all. An archive
    /// `media_data.zip` is extracted once, beside the snapshot, where [`open`](crate::open) finds
    /// it. `progress` counts bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Hub`] when the repository, revision or a file does not exist or needs a token, the
    /// hub cannot be reached, a file arrives damaged, or something is missing offline; and
    /// [`Error::Write`] when the cache cannot be written.
    pub async fn snapshot(
        &self,
        spec: &RepoSpec,
        wanted: &(dyn Fn(&str) -> bool + Sync),
        progress: &dyn Progress,
    ) -> Result<Snapshot, Error> {
        let cache = RepoCache::new(&self.config.cache, spec);
        let revision = if self.config.offline {
            cache.complete_commit(spec, wanted)?
        } else {
            self.fetch(spec, &cache, wanted, progress).await?
        };
        let path = cache.snapshot(&revision);
        let archive = path.join("media_data.zip");
        if archive.is_file() {
            let target = cache.extracted(&revision);
            tokio::task::spawn_blocking(move || extract::once(&archive, &target))
                .await
                .unwrap_or_else(|failure| std::panic::resume_unwind(failure.into_panic()))?;
        }
        Ok(Snapshot { path, revision })
    }

    async fn fetch(
        &self,
        spec: &RepoSpec,
        cache: &RepoCache,
        wanted: &(dyn Fn(&str) -> bool + Sync),
        progress: &dyn Progress,
    ) -> Result<String, Error> {
        let listing = self.remote.list(spec).await?;
        cache.remember(&listing)?;
        let files: Vec<&Listed> = listing
            .files
            .iter()
            .filter(|file| wanted(&file.name))
            .collect();
        let total = files.iter().map(|file| file.size).sum();
        progress.begin("downloading", total);
        let fetched = stream::iter(files)
            .map(|file| self.fetch_file(spec, cache, &listing.commit, file, progress))
            .buffer_unordered(PARALLEL_FILES)
            .try_collect::<Vec<()>>()
            .await;
        progress.end();
        fetched?;
        cache.point(spec.revision(), &listing.commit)?;
        Ok(listing.commit)
    }

    async fn fetch_file(
        &self,
        spec: &RepoSpec,
        cache: &RepoCache,
        commit: &str,
        file: &Listed,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let pointer = cache.pointer(commit, &file.name)?;
        if pointer.exists() {
            progress.advance(file.size.unwrap_or(0), &file.name);
            return Ok(());
        }
        let known = self.remote.describe(spec, commit, &file.name).await?;
        let blob = cache.blob(&known.etag);
        if blob.exists() {
            progress.advance(known.size.unwrap_or(0), &file.name);
        } else {
            self.remote.download(&known, &blob, progress).await?;
        }
        cache.link(&blob, &pointer)
    }
}
