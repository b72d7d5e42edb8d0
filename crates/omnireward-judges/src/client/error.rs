use std::time::Duration;

use omnireward_core::{ModelError, ModelErrorKind};

/// What can go wrong with the chat client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The base URL cannot be used.
    #[error("the base url cannot be used: {reason}")]
    BaseUrl {
        /// What is wrong with it. The URL itself is not repeated: it may hold a password.
        reason: String,
    },
    /// The key holds characters that a header cannot carry.
    #[error("the api key holds characters that a request header cannot carry")]
    ApiKey,
    /// The HTTP machinery could not be set up.
    #[error("cannot set up the http client")]
    Setup(#[source] reqwest::Error),
    /// The conversation could not be written as JSON.
    #[error("cannot write the request as json")]
    Encode(#[source] serde_json::Error),
    /// The server refused the credentials. It was asked once.
    #[error("the server refused the credentials (status {status}): {message}")]
    Unauthorized {
        /// 401 or 403.
        status: u16,
        /// The server's words, shortened.
        message: String,
    },
    /// The server says that the request itself is wrong. It was asked once.
    #[error("the server rejected the request (status {status}): {message}")]
    Rejected {
        /// Such as 400, 404, 413 or 422.
        status: u16,
        /// The server's words, shortened.
        message: String,
    },
    /// Every attempt failed in a way that might have passed.
    #[error("gave up after {}", attempts_text(*attempts))]
    GaveUp {
        /// How many attempts were made.
        attempts: u32,
        /// How the last one failed.
        #[source]
        last: Failure,
    },
}

impl ClientError {
    /// The kind that callers of the joining trait branch on.
    pub fn kind(&self) -> ModelErrorKind {
        match self {
            Self::Unauthorized { .. } => ModelErrorKind::Unauthorized,
            Self::Rejected { .. } => ModelErrorKind::Rejected,
            Self::GaveUp { .. } => ModelErrorKind::Transport,
            Self::BaseUrl { .. } | Self::ApiKey | Self::Setup(_) | Self::Encode(_) => {
                ModelErrorKind::Internal
            }
        }
    }
}

impl From<ClientError> for ModelError {
    fn from(error: ClientError) -> Self {
        let kind = error.kind();
        match error {
            ClientError::GaveUp { attempts, last } => Self::caused_by(
                kind,
                format!("no usable reply after {}", attempts_text(attempts)),
                last,
            ),
            other => Self::caused_by(kind, "the chat api gave no reply", other),
        }
    }
}

fn attempts_text(attempts: u32) -> String {
    match attempts {
        1 => "1 attempt".to_owned(),
        many => format!("{many} attempts"),
    }
}

/// How one attempt failed. All of these may pass, so the client asks again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// Nothing answered at the address.
    #[error("cannot connect: {reason}")]
    Unreachable {
        /// The operating system's reason.
        reason: String,
    },
    /// The reply was not complete in time.
    #[error("no complete reply within {seconds} s")]
    Timeout {
        /// The limit.
        seconds: f64,
    },
    /// The connection broke before the reply was complete.
    #[error("the connection broke: {reason}")]
    Broken {
        /// What the HTTP layer says.
        reason: String,
    },
    /// The server answered with an error that may pass.
    #[error("the server answered with status {status}: {message}")]
    Status {
        /// Such as 429 or 500.
        status: u16,
        /// The server's words, shortened.
        message: String,
        /// How long the server asked to wait.
        wait: Option<Duration>,
    },
    /// The server asked to wait longer than the client is willing to.
    #[error("the server (status {status}) asked to wait {asked_s:.0} s, the most is {most_s:.0} s")]
    WaitTooLong {
        /// Such as 429.
        status: u16,
        /// The wait asked for, in seconds.
        asked_s: f64,
        /// The longest wait accepted, in seconds.
        most_s: f64,
    },
    /// A success without content.
    #[error("the reply is empty")]
    Empty,
    /// A success that is not JSON.
    #[error("the reply is not json but `{content_type}`")]
    ContentType {
        /// As the server named it.
        content_type: String,
    },
    /// JSON that stops in the middle.
    #[error("the reply ends in the middle of its json, after {bytes} bytes")]
    HalfJson {
        /// How much came.
        bytes: usize,
    },
    /// JSON that is not a chat completion.
    #[error("the reply is not a chat completion (line {line}, column {column})")]
    Malformed {
        /// Where reading stopped.
        line: usize,
        /// Where reading stopped.
        column: usize,
    },
    /// A chat completion without a choice.
    #[error("the reply holds no choice")]
    NoChoice,
    /// A success that reports an error inside.
    #[error("the server reported an error inside a success: {message}")]
    ErrorInside {
        /// The server's words, shortened.
        message: String,
    },
    /// A reply above the size limit.
    #[error("the reply is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
}

impl Failure {
    /// Whether the server said, or showed by not answering the door, that it has too much to do.
    pub(crate) fn is_overload(&self) -> bool {
        match self {
            Self::Status { status, .. } | Self::WaitTooLong { status, .. } => {
                matches!(status, 429 | 503)
            }
            Self::Unreachable { .. } => true,
            _ => false,
        }
    }
}
