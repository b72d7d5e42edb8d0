//! Talking to the hub.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use omnireward_core::Progress;
use reqwest::{
    Client, Method, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_RANGE, ETAG, HeaderMap, LOCATION, RANGE},
    redirect,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use url::Url;

use super::{HubConfig, HubError, RepoKind, RepoSpec, cache::is_commit};
use crate::{Error, fingerprint};

/// The longest pause before a further attempt.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How often it is looked whether somebody else's download of the same file is over.
const LOCK_POLL: Duration = Duration::from_millis(100);

/// The hub, as the client sees it.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    config: Arc<HubConfig>,
    endpoint: Url,
    /// Follows redirects. The token is not sent on to another host.
    following: Client,
    /// Shows redirects: what the hub says of a file stands in the redirect itself.
    plain: Client,
}

/// The files of a repository at one commit.
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) files: Vec<Listed>,
}

/// A file, as the hub lists it.
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) size: Option<u64>,
}

/// What the hub says of a file before sending it.
pub(super) struct Described {
    url: Url,
    pub(super) etag: String,
    pub(super) size: Option<u64>,
}

impl Remote {
    pub(super) fn new(config: Arc<HubConfig>) -> Result<Self, HubError> {
        // Fails when a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let endpoint = Url::parse(&config.endpoint)
            .and_then(|url| {
                if url.cannot_be_a_base() {
                    return Err(url::ParseError::RelativeUrlWithCannotBeABaseBase);
                }
                Ok(url)
            })
            .map_err(|source| HubError::Endpoint {
                endpoint: config.endpoint.clone(),
                source,
            })?;
        let client = |policy| {
            Client::builder()
                .user_agent(concat!("omnireward/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(Duration::from_secs(30))
                .read_timeout(Duration::from_secs(60))
                .redirect(policy)
                .build()
                .map_err(HubError::Client)
        };
        Ok(Self {
            config,
            endpoint,
            following: client(redirect::Policy::limited(10))?,
            plain: client(redirect::Policy::none())?,
        })
    }

    /// The commit that a revision is at, and its files.
    pub(super) async fn list(&self, spec: &RepoSpec) -> Result<Listing, HubError> {
        let kind = match spec.kind() {
            RepoKind::Dataset => "datasets",
            RepoKind::Model => "models",
        };
        let mut url = self.url(
            [
                "api",
                kind,
                spec.owner(),
                spec.name(),
                "revision",
                spec.revision(),
            ]
            .into_iter(),
        );
        url.set_query(Some("blobs=true"));
        let what = format!("{spec} at revision `{}`", spec.revision());
        let response = self.send(&self.following, Method::GET, &url, &what).await?;
        let wrong = |reason: String| HubError::Answer {
            url: url.to_string(),
            reason,
        };
        let text = response
            .bytes()
            .await
            .map_err(|error| wrong(format!("broke off ({error})")))?;
        let answer: wire::Revision = serde_json::from_slice(&text)
            .map_err(|error| wrong(format!("is not a list of files ({error})")))?;
        if !is_commit(&answer.sha) {
            return Err(wrong(format!("names no commit but `{}`", answer.sha)));
        }
        let files = answer
            .siblings
            .into_iter()
            .map(|file| Listed {
                name: file.rfilename,
                size: file.size,
            })
            .collect();
        Ok(Listing {
            commit: answer.sha,
            files,
        })
    }

    /// What the hub says of a file at a commit.
    pub(super) async fn describe(
        &self,
        spec: &RepoSpec,
        commit: &str,
        name: &str,
    ) -> Result<Described, HubError> {
        let kind = match spec.kind() {
            RepoKind::Dataset => Some("datasets"),
            RepoKind::Model => None,
        };
        let segments = kind
            .into_iter()
            .chain([spec.owner(), spec.name(), "resolve", commit])
            .chain(name.split('/'));
        let url = self.url(segments);
        let what = format!("file `{name}` in {spec}");
        let mut asked = url.clone();
        // A repository that was renamed answers with its new path.
        for _ in 0..5 {
            let response = self.send(&self.plain, Method::HEAD, &asked, &what).await?;
            let headers = response.headers();
            // A redirect to elsewhere is where the content is stored.
            let moved = text_of(headers, LOCATION.as_str())
                .filter(|place| place.starts_with('/'))
                .and_then(|place| asked.join(place).ok())
                .filter(|place| self.is_ours(place));
            match moved {
                Some(place) if response.status().is_redirection() => asked = place,
                _ => return describe(url, commit, response.status(), headers),
            }
        }
        Err(HubError::Answer {
            url: url.to_string(),
            reason: "leads in a circle".to_owned(),
        })
    }

    /// Downloads a file to `blob`, going on from what an earlier attempt left.
    pub(super) async fn download(
        &self,
        file: &Described,
        blob: &Path,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let Some(mut partial) = Partial::open(blob).await? else {
            return Ok(());
        };
        progress.advance(partial.length, file.url.path());
        let mut attempts = 0;
        let mut farthest = partial.length;
        while file.size != Some(partial.length) {
            let outcome = self.receive(file, &mut partial, progress).await;
            // Starting over and coming as far as before is no progress.
            if partial.length > farthest {
                farthest = partial.length;
                attempts = 0;
            }
            attempts += 1;
            let again = attempts < self.config.max_attempts;
            match outcome {
                Ok(Received::TooMuch) => break,
                Ok(Received::ToTheEnd) if file.size.is_none_or(|size| size == partial.length) => {
                    break;
                }
                // Without an error, the connection was closed early.
                Ok(_) | Err(Failure::Passing(_)) if again => self.pause(attempts).await,
                Ok(Received::ToTheEnd) => break,
                Ok(Received::Restarted) => {
                    return Err(HubError::Answer {
                        url: file.url.to_string(),
                        reason: "does not begin where it was asked to".to_owned(),
                    }
                    .into());
                }
                Err(Failure::Passing(source)) => {
                    return Err(HubError::Request {
                        url: file.url.to_string(),
                        attempts,
                        source,
                    }
                    .into());
                }
                Err(Failure::Final(error)) => return Err(error),
            }
        }
        partial.finish(file, blob).await
    }

    /// Appends what one request brings.
    async fn receive(
        &self,
        file: &Described,
        partial: &mut Partial,
        progress: &dyn Progress,
    ) -> Result<Received, Failure> {
        let mut request = self.request(&self.following, Method::GET, &file.url);
        if partial.length > 0 {
            request = request.header(RANGE, format!("bytes={}-", partial.length));
        }
        let mut response = request.send().await.map_err(Failure::Passing)?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if continues_at(response.headers(), partial.length) => {}
            StatusCode::OK => partial.restart()?,
            StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PARTIAL_CONTENT => {
                partial.restart()?;
                return Ok(Received::Restarted);
            }
            status if is_passing(status) => {
                let error = response.error_for_status().map(|_| Received::ToTheEnd);
                return error.map_err(Failure::Passing);
            }
            status => {
                let what = format!("file `{}`", file.url.path());
                return Err(Failure::Final(
                    self.refusal(status, &file.url, &what).into(),
                ));
            }
        }
        while let Some(chunk) = response.chunk().await.map_err(Failure::Passing)? {
            partial.append(&chunk)?;
            progress.advance(chunk.len() as u64, file.url.path());
            if file.size.is_some_and(|size| partial.length > size) {
                return Ok(Received::TooMuch);
            }
        }
        Ok(Received::ToTheEnd)
    }

    /// Sends a request that brings no large body, again when the failure may pass.
    async fn send(
        &self,
        client: &Client,
        method: Method,
        url: &Url,
        what: &str,
    ) -> Result<Response, HubError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let last = attempts >= self.config.max_attempts;
            match self.request(client, method.clone(), url).send().await {
                Ok(response) if !last && is_passing(response.status()) => {}
                Ok(response)
                    if response.status().is_client_error()
                        || response.status().is_server_error() =>
                {
                    return Err(self.refusal(response.status(), url, what));
                }
                Ok(response) => return Ok(response),
                Err(source) if last => {
                    return Err(HubError::Request {
                        url: url.to_string(),
                        attempts,
                        source,
                    });
                }
                Err(_) => {}
            }
            self.pause(attempts).await;
        }
    }

    fn request(&self, client: &Client, method: Method, url: &Url) -> reqwest::RequestBuilder {
        let request = client.request(method, url.clone());
        match &self.config.token {
            Some(token) if self.is_ours(url) => {
                request.header(AUTHORIZATION, format!("Bearer {}", token.expose()))
            }
            _ => request,
        }
    }

    /// Whether an address is the endpoint's: its scheme, host and port. Nobody else gets the token.
    fn is_ours(&self, url: &Url) -> bool {
        url.origin() == self.endpoint.origin()
    }

    async fn pause(&self, attempts: u32) {
        let factor = 2_u32.saturating_pow(attempts.saturating_sub(1));
        let pause = self
            .config
            .first_pause
            .saturating_mul(factor)
            .min(LONGEST_PAUSE);
        tokio::time::sleep(pause).await;
    }

    fn refusal(&self, status: StatusCode, url: &Url, what: &str) -> HubError {
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => HubError::Unauthorized {
                what: what.to_owned(),
                token_sent: self.config.token.is_some(),
            },
            StatusCode::NOT_FOUND => HubError::NotFound {
                what: what.to_owned(),
            },
            other => HubError::Status {
                url: url.to_string(),
                status: other.as_u16(),
            },
        }
    }

    fn url<'a>(&self, segments: impl Iterator<Item = &'a str>) -> Url {
        let mut url = self.endpoint.clone();
        url.path_segments_mut()
            .expect("the endpoint was checked to be a base")
            .pop_if_empty()
            .extend(segments);
        url
    }
}

