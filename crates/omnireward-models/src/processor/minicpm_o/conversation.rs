use omnireward_core::{Part, PreferencePair, joined_text};
use serde_json::Value;

/// The system turn when there is no criterion.
pub(super) const DEFAULT_SYSTEM: &str =
    "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.";

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

/// A pair as conversations that begin alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conversation {
    pub(super) system: String,
    pub(super) shared: Vec<Turn>,
    /// For each response, the turns that follow.
    pub(super) own: Vec<Vec<Turn>>,
}

impl Conversation {
    pub(super) fn new(pair: &PreferencePair) -> Self {
        let (system, shared) = if pair.task.is_generation() {
            (None, Vec::new())
        } else {
            kept(pair).unwrap_or_else(|| (None, vec![user(contents(&pair.prompt, 0))]))
        };
        let criterion = pair.criterion.as_deref().map(str::to_owned);
        let mut medium = media(&pair.prompt).count();
        let mut own = Vec::with_capacity(pair.responses.len());
        for response in &pair.responses {
            own.push(if pair.task.is_generation() {
                generated(&pair.prompt, &response.parts, medium)
            } else {
                vec![assistant(contents(&response.parts, medium))]
            });
            medium += media(&response.parts).count();
        }
        Self {
            system: criterion
                .or(system)
                .unwrap_or_else(|| DEFAULT_SYSTEM.to_owned()),
            shared,
            own,
        }
    }
}

const fn user(content: Vec<Content>) -> Turn {
    Turn {
        speaker: Speaker::User,
        content,
    }
}

const fn assistant(content: Vec<Content>) -> Turn {
    Turn {
        speaker: Speaker::Assistant,
        content,
    }
}

fn media(parts: &[Part]) -> impl Iterator<Item = &Part> {
    parts.iter().filter(|part| part.as_media().is_some())
}

/// The two turns of a generated response: what was generated, with what it was made from, and then the
/// words that asked for it.
fn generated(prompt: &[Part], response: &[Part], medium: usize) -> Vec<Turn> {
    let mut shown: Vec<Content> = (0..media(prompt).count()).map(Content::Medium).collect();
    shown.extend(contents(response, medium));
    vec![
        user(shown),
        assistant(vec![Content::Text(joined_text(prompt))]),
    ]
}

/// Parts in their order, media numbered from `medium` on; a newline stands between texts that follow
/// one another.
fn contents(parts: &[Part], mut medium: usize) -> Vec<Content> {
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

/// The messages that a pair keeps of a conversation of several turns, and their system text. `None`
/// when it keeps none, or such as do not go from user to assistant to user.
fn kept(pair: &PreferencePair) -> Option<(Option<String>, Vec<Turn>)> {
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
    let whole = turns.len() % 2 == 1 && medium == media(&pair.prompt).count();
    whole.then_some((system, turns))
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
