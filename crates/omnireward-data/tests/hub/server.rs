//! A hub-shaped server on loopback: file lists, `resolve` with redirects to a second address for
//! large files, ranges, tokens, and faults on demand.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::stream;
use serde_json::json;
use sha2::{Digest, Sha256};

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What a request was about.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    pub(crate) authorized: bool,
    /// Whether it went to the second address.
    pub(crate) storage: bool,
}

/// What the server holds and how it misbehaves.
#[derive(Default)]
pub(crate) struct Hub {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) token: Option<String>,
    /// Cuts the connection after so many bytes, once a file.
    pub(crate) cut: Mutex<HashMap<String, usize>>,
    /// Answers 503 so many times before it works.
    pub(crate) failures: Mutex<u32>,
    /// Sends whole files whatever range is asked for.
    pub(crate) no_ranges: bool,
    /// Sends other bytes than announced.
    pub(crate) corrupt: bool,
    /// Has only so many bytes of each file, whatever is announced.
    pub(crate) short: Option<usize>,
    /// Sends each file so many times over in one answer.
    pub(crate) repeated: usize,
    /// Does not announce the size of large files.
    pub(crate) no_sizes: bool,
    /// Names listed beside the files.
    pub(crate) extra_names: Vec<String>,
    pub(crate) seen: Mutex<Vec<Seen>>,
    pub(crate) storage: Mutex<Option<SocketAddr>>,
}

