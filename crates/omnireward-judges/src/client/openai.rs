//! The chat-completions format as it is on the wire.
//!
//! Written by hand because async-openai, which has it all in types, does not fit servers that are
//! merely compatible. Its content parts are text, image, file and audio (WAV or MP3), so a
//! `video_url` part as vLLM takes it cannot be written. Unknown fields do not trouble
//! it, but its response types are closed: an unknown `finish_reason`, a missing `created` or
//! `total_tokens`, or a list as `content` make a usable reply unreadable. Here everything that
//! can be missing or different may be.

use base64::{display::Base64Display, engine::general_purpose::STANDARD};
use omnireward_core::{ChatMessage, ChatPart, ChatReply, ChatRequest, Finish, Role, Usage};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{OpenAiConfig, Secret, TokenLimitField};

/// Writes the body of a request.
pub(super) fn encode(
    config: &OpenAiConfig,
    request: &ChatRequest,
) -> Result<Vec<u8>, serde_json::Error> {
    let sampling = &request.sampling;
    let (max_tokens, max_completion_tokens) = match config.token_limit_field {
        TokenLimitField::MaxTokens => (sampling.max_tokens, None),
        TokenLimitField::MaxCompletionTokens => (None, sampling.max_tokens),
    };
    let mut written = Vec::with_capacity(room_for(request));
    let body = Body {
        model: &config.model,
        messages: request.messages.iter().map(Message::from).collect(),
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        max_tokens,
        max_completion_tokens,
        seed: sampling
            .seed
            .map(|seed| seed.wrapping_add(u64::from(request.sample))),
        extra: &config.extra,
    };
    serde_json::to_writer(&mut written, &body)?;
    Ok(written)
}

/// Whether a byte of a text takes two in JSON. Control characters, which are rare, take more.
const fn is_escaped(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | ..b' ')
}

/// About as many bytes as a request is long: a body that grows by doubling may take twice its size.
fn room_for(request: &ChatRequest) -> usize {
    /// The names of a part's fields and its media type.
    const AROUND_A_PART: usize = 100;
    let parts = request.messages.iter().flat_map(|message| &message.parts);
    let parts = parts.map(|part| {
        AROUND_A_PART
            + match part {
                ChatPart::Text(text) => {
                    text.len() + text.bytes().filter(|byte| is_escaped(*byte)).count()
                }
                ChatPart::Image { bytes, .. }
                | ChatPart::Audio { bytes, .. }
                | ChatPart::Video { bytes, .. } => bytes.len().div_ceil(3) * 4,
            }
    });
    4096 + parts.sum::<usize>()
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: Role,
    content: Content<'a>,
}

/// One text is written as a plain string, because some servers take nothing else in a system
/// message.
#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(&'a str),
    Parts(Vec<Part<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: Url<'a> },
    VideoUrl { video_url: Url<'a> },
    InputAudio { input_audio: InputAudio<'a> },
}

#[derive(Serialize)]
struct Url<'a> {
    #[serde(serialize_with = "data_uri")]
    url: (&'a str, &'a [u8]),
}

#[derive(Serialize)]
struct InputAudio<'a> {
    #[serde(serialize_with = "base64")]
    data: &'a [u8],
    format: &'a str,
}

impl<'a> From<&'a ChatMessage> for Message<'a> {
    fn from(message: &'a ChatMessage) -> Self {
        let content = match message.parts.as_slice() {
            [ChatPart::Text(text)] => Content::Text(text),
            parts => Content::Parts(parts.iter().map(Part::from).collect()),
        };
        Self {
            role: message.role,
            content,
        }
    }
}

impl<'a> From<&'a ChatPart> for Part<'a> {
    fn from(part: &'a ChatPart) -> Self {
        match part {
            ChatPart::Text(text) => Self::Text { text },
            ChatPart::Image { media_type, bytes } => Self::ImageUrl {
                image_url: Url {
                    url: (media_type, bytes),
                },
            },
            ChatPart::Video { media_type, bytes } => Self::VideoUrl {
                video_url: Url {
                    url: (media_type, bytes),
                },
            },
            ChatPart::Audio { media_type, bytes } => Self::InputAudio {
                input_audio: InputAudio {
                    data: bytes,
                    format: audio_format(media_type),
                },
            },
        }
    }
}

