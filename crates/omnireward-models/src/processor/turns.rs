//! The messages of a longer conversation, which a pair keeps beside its prompt.

use std::sync::Once;

use omnireward_core::{Part, PreferencePair};
use serde_json::Value;

/// The field of a pair's `extra` that keeps the messages of a longer conversation.
const TURNS: &str = "turns";

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaker {
    User,
    Assistant,
}

/// A message: texts, and media as indices into the list of the pair's media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) speaker: Speaker,
    pub(super) content: Vec<Content>,
}

/// Something in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Text(String),
    Medium(usize),
}

impl Turn {
    pub(super) const fn user(content: Vec<Content>) -> Self {
        Self {
            speaker: Speaker::User,
            content,
        }
    }

    pub(super) const fn assistant(content: Vec<Content>) -> Self {
        Self {
            speaker: Speaker::Assistant,
            content,
        }
    }

    /// The words of the message, media left out.
    pub(super) fn words(&self) -> String {
        let words = self.content.iter().map(|content| match content {
            Content::Text(text) => text.as_str(),
            Content::Medium(_) => "",
        });
        words.collect()
    }
}

/// What comes before a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Opening {
    /// The criterion, or else what the conversation's own system turn says.
    pub(super) system: Option<String>,
    /// From user to assistant to user.
    pub(super) turns: Vec<Turn>,
}

impl Opening {
    /// The messages that a pair keeps, or its prompt as one message where it keeps none, or such as do not go from
    /// user to assistant to user.
    ///
    /// A criterion takes the place of a system turn, as in the original, where it is the sample's system text.
    pub(super) fn of(pair: &PreferencePair) -> Self {
        let kept = if pair.task.is_generation() {
            None
        } else {
            kept(pair)
        };
        let mut opening = kept.unwrap_or_else(|| Self {
            system: None,
            turns: vec![Turn::user(contents(&pair.prompt, 0))],
        });
        if let Some(criterion) = pair.criterion.as_deref() {
            if opening.system.is_some() {
                tell_replaced(&pair.id);
            }
            opening.system = Some(criterion.to_owned());
        }
        opening
    }
}

/// Says once what becomes of system turns.
fn tell_replaced(pair: &str) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        tracing::warn!(
            pair,
            "the criterion takes the place of the conversation's system turn, here and in other pairs"
        );
    });
}

/// How many of the parts are media.
pub(super) fn media(parts: &[Part]) -> usize {
    parts
        .iter()
        .filter(|part| part.as_media().is_some())
        .count()
}

/// Parts in their order, media numbered from `medium` on; a newline stands between texts that follow
/// one another.
pub(super) fn contents(parts: &[Part], mut medium: usize) -> Vec<Content> {
    let mut contents: Vec<Content> = Vec::with_capacity(parts.len());
    for part in parts {
        match (part, contents.last_mut()) {
            (Part::Text(text), Some(Content::Text(before))) => {
                before.push('\n');
                before.push_str(text);
            }
            (Part::Text(text), _) => contents.push(Content::Text(text.clone())),
            (Part::Media(_), _) => {
                contents.push(Content::Medium(medium));
                medium += 1;
            }
        }
    }
    contents
}

/// The messages that a pair keeps of a conversation of several turns, and their system text.
fn kept(pair: &PreferencePair) -> Option<Opening> {
    let mut messages = pair.extra.get(TURNS)?.as_array()?.as_slice();
    let mut system = None;
    if let [first, rest @ ..] = messages
        && matches!(role(first), Some("system" | "developer"))
    {
        system = Some(first.get("content")?.as_str()?.to_owned());
        messages = rest;
    }
    let mut medium = 0;
    let mut turns = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        let speaker = match role(message)? {
            "user" | "tool" => Speaker::User,
            "assistant" => Speaker::Assistant,
            _ => return None,
        };
        if (speaker == Speaker::User) != index.is_multiple_of(2) {
            return None;
        }
        turns.push(Turn {
            speaker,
            content: message_contents(message.get("content")?, &mut medium)?,
        });
    }
    let whole = turns.len() % 2 == 1 && medium == media(&pair.prompt);
    whole.then_some(Opening { system, turns })
}

fn role(message: &Value) -> Option<&str> {
    message.get("role")?.as_str()
}

/// The content of a message: words, or a list of words and places of media.
fn message_contents(content: &Value, medium: &mut usize) -> Option<Vec<Content>> {
    match content {
        Value::String(text) => Some(vec![Content::Text(text.clone())]),
        Value::Array(items) => items
            .iter()
            .map(|item| {
                if let Some(text) = item.get("text") {
                    Some(Content::Text(text.as_str()?.to_owned()))
                } else {
                    *medium += 1;
                    Some(Content::Medium(*medium - 1))
                }
            })
            .collect(),
        _ => None,
    }
}
