use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{BoxFuture, ModelError, Usage};

/// A name for people and a record for repeating: what a model or judge is and every setting that
/// influences its output. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// A short name, used in tables.
    pub name: String,
    /// Settings, versions and hashes.
    pub settings: serde_json::Value,
}

impl Identity {
    /// An identity from its two halves.
    pub fn new(name: impl Into<String>, settings: serde_json::Value) -> Self {
        Self {
            name: name.into(),
            settings,
        }
    }
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions that frame the conversation.
    System,
    /// The one who asks.
    User,
    /// The model.
    Assistant,
}

/// One element of a message, with media already encoded as they will be sent.
#[derive(Clone, PartialEq, Eq)]
pub enum ChatPart {
    /// Words.
    Text(String),
    /// A picture.
    Image {
        /// Such as `image/jpeg`.
        media_type: &'static str,
        /// The encoded file.
        bytes: Arc<[u8]>,
    },
    /// A sound.
    Audio {
        /// Such as `audio/wav`.
        media_type: &'static str,
        /// The encoded file.
        bytes: Arc<[u8]>,
    },
    /// A whole video file, for models that take one.
    Video {
        /// Such as `video/mp4`.
        media_type: &'static str,
        /// The encoded file.
        bytes: Arc<[u8]>,
    },
}

impl fmt::Debug for ChatPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.debug_tuple("Text").field(text).finish(),
            Self::Image { media_type, bytes }
            | Self::Audio { media_type, bytes }
            | Self::Video { media_type, bytes } => f
                .debug_struct("Media")
                .field("media_type", media_type)
                .field("len", &bytes.len())
                .finish(),
        }
    }
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatMessage {
    /// Who speaks.
    pub role: Role,
    /// What is said, in order.
    pub parts: Vec<ChatPart>,
}

/// How a reply is drawn. `None` leaves a setting to the service, and is recorded as such.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: Option<f64>,
    /// Nucleus sampling: the share of probability kept.
    pub top_p: Option<f64>,
    /// The longest reply, in tokens.
    pub max_tokens: Option<u32>,
    /// Asks the service for repeatable sampling.
    pub seed: Option<u64>,
}

/// A conversation that awaits a reply.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatRequest {
    /// The turns so far.
    pub messages: Vec<ChatMessage>,
    /// How the reply is drawn.
    pub sampling: Sampling,
    /// Tells repeats of the same conversation apart: sample 0, 1, 2, …
    pub sample: u32,
    /// What the reply is expected to choose between. It changes no reply; a model that can says how probable each choice
    /// was.
    pub choices: Option<Choices>,
}

/// Words of which a reply is expected to have one, such as verdicts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Choices {
    /// What stands right before the choice, such as `[[`.
    pub lead: String,
    /// The choices, such as `A]]` and `B]]`.
    pub of: Vec<String>,
}

/// Why a model stopped writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finish {
    /// It was done.
    Stop,
    /// It reached the token limit.
    Length,
    /// It, or a filter behind it, declined.
    Refusal,
    /// The service did not say, or said something else.
    Unknown,
}

/// What a model replied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatReply {
    /// The text, as received.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
    /// What it cost.
    pub usage: Usage,
    /// The model that answered, as the service named it.
    pub model: Option<String>,
    /// The probability of each of the request's [choices](Choices) where the reply made one, given that it is one of them;
    /// from models that tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probabilities: Option<Vec<f64>>,
}

/// A conversation in, a reply out.
pub trait ChatModel: Send + Sync {
    /// Everything, apart from the request, that influences a reply.
    fn identity(&self) -> Identity;

    /// Asks for a reply. Retrying is the implementation's business; an `Err` is final for this
    /// request.
    fn complete<'a>(
        &'a self,
        request: &'a ChatRequest,
    ) -> BoxFuture<'a, Result<ChatReply, ModelError>>;
}
