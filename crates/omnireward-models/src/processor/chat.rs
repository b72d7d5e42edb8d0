pub(crate) mod conversation;
pub(crate) mod files;
pub(crate) mod template;
pub(crate) mod words;

use std::path::Path;

use omnireward_core::{Part, PreferencePair, Response, joined_text};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokenizers::Tokenizer;

use crate::{
    Error, Result, Row,
    media_cache::hex,
    processor::{
        chat::{
            files::Files,
            template::{Message, Template},
        },
        turns::{Opening, Speaker, Turn},
        vocabulary,
    },
};

/// Turns pairs of words into sequences for a reward model that is a sequence classifier over conversations, such as
/// Skywork-Reward-V2.
///
/// A response's conversation is the criterion as the system's turn, the prompt as the user's and the response as the
/// assistant's, laid out by the checkpoint's own chat template and tokenised as one string, without further special
/// tokens. When `extra.turns` of a pair keeps a longer conversation, its messages are turns of their own; a criterion
/// takes the place of its system turn. When the template has no place for a system turn, the criterion goes before the
/// first of the user's turns, with an empty line between; [`criterion_in_prompt`](Self::criterion_in_prompt) tells.
/// Special tokens written out in a pair's words are read as such tokens, as the reference does.
///
/// The reward is read at the last token that is not the configuration's `pad_token_id`, and at the last token when
/// there is none, as Hugging Face transformers does; so a sequence ends there.
#[derive(Debug)]
pub struct ChatProcessor {
    tokenizer: Tokenizer,
    tokenizer_hash: String,
    template: Template,
    variables: Map<String, Value>,
    pad: Option<u32>,
    system_turn: bool,
}

/// What a chat template is filled in with besides the conversation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatOptions {
    /// Further variables of the template, such as Llama's `date_string`: a template that asks for today's date is
    /// refused, since a reward must not change overnight, unless one of its variables fixes the date.
    pub variables: Map<String, Value>,
}

impl ChatProcessor {
    /// Opens the tokenizer and the chat template of a checkpoint.
    pub fn open(dir: &Path) -> Result<Self> {
        Self::open_with(dir, &ChatOptions::default())
    }

    /// Opens the tokenizer and the chat template of a checkpoint, giving the template further variables.
    ///
    /// # Errors
    ///
    /// Fails when a file is missing or damaged, when the tokenizer has tokens that the model does not, and when the
    /// template is not valid, refuses a plain conversation, or asks for today's date.
    pub fn open_with(dir: &Path, options: &ChatOptions) -> Result<Self> {
        let files = Files::read(dir)?;
        let (tokenizer, tokenizer_hash) = open_tokenizer(dir, files.vocabulary)?;
        let template = Template::new(&files, options.variables.clone())?;
        let system_turn = probe(&template)?;
        Ok(Self {
            tokenizer,
            tokenizer_hash,
            template,
            variables: options.variables.clone(),
            pad: files.pad,
            system_turn,
        })
    }

    /// What was given to the template besides the conversation.
    pub fn variables(&self) -> &Map<String, Value> {
        &self.variables
    }

    /// Whether a criterion stands before the prompt because the template has no system turn.
    pub fn criterion_in_prompt(&self) -> bool {
        !self.system_turn
    }

