//! A loopback server that speaks the chat-completions format and misbehaves on demand.
//!
//! It is written on hyper rather than axum because axum always answers: a connection that is
//! dropped, reset or cut in the middle of a body cannot be expressed there.

mod parts;

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Frame, Incoming},
    header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

pub use parts::{SentPart, all_text, parts, system_text};

/// What the server does with one request.
#[derive(Clone, Debug, PartialEq)]
pub enum Behaviour {
    /// Answers with this text, `finish_reason` `stop` and counted tokens.
    Reply(String),
    /// Answers with these.
    ReplyWith {
        /// The content.
        text: String,
        /// Such as `length`; `None` writes null.
        finish_reason: Option<String>,
        /// Prompt and completion tokens; `None` leaves `usage` out.
        usage: Option<(u64, u64)>,
    },
    /// Answers with this JSON, whatever it is.
    Json(Value),
    /// Answers with this status.
    Status {
        /// Such as 429.
        code: u16,
        /// Names and values.
        headers: Vec<(String, String)>,
        /// As it is sent.
        body: String,
    },
    /// Never answers.
    Hang,
    /// Resets the connection without an answer.
    Reset,
    /// Sends a complete response whose JSON stops in the middle.
    HalfJson,
    /// Sends half of a response and then drops the connection.
    CutOff,
    /// Sends a success without a body.
    Empty,
    /// Sends a success of type `text/html`.
    NotJson,
}

impl Behaviour {
    /// [`Behaviour::Status`] without headers and with a message in the usual shape.
    pub fn status(code: u16, message: &str) -> Self {
        Self::Status {
            code,
            headers: Vec::new(),
            body: json!({"error": {"message": message}}).to_string(),
        }
    }

    /// Status 429 with a `Retry-After`.
    pub fn busy(retry_after: &str) -> Self {
        Self::Status {
            code: 429,
            headers: vec![("retry-after".to_owned(), retry_after.to_owned())],
            body: json!({"error": {"message": "too many requests"}}).to_string(),
        }
    }
}

/// How a [`ChatServer`] behaves apart from its replies.
#[derive(Clone, Debug)]
pub struct ChatServerConfig {
    /// How long every admitted request takes before anything is sent.
    pub latency: Duration,
    /// How many requests are admitted at once; 429 beyond. `None` admits all.
    pub admitted: Option<usize>,
    /// The `Retry-After` of those 429s.
    pub retry_after: Option<String>,
    /// The model's name in replies.
    pub model: String,
    /// Whether recorded bodies keep their media. Otherwise each data URI and `input_audio` is
    /// replaced by the number of its decoded bytes and their SHA-256.
    pub keep_media: bool,
    /// Whether requests are recorded at all.
    pub record: bool,
}

impl Default for ChatServerConfig {
    /// No latency, no limit, everything recorded with digests in place of media.
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            admitted: None,
            retry_after: Some("1".to_owned()),
            model: "loopback".to_owned(),
            keep_media: false,
            record: true,
        }
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// It is still being handled, or the client went away.
    Unfinished,
    /// A reply was handed to the connection.
    Answered,
    /// There was no room.
    NoRoom,
    /// It was not a chat completion; 400 or 404.
    Invalid,
    /// The reply function asked for something other than a reply.
    Misbehaved,
}

/// One request as the server saw it.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// When it was complete, counted from the server's start.
    pub at: Duration,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The body; see [`ChatServerConfig::keep_media`].
    pub body: Value,
    /// What became of it.
    pub served: Served,
}

type ReplyFn = dyn Fn(&Value, usize) -> Behaviour + Send + Sync;

/// A chat-completions server on `127.0.0.1`, on a thread of its own until it is dropped.
///
/// Because it has its own runtime it can be started from ordinary tests, asynchronous tests,
/// benchmarks, and tests that run the program as a child process.
pub struct ChatServer {
    address: SocketAddr,
    state: Arc<State>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for ChatServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatServer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl ChatServer {
    /// Starts a server. `reply` is called for each admitted request with its body, media
    /// included, and its number among the admitted ones, from 0.
    ///
    /// # Panics
    ///
    /// When no port or thread is to be had.
    pub fn start(
        config: ChatServerConfig,
        reply: impl Fn(&Value, usize) -> Behaviour + Send + Sync + 'static,
    ) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .expect("the loopback interface has a free port");
        listener
            .set_nonblocking(true)
            .expect("a listener can be made non-blocking");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let state = Arc::new(State::new(config, Box::new(reply)));
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("chat-server".to_owned())
            .spawn({
                let state = Arc::clone(&state);
                move || run(listener, state, stopped)
            })
            .expect("a thread can be started");
        Self {
            address,
            state,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// A server without latency or limit that always replies with `text`.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn replying(text: &str) -> Self {
        let text = text.to_owned();
        Self::start(ChatServerConfig::default(), move |_, _| {
            Behaviour::Reply(text.clone())
        })
    }

    /// What a client takes as its base URL: `http://127.0.0.1:PORT/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// How many requests were answered.
    pub fn answered(&self) -> usize {
        self.state.answered.load(SeqCst)
    }

    /// How many found no room. 429s that the reply function asks for are not among them.
    pub fn no_room(&self) -> usize {
        self.state.no_room.load(SeqCst)
    }

    /// How many were admitted, whatever became of them.
    pub fn admitted(&self) -> usize {
        self.state.admitted.load(SeqCst)
    }

    /// The most that were inside at once.
    pub fn peak(&self) -> usize {
        self.state.peak.load(SeqCst)
    }

    /// How many connections were opened.
    pub fn connections(&self) -> usize {
        self.state.connections.load(SeqCst)
    }

    /// All requests in order of arrival.
    pub fn requests(&self) -> Vec<Recorded> {
        self.state.log().clone()
    }

    /// How long the server has been running; the clock of [`Recorded::at`].
    pub fn uptime(&self) -> Duration {
        self.state.started.elapsed()
    }
}

impl Drop for ChatServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the server's thread has been printed already.
            let _ = thread.join();
        }
    }
}

