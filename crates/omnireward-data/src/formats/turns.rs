//! Conversations as prompts.
//!
//! A prompt is a list of parts without speakers. One user turn is taken as it is; a longer
//! conversation is written out with its speakers' names, and its turns are kept in the pair's
//! `extra` under [`TURNS`], so that a writer can put them back.

use omnireward_core::{Modality, Part as ContentPart, PreferencePair};
use serde_json::{Map, Value, json};

use crate::{
    RowError,
    record::{Record, wrong_type},
};

/// The field of `extra` that keeps the turns of a longer conversation.
pub(crate) const TURNS: &str = "turns";

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaker {
    /// Instructions to the assistant.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

impl Speaker {
    /// The role in a message.
    pub(crate) const fn role(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }

    /// The speaker in a message's role. What a tool says counts as the user's.
    pub(crate) fn of_role(role: &str) -> Option<Self> {
        match role {
            "system" | "developer" => Some(Self::System),
            "user" | "tool" => Some(Self::User),
            "assistant" => Some(Self::Assistant),
            _ => None,
        }
    }

    const fn heading(self) -> &'static str {
        match self {
            Self::System => "System",
            Self::User => "User",
            Self::Assistant => "Assistant",
        }
    }
}

/// What one speaker says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Turn {
    /// Who.
    pub(crate) speaker: Speaker,
    /// What.
    pub(crate) parts: Vec<ContentPart>,
}

/// Makes a conversation the prompt of a pair.
pub(crate) fn set_prompt(pair: &mut PreferencePair, turns: Vec<Turn>) {
    if let [
        Turn {
            speaker: Speaker::User,
            parts,
        },
    ] = &turns[..]
    {
        pair.prompt.clone_from(parts);
    } else {
        pair.extra.insert(TURNS.to_owned(), messages(&turns));
        pair.prompt = written_out(&turns);
    }
    if pair.prompt.is_empty() {
        pair.prompt.push(ContentPart::Text(String::new()));
    }
}

/// The turns of a conversation in running text, each after its speaker's name.
pub(crate) fn written_out(turns: &[Turn]) -> Vec<ContentPart> {
    let mut parts = Vec::new();
    for turn in turns {
        let heading = format!("{}: ", turn.speaker.heading());
        if let Some((ContentPart::Text(text), rest)) = turn.parts.split_first() {
            parts.push(ContentPart::Text(heading + text));
            parts.extend_from_slice(rest);
        } else {
            parts.push(ContentPart::Text(heading));
            parts.extend_from_slice(&turn.parts);
        }
    }
    parts
}

/// The conversation that a pair's prompt was made of, media in their places.
pub(crate) fn turns_of(pair: &PreferencePair) -> Vec<Turn> {
    pair.extra
        .get(TURNS)
        .and_then(|kept| restored(kept, &pair.prompt))
        .unwrap_or_else(|| {
            vec![Turn {
                speaker: Speaker::User,
                parts: pair.prompt.clone(),
            }]
        })
}

fn restored(kept: &Value, prompt: &[ContentPart]) -> Option<Vec<Turn>> {
    let mut media = prompt.iter().filter(|part| part.as_media().is_some());
    let mut turns = Vec::new();
    for message in kept.as_array()? {
        let speaker = Speaker::of_role(message.get("role")?.as_str()?)?;
        let parts = match message.get("content")? {
            Value::String(text) => vec![ContentPart::Text(text.clone())],
            Value::Array(items) => items
                .iter()
                .map(|item| match item.get("text") {
                    Some(text) => Some(ContentPart::Text(text.as_str()?.to_owned())),
                    None => media.next().cloned(),
                })
                .collect::<Option<_>>()?,
            _ => return None,
        };
        turns.push(Turn { speaker, parts });
    }
    media.next().is_none().then_some(turns)
}

/// Turns as a list of messages; media are placeholders.
pub(crate) fn messages(turns: &[Turn]) -> Value {
    turns.iter().map(message).collect()
}

fn message(turn: &Turn) -> Value {
    let content = match &turn.parts[..] {
        [] => json!(""),
        [ContentPart::Text(text)] => json!(text),
        parts => parts.iter().map(placeholder).collect(),
    };
    json!({ "role": turn.speaker.role(), "content": content })
}

