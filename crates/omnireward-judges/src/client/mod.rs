//! Conversations with any server that speaks OpenAI's chat-completions format.

mod attempt;
mod error;
mod limiter;
mod openai;
mod retry;
mod secret;
mod stats;

use std::time::Duration;

use omnireward_core::{BoxFuture, ChatModel, ChatReply, ChatRequest, Identity, ModelError};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::{Map, Value, json};
use url::Url;

use crate::hash::sha256_hex;
use attempt::{Ended, Terms, attempt};
use limiter::{Limiter, Outcome, Permit, Turn};
use stats::Counters;

pub use error::{ClientError, Failure};
pub use limiter::Concurrency;
pub use openai::Answer;
pub use retry::Backoff;
pub use secret::Secret;
pub use stats::ClientStats;

/// Where a model is served and how it is asked.
#[derive(Clone, Debug)]
pub struct OpenAiConfig {
    /// Such as `https://api.openai.com/v1`; `/chat/completions` is added, a query is kept.
    pub base_url: String,
    /// Sent as a bearer token. `None` sends no credentials.
    pub api_key: Option<Secret>,
    /// The model's name, as the server knows it.
    pub model: String,
    /// The longest time from the start of an attempt to the end of its reply. 120 s.
    pub timeout: Duration,
    /// The longest time to open a connection. 10 s.
    pub connect_timeout: Duration,
    /// How often a request is sent before the client gives up, counting the first time. 6.
    pub max_attempts: u32,
    /// The wait before asking again, where the server names none.
    pub backoff: Backoff,
    /// The longest wait that a server may ask for; above it the request fails at once. 120 s.
    pub longest_wait: Duration,
    /// How many requests may be in the air at once.
    pub concurrency: Concurrency,
    /// The largest reply, in bytes. 16 MiB.
    pub max_reply_bytes: usize,
    /// The name of the field that limits the reply's length.
    pub token_limit_field: TokenLimitField,
    /// More fields of the request's body, such as `reasoning_effort`. Part of the identity.
    pub extra: Map<String, Value>,
    /// A proxy for all requests, such as `http://proxy:3128`.
    pub proxy: Option<String>,
}

impl OpenAiConfig {
    /// The usual settings for `model` at `base_url`, without a key.
    pub fn new(base_url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            api_key: None,
            model: model.into(),
            timeout: Duration::from_secs(120),
            connect_timeout: Duration::from_secs(10),
            max_attempts: 6,
            backoff: Backoff::default(),
            longest_wait: Duration::from_secs(120),
            concurrency: Concurrency::default(),
            max_reply_bytes: 16 << 20,
            token_limit_field: TokenLimitField::default(),
            extra: Map::new(),
            proxy: None,
        }
    }
}

/// The name under which the longest reply is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenLimitField {
    /// `max_tokens`, which compatible servers know.
    #[default]
    MaxTokens,
    /// `max_completion_tokens`, which OpenAI's reasoning models insist on.
    MaxCompletionTokens,
}

impl TokenLimitField {
    const fn name(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}

/// A chat model behind an OpenAI-compatible API.
///
/// It sends text, images (`image_url` with a data URI), sound (`input_audio`) and whole videos
/// (`video_url` with a data URI, as vLLM takes it), finds by itself how many requests the server
/// admits at once ([`Concurrency`]), waits when it is told to, asks again when a failure may pass,
/// and says how often it had to ([`OpenAiClient::stats`]).
///
/// | The server or the network | Error kind | Asked again |
/// |---|---|---|
/// | 401, 403 | `Unauthorized` | no |
/// | other 3xx and 4xx, and 429 with `insufficient_quota` | `Rejected` | no |
/// | 400 with the code `content_filter` or `content_policy_violation` | none: a reply with [`Finish::Refusal`](omnireward_core::Finish::Refusal) | no |
/// | 408, 409, 425, 429, 5xx | `Transport` | yes, after the wait asked for or a back-off |
/// | no connection, a connection that breaks, a time-out | `Transport` | yes |
/// | a success that is empty, half a JSON, another type, without a choice, or too large | `Transport` | yes |
///
/// All requests of one client share its connections and its limit, so one client should serve a
/// whole run. A request's body is in memory only while it is being sent. Nothing is read from the
/// environment, redirects are not followed, and neither keys nor bodies are logged.
#[derive(Debug)]
pub struct OpenAiClient {
    config: OpenAiConfig,
    endpoint: Url,
    http: reqwest::Client,
    limiter: Limiter,
    counters: Counters,
}

impl OpenAiClient {
    /// A client that has not connected yet.
    ///
    /// # Errors
    ///
    /// Fails when the base URL is not `http` or `https` or holds credentials, when the key cannot
    /// be sent in a header, or when TLS or the proxy cannot be set up.
    pub fn new(config: OpenAiConfig) -> Result<Self, ClientError> {
        Ok(Self {
            endpoint: endpoint(&config.base_url)?,
            http: http_client(&config)?,
            limiter: Limiter::new(config.concurrency),
            counters: Counters::default(),
            config,
        })
    }