/// How a request for content ended.
enum Received {
    /// What was sent arrived.
    ToTheEnd,
    /// More than announced: whatever it is, it is not the file.
    TooMuch,
    /// Nothing arrived, and what was there cannot be gone on from.
    Restarted,
}

/// Why a request for content brought no more.
enum Failure {
    /// Another attempt may do.
    Passing(reqwest::Error),
    Final(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

fn is_passing(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
        )
}

fn describe(
    url: Url,
    commit: &str,
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<Described, HubError> {
    let wrong = |reason: String| HubError::Answer {
        url: url.to_string(),
        reason,
    };
    if let Some(found) = text_of(headers, "x-repo-commit").filter(|found| *found != commit) {
        return Err(wrong(format!(
            "is of commit `{found}`, expected `{commit}`"
        )));
    }
    let etag = text_of(headers, "x-linked-etag")
        .or_else(|| text_of(headers, ETAG.as_str()))
        .ok_or_else(|| wrong("has no ETag".to_owned()))?;
    let etag = etag.trim_start_matches("W/").trim_matches('"');
    let is_name = !etag.is_empty()
        && !etag.starts_with('.')
        && etag
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !is_name {
        return Err(wrong(format!(
            "has an ETag that cannot name a file: `{etag}`"
        )));
    }
    // A redirect's own length is not the file's.
    let own_length = || text_of(headers, "content-length").filter(|_| status.is_success());
    let size = text_of(headers, "x-linked-size")
        .or_else(own_length)
        .and_then(|size| size.parse().ok());
    let etag = etag.to_owned();
    Ok(Described { url, etag, size })
}

fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Whether a partial answer begins at `start`.
fn continues_at(headers: &HeaderMap, start: u64) -> bool {
    text_of(headers, CONTENT_RANGE.as_str())
        .and_then(|range| range.strip_prefix("bytes "))
        .and_then(|range| range.split_once('-'))
        .is_some_and(|(first, _)| first.parse() == Ok(start))
}

/// A download that is under way, beside where it will be.
struct Partial {
    path: PathBuf,
    file: File,
    length: u64,
}

impl Partial {
    /// Waits for whoever is at the same file, here or in another process; `None` when that leaves
    /// nothing to do.
    async fn open(blob: &Path) -> Result<Option<Self>, Error> {
        let folder = blob.parent().unwrap_or(Path::new(""));
        std::fs::create_dir_all(folder).map_err(Error::writing(folder))?;
        let mut name = blob.as_os_str().to_owned();
        name.push(".incomplete");
        let path = PathBuf::from(name);
        loop {
            let mut file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
                .map_err(Error::writing(&path))?;
            match file.try_lock() {
                Ok(()) if blob.exists() => return Ok(None),
                // Removed by the one that had the lock: what was opened is no longer there.
                Ok(()) if !path.exists() => {}
                Ok(()) => {
                    let length = file.seek(SeekFrom::End(0)).map_err(Error::writing(&path))?;
                    return Ok(Some(Self { path, file, length }));
                }
                Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_POLL).await,
                Err(TryLockError::Error(error)) => return Err(Error::writing(&path)(error)),
            }
        }
    }

    fn append(&mut self, chunk: &[u8]) -> Result<(), Error> {
        self.file
            .write_all(chunk)
            .map_err(Error::writing(&self.path))?;
        self.length += chunk.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> Result<(), Error> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .map_err(Error::writing(&self.path))?;
        self.length = 0;
        Ok(())
    }

    /// Checks what arrived and moves it to its place.
    async fn finish(self, file: &Described, blob: &Path) -> Result<(), Error> {
        let Self {
            path,
            file: opened,
            length,
        } = self;
        let damaged = |what, expected: String, found: String| {
            // What is wrong would be gone on from for ever.
            let _ = std::fs::remove_file(&path);
            HubError::Damaged {
                url: file.url.to_string(),
                what,
                expected,
                found,
            }
        };
        if let Some(expected) = file.size.filter(|expected| *expected != length) {
            return Err(damaged("its size", expected.to_string(), length.to_string()).into());
        }
        opened.sync_all().map_err(Error::writing(&path))?;
        if is_sha256(&file.etag) {
            let found = sha256_of(&path).await?;
            if found != file.etag {
                return Err(damaged("its SHA-256", file.etag.clone(), found).into());
            }
        }
        std::fs::rename(&path, blob).map_err(Error::writing(blob))
    }
}

/// Large files have their SHA-256 as `ETag`; small ones a git object id, which is shorter.
fn is_sha256(etag: &str) -> bool {
    etag.len() == 64 && etag.bytes().all(|byte| byte.is_ascii_hexdigit())
}

async fn sha256_of(path: &Path) -> Result<String, Error> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || {
        let mut hasher = Sha256::new();
        let file = File::open(&path).map_err(Error::reading(&path))?;
        fingerprint::add_all(file, &mut hasher).map_err(Error::reading(&path))?;
        Ok(fingerprint::hex(&hasher.finalize()))
    })
    .await
    .expect("hashing does not panic and is never aborted")
}

/// The hub's answers.
mod wire {
    use super::Deserialize;

    #[derive(Deserialize)]
    pub(super) struct Revision {
        pub(super) sha: String,
        #[serde(default)]
        pub(super) siblings: Vec<Sibling>,
    }

    #[derive(Deserialize)]
    pub(super) struct Sibling {
        pub(super) rfilename: String,
        pub(super) size: Option<u64>,
    }
}
