//! A preference record as a pair.

use omnireward_core::{
    MediaRef, Modality, Part as ContentPart, Preference, PreferencePair, Response,
};
use serde_json::Value;

use super::task_of;
use crate::{
    RowError,
    error::Fault,
    formats::{
        carried::Carried,
        entries::RawRow,
        parquet_rows::Embedded,
        source::{self, Source},
        turns::{self, Speaker, Turn},
    },
    record::{Record, text_of, unknown_value, wrong_type},
};

/// The end of a prompt in dialogues that are written out as text.
const DIALOGUE_CUE: &str = "\n\nAssistant:";

/// One side of a record, or its prompt.
enum Content {
    Text(String),
    Messages(Vec<Message>),
}

/// A message whose pictures are not yet in their places: `None` is a place for one.
#[derive(Clone, Debug, PartialEq)]
struct Message {
    speaker: Speaker,
    parts: Vec<Option<String>>,
}

pub(super) fn pair(
    source: &Source,
    RawRow {
        index,
        mut record,
        media,
        ..
    }: RawRow,
) -> Result<PreferencePair, Fault> {
    let unread = turns::unread(
        &record,
        ["prompt", "chosen", "rejected"],
        ["role", "content"],
    );
    let chosen = content(record.value("chosen")?).map_err(|error| error.in_field("chosen"))?;
    let rejected =
        content(record.value("rejected")?).map_err(|error| error.in_field("rejected"))?;
    let images = images(source, &mut record, &media)?;
    let carried = Carried::take(&mut record)?;
    let criterion = record
        .optional_text("criterion")?
        .or_else(|| carried.as_ref()?.criterion().map(str::to_owned));
    let id = record
        .optional_id("id")?
        .unwrap_or_else(|| index.to_string());
    let (mut prompt, answers) = split(&mut record, chosen, rejected, images.len())?;
    if criterion.is_some()
        && prompt
            .first()
            .is_some_and(|first| states(first, criterion.as_deref()))
    {
        prompt.remove(0);
    }
    let responses = answers.map(Response::text);
    let mut pair = PreferencePair::new(source.id(id), task_of(!images.is_empty()), "", responses)
        .with_label(Preference::First)
        .with_criterion(criterion.unwrap_or_default());
    let turns = placed(prompt, images).map_err(|error| error.in_field("images"))?;
    turns::set_prompt(&mut pair, turns);
    pair.source = record.optional_text("source")?;
    pair.group = Some(source::prompt_group(&pair.prompt));
    pair.extra.extend(unread);
    pair.extra.extend(source::extra(record));
    if let Some(carried) = carried {
        carried.restore(&mut pair)?;
    }
    Ok(pair)
}

/// Whether a message is the system's and says exactly this.
fn states(message: &Message, wording: Option<&str>) -> bool {
    message.speaker == Speaker::System
        && matches!(&message.parts[..], [Some(text)] if Some(text.as_str()) == wording)
}

fn content(value: Value) -> Result<Content, RowError> {
    match value {
        Value::String(text) => Ok(Content::Text(text)),
        Value::Array(items) => items
            .into_iter()
            .map(message)
            .collect::<Result<_, _>>()
            .map(Content::Messages),
        other => Err(wrong_type("a string or a list of messages", &other)),
    }
}

fn message(value: Value) -> Result<Message, RowError> {
    let mut fields = turns::fields(value)?;
    let role = text_of(fields.remove("role").unwrap_or_default())?;
    let speaker = Speaker::of_role(&role)
        .ok_or_else(|| unknown_value(&role, "system, user, assistant, tool"))?;
    let parts = match fields.remove("content").unwrap_or_default() {
        Value::Array(items) => items.into_iter().map(part).collect::<Result<_, _>>()?,
        text => vec![Some(text_of(text)?)],
    };
    Ok(Message { speaker, parts })
}

