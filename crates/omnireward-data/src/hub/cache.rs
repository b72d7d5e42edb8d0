//! The cache's layout: `datasets--owner--name/{refs,blobs,snapshots}`, as Python's
//! `huggingface_hub` keeps it. What only this crate needs stands in the same folder under
//! `omnireward/`: the list of each commit's files, and extracted media.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{HubError, RepoSpec, download::Listing};
use crate::{Error, confine, place::write_whole};

/// One repository's folder in a cache.
pub(super) struct RepoCache {
    folder: PathBuf,
}

impl RepoCache {
    pub(super) fn new(cache: &Path, spec: &RepoSpec) -> Self {
        Self {
            folder: cache.join(spec.folder()),
        }
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(etag)
    }

    /// Where the media archive of a commit is extracted.
    pub(super) fn extracted(&self, commit: &str) -> PathBuf {
        self.folder
            .join("omnireward")
            .join(commit)
            .join("media_data")
    }

    fn file_list(&self, commit: &str) -> PathBuf {
        self.folder
            .join("omnireward")
            .join(format!("{commit}.files.json"))
    }

    /// Where a file of a commit appears.
    pub(super) fn pointer(&self, commit: &str, name: &str) -> Result<PathBuf, HubError> {
        let inside = confine::spelled_inside(name).map_err(|source| HubError::FileName {
            name: name.to_owned(),
            source,
        })?;
        Ok(self.snapshot(commit).join(inside))
    }

    /// Makes a blob appear under a file's name.
    pub(super) fn link(&self, blob: &Path, pointer: &Path) -> Result<(), Error> {
        let folder = pointer.parent().unwrap_or(Path::new(""));
        fs::create_dir_all(folder).map_err(Error::writing(folder))?;
        match link_or_copy(blob, &self.folder, pointer) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other.map_err(Error::writing(pointer)),
        }
    }

    /// Notes which commit a branch or tag is at.
    pub(super) fn point(&self, revision: &str, commit: &str) -> Result<(), Error> {
        if revision == commit {
            return Ok(());
        }
        write_whole(&self.folder.join("refs").join(revision), commit.as_bytes())
    }

    /// Notes the files of a commit, so that it is known offline what is missing.
    pub(super) fn remember(&self, listing: &Listing) -> Result<(), Error> {
        let names: Vec<&str> = listing
            .files
            .iter()
            .map(|file| file.name.as_str())
            .collect();
        let text = serde_json::Value::from(names).to_string();
        write_whole(&self.file_list(&listing.commit), text.as_bytes())
    }

    /// The commit of a revision, when the cache has all wanted files of it. A commit that another
    /// program downloaded is taken to be complete: only we keep lists.
    pub(super) fn complete_commit(
        &self,
        spec: &RepoSpec,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<String, HubError> {
        let lacks = |missing: String| HubError::Offline {
            cache: self.folder.clone(),
            missing,
        };
        let commit = self
            .commit(spec.revision())
            .filter(|commit| self.snapshot(commit).is_dir())
            .ok_or_else(|| lacks(format!("revision `{}` of {spec}", spec.revision())))?;
        let listed: Vec<String> = fs::read(self.file_list(&commit))
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default();
        let mut missing = Vec::new();
        for name in listed.iter().filter(|name| wanted(name)) {
            if !self.pointer(&commit, name)?.exists() {
                missing.push(format!("`{name}`"));
            }
        }
        if missing.is_empty() {
            return Ok(commit);
        }
        Err(lacks(format!("{} of {spec}", missing.join(", "))))
    }

    fn commit(&self, revision: &str) -> Option<String> {
        match fs::read_to_string(self.folder.join("refs").join(revision)) {
            Ok(commit) => Some(commit.trim().to_owned()),
            Err(_) => is_commit(revision).then(|| revision.to_owned()),
        }
    }
}

/// Whether a revision is a full commit id.
pub(super) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A relative link, so that a cache can be moved; a copy where links are not to be had.
fn link_or_copy(blob: &Path, repo: &Path, pointer: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        let below = |path: &Path| path.strip_prefix(repo).map(Path::to_owned);
        if let (Ok(blob), Ok(pointer_below)) = (below(blob), below(pointer)) {
            let up: PathBuf = pointer_below.components().skip(1).map(|_| "..").collect();
            return std::os::unix::fs::symlink(up.join(blob), pointer);
        }
    }
    let _ = repo;
    fs::copy(blob, pointer).map(|_| ())
}

/// The repository's folder and the commit, when `root` is a snapshot in a hub cache.
fn repo_of(root: &Path) -> Option<(PathBuf, String)> {
    let real = root.canonicalize().ok()?;
    let snapshots = real.parent()?;
    let repo = snapshots.parent()?;
    let name = repo.file_name()?.to_str()?;
    let is_snapshot = snapshots.file_name()? == "snapshots"
        && (name.starts_with("datasets--") || name.starts_with("models--"));
    is_snapshot.then(|| Some((repo.to_owned(), real.file_name()?.to_str()?.to_owned())))?
}

/// The media extracted for a snapshot, when there are any.
pub(crate) fn extracted_media(root: &Path) -> Option<PathBuf> {
    let (repo, commit) = repo_of(root)?;
    let media = repo.join("omnireward").join(commit).join("media_data");
    media.is_dir().then_some(media)
}

/// The folder that the links of a snapshot lead to.
pub(crate) fn shared_blobs(real_root: &Path) -> Option<PathBuf> {
    real_root
        .ancestors()
        .find_map(repo_of)
        .map(|(repo, _)| repo.join("blobs"))
}