fn placeholder(part: &ContentPart) -> Value {
    match part {
        ContentPart::Text(text) => json!({ "type": "text", "text": text }),
        ContentPart::Media(media) => json!({ "type": media.modality }),
    }
}

/// The fields of a message.
pub(crate) fn fields(message: Value) -> Result<Map<String, Value>, RowError> {
    match message {
        Value::Object(fields) => Ok(fields),
        other => Err(wrong_type("an object", &other)),
    }
}

/// The field of `extra` that keeps what turns say beyond speaker and words.
const TURN_FIELDS: &str = "turn_fields";

/// What the turns in some fields of a record say beyond the fields that are known, for `extra`: by
/// field, an object for a single turn, or a list of objects in the places of the turns.
pub(crate) fn unread<const F: usize, const K: usize>(
    record: &Record,
    fields: [&str; F],
    known: [&str; K],
) -> Option<(String, Value)> {
    let others = |turn: &Value| {
        let fields = turn.as_object()?.iter();
        let others: Map<String, Value> = fields
            .filter(|(name, value)| !known.contains(&name.as_str()) && !value.is_null())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        (!others.is_empty()).then_some(Value::Object(others))
    };
    let mut kept = Map::new();
    for field in fields {
        let unread = match record.get(field) {
            Some(Value::Array(turns)) => {
                let turns: Vec<Option<Value>> = turns.iter().map(others).collect();
                turns.iter().any(Option::is_some).then(|| json!(turns))
            }
            Some(turn) => others(turn),
            None => None,
        };
        kept.extend(unread.map(|unread| (field.to_owned(), unread)));
    }
    (!kept.is_empty()).then(|| (TURN_FIELDS.to_owned(), Value::Object(kept)))
}

/// The placeholders of media in running text.
pub(crate) const TAGS: [&str; 3] = ["<image>", "<video>", "<audio>"];

/// The placeholder of a medium in running text.
pub(crate) const fn tag(modality: Modality) -> Option<&'static str> {
    match modality {
        Modality::Image => Some(TAGS[0]),
        Modality::Video => Some(TAGS[1]),
        Modality::Audio => Some(TAGS[2]),
        Modality::Text | Modality::Mesh => None,
    }
}

#[cfg(test)]
mod tests {
    use omnireward_core::{MediaRef, MediaSource, Response, Task};

    use super::*;

    fn picture(name: &str) -> ContentPart {
        ContentPart::Media(MediaRef {
            modality: Modality::Image,
            source: MediaSource::Absent {
                name: name.to_owned(),
            },
        })
    }

    #[test]
    fn a_longer_conversation_can_be_put_back() {
        let turn = |speaker, parts: &[ContentPart]| Turn {
            speaker,
            parts: parts.to_vec(),
        };
        let turns = vec![
            turn(Speaker::System, &["Be brief.".into()]),
            turn(Speaker::User, &[picture("a"), "What is it?".into()]),
            turn(Speaker::Assistant, &["A dog.".into()]),
            turn(Speaker::User, &["And this?".into(), picture("b")]),
        ];
        let mut pair = PreferencePair::new(
            "x",
            Task::TI2T,
            "",
            [Response::text("a"), Response::text("b")],
        );
        set_prompt(&mut pair, turns.clone());
        assert_eq!(pair.prompt[0], ContentPart::from("System: Be brief."));
        assert_eq!(pair.prompt[1..3], ["User: ".into(), picture("a")]);
        assert_eq!(turns_of(&pair), turns);
    }

    #[test]
    fn one_user_turn_is_the_prompt() {
        let mut pair = PreferencePair::new(
            "x",
            Task::T2T,
            "",
            [Response::text("a"), Response::text("b")],
        );
        let turns = vec![Turn {
            speaker: Speaker::User,
            parts: vec!["Hello".into()],
        }];
        set_prompt(&mut pair, turns.clone());
        assert_eq!(pair.prompt, ["Hello".into()]);
        assert!(pair.extra.is_empty());
        assert_eq!(turns_of(&pair), turns);
    }
}
