use std::{fmt, str::FromStr};

use super::HubError;

/// What a repository holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RepoKind {
    /// A dataset.
    Dataset,
    /// A checkpoint.
    Model,
}

/// A repository on a hub, and a branch, tag or commit of it.
///
/// ```
/// use omnireward_data::hub::RepoSpec;
/// let spec: RepoSpec = "hf:owner/bench@v1".parse()?;
/// assert_eq!((spec.owner(), spec.name(), spec.revision()), ("owner", "bench", "v1"));
/// # Ok::<(), omnireward_data::hub::HubError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RepoSpec {
    kind: RepoKind,
    owner: String,
    name: String,
    revision: Option<String>,
}

impl RepoSpec {
    /// The owner: a person or an organisation.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The name, without the owner.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The branch, tag or commit that is wanted; `main` unless one was named.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }

    /// What the repository holds: a dataset unless [said otherwise](Self::model).
    pub const fn kind(&self) -> RepoKind {
        self.kind
    }

    /// The same name among checkpoints.
    #[must_use]
    pub fn model(self) -> Self {
        Self {
            kind: RepoKind::Model,
            ..self
        }
    }

    /// The same repository at a branch, tag or commit.
    #[must_use]
    pub fn at(self, revision: impl Into<String>) -> Self {
        Self {
            revision: Some(revision.into()),
            ..self
        }
    }

    /// The repository's folder in a cache.
    pub(super) fn folder(&self) -> String {
        let kind = match self.kind {
            RepoKind::Dataset => "datasets",
            RepoKind::Model => "models",
        };
        format!("{kind}--{}--{}", self.owner, self.name)
    }
}

impl FromStr for RepoSpec {
    type Err = HubError;

    fn from_str(text: &str) -> Result<Self, HubError> {
        let parse = || {
            let (repo, revision) = match text.strip_prefix("hf:")?.split_once('@') {
                Some((repo, revision)) => (repo, Some(revision)),
                None => (text.strip_prefix("hf:")?, None),
            };
            let (owner, name) = repo.split_once('/')?;
            let good = is_name(owner) && is_name(name) && revision.is_none_or(is_revision);
            good.then(|| Self {
                kind: RepoKind::Dataset,
                owner: owner.to_owned(),
                name: name.to_owned(),
                revision: revision.map(str::to_owned),
            })
        };
        parse().ok_or_else(|| HubError::Spec(text.to_owned()))
    }
}

/// `--` separates the parts of a folder's name in the cache, so it cannot be in a name.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 96
        && !name.starts_with(['.', '-'])
        && !name.ends_with(['.', '-'])
        && !name.contains("--")
        && !name.contains("..")
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// A revision becomes a file name in the cache, with folders where it has slashes.
fn is_revision(revision: &str) -> bool {
    crate::confine::spelled_inside(revision).is_ok_and(|path| path.as_os_str() == revision)
}

impl fmt::Display for RepoSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hf:{}/{}", self.owner, self.name)?;
        match &self.revision {
            Some(revision) => write!(f, "@{revision}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_and_written_back() {
        for text in [
            "hf:owner/name",
            "hf:owner/name@main",
            "hf:a.b/c_d-e@refs/pr/1",
        ] {
            let spec: RepoSpec = text.parse().unwrap();
            assert_eq!(spec.to_string(), text);
        }
    }

    #[test]
    fn what_is_not_a_name_is_refused() {
        for text in [
            "owner/name",
            "hf:name",
            "hf:/name",
            "hf:owner/",
            "hf:a/b/c",
            "hf:../b",
            "hf:a/..",
            "hf:a/b@",
            "hf:a/b@../../x",
            "hf:a/b@/x",
            "hf:a--b/c",
            "hf:a/b c",
            "hf:a/b@x\0",
        ] {
            let error = text.parse::<RepoSpec>().unwrap_err().to_string();
            assert!(error.contains("hf:owner/name"), "{text}: {error}");
        }
    }
}