struct State {
    config: ChatServerConfig,
    reply: Box<ReplyFn>,
    started: Instant,
    log: Mutex<Vec<Recorded>>,
    inside: AtomicUsize,
    peak: AtomicUsize,
    admitted: AtomicUsize,
    answered: AtomicUsize,
    no_room: AtomicUsize,
    connections: AtomicUsize,
}

impl State {
    fn new(config: ChatServerConfig, reply: Box<ReplyFn>) -> Self {
        Self {
            config,
            reply,
            started: Instant::now(),
            log: Mutex::default(),
            inside: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            admitted: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
            no_room: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
        }
    }

    fn log(&self) -> std::sync::MutexGuard<'_, Vec<Recorded>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, authorization: Option<String>, body: &Value) -> Option<usize> {
        if !self.config.record {
            return None;
        }
        let body = if self.config.keep_media {
            body.clone()
        } else {
            parts::with_digests(body)
        };
        let mut log = self.log();
        log.push(Recorded {
            at: self.started.elapsed(),
            authorization,
            body,
            served: Served::Unfinished,
        });
        Some(log.len() - 1)
    }

    fn served(&self, entry: Option<usize>, served: Served) {
        match served {
            Served::Answered => self.answered.fetch_add(1, SeqCst),
            Served::NoRoom => self.no_room.fetch_add(1, SeqCst),
            Served::Unfinished | Served::Invalid | Served::Misbehaved => 0,
        };
        if let Some(entry) = entry {
            self.log()[entry].served = served;
        }
    }

    /// Takes a place for as long as the result lives, if there is one.
    fn enter(self: &Arc<Self>) -> Option<Place> {
        let limit = self.config.admitted.unwrap_or(usize::MAX);
        let before = self
            .inside
            .fetch_update(SeqCst, SeqCst, |inside| {
                (inside < limit).then_some(inside + 1)
            })
            .ok()?;
        self.peak.fetch_max(before + 1, SeqCst);
        Some(Place(Arc::clone(self)))
    }
}

struct Place(Arc<State>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, SeqCst);
    }
}

fn run(listener: std::net::TcpListener, state: Arc<State>, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be started");
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener).expect("the listener is non-blocking");
        tokio::select! {
            () = accept(&listener, &state) => {}
            _ = stopped => {}
        }
    });
    // Hanging requests must not hold the test up.
    runtime.shutdown_background();
}

async fn accept(listener: &TcpListener, state: &Arc<State>) {
    loop {
        // A connection that is gone before it is accepted is not our concern.
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        state.connections.fetch_add(1, SeqCst);
        tokio::spawn(serve(stream, Arc::clone(state)));
    }
}

/// A response that the HTTP layer cannot express: the connection is reset instead.
#[derive(Debug)]
struct ResetNow;

impl std::fmt::Display for ResetNow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("reset on demand")
    }
}

impl std::error::Error for ResetNow {}

type Body = BoxBody<Bytes, io::Error>;

async fn serve(stream: TcpStream, state: Arc<State>) {
    // As servers do; otherwise small replies wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let mut connection = http1::Builder::new().serve_connection(
        TokioIo::new(stream),
        service_fn(|request| Box::pin(handle(request, Arc::clone(&state)))),
    );
    let ended = futures::future::poll_fn(|context| connection.poll_without_shutdown(context)).await;
    if ended.is_err_and(|error| error.is_user()) {
        // Without lingering, closing sends a reset.
        let _ = connection.into_parts().io.into_inner().set_zero_linger();
    }
}