impl Hub {
    pub(crate) fn with_files<'a>(files: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> Self {
        Self {
            files: files
                .into_iter()
                .map(|(name, bytes)| (name.to_owned(), bytes))
                .collect(),
            ..Self::default()
        }
    }

    /// Starts serving and returns the address.
    pub(crate) async fn serve(self) -> (Arc<Self>, String) {
        let hub = Arc::new(self);
        let storage = start(Router::new().fallback(store).with_state(hub.clone())).await;
        *hub.storage.lock().unwrap() = Some(storage);
        let front = start(Router::new().fallback(answer).with_state(hub.clone())).await;
        (hub, format!("http://{front}"))
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The requests for content.
    pub(crate) fn downloads(&self) -> Vec<Seen> {
        let is_download = |seen: &Seen| {
            seen.method == Method::GET && !seen.path.starts_with("/api/") && !seen.is_redirect(self)
        };
        self.seen().into_iter().filter(is_download).collect()
    }

    fn note(&self, request: &Request, storage: bool) {
        let text = |name| {
            let value = request.headers().get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        self.seen.lock().unwrap().push(Seen {
            method: request.method().clone(),
            path: path_of(request),
            range: text(header::RANGE),
            authorized: text(header::AUTHORIZATION).is_some(),
            storage,
        });
    }
}

impl Seen {
    fn is_redirect(&self, hub: &Hub) -> bool {
        !self.storage
            && hub
                .files
                .iter()
                .any(|(name, bytes)| is_large(bytes) && self.path.ends_with(&format!("/{name}")))
    }
}

/// Files from this size on are stored elsewhere, under their SHA-256.
pub(crate) fn is_large(bytes: &[u8]) -> bool {
    bytes.len() >= 10_000
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// The name under which a cache keeps a file: small files have a 40-digit object id.
pub(crate) fn etag(bytes: &[u8]) -> String {
    let digest = sha256(bytes);
    if is_large(bytes) {
        digest
    } else {
        digest[..40].to_owned()
    }
}

/// The path of a request; of encoded characters, the tests use only the space.
fn path_of(request: &Request) -> String {
    request.uri().path().replace("%20", " ")
}

async fn start(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

async fn answer(State(hub): State<Arc<Hub>>, request: Request) -> Response {
    hub.note(&request, false);
    {
        let mut failures = hub.failures.lock().unwrap();
        if *failures > 0 {
            *failures -= 1;
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
    }
    let expected = hub.token.as_ref().map(|token| format!("Bearer {token}"));
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    if expected.is_some() && given != expected.as_deref() {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let path = path_of(&request);
    if let Some(revision) = path.strip_prefix("/api/datasets/owner/bench/revision/") {
        return match revision {
            "main" | "v1" | COMMIT => list(&hub).into_response(),
            _ => StatusCode::NOT_FOUND.into_response(),
        };
    }
    // An older name of the repository, as after a rename.
    if let Some(rest) = path.strip_prefix("/datasets/owner/old/") {
        let location = format!("/datasets/owner/bench/{rest}").replace(' ', "%20");
        return (
            StatusCode::TEMPORARY_REDIRECT,
            [(header::LOCATION, location)],
        )
            .into_response();
    }
    // A repository that claims to have moved to another host.
    if let Some(name) = path.strip_prefix(&format!("/datasets/owner/away/resolve/{COMMIT}/")) {
        let storage = hub.storage.lock().unwrap().unwrap();
        let location = format!("//{storage}/{name}");
        return (
            StatusCode::TEMPORARY_REDIRECT,
            [(header::LOCATION, location)],
        )
            .into_response();
    }
    if ["/api/datasets/owner/old/", "/api/datasets/owner/away/"]
        .iter()
        .any(|known| path.starts_with(known))
    {
        return list(&hub).into_response();
    }
    let name = path.strip_prefix(&format!("/datasets/owner/bench/resolve/{COMMIT}/"));
    match name.and_then(|name| hub.files.get_key_value(name)) {
        Some((name, bytes)) => resolve(&hub, name, bytes, &request),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn list(hub: &Hub) -> axum::Json<serde_json::Value> {
    let siblings: Vec<_> = hub
        .files
        .iter()
        .map(|(name, bytes)| json!({"rfilename": name, "size": bytes.len()}))
        .chain(
            hub.extra_names
                .iter()
                .map(|name| json!({"rfilename": name})),
        )
        .collect();
    axum::Json(json!({"id": "owner/bench", "sha": COMMIT, "siblings": siblings}))
}

fn resolve(hub: &Hub, name: &str, bytes: &[u8], request: &Request) -> Response {
    if !is_large(bytes) {
        let mut response = content(hub, name, bytes, request);
        let headers = response.headers_mut();
        headers.insert("x-repo-commit", COMMIT.parse().unwrap());
        headers.insert(
            header::ETAG,
            format!("\"{}\"", etag(bytes)).parse().unwrap(),
        );
        return response;
    }
    let storage = hub.storage.lock().unwrap().unwrap();
    let mut response = (
        StatusCode::FOUND,
        [
            (
                "location",
                format!("http://{storage}/{name}").replace(' ', "%20"),
            ),
            ("x-repo-commit", COMMIT.to_owned()),
            ("x-linked-etag", format!("\"{}\"", etag(bytes))),
            ("x-linked-size", bytes.len().to_string()),
            ("etag", "\"of-the-redirect\"".to_owned()),
        ],
    )
        .into_response();
    if hub.no_sizes {
        response.headers_mut().remove("x-linked-size");
    }
    response
}

async fn store(State(hub): State<Arc<Hub>>, request: Request) -> Response {
    hub.note(&request, true);
    let name = path_of(&request).trim_start_matches('/').to_owned();
    let bytes = hub.files[&name].clone();
    content(&hub, &name, &bytes, &request)
}

fn content(hub: &Hub, name: &str, bytes: &[u8], request: &Request) -> Response {
    let start = range_start(request.headers()).filter(|_| !hub.no_ranges);
    let mut rest = bytes.to_vec();
    if hub.corrupt {
        for byte in &mut rest {
            *byte ^= 1;
        }
    }
    rest.truncate(hub.short.unwrap_or(bytes.len()));
    rest = rest.repeat(hub.repeated.max(1));
    if start.is_some_and(|start| start >= rest.len()) {
        return StatusCode::RANGE_NOT_SATISFIABLE.into_response();
    }
    let rest = rest.split_off(start.unwrap_or(0));
    let length = rest.len();
    let cut = hub.cut.lock().unwrap().remove(name);
    let body = match cut {
        _ if request.method() == Method::HEAD => Body::empty(),
        // A pause lets what was sent arrive before the connection breaks.
        Some(after) => Body::from_stream(stream::unfold(
            Some(Bytes::from(rest).slice(..after)),
            |part| async {
                match part {
                    Some(part) if !part.is_empty() => Some((Ok(part), Some(Bytes::new()))),
                    Some(_) => {
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                        Some((Err(std::io::Error::other("cut")), None))
                    }
                    None => None,
                }
            },
        )),
        None => Body::from(rest),
    };
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, length.into());
    if let Some(start) = start {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let range = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
        response
            .headers_mut()
            .insert(header::CONTENT_RANGE, range.parse().unwrap());
    }
    response
}

fn range_start(headers: &HeaderMap) -> Option<usize> {
    let range = headers.get(header::RANGE)?.to_str().unwrap();
    Some(
        range
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse()
            .unwrap(),
    )
}