/// The short name that `input_audio` wants. OpenAI itself takes `wav` and `mp3` only; others take
/// more, so what is not known is passed on and left to the server.
fn audio_format(media_type: &str) -> &str {
    match media_type {
        "audio/wav" | "audio/x-wav" | "audio/wave" | "audio/vnd.wave" => "wav",
        "audio/mpeg" | "audio/mp3" => "mp3",
        "audio/mp4" | "audio/x-m4a" => "m4a",
        "audio/x-flac" => "flac",
        other => other.strip_prefix("audio/").unwrap_or(other),
    }
}

/// Writes straight into the body, without a second copy of the medium in memory.
fn data_uri<S: Serializer>(
    &(media_type, bytes): &(&str, &[u8]),
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!(
        "data:{media_type};base64,{}",
        Base64Display::new(bytes, &STANDARD)
    ))
}

fn base64<S: Serializer>(bytes: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Base64Display::new(bytes, &STANDARD))
}

/// A reply, and what came with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The reply.
    pub reply: ChatReply,
    /// The reasoning that the server gave beside the text (`reasoning_content`, or `reasoning`),
    /// never merged into it.
    pub reasoning: Option<String>,
}

/// A chat completion, read leniently.
#[derive(Debug, Deserialize)]
pub(super) struct Completion {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    model: Option<String>,
    usage: Option<Tokens>,
    /// Some gateways report errors inside a success.
    pub(super) error: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    message: Reply,
    finish_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Reply {
    content: Option<ReplyContent>,
    refusal: Option<String>,
    reasoning_content: Option<String>,
    reasoning: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ReplyContent {
    Text(String),
    Parts(Vec<ReplyPart>),
}

#[derive(Debug, Deserialize)]
struct ReplyPart {
    text: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Tokens {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

impl Completion {
    /// The first choice as an answer, if there is one.
    pub(super) fn into_answer(self) -> Option<Answer> {
        let choice = self.choices?.into_iter().next()?;
        let tokens = self.usage.unwrap_or_default();
        let refusal = choice.message.refusal.filter(|text| !text.is_empty());
        let finish = match refusal {
            Some(_) => Finish::Refusal,
            None => finish(choice.finish_reason.as_deref()),
        };
        let text = choice
            .message
            .content
            .map(ReplyContent::into_text)
            .filter(|text| !text.is_empty())
            .or(refusal)
            .unwrap_or_default();
        Some(Answer {
            reply: ChatReply {
                text,
                finish,
                usage: Usage {
                    requests: 1,
                    prompt_tokens: tokens.prompt_tokens.unwrap_or_default(),
                    completion_tokens: tokens.completion_tokens.unwrap_or_default(),
                },
                model: self.model,
                probabilities: None,
            },
            reasoning: choice
                .message
                .reasoning_content
                .or(choice.message.reasoning)
                .filter(|text| !text.is_empty()),
        })
    }
}

impl ReplyContent {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Parts(parts) => parts.into_iter().filter_map(|part| part.text).collect(),
        }
    }
}

fn finish(reason: Option<&str>) -> Finish {
    match reason {
        Some("stop" | "eos" | "eos_token" | "stop_sequence" | "end_turn") => Finish::Stop,
        Some("length" | "max_tokens" | "max_completion_tokens") => Finish::Length,
        Some("content_filter" | "refusal" | "safety") => Finish::Refusal,
        _ => Finish::Unknown,
    }
}

/// What a server says about an error.
#[derive(Debug, PartialEq)]
pub(super) struct ServerError {
    /// Its words, on one line and shortened.
    pub(super) message: String,
    code: Option<String>,
}

impl ServerError {
    /// Reads the several shapes in use: `{"error": {"message", "code"}}`, `{"error": "…"}`,
    /// `{"message"}`, `{"detail"}`, or plain text. Servers like to repeat the `key`; it is taken
    /// out before anything else, lest a cut leave half of it.
    pub(super) fn read(body: &[u8], key: Option<&Secret>) -> Self {
        serde_json::from_slice::<Value>(body).map_or_else(
            |_| Self {
                message: shorten(&String::from_utf8_lossy(body), key),
                code: None,
            },
            |value| Self::from_value(&value, key),
        )
    }

    pub(super) fn from_value(value: &Value, key: Option<&Secret>) -> Self {
        let error = value.get("error").unwrap_or(value);
        let words = error
            .get("message")
            .or_else(|| error.get("detail"))
            .unwrap_or(error);
        let text = words
            .as_str()
            .map_or_else(|| words.to_string(), str::to_owned);
        Self {
            message: shorten(&text, key),
            code: error
                .get("code")
                .or_else(|| error.get("type"))
                .and_then(Value::as_str)
                .map(str::to_owned),
        }
    }

    /// The service declined the content, and said so by an error instead of a reply.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(
            self.code.as_deref(),
            Some("content_filter" | "content_policy_violation")
        )
    }