/// A part of a message: words, or `None` for the place of a picture.
fn part(value: Value) -> Result<Option<String>, RowError> {
    let mut fields = turns::fields(value)?;
    let kind = text_of(fields.remove("type").unwrap_or_default())?;
    match kind.as_str() {
        "text" => text_of(fields.remove("text").unwrap_or_default()).map(Some),
        "image" => Ok(None),
        _ => Err(unknown_value(&kind, "text, image")),
    }
}

fn images(source: &Source, record: &mut Record, media: &Embedded) -> Result<Vec<MediaRef>, Fault> {
    for field in ["images", "image"] {
        let named = record.take(field);
        let images: Result<Vec<MediaRef>, RowError> = match (media.get(field), named) {
            (Some(blobs), _) => blobs
                .iter()
                .map(|blob| source.embedded(blob, Modality::Image))
                .collect(),
            (None, Some(Value::Array(names))) => names
                .into_iter()
                .map(|name| source.media(&text_of(name)?, Modality::Image))
                .collect(),
            (None, Some(name)) => text_of(name)
                .and_then(|name| source.media(&name, Modality::Image))
                .map(|image| vec![image]),
            (None, None) => continue,
        };
        return images.map_err(|error| error.in_field(field));
    }
    Ok(Vec::new())
}

/// The prompt's messages and the two answers.
fn split(
    record: &mut Record,
    chosen: Content,
    rejected: Content,
    images: usize,
) -> Result<(Vec<Message>, [String; 2]), Fault> {
    match (chosen, rejected) {
        (Content::Text(chosen), Content::Text(rejected)) => {
            split_texts(record, chosen, rejected, images)
        }
        (Content::Messages(chosen), Content::Messages(rejected)) => {
            split_messages(record, chosen, rejected)
        }
        _ => {
            let reason = "one side is text and the other a list of messages".to_owned();
            Err(RowError::Inconsistent(reason).in_field("rejected"))
        }
    }
}

fn split_texts(
    record: &mut Record,
    chosen: String,
    rejected: String,
    images: usize,
) -> Result<(Vec<Message>, [String; 2]), Fault> {
    if let Some(prompt) = record.take("prompt") {
        let prompt = match content(prompt).map_err(|error| error.in_field("prompt"))? {
            Content::Text(text) => vec![said_with_places(&text, images)],
            messages @ Content::Messages(_) => self::messages(messages),
        };
        return Ok((prompt, [chosen, rejected]));
    }
    let shared = shared_text(&chosen, &rejected);
    let answers = [&chosen, &rejected].map(|side| side[shared..].trim_start().to_owned());
    Ok((vec![said(chosen[..shared].trim_end())], answers))
}

fn split_messages(
    record: &mut Record,
    mut chosen: Vec<Message>,
    mut rejected: Vec<Message>,
) -> Result<(Vec<Message>, [String; 2]), Fault> {
    let shared = chosen
        .iter()
        .zip(&rejected)
        .take_while(|(a, b)| a == b)
        .count();
    // Sides that are the same to the end still have an answer each.
    let shared = shared.min(chosen.len().min(rejected.len()).saturating_sub(1));
    let repeats_prompt = chosen
        .first()
        .is_some_and(|first| first.speaker != Speaker::Assistant);
    let prompt = if repeats_prompt && shared > 0 {
        rejected.drain(..shared);
        chosen.drain(..shared).collect()
    } else {
        messages(content(record.value("prompt")?).map_err(|error| error.in_field("prompt"))?)
    };
    let answers = [answer(&chosen, "chosen")?, answer(&rejected, "rejected")?];
    Ok((prompt, answers))
}

fn messages(content: Content) -> Vec<Message> {
    match content {
        Content::Text(text) => vec![said(&text)],
        Content::Messages(messages) => messages,
    }
}

fn said(text: &str) -> Message {
    Message {
        speaker: Speaker::User,
        parts: vec![Some(text.to_owned())],
    }
}