async fn handle(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Body>, ResetNow> {
    let (head, body) = request.into_parts();
    if head.method != Method::POST || !head.uri.path().ends_with("/chat/completions") {
        state.served(None, Served::Invalid);
        return Ok(error_response(
            404,
            "there is only POST /v1/chat/completions",
        ));
    }
    let authorization = head
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    // The client went away.
    let Ok(bytes) = body.collect().await else {
        return Err(ResetNow);
    };
    let Ok(body) = serde_json::from_slice::<Value>(&bytes.to_bytes()) else {
        state.served(None, Served::Invalid);
        return Ok(error_response(400, "the body is not json"));
    };
    let entry = state.record(authorization, &body);
    if let Err(reason) = parts::check(&body) {
        state.served(entry, Served::Invalid);
        return Ok(error_response(400, &reason));
    }
    let Some(place) = state.enter() else {
        state.served(entry, Served::NoRoom);
        return Ok(no_room(&state.config));
    };
    let nth = state.admitted.fetch_add(1, SeqCst);
    let behaviour = (state.reply)(&body, nth);
    tokio::time::sleep(state.config.latency).await;
    let response = respond(behaviour, &body, &state, entry).await;
    // Free before the client can know, so that it may use the place at once.
    drop(place);
    response
}

async fn respond(
    behaviour: Behaviour,
    request: &Value,
    state: &State,
    entry: Option<usize>,
) -> Result<Response<Body>, ResetNow> {
    let good = match &behaviour {
        Behaviour::Reply(text) => {
            let usage = (words(&all_text(request)), words(text));
            Some(completion(state, text, Some("stop"), Some(usage)))
        }
        Behaviour::ReplyWith {
            text,
            finish_reason,
            usage,
        } => Some(completion(state, text, finish_reason.as_deref(), *usage)),
        Behaviour::Json(value) => Some(value.clone()),
        _ => None,
    };
    if let Some(value) = good {
        state.served(entry, Served::Answered);
        return Ok(response(200, "application/json", value.to_string()));
    }
    state.served(entry, Served::Misbehaved);
    misbehave(behaviour, state).await
}

async fn misbehave(behaviour: Behaviour, state: &State) -> Result<Response<Body>, ResetNow> {
    let half = || {
        let whole = completion(state, "[[A]]", Some("stop"), None).to_string();
        whole[..whole.len() / 2].to_owned()
    };
    Ok(match behaviour {
        Behaviour::Reply(_) | Behaviour::ReplyWith { .. } | Behaviour::Json(_) => {
            unreachable!("replies were sent before")
        }
        Behaviour::Status {
            code,
            headers,
            body,
        } => with_headers(response(code, "application/json", body), &headers),
        Behaviour::Hang => futures::future::pending().await,
        Behaviour::Reset => return Err(ResetNow),
        Behaviour::HalfJson => response(200, "application/json", half()),
        Behaviour::CutOff => cut_off(half()),
        Behaviour::Empty => response(200, "application/json", String::new()),
        Behaviour::NotJson => response(200, "text/html", "<html>a gateway</html>".to_owned()),
    })
}

fn completion(
    state: &State,
    text: &str,
    finish_reason: Option<&str>,
    usage: Option<(u64, u64)>,
) -> Value {
    let mut value = json!({
        "id": "chatcmpl-loopback",
        "object": "chat.completion",
        "created": 0,
        "model": state.config.model,
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": finish_reason,
        }],
    });
    if let Some((prompt, completion)) = usage {
        value["usage"] = json!({
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        });
    }
    value
}

/// Stands in for tokens, which need a tokenizer.
fn words(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

fn no_room(config: &ChatServerConfig) -> Response<Body> {
    let mut response = error_response(429, "too many requests at once");
    if let Some(value) = &config.retry_after {
        response.headers_mut().insert(
            RETRY_AFTER,
            value
                .parse()
                .expect("the configured `Retry-After` fits a header"),
        );
    }
    response
}

fn error_response(code: u16, message: &str) -> Response<Body> {
    let body = json!({"error": {"message": message, "code": code}});
    response(code, "application/json", body.to_string())
}

fn response(code: u16, content_type: &'static str, body: String) -> Response<Body> {
    let body = Full::new(Bytes::from(body)).map_err(|never: Infallible| match never {});
    let mut response = Response::new(body.boxed());
    *response.status_mut() = StatusCode::from_u16(code).expect("tests use real status codes");
    response.headers_mut().insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static(content_type),
    );
    response
}

fn with_headers(mut response: Response<Body>, headers: &[(String, String)]) -> Response<Body> {
    for (name, value) in headers {
        response.headers_mut().insert(
            hyper::header::HeaderName::from_bytes(name.as_bytes())
                .expect("tests use real header names"),
            value.parse().expect("tests use real header values"),
        );
    }
    response
}

/// A body that fails after its first piece, upon which the connection is dropped.
fn cut_off(start: String) -> Response<Body> {
    let pieces = stream::iter([Ok(Frame::data(Bytes::from(start)))]).chain(stream::once(async {
        // Long enough for the first piece to be on its way.
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(io::Error::other("cut off on demand"))
    }));
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(Box::pin(pieces))));
    response.headers_mut().insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("application/json"),
    );
    response
}
