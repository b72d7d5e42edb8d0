use std::error::Error as StdError;

/// A name that is not one of those known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {kind} `{name}`, expected one of {expected}")]
pub struct UnknownName {
    kind: &'static str,
    name: String,
    expected: String,
}

impl UnknownName {
    /// Says that `name` is not among `expected`, the known names of a `kind` of thing.
    pub fn new(kind: &'static str, name: &str, expected: &[&str]) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            expected: expected.join(", "),
        }
    }
}

/// A pair that breaks a rule of its type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pair `{id}` is not valid: {reason}")]
pub struct InvalidPair {
    /// The pair.
    pub id: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What the caller of a model or judge can branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ModelErrorKind {
    /// The service did not give a usable reply: a connection failed, timed out or broke, or it
    /// answered with an error that may pass. Retries were spent.
    Transport,
    /// The service refused the credentials.
    Unauthorized,
    /// The service says that the request itself is wrong; asking again would change nothing.
    Rejected,
    /// A medium is missing or cannot be decoded.
    Media,
    /// The model cannot do this kind of pair, task or setting.
    Unsupported,
    /// A recording holds nothing for this pair.
    NotRecorded,
    /// The budget is spent.
    Budget,
    /// The implementation failed.
    Internal,
}

/// The error of the joining traits: a kind to branch on, and the implementation's own error.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ModelError {
    /// What the caller can branch on.
    pub kind: ModelErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl ModelError {
    /// An error with no other behind it.
    pub fn new(kind: ModelErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// An error caused by another.
    pub fn caused_by(
        kind: ModelErrorKind,
        message: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            message: message.into(),
            source: Some(source.into()),
        }
    }

    /// The message and those of every cause, joined by colons.
    pub fn chain(&self) -> String {
        error_chain(self)
    }
}

/// An error's message and those of its causes, joined by colons.
pub fn error_chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
