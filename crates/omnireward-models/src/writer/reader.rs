use candle_core::Tensor;
use omnireward_core::{ChatMessage, ChatPart, Modality};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokenizers::Tokenizer;

use crate::{
    Error, Features, Result, Row,
    generation::Prompt,
    network::recent::Recent,
    processor::{
        Qwen2_5VlProcessor,
        chat::{
            conversation::{Conversation, Ending},
            template::Template,
            words::Words,
        },
    },
    qwen2_5_vl::{MediaShape, Towers},
};

/// Media whose features are remembered.
const MEDIA: usize = 16;
/// Lists of media whose features are remembered together.
const LISTS: usize = 8;

/// Turns conversations into prompts.
#[derive(Debug)]
pub(super) enum Reader {
    /// Words alone.
    Text(Box<TextReader>),
    /// Words, pictures and videos, and sounds where there is a tower for them.
    Qwen2_5Vl(Box<VisualReader>),
}

/// A text model's chat template and tokenizer. What is said is never read as a special token.
#[derive(Debug)]
pub(super) struct TextReader {
    template: Template,
    words: Words,
}

/// Qwen2.5-VL's or Qwen2.5-Omni's processor and towers.
#[derive(Debug)]
pub(super) struct VisualReader {
    processor: Qwen2_5VlProcessor,
    towers: Towers,
    media: Recent<(MediaShape, Tensor)>,
    /// As a list has the same tensor each time, prompts with the same media share what they begin with.
    lists: Recent<Seen>,
}

/// The media of a conversation.
#[derive(Clone, Debug, Default)]
struct Seen {
    shapes: Vec<MediaShape>,
    features: Features,
}

impl Reader {
    pub(super) fn text(template: Template, tokenizer: &Tokenizer) -> Result<Self> {
        template.check_prompt()?;
        let words = Words::new(tokenizer);
        Ok(Self::Text(Box::new(TextReader { template, words })))
    }

    pub(super) fn qwen2_5_vl(processor: Qwen2_5VlProcessor, towers: Towers) -> Self {
        Self::Qwen2_5Vl(Box::new(VisualReader {
            processor,
            towers,
            media: Recent::new(MEDIA),
            lists: Recent::new(LISTS),
        }))
    }

    /// The rows that a reply to a conversation follows.
    ///
    /// # Errors
    ///
    /// Fails when a medium cannot be decoded, or is of a kind that the model does not read, and when the chat template
    /// refuses the conversation.
    pub(super) fn prompt(&self, messages: &[ChatMessage]) -> Result<Prompt> {
        match self {
            Self::Text(reader) => reader.prompt(messages),
            Self::Qwen2_5Vl(reader) => reader.prompt(messages),
        }
    }

    /// Whether conversations may have such parts.
    pub(super) fn reads(&self, modality: Modality) -> bool {
        match (self, modality) {
            (_, Modality::Text) => true,
            (Self::Text(_), _) => false,
            // A mesh is sent as a picture of it.
            (Self::Qwen2_5Vl(reader), other) => other != Modality::Audio || reader.towers.hears(),
        }
    }

    /// How conversations become prompts, for the record; files of the checkpoint need not be told.
    pub(super) fn preprocessing(&self) -> Value {
        match self {
            Self::Text(_) => Value::Null,
            Self::Qwen2_5Vl(reader) => json!(reader.processor.media_fingerprint()),
        }
    }
}

impl TextReader {
    fn prompt(&self, messages: &[ChatMessage]) -> Result<Prompt> {
        let messages = messages
            .iter()
            .map(in_words)
            .collect::<Result<Vec<ChatMessage>>>()?;
        let conversation = Conversation::new(&messages, Ending::Reply, &self.template, &self.words)
            .map_err(refused)?;
        let tokens = self
            .words
            .tokens(&conversation.text, &conversation.said)
            .map_err(refused)?;
        Ok(Prompt {
            rows: tokens.into_iter().map(Row::token).collect(),
            ..Prompt::default()
        })
    }
}

/// The message with its texts as one, since templates of text models know no parts.
fn in_words(message: &ChatMessage) -> Result<ChatMessage> {
    let mut words: Vec<&str> = Vec::with_capacity(message.parts.len());
    for part in &message.parts {
        match part {
            ChatPart::Text(text) => words.push(text),
            other => {
                return Err(Error::Input {
                    input: kind(other).to_owned(),
                    reason: "this model reads text alone".to_owned(),
                });
            }
        }
    }
    Ok(ChatMessage {
        role: message.role,
        parts: vec![ChatPart::Text(words.join("\n"))],
    })
}

impl VisualReader {
    fn prompt(&self, messages: &[ChatMessage]) -> Result<Prompt> {
        let parts = messages.iter().flat_map(|message| &message.parts);
        let media: Vec<(&ChatPart, [u8; 32])> = parts
            .filter_map(|part| Some((part, Sha256::digest(bytes(part)?).into())))
            .collect();
        let seen = if media.is_empty() {
            Seen::default()
        } else {
            let mut list = Sha256::new();
            for (_, key) in &media {
                list.update(key);
            }
            self.lists
                .get_or(list.finalize().into(), || self.see(&media))?
        };
        self.processor.prompt(messages, &seen.shapes, seen.features)
    }

    fn see(&self, media: &[(&ChatPart, [u8; 32])]) -> Result<Seen> {
        let mut seen = Seen::default();
        let (mut parts, mut end) = (Vec::with_capacity(media.len()), 0);
        for (part, key) in media {
            let (shape, rows) = self.media.get_or(*key, || self.encode(part))?;
            seen.shapes.push(shape);
            seen.features.starts.push(end);
            end += rows.dim(0)?;
            parts.push(rows);
        }
        seen.features.rows = Some(match &parts[..] {
            [only] => only.clone(),
            _ => Tensor::cat(&parts, 0)?,
        });
        Ok(seen)
    }

    fn encode(&self, part: &ChatPart) -> Result<(MediaShape, Tensor)> {
        let Some(input) = self.processor.input(part)? else {
            return Err(Error::Input {
                input: kind(part).to_owned(),
                reason: "it is no medium".to_owned(),
            });
        };
        let rows = self.towers.encode_one(&input)?;
        Ok((input.shape(), rows.detach()))
    }
}

/// The encoded file of a medium.
fn bytes(part: &ChatPart) -> Option<&[u8]> {
    match part {
        ChatPart::Text(_) => None,
        ChatPart::Image { bytes, .. }
        | ChatPart::Audio { bytes, .. }
        | ChatPart::Video { bytes, .. } => Some(bytes),
    }
}

fn kind(part: &ChatPart) -> &'static str {
    match part {
        ChatPart::Text(_) => "a text",
        ChatPart::Image { .. } => "a picture",
        ChatPart::Audio { .. } => "a sound",
        ChatPart::Video { .. } => "a video",
    }
}

fn refused(reason: String) -> Error {
    Error::Request { reason }
}
