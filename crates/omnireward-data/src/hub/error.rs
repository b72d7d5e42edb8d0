use std::path::PathBuf;

/// Why a repository could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// Text that should name a repository does not.
    #[error(
        "`{0}` does not name a repository, expected `hf:owner/name` or `hf:owner/name@revision`"
    )]
    Spec(String),
    /// The endpoint is not an address.
    #[error("the hub endpoint `{endpoint}` is not an address")]
    Endpoint {
        /// What it is.
        endpoint: String,
        /// What is wrong with it.
        source: url::ParseError,
    },
    /// No HTTP client could be made.
    #[error("cannot set up an HTTP client")]
    Client(#[source] reqwest::Error),
    /// A request failed, also when tried again.
    #[error("cannot fetch `{url}`, tried {attempts} times")]
    Request {
        /// What was asked for.
        url: String,
        /// How often.
        attempts: u32,
        /// The last failure.
        source: reqwest::Error,
    },
    /// The hub wants to know who is asking.
    #[error("{what} does not exist or needs a token{}", token_hint(*token_sent))]
    Unauthorized {
        /// The repository or file.
        what: String,
        /// Whether a token was sent.
        token_sent: bool,
    },
    /// There is no such repository, revision or file.
    #[error("the hub has no {what}")]
    NotFound {
        /// The repository, revision or file.
        what: String,
    },
    /// The hub answered with an error.
    #[error("the hub answered {status} for `{url}`")]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The hub's answer makes no sense.
    #[error("the answer for `{url}` {reason}")]
    Answer {
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file names a place outside its repository.
    #[error("the repository lists a file `{name}`, which is refused")]
    FileName {
        /// The name.
        name: String,
        /// The rule it breaks.
        source: crate::PathError,
    },
    /// A file that arrived is not the one announced. What arrived was removed.
    #[error("`{url}` arrived damaged: {what} is {found}, expected {expected}")]
    Damaged {
        /// The file.
        url: String,
        /// What was compared.
        what: &'static str,
        /// What was announced.
        expected: String,
        /// What arrived.
        found: String,
    },
    /// Nothing may be fetched, and the cache lacks something.
    #[error("offline, and the cache at `{}` lacks {missing}", cache.display())]
    Offline {
        /// The cache of the repository.
        cache: PathBuf,
        /// What is not there.
        missing: String,
    },
    /// An archive could not be read.
    #[error("cannot extract `{}`", archive.display())]
    Archive {
        /// The archive.
        archive: PathBuf,
        /// What the reader said.
        source: zip::result::ZipError,
    },
    /// An archive holds what it should not.
    #[error("`{}` is refused: entry `{entry}` {reason}", archive.display())]
    ArchiveEntry {
        /// The archive.
        archive: PathBuf,
        /// The entry.
        entry: String,
        /// The rule it breaks.
        reason: String,
    },
}

const fn token_hint(token_sent: bool) -> &'static str {
    if token_sent {
        "; the one that was sent is not accepted"
    } else {
        "; none was sent: set `HF_TOKEN` or put one in `token` in `HF_HOME`"
    }
}