    /// The account is empty: unlike a rate limit, this does not pass.
    pub(super) fn is_out_of_credit(&self) -> bool {
        self.code.as_deref() == Some("insufficient_quota")
    }

    /// The answer of a service that declined in this way.
    pub(super) fn into_refusal(self) -> Answer {
        Answer {
            reply: ChatReply {
                text: self.message,
                finish: Finish::Refusal,
                usage: Usage {
                    requests: 1,
                    ..Usage::default()
                },
                model: None,
                probabilities: None,
            },
            reasoning: None,
        }
    }
}

/// The longest message of a server that is passed on, in characters.
const LONGEST_MESSAGE: usize = 300;

fn shorten(text: &str, key: Option<&Secret>) -> String {
    let text = key.map_or_else(|| text.to_owned(), |key| key.scrub(text));
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST_MESSAGE) {
        _ if line.is_empty() => "no message".to_owned(),
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use omnireward_core::Sampling;
    use serde_json::json;

    use super::*;

    fn written(config: &OpenAiConfig, request: &ChatRequest) -> Value {
        serde_json::from_slice(&encode(config, request).unwrap()).unwrap()
    }

    fn request(messages: Vec<ChatMessage>) -> ChatRequest {
        ChatRequest {
            messages,
            sampling: Sampling::default(),
            sample: 0,
            choices: None,
        }
    }

    fn config() -> OpenAiConfig {
        OpenAiConfig::new("http://localhost/v1", "some-model")
    }

    #[test]
    fn every_part_has_its_form_and_order() {
        let bytes: Arc<[u8]> = Arc::from(*b"\xff\x00abc");
        let body = written(
            &config(),
            &request(vec![
                ChatMessage {
                    role: Role::System,
                    parts: vec![ChatPart::Text("judge \"well\"".into())],
                },
                ChatMessage {
                    role: Role::User,
                    parts: vec![
                        ChatPart::Text("look".into()),
                        ChatPart::Image {
                            media_type: "image/png",
                            bytes: bytes.clone(),
                        },
                        ChatPart::Video {
                            media_type: "video/mp4",
                            bytes: bytes.clone(),
                        },
                        ChatPart::Audio {
                            media_type: "audio/mpeg",
                            bytes,
                        },
                    ],
                },
            ]),
        );
        assert_eq!(
            body,
            json!({
                "model": "some-model",
                "messages": [
                    {"role": "system", "content": "judge \"well\""},
                    {"role": "user", "content": [
                        {"type": "text", "text": "look"},
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,/wBhYmM="}},
                        {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,/wBhYmM="}},
                        {"type": "input_audio", "input_audio": {"data": "/wBhYmM=", "format": "mp3"}},
                    ]},
                ],
            })
        );
    }

    #[test]
    fn a_body_takes_little_more_room_than_its_length() {
        let part = |len: usize| ChatPart::Image {
            media_type: "image/jpeg",
            bytes: vec![7; len].into(),
        };
        let message = ChatMessage {
            role: Role::User,
            parts: vec![
                ChatPart::Text("\"word\"\n".repeat(2000)),
                part(700_001),
                part(99_999),
            ],
        };
        let body = encode(&config(), &request(vec![message])).unwrap();
        let spare = body.capacity() - body.len();
        assert!(spare < body.len() / 50, "{spare} of {}", body.len());
    }

    #[test]
    fn settings_are_sent_only_when_given() {
        let mut asked = request(vec![]);
        let body = written(&config(), &asked);
        assert_eq!(body, json!({"model": "some-model", "messages": []}));

        asked.sampling = Sampling {
            temperature: Some(0.1),
            top_p: Some(0.9),
            max_tokens: Some(64),
            seed: Some(7),
        };
        asked.sample = 2;
        let mut config = config();
        config.extra.insert("reasoning_effort".into(), json!("low"));
        let sent = json!({
            "model": "some-model", "messages": [], "temperature": 0.1, "top_p": 0.9,
            "max_tokens": 64, "seed": 9, "reasoning_effort": "low",
        });
        assert_eq!(written(&config, &asked), sent);

        config.token_limit_field = TokenLimitField::MaxCompletionTokens;
        let body = written(&config, &asked);
        assert_eq!(body["max_completion_tokens"], 64);
        assert!(body.get("max_tokens").is_none());
    }

    fn answer(body: Value) -> Option<Answer> {
        serde_json::from_value::<Completion>(body)
            .unwrap()
            .into_answer()
    }

    #[test]
    fn a_full_reply_is_read() {
        let answer = answer(json!({
            "id": "x", "object": "chat.completion", "created": 1, "model": "m-2024",
            "choices": [{"index": 0, "logprobs": null, "finish_reason": "stop", "message": {
                "role": "assistant", "content": "[[A]]", "refusal": null, "tool_calls": [],
                "reasoning_content": "because"}}],
            "usage": {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16,
                "prompt_tokens_details": {"cached_tokens": 0}},
            "a_field_of_the_future": {"x": [1]},
        }))
        .unwrap();
        assert_eq!(answer.reply.text, "[[A]]");
        assert_eq!(answer.reply.finish, Finish::Stop);
        assert_eq!(answer.reply.model.as_deref(), Some("m-2024"));
        assert_eq!(answer.reply.usage.requests, 1);
        assert_eq!(answer.reply.usage.prompt_tokens, 11);
        assert_eq!(answer.reply.usage.completion_tokens, 5);
        assert_eq!(answer.reasoning.as_deref(), Some("because"));
    }

    #[test]
    fn a_sparse_reply_is_read() {
        let answer = answer(json!({"choices": [{"message": {"content": "B"}}]})).unwrap();
        assert_eq!(answer.reply.text, "B");
        assert_eq!(answer.reply.finish, Finish::Unknown);
        assert_eq!((answer.reply.model, answer.reasoning), (None, None));
    }

    #[test]
    fn odd_contents_are_read() {
        for (message, text, finish) in [
            (json!({"content": null}), "", Finish::Stop),
            (
                json!({"content": [{"type": "text", "text": "a"}, {"type": "other"}, {"text": "b"}]}),
                "ab",
                Finish::Stop,
            ),
            (
                json!({"content": null, "refusal": "I will not"}),
                "I will not",
                Finish::Refusal,
            ),
            (json!({"content": "x", "refusal": ""}), "x", Finish::Stop),
        ] {
            let answer =
                answer(json!({"choices": [{"message": message, "finish_reason": "stop"}]}))
                    .unwrap();
            assert_eq!(
                (answer.reply.text.as_str(), answer.reply.finish),
                (text, finish)
            );
        }
        assert_eq!(answer(json!({"choices": []})), None);
        assert_eq!(answer(json!({"choices": null})), None);
        assert_eq!(answer(json!({})), None);
    }

    #[test]
    fn finish_reasons_are_mapped() {
        for (reason, expected) in [
            (Some("stop"), Finish::Stop),
            (Some("length"), Finish::Length),
            (Some("content_filter"), Finish::Refusal),
            (Some("tool_calls"), Finish::Unknown),
            (None, Finish::Unknown),
        ] {
            assert_eq!(finish(reason), expected, "{reason:?}");
        }
    }

    #[test]
    fn the_words_of_a_server_are_found() {
        for (body, message) in [
            (
                r#"{"error": {"message": "no such\nmodel", "code": "x"}}"#,
                "no such model",
            ),
            (r#"{"error": "bad"}"#, "bad"),
            (r#"{"object": "error", "message": "too long"}"#, "too long"),
            (
                r#"{"detail": [{"loc": ["body"]}]}"#,
                r#"[{"loc":["body"]}]"#,
            ),
            ("<html>  Bad\tGateway </html>", "<html> Bad Gateway </html>"),
            ("", "no message"),
        ] {
            assert_eq!(ServerError::read(body.as_bytes(), None).message, message);
        }
        let long = ServerError::read("é".repeat(5000).as_bytes(), None).message;
        assert_eq!(long.chars().count(), LONGEST_MESSAGE + 1);
    }

    #[test]
    fn a_key_is_taken_out_before_the_cut() {
        let body = format!("{} sk-private", "x".repeat(LONGEST_MESSAGE - 5));
        let message = ServerError::read(body.as_bytes(), Some(&Secret::new("sk-private"))).message;
        assert!(!message.contains("sk-"), "{message}");
    }
}
