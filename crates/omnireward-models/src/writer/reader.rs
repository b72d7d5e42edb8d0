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
/// Conversations whose media's features are remembered together.
const TABLES: usize = 8;

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
    /// None where towers are trained: what was seen before is seen otherwise now.
    memory: Option<Memory>,
}

/// What towers made of media lately.
#[derive(Debug)]
struct Memory {
    media: Recent<(MediaShape, Tensor)>,
    tables: Recent<Table>,
}

/// The features of all media of a conversation, in an order that does not depend on theirs: prompts with the same media
/// have them from the same tensor, so that a pair in both orders shares the media that it begins with.
#[derive(Clone, Debug)]
struct Table {
    /// `[rows of all media, hidden]`.
    rows: Tensor,
    media: Vec<Medium>,
}

/// A medium's place in a [table](Table).
#[derive(Clone, Copy, Debug)]
struct Medium {
    hash: Hash,
    shape: MediaShape,
    start: usize,
}

/// Of a medium's file.
type Hash = [u8; 32];

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
            memory: Some(Memory {
                media: Recent::new(MEDIA),
                tables: Recent::new(TABLES),
            }),
        }))
    }

    /// The same, with features that are computed anew for each prompt and are differentiable in the towers' weights.
    pub(super) fn without_memory(mut self) -> Self {
        if let Self::Qwen2_5Vl(reader) = &mut self {
            reader.memory = None;
        }
        self
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
        let media: Vec<(Hash, &ChatPart)> = parts
            .filter_map(|part| Some((Sha256::digest(bytes(part)?).into(), part)))
            .collect();
        if media.is_empty() {
            return self.processor.prompt(messages, &[], Features::default());
        }
        let table = self.table(&media)?;
        let mut shapes = Vec::with_capacity(media.len());
        let mut starts = Vec::with_capacity(media.len());
        for (hash, _) in &media {
            let place = table.media.iter().position(|medium| medium.hash == *hash);
            let medium = &table.media[place.expect("every medium is in the table")];
            shapes.push(medium.shape);
            starts.push(medium.start);
        }
        let rows = Some(table.rows);
        self.processor
            .prompt(messages, &shapes, Features { rows, starts })
    }

    fn table(&self, media: &[(Hash, &ChatPart)]) -> Result<Table> {
        let mut sorted = media.to_vec();
        sorted.sort_unstable_by_key(|(hash, _)| *hash);
        sorted.dedup_by_key(|(hash, _)| *hash);
        let mut all = Sha256::new();
        for (hash, _) in &sorted {
            all.update(hash);
        }
        let table = || -> Result<Table> {
            let (mut media, mut parts, mut end) = (Vec::new(), Vec::new(), 0);
            for (hash, part) in sorted {
                let (shape, rows) = self.medium(hash, part)?;
                media.push(Medium {
                    hash,
                    shape,
                    start: end,
                });
                end += rows.dim(0)?;
                parts.push(rows);
            }
            let rows = match &parts[..] {
                [only] => only.clone(),
                _ => Tensor::cat(&parts, 0)?,
            };
            Ok(Table { rows, media })
        };
        match &self.memory {
            Some(memory) => memory.tables.get_or(all.finalize().into(), table),
            None => table(),
        }
    }

    fn medium(&self, hash: Hash, part: &ChatPart) -> Result<(MediaShape, Tensor)> {
        let Some(memory) = &self.memory else {
            return self.encode(part);
        };
        memory.media.get_or(hash, || {
            let (shape, rows) = self.encode(part)?;
            Ok((shape, rows.detach()))
        })
    }

    fn encode(&self, part: &ChatPart) -> Result<(MediaShape, Tensor)> {
        let Some(input) = self.processor.input(part)? else {
            return Err(Error::Input {
                input: kind(part).to_owned(),
                reason: "it is no medium".to_owned(),
            });
        };
        let rows = self.towers.encode_one(&input)?;
        Ok((input.shape(), rows))
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