/// A prompt of words in which as many placeholders stand as there are images.
fn said_with_places(text: &str, images: usize) -> Message {
    const PLACE: &str = turns::TAGS[0];
    if images == 0 || text.matches(PLACE).count() != images {
        return said(text);
    }
    let mut parts = Vec::new();
    for (place, words) in text.split(PLACE).map(str::trim).enumerate() {
        if place > 0 {
            parts.push(None);
        }
        if !words.is_empty() {
            parts.push(Some(words.to_owned()));
        }
    }
    Message {
        speaker: Speaker::User,
        parts,
    }
}

/// The words of an answer: those of its only message, or all turns written out.
fn answer(messages: &[Message], field: &str) -> Result<String, Fault> {
    let refused = |reason: &str| RowError::Inconsistent(reason.to_owned()).in_field(field);
    let mut turns = Vec::with_capacity(messages.len());
    for message in messages {
        let words: Option<Vec<String>> = message.parts.iter().cloned().collect();
        let words = words.ok_or_else(|| refused("the answer holds a picture"))?;
        turns.push(Turn {
            speaker: message.speaker,
            parts: vec![ContentPart::Text(words.join("\n"))],
        });
    }
    match &turns[..] {
        [] => Err(refused("there is no answer")),
        [only] => Ok(omnireward_core::joined_text(&only.parts)),
        several => Ok(omnireward_core::joined_text(&turns::written_out(several))),
    }
}

/// Where the prompt ends that two texts begin with, in bytes.
fn shared_text(chosen: &str, rejected: &str) -> usize {
    let shared: usize = chosen
        .chars()
        .zip(rejected.chars())
        .take_while(|(a, b)| a == b)
        .map(|(a, _)| a.len_utf8())
        .sum();
    let beginning = &chosen[..shared];
    match beginning.rfind(DIALOGUE_CUE) {
        Some(cue) => cue + DIALOGUE_CUE.len(),
        None => beginning.rfind(' ').map_or(0, |space| space + 1),
    }
}

/// The turns with pictures in their places.
fn placed(messages: Vec<Message>, images: Vec<MediaRef>) -> Result<Vec<Turn>, RowError> {
    let places = messages
        .iter()
        .flat_map(|message| &message.parts)
        .filter(|part| part.is_none());
    let places = places.count();
    if places > images.len() {
        let reason = format!("{places} places for {} images", images.len());
        return Err(RowError::Inconsistent(reason));
    }
    let unplaced = images.len() - places;
    let mut images = images.into_iter().map(ContentPart::Media);
    let mut before: Vec<ContentPart> = images.by_ref().take(unplaced).collect();
    Ok(messages
        .into_iter()
        .map(|message| {
            let mut parts = match message.speaker {
                Speaker::User => std::mem::take(&mut before),
                Speaker::System | Speaker::Assistant => Vec::new(),
            };
            for part in message.parts {
                parts.extend(part.map(ContentPart::Text).or_else(|| images.next()));
            }
            Turn {
                speaker: message.speaker,
                parts,
            }
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_places_when_there_are_as_many_as_images() {
        let parts = |text: &str, images| said_with_places(text, images).parts;
        let words = |text: &str| Some(text.to_owned());
        assert_eq!(parts("<image>\nWhat?", 1), [None, words("What?")]);
        assert_eq!(
            parts("What is <image> to <image>?", 2),
            [words("What is"), None, words("to"), None, words("?")]
        );
        for images in [0, 2] {
            assert_eq!(parts("<image> tags", images), [words("<image> tags")]);
        }
    }

    #[test]
    fn an_implied_prompt_ends_at_a_space_or_at_the_assistants_cue() {
        let (one, two) = ("The sky is blue.", "The sky is black.");
        assert_eq!(&one[..shared_text(one, two)], "The sky is ");
        let one = "\n\nHuman: Hi\n\nAssistant: Hello there";
        let two = "\n\nHuman: Hi\n\nAssistant: Hello you";
        assert_eq!(&one[..shared_text(one, two)], "\n\nHuman: Hi\n\nAssistant:");
        assert_eq!(shared_text("abc", "xyz"), 0);
        let (one, two) = ("Grüß Gott", "Grün ist");
        assert_eq!(shared_text(one, two), 0);
    }
}