    /// What the client did so far, and the limit it has found.
    pub fn stats(&self) -> ClientStats {
        self.counters.snapshot(self.limiter.load())
    }

    /// Asks for a reply, with what the joining trait has no place for.
    ///
    /// With a seed, repeats of one conversation are sent with the seed plus their number
    /// ([`ChatRequest::sample`]), since the same seed would only bring the same reply.
    ///
    /// # Errors
    ///
    /// The table at [`OpenAiClient`] says which failures are final and which are tried again.
    pub async fn ask(&self, request: &ChatRequest) -> Result<Answer, ClientError> {
        let mut attempts = 0;
        loop {
            let permit = self.limiter.admit(turn(attempts)).await;
            // Written anew each time, so that nobody holds it while a reply or a turn is awaited.
            let body = openai::encode(&self.config, request).map_err(ClientError::Encode)?;
            self.counters.sent(turn(attempts));
            attempts += 1;
            let last = match attempt(self.post(), body.into(), self.terms()).await {
                Ok(answer) => {
                    self.counters.answered();
                    permit.finish(Outcome::Answered);
                    return Ok(answer);
                }
                Err(Ended::Final(error)) => {
                    self.counters.failed();
                    return Err(error);
                }
                Err(Ended::MayPass(failure)) => failure,
            };
            let wait = self.wait_after(&last, attempts);
            self.counters.disappointed(&last);
            finish(permit, &last, wait);
            if attempts >= self.config.max_attempts || matches!(last, Failure::WaitTooLong { .. }) {
                self.counters.failed();
                return Err(ClientError::GaveUp { attempts, last });
            }
            tracing::debug!(
                attempts,
                wait_s = wait.as_secs_f64(),
                "a request will be sent again"
            );
            tokio::time::sleep(wait).await;
        }
    }

    fn post(&self) -> reqwest::RequestBuilder {
        self.http.post(self.endpoint.clone())
    }

    fn terms(&self) -> Terms<'_> {
        Terms {
            timeout: self.config.timeout,
            reply_bytes: self.config.max_reply_bytes,
            longest_wait: self.config.longest_wait,
            key: self.config.api_key.as_ref(),
        }
    }

    fn wait_after(&self, failure: &Failure, attempts: u32) -> Duration {
        match failure {
            Failure::Status {
                wait: Some(asked), ..
            } => retry::spread(*asked),
            Failure::WaitTooLong { .. } => self.config.longest_wait,
            _ => self.config.backoff.draw(attempts - 1),
        }
    }
}

impl ChatModel for OpenAiClient {
    fn identity(&self) -> Identity {
        // The query may choose what answers (`api-version`), but some services want a key in it,
        // so only its hash is told.
        let mut base_url = self.endpoint.clone();
        base_url.set_query(None);
        let mut settings = json!({
            "api": "openai-chat",
            "endpoint": base_url.as_str(),
            "model": self.config.model,
            "token_limit_field": self.config.token_limit_field.name(),
            "extra": self.config.extra,
        });
        if let Some(query) = self.endpoint.query() {
            settings["query_sha256"] = sha256_hex([query]).into();
        }
        Identity::new(self.config.model.clone(), settings)
    }