    /// Changes when a pair's sequences may: by tokenizer, template or its variables, or padding token.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        let pad = self.pad.map_or("none".to_owned(), |pad| pad.to_string());
        for part in [&self.tokenizer_hash, &self.template.identity(), &pad] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hex(&hash.finalize())
    }

    /// The sequence of each response; its reward is read at its last row.
    ///
    /// # Errors
    ///
    /// Names a pair that has a medium, or that the template refuses.
    pub fn sequences(&self, pair: &PreferencePair) -> Result<Vec<Vec<Row>>> {
        pair.responses
            .iter()
            .map(|response| {
                let text = self.conversation(pair, response)?;
                self.rows(pair, &text)
            })
            .collect()
    }

    /// The text that becomes the sequence of a response.
    pub fn conversation(&self, pair: &PreferencePair, response: &Response) -> Result<String> {
        check_words(pair, &pair.prompt)?;
        check_words(pair, &response.parts)?;
        let mut messages = self.opening(Opening::of(pair));
        messages.push(Message::assistant(joined_text(&response.parts)));
        self.template
            .render(&messages)
            .map_err(|reason| Error::Unsupported {
                pair: pair.id.clone(),
                reason: format!("the chat template refuses it: {reason}"),
            })
    }

    /// The messages before a response. What has no place as a system turn goes before the first message.
    fn opening(&self, opening: Opening) -> Vec<Message> {
        let mut messages: Vec<Message> = Vec::with_capacity(opening.turns.len() + 2);
        let mut before = None;
        match opening.system {
            Some(system) if self.system_turn => messages.push(Message::system(system)),
            system => before = system,
        }
        for turn in &opening.turns {
            let words = match before.take() {
                Some(before) => format!("{before}\n\n{}", turn.words()),
                None => turn.words(),
            };
            messages.push(message(turn, words));
        }
        messages
    }

    fn rows(&self, pair: &PreferencePair, text: &str) -> Result<Vec<Row>> {
        let unsupported = |reason: String| Error::Unsupported {
            pair: pair.id.clone(),
            reason,
        };
        let encoding = self
            .tokenizer
            .encode_fast(text, false)
            .map_err(|error| unsupported(format!("the tokenizer refuses it: {error}")))?;
        let tokens = encoding.get_ids();
        if tokens.is_empty() {
            return Err(unsupported("it has no tokens".to_owned()));
        }
        let read = read_at(tokens, self.pad);
        Ok(tokens[..=read].iter().copied().map(Row::token).collect())
    }
}

/// The token at which the reward is read: the last that is not padding; the first when all are.
fn read_at(tokens: &[u32], pad: Option<u32>) -> usize {
    match pad {
        None => tokens.len() - 1,
        Some(pad) => tokens
            .iter()
            .rposition(|token| *token != pad)
            .unwrap_or_default(),
    }
}

fn message(turn: &Turn, words: String) -> Message {
    match turn.speaker {
        Speaker::User => Message::user(words),
        Speaker::Assistant => Message::assistant(words),
    }
}

/// Refuses media.
fn check_words(pair: &PreferencePair, parts: &[Part]) -> Result<()> {
    match parts.iter().find_map(Part::as_media) {
        None => Ok(()),
        Some(medium) => Err(Error::Unsupported {
            pair: pair.id.clone(),
            reason: format!(
                "medium `{}` is of modality {}, and this model reads text alone",
                medium.name(),
                medium.modality
            ),
        }),
    }
}

/// Whether the template has a place for a system turn. Fails when it has none for a prompt or a response.
fn probe(template: &Template) -> Result<bool> {
    const CRITERION: &str = "probe-criterion";
    const PROMPT: &str = "probe-prompt";
    const RESPONSE: &str = "probe-response";
    let turns = || {
        [
            Message::user(PROMPT.to_owned()),
            Message::assistant(RESPONSE.to_owned()),
        ]
    };
    let plain = template
        .render(&turns())
        .map_err(|reason| template.error(reason))?;
    for (probe, turn) in [(PROMPT, "user"), (RESPONSE, "assistant")] {
        if !plain.contains(probe) {
            return Err(template.error(format!("it leaves out the {turn}'s turn")));
        }
    }
    let system = Message::system(CRITERION.to_owned());
    let messages: Vec<Message> = std::iter::once(system).chain(turns()).collect();
    Ok(template
        .render(&messages)
        .is_ok_and(|text| text.contains(CRITERION)))
}

/// A checkpoint's tokenizer, and the SHA-256 of its file.
pub(crate) fn open_tokenizer(dir: &Path, vocabulary: Option<usize>) -> Result<(Tokenizer, String)> {
    let path = dir.join("tokenizer.json");
    let bytes = files::bytes(&path)?;
    let mut tokenizer =
        Tokenizer::from_bytes(&bytes).map_err(|error| tokenizer_error(&path, error.to_string()))?;
    tokenizer.with_padding(None);
    tokenizer
        .with_truncation(None)
        .map_err(|error| tokenizer_error(&path, error.to_string()))?;
    if let Some(vocabulary) = vocabulary {
        vocabulary::check(&tokenizer, vocabulary)
            .map_err(|reason| tokenizer_error(&path, reason))?;
    }
    Ok((tokenizer, hex(&Sha256::digest(&bytes))))
}

fn tokenizer_error(path: &Path, reason: String) -> Error {
    Error::Tokenizer {
        path: path.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests;