    fn complete<'a>(
        &'a self,
        request: &'a ChatRequest,
    ) -> BoxFuture<'a, Result<ChatReply, ModelError>> {
        Box::pin(async move { Ok(self.ask(request).await?.reply) })
    }
}

/// The queue of a request that was sent `attempts` times.
fn turn(attempts: u32) -> Turn {
    if attempts == 0 {
        Turn::New
    } else {
        Turn::Again
    }
}

/// Gives a permit back with what the failure says about the server's load.
fn finish(permit: Permit, failure: &Failure, wait: Duration) {
    permit.finish(match failure {
        failure if failure.is_overload() => Outcome::Refused { wait },
        Failure::Timeout { .. } => Outcome::TimedOut,
        _ => Outcome::Neutral,
    });
}

fn endpoint(base_url: &str) -> Result<Url, ClientError> {
    let refused = |reason: &str| ClientError::BaseUrl {
        reason: reason.to_owned(),
    };
    let mut url = Url::parse(base_url.trim()).map_err(|error| refused(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refused("it must begin with `http://` or `https://`"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused(
            "it must not hold a name or password; use the api key",
        ));
    }
    url.path_segments_mut()
        .expect("http urls have a path")
        .pop_if_empty()
        .extend(["chat", "completions"]);
    Ok(url)
}

fn http_client(config: &OpenAiConfig) -> Result<reqwest::Client, ClientError> {
    // An error means that the program has chosen a provider already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .default_headers(credentials(config.api_key.as_ref())?)
        .user_agent(concat!("omnireward/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(config.connect_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        // Repeats are ours, so that they are counted and waited for.
        .retry(reqwest::retry::never())
        .no_proxy();
    if let Some(proxy) = &config.proxy {
        builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(ClientError::Setup)?);
    }
    builder.build().map_err(ClientError::Setup)
}

fn credentials(api_key: Option<&Secret>) -> Result<HeaderMap, ClientError> {
    let mut headers = HeaderMap::new();
    if let Some(key) = api_key {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose()))
            .map_err(|_| ClientError::ApiKey)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_follows_the_base_url() {
        for (base, expected) in [
            ("http://h:1/v1", "http://h:1/v1/chat/completions"),
            (" http://h/v1/ ", "http://h/v1/chat/completions"),
            ("https://h", "https://h/chat/completions"),
            (
                "https://h/d/x?api-version=2",
                "https://h/d/x/chat/completions?api-version=2",
            ),
        ] {
            assert_eq!(endpoint(base).unwrap().as_str(), expected);
        }
        for base in ["", "h/v1", "ftp://h", "http://name:word@h/v1"] {
            assert!(
                matches!(endpoint(base), Err(ClientError::BaseUrl { .. })),
                "{base}"
            );
        }
    }

    #[test]
    fn nothing_shows_the_key() {
        let mut config = OpenAiConfig::new("http://localhost/v1?key=hush", "m");
        config.api_key = Some(Secret::new("sk-private"));
        let client = OpenAiClient::new(config).unwrap();
        let identity = serde_json::to_string(&client.identity()).unwrap();
        assert!(
            !identity.contains("private") && !identity.contains("hush"),
            "{identity}"
        );
        assert!(!format!("{client:?}").contains("private"));
    }

    #[test]
    fn another_query_is_another_identity() {
        let identity = |query: &str| {
            let config = OpenAiConfig::new(format!("http://localhost/v1{query}"), "m");
            OpenAiClient::new(config).unwrap().identity()
        };
        let identities = ["", "?api-version=A", "?api-version=B"].map(identity);
        assert_ne!(identities[1], identities[2]);
        assert_ne!(identities[0], identities[1]);
        assert_eq!(identities[1], identity("?api-version=A"));
    }

    #[test]
    fn a_key_that_no_header_can_carry_is_refused_without_showing_it() {
        let mut config = OpenAiConfig::new("http://localhost/v1", "m");
        config.api_key = Some(Secret::new("sk-\u{7}private"));
        let error = OpenAiClient::new(config).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("private"));
    }
}
